//! Gives memory back to the system that large requests have had.
//!
//! With glibc's own settings a process keeps nearly all that it has ever had: what was freed as one large piece makes it
//! take pieces of that size from its heaps from then on, and a heap goes back from its end only. Other systems are left
//! as they are.

use std::time::Duration;

use tokio::sync::Notify;

/// Bytes of a request that make it a large one.
pub const LARGE: u64 = 1 << 20;

/// What a large request leaves behind is freed within this time, and several requests are swept up after at once.
const SETTLE: Duration = Duration::from_secs(1);

static FREED: Notify = Notify::const_new();

/// A large request is over, or has been handed on.
pub fn freed() {
    FREED.notify_one();
}

/// Gives back for ever.
pub async fn give_back() {
    system::set_up();
    loop {
        FREED.notified().await;
        tokio::time::sleep(SETTLE).await;
        // It takes as long as there are pages to give back. A failure to do it is none of anybody's.
        let _ = tokio::task::spawn_blocking(system::trim).await;
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod system {
    /// Larger pieces are mapped each by itself, and unmapped as soon as they are freed.
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
