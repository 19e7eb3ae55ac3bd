//! What is done, one step after another, and how long each took.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use client::{Cluster, DeleteOptions, UploadOptions};
use futures::StreamExt;
use proto::master::PAGE_LEN_MAX;
use proto::name::{EntryName, EntryPath};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::content::Content;
use crate::args::Bench;
use client::people::{exact_size, grouped};

const KIB: u64 = 1 << 10;
/// Small files that are written and read, one shape after the other.
pub(super) const SHAPES: [Shape; 6] = [
    shape(4 * KIB, 1),
    shape(4 * KIB, 16),
    shape(4 * KIB, 64),
    shape(64 * KIB, 1),
    shape(64 * KIB, 16),
    shape(64 * KIB, 64),
];
/// Steps in all: the big file up and down, once and four times, small files up and down, a listing, and deletions.
pub(super) const COUNT: u64 = 3 + 2 * SHAPES.len() as u64 + 2;
/// Downloads of the big file at once.
const AT_ONCE: u32 = 4;
/// Connections that delete.
const DELETERS: u32 = 16;

/// Files of one size, over so many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes of each file.
    pub(super) len: u64,
    connections: u32,
}

const fn shape(len: u64, connections: u32) -> Shape {
    Shape { len, connections }
}

/// What is done in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Work {
    UploadBig,
    DownloadBig,
    DownloadFour,
    UploadSmall,
    DownloadSmall,
    List,
    Delete,
}

impl Work {
    const fn title(self) -> &'static str {
        match self {
            Self::UploadBig => "upload of one file",
            Self::DownloadBig => "download of it",
            Self::DownloadFour => "downloads of it at once",
            Self::UploadSmall => "uploads",
            Self::DownloadSmall => "downloads",
            Self::List => "listing, entries",
            Self::Delete => "deletions",
        }
    }
}

/// What was done in a step. The rate is in MB a second if there are bytes, else in things a second.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    pub(super) work: Work,
    pub(super) connections: u32,
    pub(super) count: u64,
    /// Of each file, where small ones are written or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    pub(super) seconds: f64,
    pub(super) rate: f64,
}

#[expect(clippy::cast_precision_loss, reason = "rates are rounded anyway")]
impl Step {
    fn of_things(work: Work, connections: u32, count: u64, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        Self {
            work,
            connections,
            count,
            file_size: None,
            bytes: None,
            seconds,
            rate: count as f64 / seconds,
        }
    }

    fn of_bytes(work: Work, connections: u32, bytes: u64, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        Self {
            work,
            connections,
            count: connections.into(),
            file_size: None,
            bytes: Some(bytes),
            seconds,
            rate: bytes as f64 / 1e6 / seconds,
        }
    }

    pub(super) fn title(&self) -> String {
        let title = self.work.title();
        match self.file_size {
            Some(len) => format!("{title} of {} KiB", len / KIB),
            None => title.to_owned(),
        }
    }

    pub(super) fn rate_in_words(&self) -> String {
        if self.bytes.is_some() {
            return format!("{:.1} MB/s", self.rate);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is rounded, and never negative"
        )]
        let rate = self.rate.round() as u64;
        format!("{}/s", grouped(rate))
    }
}

/// The steps of one run, in a folder that is theirs.
#[derive(Debug)]
pub(super) struct Steps {
    cluster: Cluster,
    folder: EntryPath,
    big: u64,
    files: u64,
    longest: Duration,
    seed: u64,
    pub(super) done: Vec<Step>,
}

/// One file of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Small {
    shape: Shape,
    number: u64,
}

impl Steps {
    pub(super) fn new(cluster: Cluster, folder: EntryPath, arguments: &Bench) -> Self {
        Self {
            cluster,
            folder,
            big: arguments.big.get(),
            files: arguments.files.into(),
            longest: Duration::from_secs(arguments.seconds),
            seed: rand::random(),
            done: Vec::new(),
        }
    }

    /// All of them.
    pub(super) async fn run(&mut self) -> anyhow::Result<()> {
        self.big_file().await?;
        let mut written = Vec::new();
        for shape in SHAPES {
            let small = |number| Small { shape, number };
            let files = (0..self.files).map(small).collect();
            let connections = shape.connections;
            let stored = self.each(Work::UploadSmall, connections, files).await?;
            self.each(Work::DownloadSmall, connections, stored.clone())
                .await?;
            written.extend(stored);
        }
        self.list(written.len() as u64).await?;
        self.each(Work::Delete, DELETERS, written).await?;
        Ok(())
    }

    async fn big_file(&mut self) -> anyhow::Result<()> {
        let path = self.path("big")?;
        let content = || Content::new(self.seed, self.big);
        let begun = Instant::now();
        let reader = content().until(begun + self.longest);
        let uploaded = self.cluster.upload(&path, reader, options(None)).await;
        let uploaded = uploaded.with_context(|| format!("upload {path}"))?;
        let took = begun.elapsed();
        let step = Step::of_bytes(Work::UploadBig, 1, uploaded.size, took);
        self.done.push(step);
        self.read_big(&path, Work::DownloadBig, 1).await?;
        self.read_big(&path, Work::DownloadFour, AT_ONCE).await
    }

    async fn read_big(
        &mut self,
        path: &EntryPath,
        work: Work,
        connections: u32,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        let end = begun + self.longest;
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (cluster, path) = (self.cluster.clone(), path.clone());
            let content = Content::new(self.seed, self.big);
            tasks.spawn(async move { read(&cluster, &path, content, end).await });
        }
        let mut bytes = 0;
        while let Some(ended) = tasks.join_next().await {
            let (came, is_right) = ended??;
            ensure!(
                is_right,
                "{path} came back with other bytes than were stored"
            );
            bytes += came;
        }
        let step = Step::of_bytes(work, connections, bytes, begun.elapsed());
        self.done.push(step);
        Ok(())
    }

    /// Does this to each file, over so many connections, until all are done or the time is over. Gives those that were done.
    async fn each(
        &mut self,
        work: Work,
        connections: u32,
        files: Vec<Small>,
    ) -> anyhow::Result<Vec<Small>> {
        let begun = Instant::now();
        let end = begun + self.longest;
        let mut tasks = JoinSet::new();
        let share = files.len().div_ceil(connections as usize).max(1);
        for files in files.chunks(share) {
            tasks.spawn(one_connection(self.hand(), work, files.to_vec(), end));
        }
        let mut done = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            done.extend(ended??);
        }
        let count = done.len() as u64;
        let is_of_bytes = matches!(work, Work::UploadSmall | Work::DownloadSmall);
        let first = done.first().filter(|_| is_of_bytes);
        let file_size = first.map(|small| small.shape.len);
        self.done.push(Step {
            file_size,
            ..Step::of_things(work, connections, count, begun.elapsed())
        });
        Ok(done)
    }

    async fn list(&mut self, written: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        let (mut listed, mut after) = (0, None);
        let whole = loop {
            let page = self.cluster.list(&self.folder, after, PAGE_LEN_MAX).await;
            let page = page.with_context(|| format!("list {}", self.folder))?;
            listed += page.entries.len() as u64;
            after = page.entries.last().and_then(|entry| entry.name().cloned());
            if !page.more {
                break true;
            }
            if begun.elapsed() > self.longest {
                break false;
            }
        };
        // The big one is there too.
        ensure!(
            !whole || listed == written + 1,
            "{listed} of {} files were listed",
            written + 1
        );
        self.done
            .push(Step::of_things(Work::List, 1, listed, begun.elapsed()));
        Ok(())
    }

    fn path(&self, name: &str) -> anyhow::Result<EntryPath> {
        Ok(self.folder.join(EntryName::new(name)?)?)
    }

    fn hand(&self) -> Hand {
        Hand {
            cluster: self.cluster.clone(),
            folder: self.folder.clone(),
            seed: self.seed,
        }
    }
}

/// What one connection works with.
#[derive(Debug)]
struct Hand {
    cluster: Cluster,
    folder: EntryPath,
    seed: u64,
}

async fn one_connection(
    hand: Hand,
    work: Work,
    files: Vec<Small>,
    end: Instant,
) -> anyhow::Result<Vec<Small>> {
    let mut done = Vec::new();
    for file in files {
        if Instant::now() >= end {
            break;
        }
        hand.work(work, file).await?;
        done.push(file);
    }
    Ok(done)
}

impl Hand {
    async fn work(&self, work: Work, file: Small) -> anyhow::Result<()> {
        let Small {
            shape: Shape { len, connections },
            number,
        } = file;
        let name = EntryName::new(format!("{len:05}-{connections:02}-{number:07}"))?;
        let path = self.folder.join(name)?;
        let seed = self.seed ^ len << 32 ^ u64::from(connections) << 24 ^ (number + 1);
        let content = Content::new(seed, len);
        match work {
            Work::UploadSmall => {
                let options = options(Some(len));
                let uploaded = self.cluster.upload(&path, content, options).await;
                uploaded.with_context(|| format!("upload {path}"))?;
            }
            Work::DownloadSmall => {
                let never = Instant::now() + Duration::from_secs(3600);
                let (bytes, is_right) = read(&self.cluster, &path, content, never).await?;
                let is_whole = is_right && bytes == len;
                ensure!(
                    is_whole,
                    "{path} came back with other bytes than were stored: {}",
                    exact_size(bytes)
                );
            }
            Work::Delete => {
                let options = DeleteOptions {
                    purge: true,
                    ..DeleteOptions::default()
                };
                let deleted = self.cluster.delete(&path, options).await;
                deleted.with_context(|| format!("delete {path}"))?;
            }
            Work::UploadBig | Work::DownloadBig | Work::DownloadFour | Work::List => {
                unreachable!("it is not done to many files")
            }
        }
        Ok(())
    }
}

/// What is still on its way when the folder was removed must not make it anew.
fn options(size_hint: Option<u64>) -> UploadOptions {
    UploadOptions {
        size_hint,
        parents: false,
        ..UploadOptions::default()
    }
}

/// Reads a file until its end or this time. Says how many bytes came, and whether they are right.
async fn read(
    cluster: &Cluster,
    path: &EntryPath,
    mut content: Content,
    end: Instant,
) -> anyhow::Result<(u64, bool)> {
    let reading = || format!("download {path}");
    let file = cluster.open(path, None).await.with_context(reading)?;
    let size = file.size;
    let mut bytes = file.read(0..size);
    let mut came = 0;
    while let Some(piece) = bytes.next().await {
        let piece = piece.with_context(reading)?;
        came += piece.len() as u64;
        if !content.takes(&piece) {
            return Ok((came, false));
        }
        if Instant::now() >= end {
            break;
        }
    }
    Ok((came, true))
}
