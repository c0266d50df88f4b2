//! Flatpak in the form for Flathub: the `.deb`, on GNOME's runtime, which contains WebKit.

use super::super::names::Asset;
use super::super::product;
use super::{File, Release, quoted};

const RUNTIME: &str = "50";
/// The permissions of the sandbox. Every sandbox may use portals (opening a browser, choosing a file).
const PERMISSIONS: [(&str, &str); 8] = [
    ("--filesystem=xdg-run/tray-icon:create", "the pictures of the icon, which the panel reads"),
    ("--share=network", "what the proxy is for"),
    ("--share=ipc", "X11 with shared memory"),
    ("--socket=fallback-x11", "the window, where there is no Wayland"),
    ("--socket=wayland", "the window"),
    ("--talk-name=org.freedesktop.Notifications", "notices"),
    ("--talk-name=org.freedesktop.secrets", "the keys are in the keyring"),
    ("--talk-name=org.kde.StatusNotifierWatcher", "the icon in the tray"),
];

pub(super) fn file(release: &Release) -> File {
    let (id, app) = (product::DESKTOP_ID, product::APP);
    let permissions: String =
        PERMISSIONS.iter().map(|(permission, why)| format!("  # {why}\n  - {permission}\n")).collect();
    let text = format!(
        "\
id: {id}
runtime: org.gnome.Platform
runtime-version: {runtime}
sdk: org.gnome.Sdk
command: {app}
rename-desktop-file: {app}.desktop
rename-icon: {app}
finish-args:
{permissions}modules:
  # From the submodule https://github.com/flathub/shared-modules: what draws the icon in the tray.
  - shared-modules/libayatana-appindicator/libayatana-appindicator-gtk3.json
  - name: {command}
    buildsystem: simple
    build-commands:
      - ar -x {command}.deb
      - tar -xf data.tar.*
      - mkdir -p /app/bin /app/share
      - cp usr/bin/{command} usr/bin/{app} /app/bin/
      - cp -r usr/share/applications usr/share/icons usr/share/metainfo /app/share/
    sources:
      - type: file
        dest-filename: {command}.deb
        only-arches:
          - x86_64
        url: {url}
        sha256: {sum}
",
        runtime = quoted(RUNTIME),
        command = product::COMMAND,
        url = release.url(Asset::Deb),
        sum = quoted(release.sum(Asset::Deb)),
    );
    (format!("flatpak/{id}.yml"), text)
}
