//! Generates the permissions of the window's commands, and the resources of the program on Windows.

/// Every command that the window may call; the capability names each of them.
const COMMANDS: &[&str] = &[
    "app_state",
    "check_for_updates",
    "choose_clipboard",
    "choose_file",
    "choose_language",
    "choose_notices",
    "choose_panel",
    "control",
    "control_stream",
    "control_stream_stop",
    "copy_key",
    "copy_text",
    "find_data",
    "install_update",
    "open_external",
    "quit_app",
    "remove_data",
    "restart_app",
    "save_file",
    "set_zoom",
    "start_at_login",
    "try_again",
    "use_another_port",
    "window_close",
];

fn main() -> anyhow::Result<()> {
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest))
}
