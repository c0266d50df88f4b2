//! Lets go of what a page in WebKitGTK would leave behind, so that a window can be opened any number of times.
//!
//! - The page's message handler, which wry connects, holds the view that holds the handler (about 210 KiB).
//! - WebKit looks keys up in a text view, a child of the page's view, and forgets about the child before the page's view
//!   could tell it that its parent goes (about 20 KiB).

use gtk::prelude::{Cast as _, ContainerExt as _, ObjectExt as _, WidgetExt as _};
use gtk::{TextView, Widget};
use tauri::WebviewWindow;
use webkit2gtk::{WebView, WebViewExt as _};

/// Has it let go of when this window closes.
pub(super) fn let_go_when_closed(window: &WebviewWindow) -> tauri::Result<()> {
    window.with_webview(|view| {
        let view = view.inner();
        view.forall(|child| {
            if child.is::<TextView>() {
                unparent_with(&view, child);
            }
        });
        view.connect_destroy(disconnect_messages);
    })
}

/// Takes a child from this view when the view goes.
fn unparent_with(view: &WebView, child: &Widget) {
    let child = child.downgrade();
    view.connect_destroy(move |view| {
        if let Some(child) = child.upgrade()
            && child.parent().as_ref() == Some(view.upcast_ref())
        {
            child.unparent();
        }
    });
}

fn disconnect_messages(view: &WebView) {
    if let Some(holder) = view.user_content_manager() {
        #[expect(
            unsafe_code,
            reason = "glib has no safe way to disconnect a handler that somebody else has connected"
        )]
        // SAFETY: wry made the object for this view alone, and nothing uses it once the view has gone.
        unsafe {
            holder.run_dispose();
        }
    }
}
