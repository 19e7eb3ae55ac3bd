//! The programs that are run, built by cargo when they are needed: as they are, and with bugs that can be planted.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::command;

/// Optimized as a release is, but for what takes a linker long.
const PROOF: Profile = Profile {
    name: "proof",
    folder: "proof",
};
/// As for tests, which have built most of it.
const DEV: Profile = Profile {
    name: "dev",
    folder: "debug",
};

/// How programs are built, and where cargo puts them.
#[derive(Debug, Clone, Copy)]
struct Profile {
    name: &'static str,
    folder: &'static str,
}

/// The harnesses, and what one of them harms.
const PROGRAMS: [&str; 5] = ["sim", "chaos", "dfs-master", "dfs-storage-node", "dfs"];

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Checkout {
    root: PathBuf,
    /// Cargo's.
    target: PathBuf,
    profile: Profile,
}

impl Checkout {
    /// The one that this program was built from, whose programs are built as for tests if that is to go quickly.
    pub(crate) fn find(quickly: bool) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let root = root.context("find the checkout")?.to_owned();
        ensure!(
            root.join("Cargo.lock").is_file(),
            "{} is no checkout any more: this program runs where it was built",
            root.display()
        );
        let this = env::current_exe().context("find this program")?;
        let target = this.ancestors().nth(2).context("find cargo's folder")?;
        Ok(Self {
            target: target.to_owned(),
            root,
            profile: if quickly { DEV } else { PROOF },
        })
    }

    /// Where the table goes.
    pub(crate) fn table(&self) -> PathBuf {
        self.target.join("proof.md")
    }

    /// Cargo in this checkout, with these arguments.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(arguments).current_dir(&self.root);
        cargo
    }

    /// Builds the harnesses and what they harm, as they are delivered.
    pub(crate) fn build(&self) -> anyhow::Result<Programs> {
        self.build_with(&[])
    }

    /// Builds them so that bugs can be planted, and puts them into a folder of their own lest one is taken for the other.
    pub(crate) fn build_armed(&self) -> anyhow::Result<Programs> {
        let built = self.build_with(&["--features", "planted/armed"])?;
        let armed = Programs {
            folder: built.folder.join("armed"),
        };
        std::fs::create_dir_all(&armed.folder)
            .with_context(|| format!("make {}", armed.folder.display()))?;
        for program in PROGRAMS {
            let to = armed.path(program);
            std::fs::copy(built.path(program), &to)
                .with_context(|| format!("copy a program to {}", to.display()))?;
        }
        Ok(armed)
    }

    fn build_with(&self, features: &[&str]) -> anyhow::Result<Programs> {
        let mut cargo = self.cargo(&["build", "--locked", "--profile", self.profile.name]);
        // Selected from the whole workspace, and with an example: then cargo chooses the features that it chose for tests.
        cargo.args(["--workspace", "--example", "page"]);
        cargo.args(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
        cargo.args(features);
        cargo.arg("--target-dir").arg(&self.target);
        let built = command::run(&mut cargo)?;
        ensure!(built.succeeded, "the programs do not build");
        Ok(Programs {
            folder: self.target.join(self.profile.folder),
        })
    }

    /// Which commit it is, and whether anything was changed since.
    pub(crate) fn commit(&self) -> String {
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            let said = git.args(arguments).current_dir(&self.root).output().ok()?;
            let said = said.status.success().then_some(said.stdout)?;
            Some(String::from_utf8_lossy(&said).trim().to_owned())
        };
        let commit = git(&["rev-parse", "--short=12", "HEAD"]);
        match (commit, git(&["status", "--porcelain"])) {
            (Some(commit), Some(changes)) if changes.is_empty() => commit,
            (Some(commit), _) => format!("{commit} with changes"),
            (None, _) => "of no repository".to_owned(),
        }
    }
}

/// Programs that were built together.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// One of them.
    pub(crate) fn command(&self, name: &str) -> Command {
        Command::new(self.path(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(file_of(name))
    }
}

fn file_of(program: &str) -> String {
    format!("{program}{}", env::consts::EXE_SUFFIX)
}
