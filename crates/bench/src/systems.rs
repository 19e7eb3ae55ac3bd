//! What is measured: one trait for all of them, and one file for each.

mod dfs;
mod nginx;
mod seaweedfs;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use futures::future::LocalBoxFuture;
use serde::Serialize;

use crate::arguments::Arguments;
use crate::content::Content;
use crate::http::Http;

pub(crate) use dfs::{Dfs, server};

/// How often a server is asked whether it is ready. It tells nobody by itself.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// No system takes longer to be whole again.
const READY_TIMEOUT: Duration = Duration::from_secs(180);

/// Which system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// This project.
    Dfs,
    /// `SeaweedFS`, told to fsync each write.
    SeaweedfsFsync,
    /// `SeaweedFS` as it comes.
    Seaweedfs,
    /// nginx, as the limit.
    Nginx,
}

/// Where a system takes requests.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// Host and port.
    pub(crate) address: String,
    /// Before the path of each file.
    files: &'static str,
    /// Behind the path of a file that is deleted.
    deletion: &'static str,
}

impl Door {
    /// One at this address.
    pub(crate) fn new(address: String, files: &'static str, deletion: &'static str) -> Self {
        Self {
            address,
            files,
            deletion,
        }
    }

    /// Where a file is read and written.
    pub(crate) fn file(&self, path: &str) -> String {
        format!("{}{path}", self.files)
    }

    /// Where it is deleted.
    pub(crate) fn deletion(&self, path: &str) -> String {
        format!("{}{path}{}", self.files, self.deletion)
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Http {
        Http::new(&self.address)
    }
}

/// A system that runs, with nothing in it at first. It ends when it is dropped.
pub(crate) trait System: fmt::Debug + Send + Sync {
    /// Where it takes requests.
    fn door(&self) -> &Door;

    /// All its processes.
    fn process_ids(&self) -> Vec<u32>;

    /// Lists a folder to its end, and says how many entries it has.
    fn list<'a>(&'a self, folder: &'a str) -> LocalBoxFuture<'a, Result<u64>>;

    /// Writes a file in the way in which the web page sends large ones; none if it has no other way than PUT.
    fn put_as_page<'a>(
        &'a self,
        _path: &'a str,
        _content: Content,
    ) -> Option<LocalBoxFuture<'a, Result<()>>> {
        None
    }

    /// Processes that each hold one copy; none if there is one copy.
    fn nodes(&mut self) -> &mut [crate::process::Process];

    /// Starts a node that was killed, and waits until everything is as before.
    fn restart_node(&mut self, place: usize) -> LocalBoxFuture<'_, Result<()>>;

    /// Has a frozen node go on, and waits until everything is as before.
    fn thaw_node(&mut self, place: usize) -> LocalBoxFuture<'_, Result<()>>;
}

impl Kind {
    /// All, in the order of their turns.
    pub(crate) const ALL: [Self; 4] = [
        Self::Dfs,
        Self::SeaweedfsFsync,
        Self::Seaweedfs,
        Self::Nginx,
    ];

    /// What it is called at the head of a column.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dfs => "DFS",
            Self::SeaweedfsFsync => "SeaweedFS, fsync",
            Self::Seaweedfs => "SeaweedFS",
            Self::Nginx => "nginx",
        }
    }

    /// What is compared, in a sentence.
    pub(crate) const fn note(self) -> &'static str {
        match self {
            Self::Dfs => {
                "three storage nodes, three copies, fsynced before the answer, every byte verified by hash"
            }
            Self::SeaweedfsFsync => {
                "three volume servers, three copies (002), a filer with fsync for every path (fs.configure -fsync); the filer's own \
                 store of names is not fsynced"
            }
            Self::Seaweedfs => "the same without fsync, as it comes",
            Self::Nginx => "one process' files, one copy, no fsync, no checks (DAV PUT): the limit",
        }
    }

    /// Starts it with its data in this new folder, and waits until it is ready.
    pub(crate) async fn start(
        self,
        arguments: &Arguments,
        folder: &Path,
    ) -> Result<Box<dyn System>> {
        std::fs::create_dir_all(folder)?;
        Ok(match self {
            Self::Dfs => Box::new(Dfs::start(folder, 3).await?),
            Self::SeaweedfsFsync | Self::Seaweedfs => {
                let weed = program(arguments.weed.as_ref(), "--weed")?;
                let has_fsync = self == Self::SeaweedfsFsync;
                Box::new(seaweedfs::SeaweedFs::start(&weed, folder, has_fsync).await?)
            }
            Self::Nginx => {
                let nginx = program(arguments.nginx.as_ref(), "--nginx")?;
                Box::new(nginx::Nginx::start(&nginx, folder).await?)
            }
        })
    }
}

fn program(path: Option<&PathBuf>, flag: &str) -> Result<PathBuf> {
    let path = path.with_context(|| format!("its program is not here; {flag} says where it is"))?;
    std::path::absolute(path).with_context(|| format!("find {}", path.display()))
}

/// Asks until it is so.
async fn until(what: &str, mut ask: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let mut refusal = anyhow!("nobody answered");
    let asking = async {
        while let Err(error) = ask().await {
            refusal = error;
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    if tokio::time::timeout(READY_TIMEOUT, asking).await.is_err() {
        return Err(refusal.context(format!("waited for {READY_TIMEOUT:?} until {what}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use anyhow::bail;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_waited_for_no_longer_than_that() {
        let refused = until("it is there", async || bail!("not yet")).await;
        let refused = format!("{:#}", refused.unwrap_err());
        assert!(refused.ends_with("until it is there: not yet"), "{refused}");
        let unanswered = until("it is there", async || pending().await).await;
        assert!(unanswered.is_err());
    }
}
