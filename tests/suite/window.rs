//! The window of the tray application: normal use, and a page that tries forbidden things.

mod first_run;
mod limits;
mod memory;
mod picture;
mod port;
mod remembered;
mod removal;
mod restart;
mod views;
mod without_tray;

use e2e::desktop::{Desktop, Tray, Webview};
use e2e::harness::Setup;

/// A window, and the desktop it is on.
pub(crate) struct Scene {
    pub(crate) window: Webview,
    pub(crate) tray: Tray,
    pub(crate) desktop: Desktop,
}

impl Scene {
    /// The application with the environment of `setup`, with its window open.
    pub(crate) async fn set(setup: Setup) -> Self {
        let desktop = Desktop::start().await;
        let tray = desktop.tray().await;
        let window = Webview::open(&desktop, &tray, setup).await;
        Self { window, tray, desktop }
    }

    /// Ends everything, and asserts that nothing is left.
    pub(crate) async fn end(self) {
        self.window.quit(&self.tray).await;
        self.desktop.end().await;
    }
}
