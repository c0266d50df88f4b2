//! Lets go of what a page in WebKitGTK leaves behind, so that a window may be opened any number of times.
//!
//! - The page's message handler, which wry connects, holds the view that holds the handler (about 210 KiB).
//! - WebKit makes a text view for each page, in which it looks keys up, and takes a reference of its own without
//!   taking the one that every widget is born with (about 20 KiB).

use std::cell::{Cell, RefCell};

use tauri::WebviewWindow;
use webkit2gtk::glib::object::ObjectType as _;
use webkit2gtk::glib::prelude::ObjectExt as _;
use webkit2gtk::glib::translate::{Borrowed, IntoGlib as _, from_glib_borrow};
use webkit2gtk::glib::{Object, Type, WeakRef, gobject_ffi};
use webkit2gtk::{UserContentManager, WebViewExt as _};

type Constructed = unsafe extern "C" fn(*mut gobject_ffi::GObject);

/// All of it is used on the main thread only.
struct Left {
    /// What holds the handler of the page that is open.
    holder: Cell<Option<UserContentManager>>,
    /// The text views that were made since this was last looked at.
    text_views: RefCell<Vec<WeakRef<Object>>>,
    /// Whether text views are noted, and what GTK itself does for a new one.
    noted: Cell<bool>,
    constructed: Cell<Option<Constructed>>,
}

thread_local! {
    static LEFT: Left = const {
        Left {
            holder: Cell::new(None),
            text_views: RefCell::new(Vec::new()),
            noted: Cell::new(false),
            constructed: Cell::new(None),
        }
    };
}

/// Notes what is to be let go of when this window has closed.
pub(super) fn note(window: &WebviewWindow) -> tauri::Result<()> {
    window.with_webview(|view| {
        LEFT.with(|left| {
            left.holder.set(view.inner().user_content_manager());
            for text_view in left.text_views.take().iter().filter_map(WeakRef::upgrade) {
                disown(&text_view);
            }
            note_text_views(left);
        });
    })
}

/// Lets go of it; to be called on the main thread once the window has closed.
pub(crate) fn let_go() {
    if let Some(holder) = LEFT.with(|left| left.holder.take()) {
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

/// Has text views noted from now on; the first window has made their class known.
#[expect(unsafe_code, reason = "glib has no safe way to hear of a new object")]
fn note_text_views(left: &Left) {
    let Some(kind) = Type::from_name("GtkTextView").filter(|_| !left.noted.replace(true)) else { return };
    // SAFETY: the class of a kind of object is a `GObjectClass` first of all. The reference is kept, so that it stays;
    // GTK makes its objects on this thread.
    unsafe {
        let class = gobject_ffi::g_type_class_ref(kind.into_glib()).cast::<gobject_ffi::GObjectClass>();
        left.constructed.set((*class).constructed.replace(note_text_view));
    }
}

#[expect(unsafe_code, reason = "GTK calls it")]
unsafe extern "C" fn note_text_view(object: *mut gobject_ffi::GObject) {
    LEFT.with(|left| {
        if let Some(constructed) = left.constructed.get() {
            // SAFETY: it is what GTK would have called with the same object.
            unsafe { constructed(object) };
        }
        // SAFETY: the object is alive, and is only borrowed.
        let text_view: Borrowed<Object> = unsafe { from_glib_borrow(object) };
        left.text_views.borrow_mut().push(text_view.downgrade());
    });
}

/// Drops the reference that a widget was born with, if nobody has taken it.
#[expect(unsafe_code, reason = "glib has no safe way to take what somebody else has forgotten")]
fn disown(widget: &Object) {
    let widget: *mut gobject_ffi::GObject = widget.as_ptr();
    // SAFETY: the caller holds a reference, so the object outlives this. One that is floating is nobody's: taking it
    // and giving it back leaves the object to those who have one of their own.
    unsafe {
        if gobject_ffi::g_object_is_floating(widget) != 0 {
            gobject_ffi::g_object_ref_sink(widget);
            gobject_ffi::g_object_unref(widget);
        }
    }
}
