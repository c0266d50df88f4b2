//! How the fields of spans are written, once for each place.
//!
//! A span keeps its fields as they were written, under the type of who wrote them. Two places that shared a type would
//! share the text: fields that are recorded later would be there twice, and a terminal's colours in the file.

use std::fmt;

use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

/// Fields on standard error.
#[derive(Debug, Default)]
pub(super) struct TerminalFields(DefaultFields);

/// Fields in the log file.
#[derive(Debug, Default)]
pub(super) struct FileFields(DefaultFields);

impl<'writer> FormatFields<'writer> for TerminalFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

impl<'writer> FormatFields<'writer> for FileFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}
