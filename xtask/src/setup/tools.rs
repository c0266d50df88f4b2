//! The programs that the commands of this project call.

use std::path::Path;

use anyhow::Result;

use crate::shell::{Cmd, env};

/// A program, how to check that it exists, and where it comes from.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) purpose: &'static str,
    /// The Debian packages that contain it.
    pub(super) debian: &'static [&'static str],
    /// How to install it without a package.
    pub(super) install: Option<fn() -> Result<()>>,
    /// The advice for people.
    pub(super) by_hand: &'static str,
    probe: fn() -> bool,
}

impl Tool {
    pub(super) fn is_there(&self) -> bool {
        (self.probe)()
    }
}

pub(super) const C_COMPILER: Tool = Tool {
    name: "a C compiler",
    purpose: "which builds the C parts of the TLS library",
    debian: &["gcc", "libc6-dev"],
    install: None,
    by_hand: "the Xcode command line tools (`xcode-select --install`), the Visual Studio build tools, or gcc",
    // On Windows the `cc` crate finds Visual Studio's compiler itself. Rust needs the same compiler to link.
    probe: || cfg!(windows) || Cmd::new("cc").arg("--version").succeeds(),
};

pub(super) const GIT: Tool = Tool {
    name: "git",
    purpose: "which lists the files that `cargo xtask tidy` reads",
    debian: &["git"],
    install: None,
    by_hand: "git-scm.com",
    probe: || Cmd::new("git").arg("--version").succeeds(),
};

pub(super) const NPM: Tool = Tool {
    name: "npm",
    purpose: "which builds the window and brings the Codex CLI",
    debian: &["nodejs", "npm"],
    install: None,
    by_hand: "Node.js 20 or newer from nodejs.org",
    probe: || Cmd::npm().arg("--version").succeeds(),
};

pub(super) const PYTHON: Tool = Tool {
    name: "Python 3 with venv",
    purpose: "in which the tests run the official Python SDK",
    debian: &["python3", "python3-venv"],
    install: None,
    by_hand: "Python 3.9 or newer from python.org",
    probe: || Cmd::new("python3").args(["-c", "import ensurepip, venv"]).succeeds(),
};

pub(super) const SECRET_SERVICE: Tool = Tool {
    name: "a session bus and the GNOME keyring",
    purpose: "which stand for the system's keychain in the tests",
    debian: &["dbus-daemon", "gnome-keyring", "libsecret-tools"],
    install: None,
    by_hand: "the packages dbus-daemon, gnome-keyring and libsecret-tools of your distribution",
    // The other systems have their own keychain, and no test uses it.
    probe: || {
        let there = |program: &str, arg: &str| Cmd::new(program).arg(arg).succeeds();
        !cfg!(target_os = "linux")
            || there("dbus-daemon", "--version")
                && there("gnome-keyring-daemon", "--version")
                && is_on_path("secret-tool")
    },
};

pub(super) const CHROMIUM: Tool = Tool {
    name: "Chromium with ChromeDriver",
    purpose: "with which the tests sign in as a person does",
    debian: &["chromium", "chromium-driver"],
    install: None,
    by_hand: "Chromium or Chrome, and the ChromeDriver of the same version, on PATH",
    probe: || {
        Cmd::new("chromedriver").arg("--version").succeeds()
            && Cmd::new("chromium").arg("--version").succeeds()
    },
};

pub(super) const WEBKIT: Tool = Tool {
    name: "the libraries of a desktop",
    purpose: "with which the tray application is built",
    debian: &[
        "libayatana-appindicator3-dev",
        "libdbus-1-dev",
        "libgtk-3-dev",
        "librsvg2-dev",
        "libwebkit2gtk-4.1-dev",
        "pkg-config",
    ],
    install: None,
    by_hand: "what Tauri's prerequisites name for your distribution: WebKitGTK 4.1, GTK 3, Ayatana AppIndicator",
    // The other systems include it.
    probe: || {
        !cfg!(target_os = "linux")
            || Cmd::new("pkg-config")
                .args(["--exists", "webkit2gtk-4.1", "ayatana-appindicator3-0.1", "dbus-1"])
                .succeeds()
    },
};

pub(super) const DESKTOP: Tool = Tool {
    name: "a desktop without a screen",
    purpose: "on which the tests use the tray application",
    debian: &[
        "desktop-file-utils",
        "imagemagick",
        "libglib2.0-bin",
        "openbox",
        "webkit2gtk-driver",
        "wmctrl",
        "xauth",
        "xclip",
        "xdotool",
        "xvfb",
    ],
    install: None,
    by_hand: "Xvfb, openbox, xclip, xdotool, wmctrl, gio, ImageMagick, desktop-file-validate and WebKitWebDriver",
    probe: || {
        !cfg!(target_os = "linux")
            || [
                "Xvfb",
                "WebKitWebDriver",
                "desktop-file-validate",
                "gio",
                "identify",
                "import",
                "openbox",
                "wmctrl",
                "xclip",
                "xdotool",
            ]
            .iter()
            .all(|program| is_on_path(program))
    },
};

pub(super) const PACKING: Tool = Tool {
    name: "dpkg-dev and rpm",
    purpose: "which make the packages",
    debian: &["dpkg-dev", "file", "rpm"],
    install: None,
    by_hand: "the packages dpkg-dev, rpm and rpm-build of your distribution",
    // Without `file`, rpmbuild does not see which libraries a program needs.
    probe: || {
        !cfg!(target_os = "linux")
            || ["dpkg-deb", "dpkg-shlibdeps", "file", "rpmbuild"].iter().all(|program| is_on_path(program))
    },
};

pub(super) const PACKAGE_LINTERS: Tool = Tool {
    name: "the distributions' linters",
    purpose: "which read what was packed",
    debian: &["appstream", "lintian", "man-db", "rpmlint", "systemd"],
    install: None,
    by_hand: "appstreamcli, lintian, man, rpmlint 2 and systemd-analyze",
    probe: || {
        !cfg!(target_os = "linux")
            || ["appstreamcli", "lintian", "man", "rpmlint", "systemd-analyze"]
                .iter()
                .all(|program| is_on_path(program))
    },
};

pub(super) const ROOTS: Tool = Tool {
    name: "mmdebstrap",
    purpose: "which makes a system that has nothing, to install packages in",
    debian: &["mmdebstrap"],
    install: None,
    by_hand: "mmdebstrap",
    probe: || !cfg!(target_os = "linux") || is_on_path("mmdebstrap"),
};

pub(super) const MUSL: Tool = Tool {
    name: "musl",
    purpose: "the C library that is linked into a program for any Linux",
    debian: &["musl-tools"],
    install: None,
    by_hand: "the package musl-tools of your distribution",
    probe: || is_on_path("musl-gcc"),
};

/// The archive in the package [`UNWINDER`].
pub(crate) const LLVM_UNWINDER: &str = "/usr/lib/llvm-14/lib/libunwind.a";

pub(super) const UNWINDER: Tool = Tool {
    name: "LLVM's unwinder",
    purpose: "which a program that is linked with musl unwinds its stack with",
    debian: &["libunwind-14-dev"],
    install: None,
    by_hand: "`rustup target add x86_64-unknown-linux-musl`, with which it is not needed",
    probe: || Path::new(LLVM_UNWINDER).is_file(),
};

pub(super) const SQUASHFS: Tool = Tool {
    name: "mksquashfs",
    purpose: "which packs the inside of an AppImage",
    debian: &["squashfs-tools"],
    install: None,
    by_hand: "the package squashfs-tools of your distribution",
    probe: || is_on_path("mksquashfs"),
};

pub(super) const NSIS: Tool = Tool {
    name: "NSIS",
    purpose: "which makes the setup program for Windows",
    debian: &["nsis"],
    install: None,
    by_hand: "nsis.sourceforge.io, 3.08 or newer, with makensis on PATH",
    probe: || Cmd::new("makensis").arg("-VERSION").succeeds(),
};

pub(super) const MSI: Tool = Tool {
    name: "wixl, msibuild and faketime",
    purpose: "which make the MSI for Windows, the same every time",
    debian: &["faketime", "msitools", "wixl"],
    install: None,
    by_hand: "the packages faketime, msitools and wixl of your distribution",
    probe: || {
        Cmd::new("wixl").arg("--version").succeeds() && is_on_path("msibuild") && is_on_path("faketime")
    },
};

pub(super) const OTHER_SYSTEMS: Tool = Tool {
    name: "Debian's Rust with its source",
    purpose: "from which the standard library of another system is built",
    debian: &["cargo-web", "rust-web-src", "rustc-web"],
    install: None,
    by_hand: "these packages are Debian's; elsewhere, work on the system itself",
    probe: || {
        Path::new("/usr/lib/rustlib/src/rust/library/Cargo.lock").is_file()
            && Path::new("/usr/bin/rustc").is_file()
    },
};

pub(super) const SBOM: Tool = Tool {
    name: "cargo-sbom",
    purpose: "which lists what the programs are made of (it is built from source: a minute, once)",
    debian: &[],
    install: Some(|| {
        Cmd::cargo().args(["install", "cargo-sbom@0.10.0", "--locked"]).env_remove("CARGO_TARGET_DIR").run()
    }),
    by_hand: "`cargo install cargo-sbom@0.10.0 --locked`",
    probe: || Cmd::cargo().args(["sbom", "--version"]).succeeds(),
};

pub(super) const CPIO: Tool = Tool {
    name: "cpio",
    purpose: "which unpacks an .rpm",
    debian: &["cpio"],
    install: None,
    by_hand: "the package cpio of your distribution",
    probe: || Cmd::new("cpio").arg("--version").succeeds(),
};

pub(super) const PACKAGE_MANAGERS: Tool = Tool {
    name: "the package managers' own tools",
    purpose: "which check what they will be given",
    debian: &["flatpak-builder", "makepkg", "nix-bin", "ruby"],
    install: None,
    by_hand: "flatpak-builder, makepkg, nix-instantiate and ruby of your distribution",
    // They are used only in checks on Linux.
    probe: || {
        !cfg!(target_os = "linux")
            || ["flatpak-builder", "makepkg", "nix-instantiate", "ruby"].into_iter().all(is_on_path)
    },
};

pub(super) const IMAGES: Tool = Tool {
    name: "buildah and curl",
    purpose: "with which the tests build the container's image, and ask what is before the proxy",
    debian: &["buildah", "curl"],
    install: None,
    by_hand: "the packages buildah, curl and util-linux of your distribution",
    // Containers exist only on Linux.
    probe: || {
        !cfg!(target_os = "linux") || ["buildah", "curl", "nsenter", "setpriv"].into_iter().all(is_on_path)
    },
};

pub(super) const MAC_TARGETS: Tool = Tool {
    name: "Rust's standard library for both processors of Macs",
    purpose: "from which one program for both is made",
    debian: &[],
    install: Some(|| {
        Cmd::new("rustup").args(["target", "add", "aarch64-apple-darwin", "x86_64-apple-darwin"]).run()
    }),
    by_hand: "`rustup target add aarch64-apple-darwin x86_64-apple-darwin`",
    probe: || {
        let installed = Cmd::new("rustup").args(["target", "list", "--installed"]).capture();
        installed.is_ok_and(|list| {
            ["aarch64", "x86_64"].iter().all(|cpu| list.contains(&format!("{cpu}-apple-darwin")))
        })
    },
};

pub(super) const MINGW: Tool = Tool {
    name: "MinGW",
    purpose: "which links programs for Windows",
    debian: &["gcc-mingw-w64-x86-64"],
    install: None,
    by_hand: "the package gcc-mingw-w64-x86-64 of Debian",
    probe: || Cmd::new("x86_64-w64-mingw32-gcc").arg("--version").succeeds(),
};

pub(super) const WINE: Tool = Tool {
    name: "Wine",
    purpose: "which runs programs for Windows",
    debian: &["wine64"],
    install: None,
    by_hand: "the package wine64 of Debian",
    probe: || Path::new("/usr/lib/wine/wine64").is_file(),
};

pub(super) const RUSTFMT: Tool = Tool {
    name: "rustfmt",
    purpose: "which checks the formatting",
    debian: &[],
    install: Some(|| Cmd::new("rustup").args(["component", "add", "rustfmt"]).run()),
    by_hand: "`rustup component add rustfmt`",
    probe: || Cmd::cargo().args(["fmt", "--version"]).succeeds(),
};

pub(super) const CLIPPY: Tool = Tool {
    name: "clippy",
    purpose: "which lints",
    debian: &[],
    install: Some(|| Cmd::new("rustup").args(["component", "add", "clippy"]).run()),
    by_hand: "`rustup component add clippy`",
    probe: || Cmd::cargo().args(["clippy", "--version"]).succeeds(),
};

pub(super) const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    purpose: "which runs the tests (it is built from source: some minutes, once)",
    debian: &[],
    // Its own target directory: ours would keep its release artifacts for good.
    install: Some(|| {
        Cmd::cargo().args(["install", "cargo-nextest", "--locked"]).env_remove("CARGO_TARGET_DIR").run()
    }),
    by_hand: "`cargo install cargo-nextest --locked`",
    probe: || Cmd::cargo().args(["nextest", "--version"]).succeeds(),
};

pub(super) const DENY: Tool = Tool {
    name: "cargo-deny",
    purpose: "which checks the dependencies (it is built from source: some minutes, once)",
    debian: &[],
    install: Some(|| {
        Cmd::cargo()
            .args(["install", "cargo-deny", "--locked"])
            // Fast enough, and compiled in half the time.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env_remove("CARGO_TARGET_DIR")
            .run()
    }),
    by_hand: "`cargo install cargo-deny --locked`",
    probe: || Cmd::cargo().args(["deny", "--version"]).succeeds(),
};

/// For a program without a harmless command to check it.
pub(super) fn is_on_path(program: &str) -> bool {
    let path = env("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Whether packages are installed with apt-get on this system.
pub(super) fn is_debian() -> bool {
    cfg!(target_os = "linux") && Cmd::new("apt-get").arg("--version").succeeds()
}

#[cfg(unix)]
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
pub(super) fn is_root() -> bool {
    false
}
