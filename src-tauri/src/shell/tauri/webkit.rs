//! Lets go of a page in WebKitGTK. Its message handler, which wry connects, holds the view that holds the handler, so that
//! neither would ever be freed. About 20 KiB a page are left, of WebKit's own: a text view, in which it looks keys up, keeps
//! a reference that nobody has. Dropping it has crashed where windows follow each other within milliseconds.

use std::cell::Cell;

use tauri::WebviewWindow;
use webkit2gtk::glib::prelude::ObjectExt as _;
use webkit2gtk::{UserContentManager, WebViewExt as _};

thread_local! {
    /// What holds the handler of the page that is open; used on the main thread only.
    static HOLDER: Cell<Option<UserContentManager>> = const { Cell::new(None) };
}

/// Notes what is to be let go of when this window has closed.
pub(super) fn note(window: &WebviewWindow) -> tauri::Result<()> {
    window.with_webview(|view| HOLDER.set(view.inner().user_content_manager()))
}

/// Lets go of it; to be called on the main thread once the window has closed.
pub(crate) fn let_go() {
    if let Some(holder) = HOLDER.take() {
        #[expect(
            unsafe_code,
            reason = "glib has no safe way to disconnect a handler that somebody else has connected"
        )]
        // SAFETY: this is the last use of the object: its window has closed, and wry made it for that window alone.
        unsafe {
            holder.run_dispose();
        }
    }
}
