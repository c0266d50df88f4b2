//! What the proxy keeps of its work: usage events and their sums, in the SQLite database `proxy.db`.
//!
//! The way of an event: [`UsageSink::record`] appends it to a journal and queues it, and from then on a kill
//! loses nothing; the one writer thread inserts the queue in batches, each with the sums of its events in the same
//! transaction; a journal file is removed once all of it is safely in the database, and is read again at the next
//! start if it is still there. Questions ([`query`]) are answered from the sums by connections of their own.

pub mod client;
mod files;
mod journal;
mod sink;
mod today;
mod totals;
pub mod usage;

pub use sink::UsageSink;
pub use totals::Totals;
pub use usage::{ThreadUse, UsageEvent, estimate_tokens};
