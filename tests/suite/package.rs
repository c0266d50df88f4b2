//! The packages for Linux: their content, the distributions' linters, and that the same commit gives the same bytes. The
//! tests of an installed package are in `installed`.
//!
//! `cargo xtask test` makes the packages first.

mod installed;
mod root;
mod tarball;
mod updated;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::codex_bin::profile_dir;

const NAME: &str = "codex-proxy";
const ENTRY: &str = "/usr/share/applications/codex-proxy-app.desktop";

fn bundle(kind: &str) -> PathBuf {
    let folder = profile_dir().join("bundle").join(kind);
    let found = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    found.max().unwrap_or_else(|| panic!("nothing in {}: run `cargo xtask dist --debug`", folder.display()))
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    output
}

/// On both streams.
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(path)
}

/// Each file with its mode and owner, as the package's own tool lists it.
fn listed(package: &Path) -> Vec<String> {
    let output = if package.extension().is_some_and(|kind| kind == "deb") {
        run(Command::new("dpkg-deb").arg("--contents").arg(package))
    } else {
        run(Command::new("rpm").args(["-qlvp"]).arg(package))
    };
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// The same package as a later version.
fn newer(folder: &Path) -> PathBuf {
    let (root, package) = (folder.join("root"), folder.join("newer.deb"));
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(bundle("deb")).arg(&root));
    let control = root.join("DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    let version = format!("Version: {}-1\n", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version), "{text}");
    fs::write(&control, text.replace(&version, "Version: 999.0.0-1\n")).unwrap();
    run(Command::new("dpkg-deb")
        .args(["-Zgzip", "-z1", "--root-owner-group", "--build"])
        .arg(&root)
        .arg(&package));
    package
}

#[test]
fn the_deb_names_what_it_is_and_needs() {
    let package = bundle("deb");
    let field = |name: &str| {
        let output = run(Command::new("dpkg-deb").arg("--field").arg(&package).arg(name));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(field("Package"), NAME);
    assert_eq!(field("Version"), format!("{}-1", env!("CARGO_PKG_VERSION")));
    let (name, address) =
        field("Maintainer").split_once(" <").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(!name.is_empty() && address.ends_with('>') && address.contains('@'), "{name} <{address}");
    let needs = field("Depends");
    for library in ["libwebkit2gtk-4.1-0 (>=", "libgtk-3-0 (>=", "libayatana-appindicator3-1", "libc6 (>="] {
        assert!(needs.contains(library), "{needs}");
    }
    assert!(field("Installed-Size").parse::<u64>().unwrap() > 1024);
    assert!(!package.to_string_lossy().contains(' '), "{}", package.display());
}

#[test]
fn the_rpm_needs_libraries_by_their_own_names() {
    let package = bundle("rpm");
    let output = run(Command::new("rpm").args(["-qRp"]).arg(&package));
    let needs = String::from_utf8_lossy(&output.stdout).into_owned();
    for library in
        ["libwebkit2gtk-4.1.so.0()(64bit)", "libayatana-appindicator3.so.1()(64bit)", "libc.so.6(GLIBC_2."]
    {
        assert!(needs.contains(library), "{needs}");
    }
    let scripts = said(&run(Command::new("rpm").args(["-qp", "--scripts"]).arg(&package)));
    assert!(scripts.contains("stop /usr/bin/codex-proxy-app"), "{scripts}");
    let name = format!("{NAME}-{}-1.x86_64.rpm", env!("CARGO_PKG_VERSION"));
    assert_eq!(package.file_name().unwrap().to_str(), Some(&*name));
}

#[test]
fn every_file_is_where_its_family_looks_and_is_roots() {
    let zsh = |kind| if kind == "deb" { "vendor-completions" } else { "site-functions" };
    for kind in ["deb", "rpm"] {
        let files = listed(&bundle(kind));
        for file in [
            "/usr/bin/codex-proxy",
            "/usr/bin/codex-proxy-app",
            "/usr/lib/systemd/user/codex-proxy.service",
            "/usr/share/man/man1/codex-proxy.1.gz",
            "/usr/share/man/man1/codex-proxy-keys-create.1.gz",
            "/usr/share/man/man1/codex-proxy-app.1.gz",
            "/usr/share/bash-completion/completions/codex-proxy",
            "/usr/share/fish/vendor_completions.d/codex-proxy.fish",
            &format!("/usr/share/zsh/{}/_codex-proxy", zsh(kind)),
            "/usr/share/icons/hicolor/32x32/apps/codex-proxy-app.png",
            "/usr/share/icons/hicolor/128x128/apps/codex-proxy-app.png",
            "/usr/share/icons/hicolor/256x256@2/apps/codex-proxy-app.png",
            "/usr/share/icons/hicolor/scalable/apps/codex-proxy-app.svg",
            "/usr/share/metainfo/io.github.codex_proxy.metainfo.xml",
            ENTRY,
        ] {
            assert!(files.iter().any(|line| line.ends_with(file)), "{kind}: {file} is missing: {files:#?}");
        }
        for line in &files {
            let owner: Vec<&str> = line.split_whitespace().collect();
            assert!(line.contains("root/root") || owner[2..4] == ["root", "root"], "{kind}: {line}");
            let mode = &line[..10];
            assert!(["-rw-r--r--", "-rwxr-xr-x", "drwxr-xr-x"].contains(&mode), "{kind}: {line}");
            assert!(!line.contains(".1 "), "a manual is not compressed: {line}");
        }
    }
}

/// The contents of the package for Debian.
fn unpacked() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("dpkg-deb").arg("--extract").arg(bundle("deb")).arg(folder.path()));
    folder
}

#[test]
fn the_programs_start_and_icons_have_the_size_of_their_folder() {
    let root = unpacked();
    let inside = |path: &str| root.path().join(path.trim_start_matches('/'));
    for program in ["/usr/bin/codex-proxy", "/usr/bin/codex-proxy-app"] {
        let version = run(Command::new(inside(program)).arg("--version"));
        assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")), "{program}");
    }
    for (folder, size) in [("32x32", 32), ("128x128", 128), ("256x256", 256), ("256x256@2", 512)] {
        let icon = inside(&format!("/usr/share/icons/hicolor/{folder}/apps/codex-proxy-app.png"));
        let found = run(Command::new("identify").args(["-format", "%wx%h"]).arg(icon));
        assert_eq!(String::from_utf8_lossy(&found.stdout), format!("{size}x{size}"), "{folder}");
    }
    // The updater installs a package of the kind that is marked in the program.
    let marks = |program: &Path, mark: &str| {
        let bytes = fs::read(program).unwrap();
        bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    let app = inside("/usr/bin/codex-proxy-app");
    assert!(!marks(&app, "__TAURI_BUNDLE_TYPE_VAR_UNK") && marks(&app, "__TAURI_BUNDLE_TYPE_VAR_DEB"));
}

#[test]
fn the_distributions_linters_have_nothing_to_say() {
    let linted = run(Command::new("lintian")
        .args(["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"])
        .arg(bundle("deb")));
    assert_eq!(said(&linted), "", "lintian");
    let config = source("installers/linux/rpmlint.toml");
    let linted = run(Command::new("rpmlint").arg("--config").arg(config).arg(bundle("rpm")));
    assert!(said(&linted).contains(" 0 errors, 0 warnings"), "rpmlint: {}", said(&linted));

    let root = unpacked();
    let inside = |path: &str| root.path().join(path.trim_start_matches('/'));
    let metainfo = inside("/usr/share/metainfo/io.github.codex_proxy.metainfo.xml");
    run(Command::new("appstreamcli").args(["validate", "--no-net", "--strict"]).arg(metainfo));
    let linted = run(Command::new("desktop-file-validate").arg(inside(ENTRY)));
    assert_eq!(said(&linted), "", "desktop-file-validate");
    for page in fs::read_dir(inside("/usr/share/man/man1")).unwrap() {
        let page = page.unwrap().path();
        let linted =
            run(Command::new("man").args(["--warnings", "--local-file"]).arg(&page).env("MANPAGER", "cat"));
        assert_eq!(String::from_utf8_lossy(&linted.stderr), "", "{}", page.display());
    }
}

#[test]
fn the_appdir_has_what_an_appimage_needs() {
    let root = bundle("appimage");
    assert!(root.extension().is_some_and(|kind| kind == "AppDir"), "{}", root.display());
    run(Command::new("desktop-file-validate").arg(root.join("codex-proxy-app.desktop")));
    assert!(root.join("codex-proxy-app.png").is_file() && root.join(".DirIcon").is_file());
    let version = run(Command::new(root.join("AppRun")).arg("--version").current_dir("/"));
    assert!(said(&version).contains(env!("CARGO_PKG_VERSION")), "{}", said(&version));
}

#[test]
fn the_same_commit_gives_the_same_packages() {
    let folder = tempfile::tempdir().unwrap();
    let mut again = Command::new(profile_dir().join("xtask"));
    again.args(["dist", "--debug", "--no-build", "--into"]).arg(folder.path());
    // There may be another commit by now.
    let time = run(Command::new("rpm").args(["-qp", "--queryformat", "%{BUILDTIME}"]).arg(bundle("rpm")));
    again.env("SOURCE_DATE_EPOCH", String::from_utf8_lossy(&time.stdout).trim());
    // Another user's machine is another in these.
    run(again.env("TZ", "Asia/Tokyo").env("LC_ALL", "C.UTF-8").current_dir("/"));
    for kind in ["deb", "rpm"] {
        let first = bundle(kind);
        let second = folder.path().join(kind).join(first.file_name().unwrap());
        let is_same = fs::read(&first).unwrap() == fs::read(&second).unwrap();
        assert!(is_same, "{} and {} differ", first.display(), second.display());
    }
}
