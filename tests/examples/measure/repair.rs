//! How long it takes until all is whole again when one of four nodes is lost with all that it had.

use std::time::{Duration, Instant};

use futures::StreamExt;
use proto::master::ClusterStatus;

use super::{Cluster, MIB, Options, append_rate, put, row};

/// Chunks of one file.
const CHUNKS_PER_FILE: u64 = 256;
/// No repair takes as long as this.
const LONGEST: Duration = Duration::from_secs(3600);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Files that are stored at once.
const AT_ONCE: usize = 2;

/// Stores so many chunks of 1 MiB, three copies each, takes a node away, and waits until all have three again.
pub(super) async fn measure(options: &Options, chunks: u64) {
    let disk = append_rate(&options.folder, 3, options.big);
    row("disk: three files at once, in all", disk, "MB/s");
    let mut cluster = Cluster::plan()
        .nodes(4)
        .set("chunk_size", "\"1MiB\"")
        .start_in(&options.folder)
        .await;
    let files = 0..chunks.div_ceil(CHUNKS_PER_FILE);
    let uploads = files.map(|file| {
        let len = CHUNKS_PER_FILE.min(chunks - file * CHUNKS_PER_FILE) * MIB;
        let (cluster, name) = (&cluster, format!("repair-{file}"));
        async move { put(cluster, &name, 1_000_000 + file, len).await }
    });
    futures::stream::iter(uploads)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
    cluster.until_healthy().await;

    cluster.node(4).wipe();
    let lost_at = Instant::now();
    let missing = look(&cluster, |status| status.chunks.missing_copies > 0)
        .await
        .chunks;
    let began_at = Instant::now();
    row(
        "chunks of 1 MiB, stored three times",
        missing.total as f64,
        "",
    );
    row("  that lost a copy", missing.missing_copies as f64, "");
    look(&cluster, |status| {
        status.chunks.missing_copies == 0 && status.nodes.dead > 0
    })
    .await;
    row(
        "  until the node is declared dead",
        (began_at - lost_at).as_secs_f64(),
        "s",
    );
    let took = began_at.elapsed().as_secs_f64();
    row("  from then until all have three copies", took, "s");
    let rate = (missing.missing_copies * MIB) as f64 / 1e6 / took;
    row("repair", rate, "MB/s");
    row("  as a share of the disk's rate", rate / disk, "");
}

/// Asks until it is so. Another process tells nobody of an event.
async fn look(cluster: &Cluster, is_so: impl Fn(&ClusterStatus) -> bool) -> ClusterStatus {
    let asked_since = Instant::now();
    loop {
        let status = cluster.client().status().await.unwrap();
        if is_so(&status) {
            return status;
        }
        assert!(asked_since.elapsed() < LONGEST, "still: {status:#?}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
