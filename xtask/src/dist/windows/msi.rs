//! The `.msi`: made by wixl from `codex-proxy.wxs`, with the parts that wixl cannot make.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::shell::Cmd;
use crate::workspace::Workspace;

/// The table that wixl cannot write: it adds the folder of `codex-proxy.exe` to the end of the user's PATH, and removes it.
/// <https://learn.microsoft.com/windows/win32/msi/environment-table>
const ON_PATH: [&str; 4] = [
    "CREATE TABLE `Environment` (`Environment` CHAR(72) NOT NULL, `Name` CHAR(255) NOT NULL LOCALIZABLE, `Value` \
     CHAR(255) LOCALIZABLE, `Component_` CHAR(72) NOT NULL PRIMARY KEY `Environment`)",
    "INSERT INTO `Environment` (`Environment`, `Name`, `Value`, `Component_`) VALUES ('OnPath', '=-PATH', \
     '[~];[INSTALLDIR]', 'OnPath')",
    "INSERT INTO `InstallExecuteSequence` (`Action`, `Sequence`) VALUES ('RemoveEnvironmentStrings', 3300)",
    "INSERT INTO `InstallExecuteSequence` (`Action`, `Sequence`) VALUES ('WriteEnvironmentStrings', 5200)",
];

/// Makes the MSI from the files in `files`. The same files give the same bytes.
pub(super) fn make(workspace: &Workspace, files: &Path, numbers: [u16; 3], package: &Path) -> Result<()> {
    let source = workspace.root.join("installers/windows/codex-proxy.wxs");
    let time = fs::metadata(files.join("LICENSE.txt"))?.modified()?;
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    // wixl stores the present time, and the local time of each file.
    Cmd::new("faketime")
        .args(["-f", &format!("@{seconds}")])
        .env("FAKETIME_FMT", "%s")
        .env("TZ", "UTC")
        .args(["wixl", "--arch", "x64"])
        .args(["--define", &format!("NUMBERS={}", numbers.map(|n| n.to_string()).join("."))])
        .args(["--define", &format!("PRODUCT={}", product_code(numbers))])
        .arg("--output")
        .arg(package)
        .arg(&source)
        .dir(files)
        .run()?;
    let msibuild = || Cmd::new("msibuild").arg(package);
    for query in ON_PATH {
        msibuild().args(["-q", query]).run()?;
    }
    let code = package_code(files, &source)?;
    msibuild().args(["-s", "Codex Proxy", "The Codex Proxy project", "x64;1033"]).arg(code).run()
}

/// Windows uses this code to identify a version of a product.
fn product_code([major, minor, patch]: [u16; 3]) -> String {
    format!("3F0D9B7C-6B3A-4E0B-9E57-{major:04X}{minor:04X}{patch:04X}")
}

/// Windows treats two packages with the same code as the same file. So the code is made from the whole content.
fn package_code(files: &Path, source: &Path) -> Result<String> {
    let mut names: Vec<_> = fs::read_dir(files)?.map(|file| Ok(file?.file_name())).collect::<Result<_>>()?;
    names.sort();
    let sums = Cmd::new("sha256sum").args(names).arg(source).dir(files).capture()?;
    let sums: Vec<&str> = sums.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let list = tempfile::NamedTempFile::new()?;
    fs::write(&list, sums.join("\n"))?;
    let sum = Cmd::new("sha256sum").arg(list.path()).capture()?.to_uppercase();
    let part = |from: usize, to: usize| sum.get(from..to).context("sha256sum printed no sum");
    let parts = [part(0, 8)?, part(8, 12)?, part(12, 16)?, part(16, 20)?, part(20, 32)?];
    Ok(format!("{{{}}}", parts.join("-")))
}
