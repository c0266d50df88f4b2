//! Packs the files of the window into the program, and adds the icon and the version to the program's file on
//! Windows.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::DeflateEncoder;

fn main() -> io::Result<()> {
    let built = Path::new("../ui/dist");
    // For a missing path, cargo would rebuild every time. So its parent is watched until it exists.
    let watched = if built.exists() { built } else { Path::new("../ui") };
    if watched.exists() {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    let packed = PathBuf::from(told("OUT_DIR").unwrap_or_default()).join("window");
    if packed.exists() {
        fs::remove_dir_all(&packed)?;
    }
    fs::create_dir_all(&packed)?;
    if built.exists() {
        pack(built, &packed)?;
    }
    if told("CARGO_CFG_WINDOWS").is_some() { resources() } else { Ok(()) }
}

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script everything in this way")]
fn told(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// Packs every file of a folder into one of the same name. The files are read rarely, so they are compressed
/// well.
fn pack(folder: &Path, into: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let to = into.join(name);
        if from.is_dir() {
            fs::create_dir_all(&to)?;
            pack(&from, &to)?;
        } else {
            let mut packed = DeflateEncoder::new(File::create(to)?, Compression::best());
            io::copy(&mut File::open(from)?, &mut packed)?;
            packed.finish()?;
        }
    }
    Ok(())
}

/// Adds the icon and the version for Windows; the version comes from cargo.
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
