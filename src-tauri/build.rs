//! Makes the permissions of the window's commands, and the program's resources on Windows.

/// Every command that the window may call; the capability names each of them.
const COMMANDS: &[&str] = &[
    "control",
    "control_stream",
    "control_stream_stop",
    "copy_key",
    "copy_text",
    "open_external",
    "restart_app",
    "save_file",
    "window_close",
];

fn main() -> anyhow::Result<()> {
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest))
}
