//! How long it takes until all is whole again when one of four nodes is lost with all that it had.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use crate::arguments::Sizes;
use crate::content::Content;
use crate::disk;
use crate::load::{self, Act, Shape};
use crate::report::short;
use crate::systems::{Dfs, System};

const NODES: usize = 4;
const CHUNK: u64 = 1 << 20;
/// Chunks of one file.
const CHUNKS_PER_FILE: u64 = 256;
/// Files that are stored at once.
const AT_ONCE: usize = 2;
/// No repair takes as long as this.
const LONGEST: Duration = Duration::from_secs(3600);
/// The small files, one chunk each.
const SMALL: Shape = Shape {
    series: 1,
    connections: 16,
    len: 4 << 10,
};
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Stores so many chunks of 1 MiB, and so many small files, three copies each, takes a node away, and waits until all have three again.
pub(crate) async fn measure(
    folder: &Path,
    chunks: u64,
    small_files: u64,
    sizes: &Sizes,
) -> Result<()> {
    disk::append_rate(folder, "first", 3, sizes.disk)?;
    let disk = disk::append_rate(folder, "three", 3, sizes.disk)?;
    row("disk: three files at once, in all", disk, "MB/s");
    let mut dfs = Dfs::start(folder, NODES).await?;
    let files = 0..chunks.div_ceil(CHUNKS_PER_FILE);
    let uploads = files.map(|file| {
        let len = CHUNKS_PER_FILE.min(chunks - file * CHUNKS_PER_FILE) * CHUNK;
        let path = dfs.door().file(&format!("repair-{file}"));
        let mut http = dfs.door().connect();
        async move { http.put(&path, Content::new(file, len)).await }
    });
    let uploads = futures::stream::iter(uploads.collect::<Vec<_>>());
    uploads
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    load::folder(dfs.door(), "small", SMALL, Act::Put, small_files).await?;
    dfs.until_green().await?;

    dfs.lose_node(NODES)?;
    let lost_at = Instant::now();
    let status = look(&dfs, |status| missing(status) > 0).await?;
    let began_at = Instant::now();
    let total = status["chunks"]["total"].as_u64().unwrap_or(0);
    let missing_first = missing(&status);
    row("chunks, stored three times", total as f64, "");
    row("  of 4 KiB", small_files as f64, "");
    row("  that lost a copy", missing_first as f64, "");
    let is_over = |status: &Value| missing(status) == 0 && status["nodes"]["dead"] == 1;
    look(&dfs, is_over).await?;
    let dead_after = (began_at - lost_at).as_secs_f64();
    row("  until the node is declared dead", dead_after, "s");
    let took = began_at.elapsed().as_secs_f64();
    row("  from then until all have three copies", took, "s");
    row("repair", missing_first as f64 / took, "copies/s");
    if small_files == 0 {
        let rate = (missing_first * CHUNK) as f64 / 1e6 / took;
        row("  of bytes", rate, "MB/s");
        row("  as a share of the disk's rate", rate / disk, "");
    }
    Ok(())
}

fn missing(status: &Value) -> u64 {
    status["chunks"]["missing_copies"].as_u64().unwrap_or(0)
}

/// Asks until it is so. The cluster tells nobody of an event.
async fn look(dfs: &Dfs, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    let asked_since = Instant::now();
    loop {
        let status = dfs.status().await?;
        if is_so(&status) {
            return Ok(status);
        }
        ensure!(asked_since.elapsed() < LONGEST, "still: {status}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn row(what: &str, figure: f64, unit: &str) {
    println!("{what:<45} {:>10} {unit}", short(figure));
}
