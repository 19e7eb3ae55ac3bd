//! `dfs bench`: how fast the cluster is from here. Files are written, read, listed and deleted, and nothing of it stays.
//!
//! **Invariant:** all that is written is below one new folder, which is removed for good at the end: after the work, after an error, and
//! when it was interrupted. Size and time are bounded, and said before anything is written.

mod content;
mod steps;

use std::time::Duration;

use anyhow::Context as _;
use client::people::{count, grouped, size};
use client::{DeleteOptions, Error};
use proto::master::ClusterStatus;
use proto::name::EntryPath;
use serde::Serialize;
use tokio::time::timeout;

use super::interrupted;
use crate::args::Bench;
use crate::context::Context;
use crate::exit::{Exit, Stop};
use crate::output::{Output, Table, span};

use steps::{SHAPES, Step, Steps};

/// The removal of the folder takes no longer, whatever is in it: it is one change of names.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(30);

/// What `--json` shows.
#[derive(Debug, Serialize)]
struct Report<'a> {
    cluster: String,
    live_nodes: u32,
    copies: u8,
    steps: &'a [Step],
}

pub(super) async fn run(mut context: Context, arguments: &Bench) -> anyhow::Result<()> {
    if arguments.json {
        context.narrator.keep_off_stdout();
    }
    let status = context.cluster.status().await;
    let status = status.context("ask how the cluster does")?;
    check_room(arguments, &status)?;
    let folder: EntryPath = format!("/dfs-bench-{:016x}", rand::random::<u64>()).parse()?;
    context
        .narrator
        .done(&announcement(arguments, &status, &folder))?;

    let made = context.cluster.create_folder(&folder, false).await;
    made.with_context(|| format!("make {folder}"))?;
    let mut steps = Steps::new(context.cluster.clone(), folder.clone(), arguments);
    let result = tokio::select! {
        result = steps.run() => result,
        () = context.stop.cancelled() => Err(interrupted()),
    };
    let removed = remove(&context, &folder).await;
    // What went wrong first is what a person has to know first.
    result.and(removed)?;
    show(arguments, &status, &steps.done)
}

/// Bytes that are written at most.
fn bytes_to_write(arguments: &Bench) -> u64 {
    let small: u64 = SHAPES.iter().map(|shape| shape.len).sum();
    let small = u64::from(arguments.files) * small;
    arguments.big.get().saturating_add(small)
}

fn check_room(arguments: &Bench, status: &ClusterStatus) -> anyhow::Result<()> {
    if !status.uploads_possible {
        let message = "uploads do not work now, so nothing can be measured; `dfs status` tells why";
        return Err(Stop::error(Exit::Unavailable, message));
    }
    let needed = bytes_to_write(arguments);
    if needed > status.room_bytes {
        let message = format!(
            "it would write {}, and the cluster has room for about {}: choose less with --big or --files",
            size(needed),
            size(status.room_bytes)
        );
        return Err(Stop::error(Exit::NoSpace, message));
    }
    let big = arguments.big.get();
    match status.rules.file_size_max {
        Some(max) if big > max => Err(Stop::usage(format!(
            "the cluster takes no file larger than {}: choose a smaller one with --big",
            size(max)
        ))),
        _ => Ok(()),
    }
}

fn announcement(arguments: &Bench, status: &ClusterStatus, folder: &EntryPath) -> String {
    let files = u64::from(arguments.files) * SHAPES.len() as u64 + 1;
    format!(
        "writes up to {} in {} to {folder}, {} of each, in {} at most; all is removed for good, and its space is freed about an hour later",
        size(bytes_to_write(arguments)),
        count(files, "file"),
        copies(status.rules.replication_factor),
        span(Duration::from_secs(arguments.seconds * steps::COUNT)),
    )
}

fn copies(copies: u8) -> String {
    if copies == 1 {
        return "one copy".to_owned();
    }
    format!("{copies} copies")
}

async fn remove(context: &Context, folder: &EntryPath) -> anyhow::Result<()> {
    let options = DeleteOptions {
        recursive: true,
        purge: true,
        ..DeleteOptions::default()
    };
    let removed = timeout(REMOVAL_PATIENCE, context.cluster.delete(folder, options)).await;
    let removed = match removed {
        Ok(Ok(_) | Err(Error::NotFound { .. })) => return Ok(()),
        Ok(Err(error)) => anyhow::Error::new(error),
        Err(_) => Stop::error(Exit::Unavailable, "no answer in time"),
    };
    // It is said even where another error comes first.
    let advice =
        format!("{folder} could not be removed: `dfs rm -r --purge {folder}` does it later");
    context.narrator.warn(&advice);
    Err(removed.context(format!("remove {folder}")))
}

fn show(arguments: &Bench, status: &ClusterStatus, steps: &[Step]) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    if arguments.json {
        output.json(&Report {
            cluster: status.cluster.to_string(),
            live_nodes: status.nodes.live,
            copies: status.rules.replication_factor,
            steps,
        })?;
    } else {
        for line in table(steps).lines("  ") {
            output.line(&line)?;
        }
    }
    output.flush()?;
    Ok(())
}

fn table(steps: &[Step]) -> Table {
    let mut table = Table::default();
    for step in steps {
        let connections = match step.connections {
            1 => "1 connection".to_owned(),
            connections => format!("{connections} connections"),
        };
        let much = match step.bytes {
            Some(bytes) => size(bytes),
            None => grouped(step.count),
        };
        let took = format!("{:.1} s", step.seconds);
        table.row([
            step.title(),
            connections,
            step.rate_in_words(),
            format!("({much} in {took})"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use settings::ByteSize;

    use super::*;

    fn arguments(big: ByteSize, files: u32) -> Bench {
        Bench {
            big,
            files,
            seconds: 10,
            json: false,
        }
    }

    #[test]
    fn all_that_may_be_written_is_counted() {
        assert_eq!(
            bytes_to_write(&arguments(ByteSize::mebi(1), 1)),
            (1 << 20) + 3 * (4096 + 65_536)
        );
        assert_eq!(
            bytes_to_write(&arguments(ByteSize::bytes(u64::MAX), 1)),
            u64::MAX
        );
    }
}
