//! Homebrew: a cask for the application on macOS, and a formula for the command line alone.

use super::super::macos::MINIMUM_SYSTEM;
use super::super::names::Asset;
use super::super::product;
use super::{File, Release};

pub(super) fn files(release: &Release) -> Vec<File> {
    vec![
        (format!("homebrew/Casks/{}.rb", product::APP), cask(release)),
        (format!("homebrew/Formula/{}.rb", product::COMMAND), formula(release)),
    ]
}

/// Homebrew's name for [`MINIMUM_SYSTEM`].
fn system() -> &'static str {
    match MINIMUM_SYSTEM {
        "12.0" => ":monterey",
        "13.0" => ":ventura",
        _ => ":sonoma",
    }
}

fn cask(release: &Release) -> String {
    let version = &release.version;
    // Homebrew inserts the version, so a new version changes only two lines.
    let url = release.url(Asset::Dmg).replace(version, "#{version}");
    let updates = if release.updates_itself { "  auto_updates true\n" } else { "" };
    let (app, identifier) = (product::NAME, product::IDENTIFIER);
    format!(
        r##"cask "{token}" do
  version "{version}"
  sha256 "{sum}"

  url "{url}"
  name "{app}"
  desc "{summary}"
  homepage "{home}"

  livecheck do
    url :url
    strategy :github_latest
  end

{updates}  depends_on macos: ">= {system}"

  app "{app}.app"
  binary "#{{appdir}}/{app}.app/Contents/MacOS/{command}"

  uninstall quit: "{identifier}"

  zap trash: [
    "~/Library/Application Support/codex-proxy",
    "~/Library/Caches/{identifier}",
    "~/Library/LaunchAgents/{app}.plist",
    "~/Library/Preferences/{identifier}.plist",
    "~/Library/WebKit/{identifier}",
  ]
end
"##,
        token = product::APP,
        sum = release.sum(Asset::Dmg),
        summary = product::SUMMARY,
        home = product::homepage(),
        system = system(),
        command = product::COMMAND,
    )
}

fn formula(release: &Release) -> String {
    format!(
        r##"class CodexProxy < Formula
  desc "{summary}"
  homepage "{home}"
  version "{version}"
  license "{licence}"

  on_macos do
    url "{mac}"
    sha256 "{mac_sum}"
    depends_on macos: {system}
  end

  on_linux do
    url "{linux}"
    sha256 "{linux_sum}"
    depends_on arch: :x86_64
  end

  def install
    bin.install "bin/{command}"
    man1.install Dir["share/man/man1/*"]
    bash_completion.install "share/bash-completion/completions/{command}"
    fish_completion.install "share/fish/vendor_completions.d/{command}.fish"
    zsh_completion.install "share/zsh/site-functions/_{command}"
  end

  service do
    run [opt_bin/"{command}"]
    keep_alive crashed: true
  end

  test do
    assert_match version.to_s, shell_output("#{{bin}}/{command} --version")
  end
end
"##,
        summary = product::SUMMARY,
        home = product::homepage(),
        version = release.version,
        licence = product::LICENCE,
        mac = release.url(Asset::MacosTarball),
        mac_sum = release.sum(Asset::MacosTarball),
        system = system(),
        linux = release.url(Asset::LinuxTarball),
        linux_sum = release.sum(Asset::LinuxTarball),
        command = product::COMMAND,
    )
}
