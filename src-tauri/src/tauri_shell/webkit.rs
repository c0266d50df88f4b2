//! Releases objects that a page in WebKitGTK would leak, so that a window can be opened any number of times.
//!
//! - The page's message handler, which wry connects, and the view hold references to each other (100 to
//!   200 KiB).
//! - WebKit looks keys up in a text view, a child of the page's view. When the page is destroyed, it releases its
//!   own reference to this child, but not that of the parent (about 20 KiB).

use std::cell::RefCell;

use gtk::glib::WeakRef;
use gtk::prelude::{Cast as _, ContainerExt as _, ObjectExt as _, WidgetExt as _};
use gtk::{TextView, Widget};
use tauri::WebviewWindow;
use webkit2gtk::{BackForwardList, WebView, WebViewExt as _};

thread_local! {
    /// One object of each page that still exists. A reference to the view itself cannot be used: it would be
    /// cleared when the view is destroyed, even if its memory stays. Only the main thread uses this.
    static PAGES: RefCell<Vec<WeakRef<BackForwardList>>> = const { RefCell::new(Vec::new()) };
}

/// Releases the objects of this window when it closes.
pub(super) fn let_go_when_closed(window: &WebviewWindow) -> tauri::Result<()> {
    window.with_webview(|view| {
        let view = view.inner();
        tracing::debug!(earlier = count(&view), "a page was made");
        let mut text_views = Vec::new();
        view.forall(|child| {
            if child.is::<TextView>() {
                text_views.push(child.downgrade());
            }
        });
        view.connect_destroy(move |view| {
            text_views.iter().for_each(|child| unparent(view, child));
            disconnect_messages(view);
            let left = text_views.iter().filter_map(WeakRef::upgrade).count();
            tracing::debug!(text_views = text_views.len(), left, "a page was let go of");
        });
    })
}

/// Counts this page, and returns how many earlier ones still exist.
fn count(view: &WebView) -> usize {
    PAGES.with_borrow_mut(|pages| {
        pages.retain(|page| page.upgrade().is_some());
        let earlier = pages.len();
        pages.extend(view.back_forward_list().map(|list| list.downgrade()));
        earlier
    })
}

/// Removes a child from this view, if it still exists.
fn unparent(view: &WebView, child: &WeakRef<Widget>) {
    if let Some(child) = child.upgrade()
        && child.parent().as_ref() == Some(view.upcast_ref())
    {
        child.unparent();
    }
}

fn disconnect_messages(view: &WebView) {
    if let Some(holder) = view.user_content_manager() {
        #[expect(
            unsafe_code,
            reason = "glib has no safe way to disconnect a handler that somebody else has connected"
        )]
        // SAFETY: wry created the object only for this view, and it is not used after the view is destroyed.
        unsafe {
            holder.run_dispose();
        }
    }
}
