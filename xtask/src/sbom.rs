//! Lists the components of the programs, in the CycloneDX format: <https://cyclonedx.org/specification/overview/>.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::dist::names;
use crate::setup;
use crate::shell::Cmd;
use crate::workspace::Workspace;

/// Writes a list for the crates and one for the window's packages into a folder.
pub(crate) fn sbom(workspace: &Workspace, folder: &Path) -> Result<()> {
    setup::for_sbom()?;
    let crates = Cmd::cargo()
        .dir(&workspace.root)
        .args(["sbom", "--cargo-package", "codex-proxy-app", "--output-format", "cyclone_dx_json_1_6"])
        .capture()?;
    let packages = Cmd::npm()
        .dir(&workspace.root.join("ui"))
        .args(["sbom", "--sbom-format", "cyclonedx", "--package-lock-only"])
        .capture()?;
    fs::create_dir_all(folder)?;
    let [of_crates, of_packages] = names::materials(env!("CARGO_PKG_VERSION"));
    for (name, text, has) in [(of_crates, crates, "proxy-core"), (of_packages, packages, "svelte")] {
        check(&text, has).with_context(|| format!("{name} would be wrong"))?;
        fs::write(folder.join(&name), text).with_context(|| format!("cannot write {name}"))?;
        println!("made {name}");
    }
    Ok(())
}

/// Whether this is such a list and contains at least this component.
fn check(text: &str, component: &str) -> Result<()> {
    let list: Value = serde_json::from_str(text).context("it is no JSON")?;
    if list["bomFormat"] != "CycloneDX" {
        bail!("it is no list of CycloneDX");
    }
    let components = list["components"].as_array().context("it has no components")?;
    if !components.iter().any(|found| found["name"] == component) {
        bail!("{component} is not among its {} components", components.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_what_is_known_to_be_in_it_is_wrong() {
        let list = r#"{"bomFormat": "CycloneDX", "components": [{"name": "svelte"}]}"#;
        check(list, "svelte").unwrap();
        assert!(check(list, "proxy-core").is_err());
        assert!(check(r#"{"bomFormat": "CycloneDX"}"#, "svelte").is_err());
        assert!(check(r#"{"components": [{"name": "svelte"}]}"#, "svelte").is_err());
    }
}
