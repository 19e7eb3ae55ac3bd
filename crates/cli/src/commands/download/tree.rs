//! A folder with all that is in it: listed page by page, several files fetched at once.
//!
//! A name that this machine cannot hold is changed and told. What cannot be fetched is told, the others are fetched, and
//! the exit code says that something failed. Run again, it goes on: files that are there with the same bytes stay, and
//! parts are taken up where they stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use proto::master::{Entry, PAGE_LEN_MAX};
use proto::name::EntryPath;
use tokio::task::JoinSet;

use super::{Fetched, fetch, interrupted, resume, target};
use crate::args::{Download, IfExists};
use crate::context::Context;
use crate::exit::{Exit, SomeFailed, exit_of};
use crate::local::{LocalNames, System};
use crate::progress::{Position, Transfer, label};
use client::Cluster;
use client::people::{count, grouped, size};

/// A download of a folder, with what became of it so far.
struct Tree {
    context: Arc<Context>,
    if_exists: IfExists,
    jobs: usize,
    transfer: Transfer,
    running: JoinSet<(EntryPath, anyhow::Result<Fetched>)>,
    /// Folders still to be listed, and where each goes.
    folders: Vec<(EntryPath, PathBuf)>,
    files: u64,
    bytes: u64,
    same: u64,
    skipped: u64,
    failures: Vec<Exit>,
}

pub(super) async fn download(
    context: Arc<Context>,
    source: EntryPath,
    path: PathBuf,
    arguments: &Download,
) -> anyhow::Result<()> {
    // Without it there is nothing to go on with.
    let made = target::make_folder(&path);
    made.with_context(|| format!("download {source}"))?;
    let mut tree = Tree {
        transfer: context.narrator.folder(label(&source)),
        if_exists: arguments.if_exists,
        jobs: usize::from(arguments.jobs),
        running: JoinSet::new(),
        folders: vec![(source.clone(), path.clone())],
        files: 0,
        bytes: 0,
        same: 0,
        skipped: 0,
        failures: Vec::new(),
        context,
    };
    let (cluster, transfer) = (tree.context.cluster.clone(), tree.transfer.clone());
    let measuring = tokio::spawn(measure(cluster, source.clone(), transfer));
    let outcome = tree.walk().await;
    measuring.abort();
    if outcome.is_err() {
        // The others stop too, and make durable what they have.
        tree.context.stop.cancel();
        while tree.running.join_next().await.is_some() {}
        tree.transfer.end();
        return outcome.with_context(|| format!("download {source}"));
    }
    tree.transfer.end();
    let sentence = tree.sentence(&source, &path);
    if tree.failures.is_empty() {
        return Ok(tree.context.narrator.done(&sentence)?);
    }
    tree.context.narrator.warn(&sentence);
    let total = tree.failures.len() as u64 + tree.files + tree.skipped;
    SomeFailed::unless_none(&tree.failures, total).with_context(|| format!("download {source}"))
}

impl Tree {
    async fn walk(&mut self) -> anyhow::Result<()> {
        while let Some((folder, path)) = self.folders.pop() {
            match target::make_folder(&path) {
                Ok(()) => self.visit(&folder, &path).await?,
                Err(error) => self.note_failure(&folder, error).await?,
            }
        }
        while let Some(done) = self.running.join_next().await {
            let (source, fetched) = done?;
            self.note(&source, fetched).await?;
        }
        Ok(())
    }

    async fn visit(&mut self, folder: &EntryPath, path: &Path) -> anyhow::Result<()> {
        let mut names = LocalNames::new(System::HERE);
        let mut after = None;
        loop {
            self.heed_stop()?;
            let page = self.context.cluster.list(folder, after, PAGE_LEN_MAX).await;
            let page = match page.with_context(|| format!("list {folder}")) {
                Ok(page) => page,
                Err(error) => return self.note_failure(folder, error).await,
            };
            after = page.entries.last().and_then(Entry::name).cloned();
            for entry in &page.entries {
                let Some(name) = entry.name() else { continue };
                let local = names.choose(name);
                let source = folder.join(name.clone())?;
                if local != name.as_str() {
                    let line = format!(
                        "{source} is kept as {local}, since its own name cannot be used here"
                    );
                    self.context.narrator.warn(&line);
                }
                match entry {
                    Entry::Folder { .. } => self.folders.push((source, path.join(local))),
                    Entry::File { .. } => self.begin(source, path.join(local)).await?,
                }
            }
            if !page.more || after.is_none() {
                return Ok(());
            }
        }
    }

    /// Begins a file, once there is room for one more.
    async fn begin(&mut self, source: EntryPath, path: PathBuf) -> anyhow::Result<()> {
        self.heed_stop()?;
        while self.running.len() >= self.jobs {
            if let Some(done) = self.running.join_next().await {
                let (source, fetched) = done?;
                self.note(&source, fetched).await?;
            }
        }
        let context = Arc::clone(&self.context);
        let (if_exists, position) = (self.if_exists, self.transfer.position());
        self.running.spawn(async move {
            let fetched = fetch_one(&context, &source, &path, if_exists, &position).await;
            (source, fetched)
        });
        Ok(())
    }

    /// What is fetched hears of Ctrl-C by itself, but where all is there already, nothing is.
    fn heed_stop(&self) -> anyhow::Result<()> {
        if self.context.stop.is_cancelled() {
            return Err(interrupted());
        }
        Ok(())
    }

    /// Counts what became of a file.
    async fn note(
        &mut self,
        source: &EntryPath,
        fetched: anyhow::Result<Fetched>,
    ) -> anyhow::Result<()> {
        self.transfer.file_done();
        match fetched {
            Ok(Fetched::At { size, .. }) => {
                self.files += 1;
                self.bytes += size;
            }
            Ok(Fetched::Same { size }) => {
                self.files += 1;
                self.bytes += size;
                self.same += 1;
            }
            Ok(Fetched::Skipped) => self.skipped += 1,
            Err(error) => self.note_failure(source, error).await?,
        }
        Ok(())
    }

    /// Tells and counts what failed, a file or a folder; a failure that all others would share is given back, so that nothing
    /// goes on in vain.
    async fn note_failure(
        &mut self,
        source: &EntryPath,
        error: anyhow::Error,
    ) -> anyhow::Result<()> {
        let exit = exit_of(&error);
        let is_shared = match exit {
            Exit::NoSpace | Exit::Interrupted => true,
            // This file's nodes may be away, or the master.
            Exit::Unavailable => self.context.cluster.status().await.is_err(),
            _ => false,
        };
        if is_shared {
            return Err(error.context(source.to_string()));
        }
        self.failures.push(exit);
        let line = format!("failed: {source}: {}", settings::chain(&error));
        self.context.narrator.warn(&line);
        Ok(())
    }

    fn sentence(&self, source: &EntryPath, path: &Path) -> String {
        let mut sentence = format!(
            "downloaded {source} to {}: {}, {}",
            path.display(),
            count(self.files, "file"),
            size(self.bytes)
        );
        for (number, what) in [
            (self.same, "there already"),
            (self.skipped, "skipped"),
            (self.failures.len() as u64, "failed"),
        ] {
            if number > 0 {
                sentence = format!("{sentence}, {} {what}", grouped(number));
            }
        }
        sentence
    }
}

async fn fetch_one(
    context: &Context,
    source: &EntryPath,
    path: &Path,
    if_exists: IfExists,
    position: &Position,
) -> anyhow::Result<Fetched> {
    let file = context.cluster.open(source, None).await?;
    let size = file.size;
    for earlier in target::earlier(path, if_exists) {
        if resume::is_there(context, &file, &earlier, position).await? {
            return Ok(Fetched::Same { size });
        }
    }
    let Some(path) = target::settle(path, if_exists)? else {
        position.kept(size);
        return Ok(Fetched::Skipped);
    };
    fetch(context, file, &path, position, false).await
}

/// Sums up what is to be fetched, far ahead of the fetching, so that it can be said how far that is.
async fn measure(cluster: Cluster, source: EntryPath, transfer: Transfer) {
    let mut folders = vec![source];
    while let Some(folder) = folders.pop() {
        let mut after = None;
        loop {
            let Ok(page) = cluster.list(&folder, after, PAGE_LEN_MAX).await else {
                // Whoever fetches finds the same, and tells it.
                return;
            };
            after = page.entries.last().and_then(Entry::name).cloned();
            for entry in page.entries {
                match entry {
                    Entry::File { size, .. } => transfer.found(1, size),
                    Entry::Folder { name, .. } => {
                        folders.extend(name.and_then(|name| folder.join(name).ok()));
                    }
                }
            }
            if !page.more || after.is_none() {
                break;
            }
        }
    }
    transfer.found_all();
}
