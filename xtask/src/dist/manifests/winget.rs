//! Windows Package Manager, manifests of version 1.10.0: <https://aka.ms/winget-manifest.installer.1.10.0.schema.json>.

use super::super::names::Asset;
use super::super::product;
use super::{File, Release, quoted};

/// The ID of the package.
pub(super) const IDENTIFIER: &str = "CodexProxy.CodexProxy";
const SCHEMA: &str = "1.10.0";

pub(super) fn files(release: &Release) -> Vec<File> {
    let folder = format!("winget/manifests/c/{}/{}", IDENTIFIER.replace('.', "/"), release.version);
    let file = |part: &str, kind: &str, body: String| {
        let version = &release.version;
        let text = format!(
            "# yaml-language-server: $schema=https://aka.ms/winget-manifest.{kind}.{SCHEMA}.schema.json\n\n\
             PackageIdentifier: {IDENTIFIER}\nPackageVersion: {version}\n{body}ManifestType: {kind}\n\
             ManifestVersion: {SCHEMA}\n"
        );
        (format!("{folder}/{IDENTIFIER}{part}.yaml"), text)
    };
    vec![
        file("", "version", "DefaultLocale: en-US\n".to_owned()),
        file(".installer", "installer", installer(release)),
        file(".locale.en-US", "defaultLocale", locale(release)),
    ]
}

/// There is no product code: winget finds an NSIS installation by its name in the list of apps.
fn installer(release: &Release) -> String {
    let (url, sum) = (release.url(Asset::Setup), quoted(&release.sum(Asset::Setup).to_uppercase()));
    format!(
        "Platform:\n- Windows.Desktop\nMinimumOSVersion: 10.0.17763.0\nInstallerType: nullsoft\nScope: user\n\
         InstallModes:\n- interactive\n- silent\n- silentWithProgress\nUpgradeBehavior: install\nCommands:\n- {}\n\
         Installers:\n- Architecture: x64\n  InstallerUrl: {url}\n  InstallerSha256: {sum}\n",
        product::COMMAND
    )
}

fn locale(release: &Release) -> String {
    let home = product::homepage();
    format!(
        "PackageLocale: en-US\nPublisher: {publisher}\nPublisherUrl: {home}\nPublisherSupportUrl: {home}/issues\n\
         PackageName: {name}\nPackageUrl: {home}\nLicense: {licence}\nLicenseUrl: {home}/blob/v{version}/LICENSE\n\
         Copyright: {copyright}\nShortDescription: {summary}\nDescription: {description}\nTags:\n- api\n- chatgpt\n\
         - codex\n- llm\n- openai\n- proxy\nReleaseNotesUrl: {home}/releases/tag/v{version}\n",
        publisher = quoted(product::PUBLISHER),
        name = quoted(product::NAME),
        licence = product::LICENCE,
        version = release.version,
        copyright = quoted(product::COPYRIGHT),
        summary = quoted(product::SUMMARY),
        description = quoted(product::DESCRIPTION),
    )
}
