//! Has the program built again when there is another window to put into it, and says in its file on Windows what it is.

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let built = Path::new("../ui/dist");
    // A path that is not there would have everything built anew each time, so its parent tells of its coming.
    let watched = if built.exists() { built } else { Path::new("../ui") };
    if watched.exists() {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    #[expect(clippy::disallowed_methods, reason = "cargo tells a build script everything in this way")]
    let for_windows = std::env::var_os("CARGO_CFG_WINDOWS").is_some();
    if for_windows { resources() } else { Ok(()) }
}

/// The icon and the version that Windows shows; the version itself comes from cargo.
fn resources() -> io::Result<()> {
    let icon = Path::new(env!("CARGO_MANIFEST_DIR")).join("../icons/app/icon.ico");
    println!("cargo::rerun-if-changed={}", icon.display());
    tauri_winres::WindowsResource::new()
        .set("ProductName", "Codex Proxy")
        .set("FileDescription", "Codex Proxy (command line)")
        .set("CompanyName", "The Codex Proxy project")
        .set("OriginalFilename", "codex-proxy.exe")
        .set_icon(&icon.display().to_string())
        .compile()
}
