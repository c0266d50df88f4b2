//! Lets go of what a page in WebKitGTK would leave behind, so that a window can be opened any number of times.
//!
//! - The page's message handler, which wry connects, holds the view that holds the handler (100 to 200 KiB).
//! - WebKit looks keys up in a text view, a child of the page's view, and gives up its own reference to it when the page
//!   goes, but not the parent's (about 20 KiB).

use std::cell::RefCell;

use gtk::glib::WeakRef;
use gtk::prelude::{Cast as _, ContainerExt as _, ObjectExt as _, WidgetExt as _};
use gtk::{TextView, Widget};
use tauri::WebviewWindow;
use webkit2gtk::{BackForwardList, WebView, WebViewExt as _};

thread_local! {
    /// What each page that has not gone yet has for itself alone. A reference to the view itself would be cleared when
    /// the view is destroyed, even if it then stays. Only the main thread has any.
    static PAGES: RefCell<Vec<WeakRef<BackForwardList>>> = const { RefCell::new(Vec::new()) };
}

/// Has it let go of when this window closes.
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

/// Counts this page, and says how many earlier ones are still there.
fn count(view: &WebView) -> usize {
    PAGES.with_borrow_mut(|pages| {
        pages.retain(|page| page.upgrade().is_some());
        let earlier = pages.len();
        pages.extend(view.back_forward_list().map(|list| list.downgrade()));
        earlier
    })
}

/// Takes a child from this view, if it is still there.
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
        // SAFETY: wry made the object for this view alone, and nothing uses it once the view has gone.
        unsafe {
            holder.run_dispose();
        }
    }
}
