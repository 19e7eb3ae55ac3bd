//! `dfs explain FILE`: where each chunk is, how each copy is, and when it was last verified. Of a folder: which files lack
//! copies.

mod folder;

use anyhow::Context as _;
use client::{ExplainedChunk, ExplainedCopy, File};
use jiff::Timestamp;
use proto::id::{ChunkId, NodeId};
use proto::master::CHUNKS_PER_BLOCK;
use proto::net::Address;
use proto::node::ChunkState;
use serde::Serialize;

use crate::args::Explain;
use crate::context::Context;
use crate::output::{Colour, Output, ago, time};
use client::people::{count, grouped, size};

/// A chunk as `--json` shows it.
#[derive(Debug, Serialize)]
struct ChunkRow<'a> {
    index: u64,
    chunk: ChunkId,
    len: u32,
    copies: Vec<CopyRow<'a>>,
}

/// A copy as `--json` shows it.
#[derive(Debug, Serialize)]
struct CopyRow<'a> {
    node: NodeId,
    address: &'a Address,
    live: bool,
    /// Nothing if the node did not answer.
    state: Option<ChunkState>,
    verified_ms: Option<u64>,
    extent: Option<u64>,
}

/// What was seen of a file's chunks.
#[derive(Debug, Default)]
struct Seen {
    chunks: u64,
    whole: u64,
    unreadable: u64,
}

pub(super) async fn run(context: &Context, arguments: &Explain) -> anyhow::Result<()> {
    let path = &arguments.path;
    let explain = || format!("explain {path}");
    let file = match context.cluster.open(path, None).await {
        Ok(file) => Some(file),
        Err(client::Error::IsAFolder { .. }) => None,
        Err(error) => return Err(error).with_context(explain),
    };
    let status = context.cluster.status().await.with_context(explain)?;
    let wanted = status.rules.replication_factor;
    match file {
        Some(file) => explain_file(context, arguments, &file, wanted).await,
        None => folder::run(context, arguments, wanted).await,
    }
}

async fn explain_file(
    context: &Context,
    arguments: &Explain,
    file: &File,
    wanted: u8,
) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    if arguments.json {
        let mut array = output.json_array();
        each_chunk(file, arguments, wanted, |chunk| {
            array.item(&chunk_row(chunk))
        })
        .await?;
        array.end()?;
        return Ok(());
    }
    let line = headline(context, file);
    let name = output.name(&arguments.path.to_string());
    output.line(&format!("{name}: {line}"))?;
    let now = Timestamp::now();
    let seen = each_chunk(file, arguments, wanted, |chunk| {
        output.line(&chunk_line(chunk))?;
        for copy in &chunk.copies {
            let (colour, line) = copy_line(copy, now);
            output.line(&format!("    {}", output.paint(colour, &line)))?;
        }
        Ok(())
    })
    .await?;
    output.line(&seen.sentence(wanted))?;
    output.flush()?;
    Ok(())
}

/// Goes through all chunks of the file, and shows them, or with `--problems` those that have any.
async fn each_chunk(
    file: &File,
    arguments: &Explain,
    wanted: u8,
    mut show: impl FnMut(&ExplainedChunk) -> std::io::Result<()>,
) -> anyhow::Result<Seen> {
    let limit = u32::try_from(CHUNKS_PER_BLOCK).unwrap_or(u32::MAX);
    let mut seen = Seen::default();
    loop {
        let chunks = file.explain(seen.chunks, limit).await;
        let chunks = chunks.with_context(|| format!("explain {}", arguments.path))?;
        if chunks.is_empty() {
            return Ok(seen);
        }
        for chunk in &chunks {
            let is_whole = seen.add(chunk, wanted);
            if !arguments.problems || !is_whole {
                show(chunk)?;
            }
        }
    }
}

impl Seen {
    /// Says whether the chunk has all the good copies that it should have.
    fn add(&mut self, chunk: &ExplainedChunk, wanted: u8) -> bool {
        let good = chunk.copies.iter().filter(|copy| is_good(copy)).count();
        let is_whole = good >= usize::from(wanted);
        self.chunks += 1;
        self.whole += u64::from(is_whole);
        self.unreadable += u64::from(!chunk.copies.iter().any(is_readable));
        is_whole
    }

    fn sentence(&self, wanted: u8) -> String {
        let copies = count(u64::from(wanted), "good copy");
        let lacking = self.chunks - self.whole - self.unreadable;
        match (self.chunks, lacking, self.unreadable) {
            (0, ..) => "it is empty: there are no chunks".to_owned(),
            (1, 0, 0) => format!("its one chunk has {copies}"),
            (1, 1, 0) => format!("its one chunk has fewer than {copies}"),
            (1, ..) => "its one chunk has no good copy that answers".to_owned(),
            (chunks, 0, 0) => format!("all {} with {copies}", count(chunks, "chunk")),
            (chunks, _, 0) => {
                format!(
                    "{} of {} with fewer than {copies}",
                    grouped(lacking),
                    count(chunks, "chunk")
                )
            }
            (chunks, ..) => format!(
                "{} of {} with no good copy that answers, {} with fewer than {copies}",
                grouped(self.unreadable),
                count(chunks, "chunk"),
                grouped(lacking)
            ),
        }
    }
}

fn is_good(copy: &ExplainedCopy) -> bool {
    let description = copy.description.as_ref();
    description.is_some_and(|description| description.state == ChunkState::Good)
}

fn is_readable(copy: &ExplainedCopy) -> bool {
    let description = copy.description.as_ref();
    description.is_some_and(|description| description.state.is_readable())
}

fn headline(context: &Context, file: &File) -> String {
    let modified = time(file.modified_ms, &context.zone);
    let (bytes, version) = (size(file.size), file.version);
    format!("{bytes}, changed {modified}, version {version}")
}

fn chunk_line(chunk: &ExplainedChunk) -> String {
    let id = chunk.chunk.to_string();
    let short: String = id.chars().take(12).collect();
    let len = size(u64::from(chunk.len));
    let copies = count(chunk.copies.len() as u64, "copy");
    let live = chunk.copies.iter().filter(|copy| copy.live).count();
    let copies = match chunk.copies.len() - live {
        0 => copies,
        _ => format!("{copies}, {live} of them on live nodes"),
    };
    format!("chunk {}  {short}  {len}  {copies}", chunk.index)
}

fn copy_line(copy: &ExplainedCopy, now: Timestamp) -> (Colour, String) {
    let Some(description) = &copy.description else {
        let why = if copy.live {
            "does not answer"
        } else {
            "is down"
        };
        return (Colour::Yellow, format!("{}  the node {why}", copy.address));
    };
    let (colour, state) = match description.state {
        ChunkState::Good => (Colour::Green, "good"),
        ChunkState::OnFailedDisk => (Colour::Yellow, "on a failed disk"),
        ChunkState::OnHungDisk => (Colour::Yellow, "its disk does not answer"),
        ChunkState::Corrupt => (Colour::Red, "damaged"),
        ChunkState::Missing => (Colour::Red, "missing"),
    };
    let mut line = format!("{}  {state}", copy.address);
    if let Some(extent) = description.extent {
        line = format!("{line}  extent {extent}");
    }
    if let Some(verified) = description.verified_ms {
        line = format!("{line}  verified {}", ago(verified, now));
    }
    (colour, line)
}

fn chunk_row(chunk: &ExplainedChunk) -> ChunkRow<'_> {
    ChunkRow {
        index: chunk.index,
        chunk: chunk.chunk,
        len: chunk.len,
        copies: chunk.copies.iter().map(copy_row).collect(),
    }
}

fn copy_row(copy: &ExplainedCopy) -> CopyRow<'_> {
    let description = copy.description.as_ref();
    CopyRow {
        node: copy.node,
        address: &copy.address,
        live: copy.live,
        state: description.map(|known| known.state),
        verified_ms: description.and_then(|known| known.verified_ms),
        extent: description.and_then(|known| known.extent),
    }
}

#[cfg(test)]
mod tests {
    use proto::node::ChunkDescription;

    use super::*;

    fn copy(state: Option<ChunkState>) -> ExplainedCopy {
        let chunk = ChunkId::of(b"a");
        ExplainedCopy {
            node: NodeId::new(uuid::Uuid::nil()),
            address: "127.0.0.1:9001".parse().unwrap(),
            live: true,
            failing: false,
            description: state.map(|state| ChunkDescription {
                chunk,
                state,
                verified_ms: Some(1000),
                extent: Some(3),
            }),
        }
    }

    fn check(copies: &[Option<ChunkState>], expected: &str) {
        let chunk = ExplainedChunk {
            index: 0,
            chunk: ChunkId::of(b"a"),
            len: 1,
            copies: copies.iter().copied().map(copy).collect(),
        };
        let mut seen = Seen::default();
        seen.add(&chunk, 2);
        assert_eq!(seen.sentence(2), expected);
    }

    #[test]
    fn copies_on_nodes_that_are_down_are_told_from_others() {
        let mut chunk = ExplainedChunk {
            index: 4,
            chunk: ChunkId::of(b"a"),
            len: 1,
            copies: vec![copy(None), copy(None)],
        };
        assert!(chunk_line(&chunk).ends_with("1 byte  2 copies"));
        chunk.copies[1].live = false;
        assert!(chunk_line(&chunk).ends_with("  2 copies, 1 of them on live nodes"));
    }

    #[test]
    fn many_chunks_are_counted() {
        let seen = |chunks, whole, unreadable| {
            Seen {
                chunks,
                whole,
                unreadable,
            }
            .sentence(3)
        };
        assert_eq!(seen(1136, 1136, 0), "all 1,136 chunks with 3 good copies");
        assert_eq!(
            seen(2000, 1, 0),
            "1,999 of 2,000 chunks with fewer than 3 good copies"
        );
        assert_eq!(
            seen(5, 1, 2),
            "2 of 5 chunks with no good copy that answers, 2 with fewer than 3 good copies"
        );
    }

    #[test]
    fn the_sum_says_what_lacks_copies() {
        use ChunkState::{Corrupt, Good, Missing, OnFailedDisk};
        check(&[Some(Good), Some(Good)], "its one chunk has 2 good copies");
        let fewer = "its one chunk has fewer than 2 good copies";
        check(&[Some(Good), Some(Missing)], fewer);
        check(&[Some(OnFailedDisk), Some(Missing)], fewer);
        let none = "its one chunk has no good copy that answers";
        check(&[Some(Corrupt), None], none);
        for (whole, unreadable, expected) in [
            (3, 0, "all 3 chunks with 2 good copies"),
            (2, 0, "1 of 3 chunks with fewer than 2 good copies"),
            (
                1,
                1,
                "1 of 3 chunks with no good copy that answers, 1 with fewer than 2 good copies",
            ),
        ] {
            let seen = Seen {
                chunks: 3,
                whole,
                unreadable,
            };
            assert_eq!(seen.sentence(2), expected);
        }
        let empty = Seen::default().sentence(2);
        assert_eq!(empty, "it is empty: there are no chunks");
    }

    #[test]
    fn a_copy_says_where_it_is_and_when_it_was_verified() {
        let now = Timestamp::from_millisecond(4000).unwrap();
        let (colour, line) = copy_line(&copy(Some(ChunkState::Good)), now);
        assert_eq!(colour, Colour::Green);
        assert_eq!(
            line,
            "127.0.0.1:9001  good  extent 3  verified 3 seconds ago"
        );
        let (_, line) = copy_line(&copy(None), now);
        assert_eq!(line, "127.0.0.1:9001  the node does not answer");
    }
}
