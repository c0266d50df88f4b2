//! Returns memory to the system after large requests.
//!
//! With the defaults of glibc, a process keeps almost all memory that it has ever used: after a large block is
//! freed, blocks of that size come from the heap, and a heap shrinks only at its end. On other systems nothing
//! is changed.

use std::time::Duration;

use tokio::sync::Notify;

/// The size in bytes from which a request is large.
pub const LARGE: u64 = 1 << 20;

/// Within this time after a large request its memory is freed, and several requests are handled at once.
const SETTLE: Duration = Duration::from_secs(1);

static FREED: Notify = Notify::const_new();

/// Signals that a large request has ended or was passed on.
pub fn freed() {
    FREED.notify_one();
}

/// Returns memory to the system after each signal, without end.
pub async fn give_back() {
    system::set_up();
    loop {
        FREED.notified().await;
        tokio::time::sleep(SETTLE).await;
        // The duration depends on the number of free pages. A failure is harmless.
        let _ = tokio::task::spawn_blocking(system::trim).await;
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod system {
    /// Larger blocks are mapped separately, in bytes, and unmapped as soon as they are freed.
    const MAPPED: i32 = 256 * 1024;

    #[expect(unsafe_code, reason = "there is no other way to set up the system's allocator")]
    pub(super) fn set_up() {
        // SAFETY: mallopt takes any parameter and value, and locks what it changes.
        let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED) };
        if done == 0 {
            tracing::debug!("the allocator takes no threshold; memory of large requests may stay");
        }
    }

    #[expect(unsafe_code, reason = "there is no other way to make the system's allocator give back")]
    pub(super) fn trim() {
        // SAFETY: malloc_trim touches no memory that is in use, and locks what it changes.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod system {
    pub(super) fn set_up() {}

    pub(super) fn trim() {}
}
