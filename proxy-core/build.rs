//! Packs the window that is put into the program, and says in the program's file on Windows what it is.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::DeflateEncoder;

fn main() -> io::Result<()> {
    let built = Path::new("../ui/dist");
    // A path that is not there would have everything built anew each time, so its parent tells of its coming.
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

/// Packs every file of a folder into one of the same name: what a person looks at now and then is kept small.
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
