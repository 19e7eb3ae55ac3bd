//! Of a folder, and all that are in it, the files that lack copies by the master's record. No node is asked, so that many files
//! are looked at in little time.

use std::collections::VecDeque;

use anyhow::Context as _;
use proto::id::VersionId;
use proto::master::{CHUNKS_PER_BLOCK, Entry};
use proto::name::EntryPath;
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;

use super::super::walk::{Depth, each_entry};
use crate::args::Explain;
use crate::context::Context;
use crate::output::{Colour, Output};
use client::people::{count, grouped};
use client::{Cluster, Error, ExplainedChunk};

/// Files that are looked at together.
const AT_ONCE: usize = 16;

/// A file that lacks copies, as `--json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct FileRow {
    path: EntryPath,
    version: VersionId,
    chunks: u64,
    /// With a copy on a live node, but on fewer than wanted.
    missing_copies: u64,
    /// Without a copy on a live node.
    unavailable: u64,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Sums {
    files: u64,
    lacking: u64,
    unreadable: u64,
}

pub(super) async fn run(context: &Context, arguments: &Explain, wanted: u8) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    let path = &arguments.path;
    if arguments.json {
        let mut array = output.json_array();
        each_lacking(context, path, wanted, |row| array.item(row)).await?;
        return Ok(array.end()?);
    }
    let sums = each_lacking(context, path, wanted, |row| {
        let name = output.name(&row.path.to_string());
        let line = output.paint(row.colour(), &row.sentence(wanted));
        output.line(&format!("{name}: {line}"))
    })
    .await?;
    output.line(&sums.sentence(wanted))?;
    Ok(output.flush()?)
}

/// Shows the files that lack copies, in the order of their names.
async fn each_lacking(
    context: &Context,
    path: &EntryPath,
    wanted: u8,
    mut show: impl FnMut(&FileRow) -> std::io::Result<()>,
) -> anyhow::Result<Sums> {
    let mut sums = Sums::default();
    let mut looking = VecDeque::new();
    each_entry(context, path, Depth::All, async |path, entry| {
        let Entry::File { version, .. } = entry else {
            return Ok(());
        };
        let (cluster, path) = (context.cluster.clone(), path.clone());
        let looked_at = look_at(cluster, path, *version, wanted);
        looking.push_back(AbortOnDropHandle::new(tokio::spawn(looked_at)));
        while looking.len() > AT_ONCE {
            sums.note(next(&mut looking).await?, &mut show)?;
        }
        Ok(())
    })
    .await?;
    while !looking.is_empty() {
        sums.note(next(&mut looking).await?, &mut show)?;
    }
    Ok(sums)
}

/// What a look at a file gave; nothing if it went away meanwhile.
type LookedAt = anyhow::Result<Option<FileRow>>;

async fn next(looking: &mut VecDeque<AbortOnDropHandle<LookedAt>>) -> LookedAt {
    match looking.pop_front() {
        Some(first) => first.await?,
        None => Ok(None),
    }
}

async fn look_at(cluster: Cluster, path: EntryPath, version: VersionId, wanted: u8) -> LookedAt {
    let mut row = FileRow {
        path,
        version,
        chunks: 0,
        missing_copies: 0,
        unavailable: 0,
    };
    let limit = u32::try_from(CHUNKS_PER_BLOCK).unwrap_or(u32::MAX);
    loop {
        let chunks = match cluster.recorded_chunks(version, row.chunks, limit).await {
            Ok(chunks) => chunks,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("explain {}", row.path)),
        };
        if chunks.is_empty() {
            return Ok(Some(row));
        }
        for chunk in &chunks {
            row.add(chunk, wanted);
        }
    }
}

impl FileRow {
    fn add(&mut self, chunk: &ExplainedChunk, wanted: u8) {
        let live = chunk.copies.iter().filter(|copy| copy.live);
        let counting = live.clone().filter(|copy| !copy.failing).count();
        let is_readable = live.count() > 0;
        self.chunks += 1;
        self.unavailable += u64::from(!is_readable);
        self.missing_copies += u64::from(is_readable && counting < usize::from(wanted));
    }

    fn lacks_copies(&self) -> bool {
        self.missing_copies + self.unavailable > 0
    }

    fn colour(&self) -> Colour {
        if self.unavailable > 0 {
            Colour::Red
        } else {
            Colour::Yellow
        }
    }

    fn sentence(&self, wanted: u8) -> String {
        let of = format!("of {}", count(self.chunks, "chunk"));
        let copies = format!("fewer than {}", count(u64::from(wanted), "copy"));
        let (missing, unavailable) = (grouped(self.missing_copies), grouped(self.unavailable));
        match (self.missing_copies, self.unavailable) {
            (_, 0) => format!("{missing} {of} with {copies}"),
            (0, _) => format!("{unavailable} {of} cannot be read now"),
            _ => format!("{unavailable} {of} cannot be read now, {missing} with {copies}"),
        }
    }
}

impl Sums {
    fn note(
        &mut self,
        looked_at: Option<FileRow>,
        show: &mut impl FnMut(&FileRow) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        let Some(row) = looked_at else { return Ok(()) };
        self.files += 1;
        self.unreadable += u64::from(row.unavailable > 0);
        if row.lacks_copies() {
            self.lacking += 1;
            show(&row)?;
        }
        Ok(())
    }

    fn sentence(&self, wanted: u8) -> String {
        let copies = count(u64::from(wanted), "copy");
        let files = count(self.files, "file");
        match (self.files, self.lacking, self.unreadable) {
            (0, ..) => "there are no files".to_owned(),
            (1, 0, _) => format!("the one file has {copies} of every chunk"),
            (_, 0, _) => format!("all {files} have {copies} of every chunk"),
            (_, lacking, 0) => format!("{} of {files} with fewer than {copies}", grouped(lacking)),
            (_, lacking, unreadable) => format!(
                "{} of {files} with fewer than {copies}; {} of them cannot be read whole now",
                grouped(lacking),
                grouped(unreadable)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use client::ExplainedCopy;
    use proto::id::{ChunkId, NodeId};

    use super::*;

    fn row(copies_live: &[&[bool]]) -> FileRow {
        let mut row = FileRow {
            path: "/a".parse().unwrap(),
            version: VersionId(1),
            chunks: 0,
            missing_copies: 0,
            unavailable: 0,
        };
        for (index, live) in copies_live.iter().enumerate() {
            let copies = live.iter().map(|live| ExplainedCopy {
                node: NodeId::new(uuid::Uuid::nil()),
                address: "127.0.0.1:9001".parse().unwrap(),
                live: *live,
                failing: false,
                description: None,
            });
            let chunk = ExplainedChunk {
                index: index as u64,
                chunk: ChunkId::of(b"a"),
                len: 1,
                copies: copies.collect(),
            };
            row.add(&chunk, 3);
        }
        row
    }

    #[test]
    fn a_file_says_what_its_chunks_lack() {
        let whole: &[bool] = &[true; 3];
        let (fewer, none): (&[bool], &[bool]) = (&[true, true, false], &[false; 2]);
        assert!(!row(&[whole, whole]).lacks_copies());
        assert!(!row(&[]).lacks_copies());
        for (chunks, expected) in [
            (vec![whole, fewer], "1 of 2 chunks with fewer than 3 copies"),
            (vec![none], "1 of 1 chunk cannot be read now"),
            (vec![whole, &[]], "1 of 2 chunks cannot be read now"),
            (
                vec![fewer, none, whole],
                "1 of 3 chunks cannot be read now, 1 with fewer than 3 copies",
            ),
        ] {
            let row = row(&chunks);
            assert!(row.lacks_copies());
            assert_eq!(row.sentence(3), expected);
        }
    }

    /// The status said that chunks lack copies, and nothing was said of the files, since nodes that lived had them all.
    #[test]
    fn a_copy_on_a_failed_disk_does_not_count() {
        let mut row = row(&[]);
        let mut copies = Vec::new();
        for failing in [false, false, true] {
            copies.push(ExplainedCopy {
                node: NodeId::new(uuid::Uuid::nil()),
                address: "127.0.0.1:9001".parse().unwrap(),
                live: true,
                failing,
                description: None,
            });
        }
        let mut chunk = ExplainedChunk {
            index: 0,
            chunk: ChunkId::of(b"a"),
            len: 1,
            copies,
        };
        row.add(&chunk, 3);
        assert_eq!((row.missing_copies, row.unavailable), (1, 0));
        chunk.copies.drain(..2);
        row.add(&chunk, 3);
        assert_eq!(
            (row.missing_copies, row.unavailable),
            (2, 0),
            "it is read if need be"
        );
    }

    #[test]
    fn the_sum_says_how_many_files_lack_copies() {
        let mut sums = Sums::default();
        assert_eq!(sums.sentence(3), "there are no files");
        let mut shown = Vec::new();
        let mut note = |sums: &mut Sums, row: Option<FileRow>| {
            sums.note(row, &mut |row| {
                shown.push(row.clone());
                Ok(())
            })
            .unwrap();
        };
        note(&mut sums, Some(row(&[&[true; 3]])));
        note(&mut sums, None);
        assert_eq!(sums.sentence(3), "the one file has 3 copies of every chunk");
        note(&mut sums, Some(row(&[&[true; 2]])));
        assert_eq!(sums.sentence(3), "1 of 2 files with fewer than 3 copies");
        note(&mut sums, Some(row(&[&[false; 2]])));
        let some = "2 of 3 files with fewer than 3 copies; 1 of them cannot be read whole now";
        assert_eq!(sums.sentence(3), some);
        assert_eq!(shown.len(), 2);
    }
}
