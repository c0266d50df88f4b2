//! The Arch User Repository: `PKGBUILD`, and `.SRCINFO` as `makepkg --printsrcinfo` makes it.

use super::super::names::Asset;
use super::super::product;
use super::{File, Release};

const NAME: &str = "codex-proxy-bin";
const DEPENDS: [&str; 6] = ["cairo", "dbus", "gcc-libs", "gtk3", "libayatana-appindicator", "webkit2gtk-4.1"];

pub(super) fn files(release: &Release) -> Vec<File> {
    vec![("aur/PKGBUILD".to_owned(), pkgbuild(release)), ("aur/.SRCINFO".to_owned(), srcinfo(release))]
}

/// Uses the `.rpm`, because its files are in the same places as on Arch.
fn pkgbuild(release: &Release) -> String {
    let (version, rpm) = (&release.version, Asset::Rpm.name(&release.version));
    let depends: Vec<String> = DEPENDS.iter().map(|name| format!("'{name}'")).collect();
    format!(
        r#"# Maintainer: {publisher}
pkgname={NAME}
pkgver={version}
pkgrel=1
pkgdesc="{summary}"
arch=('x86_64')
url='{home}'
license=('{licence}')
depends=({depends})
optdepends=('gnome-keyring: keeps the keys')
provides=('{command}')
conflicts=('{command}')
options=('!strip' '!debug')
source=("{rpm}::{url}")
noextract=("{rpm}")
sha256sums=('{sum}')

package() {{
  bsdtar -xf "$srcdir/{rpm}" -C "$pkgdir"
  install -d "$pkgdir/usr/share/licenses"
  mv "$pkgdir/usr/share/licenses/{command}" "$pkgdir/usr/share/licenses/$pkgname"
}}
"#,
        publisher = product::PUBLISHER,
        summary = product::SUMMARY,
        home = product::homepage(),
        licence = product::LICENCE,
        depends = depends.join(" "),
        command = product::COMMAND,
        url = release.url(Asset::Rpm),
        sum = release.sum(Asset::Rpm),
    )
}

fn srcinfo(release: &Release) -> String {
    let rpm = Asset::Rpm.name(&release.version);
    let mut lines = vec![
        ("pkgdesc", product::SUMMARY.to_owned()),
        ("pkgver", release.version.clone()),
        ("pkgrel", "1".to_owned()),
        ("url", product::homepage()),
        ("arch", "x86_64".to_owned()),
        ("license", product::LICENCE.to_owned()),
    ];
    lines.extend(DEPENDS.map(|name| ("depends", name.to_owned())));
    lines.extend([
        ("optdepends", "gnome-keyring: keeps the keys".to_owned()),
        ("provides", product::COMMAND.to_owned()),
        ("conflicts", product::COMMAND.to_owned()),
        ("noextract", rpm.clone()),
        ("options", "!strip".to_owned()),
        ("options", "!debug".to_owned()),
        ("source", format!("{rpm}::{}", release.url(Asset::Rpm))),
        ("sha256sums", release.sum(Asset::Rpm).to_owned()),
    ]);
    let lines: String = lines.into_iter().map(|(key, value)| format!("\t{key} = {value}\n")).collect();
    format!("pkgbase = {NAME}\n{lines}\npkgname = {NAME}\n")
}
