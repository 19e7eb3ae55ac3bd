//! Rereads every chunk now and then, slowly, and reports what does not verify while there are still good copies.
//!
//! A round goes through all extents of a disk and takes about a month, or as long as the highest rate makes it. The
//! place is kept, so that a restart goes on where the round was.
//!
//! **Invariant:** the scrubber only reads and marks; replacing a corrupt chunk is the master's to order.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use proto::id::ChunkId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Location, Position, Row};
use crate::compact::walk_extent;
use crate::error::StoreError;
use crate::extent::{EXTENT_HEADER_LEN, RecordHeader, RecordKind, record_len};
use crate::node::Node;
use crate::store::{RANGES_MAX, Store};
use crate::walk::{Item, Walk};

/// A round shall take about this long.
const ROUND: Duration = Duration::from_secs(30 * 24 * 3600);
/// However little there is, it is read at this rate at least, in bytes a second.
const RATE_MIN: u64 = 64 << 10;
/// How long an empty disk is left alone, and a failed step.
const PAUSE: Duration = Duration::from_secs(60);
/// The place is kept after this many bytes.
const KEEP_EVERY: u64 = 64 << 20;

/// Scrubs one disk for as long as the node runs.
pub(crate) async fn run(node: Arc<Node>, disk: usize, rate_max: u64, shutdown: CancellationToken) {
    if rate_max == 0 {
        return;
    }
    loop {
        let step = tokio::select! {
            step = scrub_extent(&node, disk, Some(rate_max)) => step,
            () = shutdown.cancelled() => return,
        };
        let pause = match step {
            Ok(true) => continue,
            Ok(false) => PAUSE,
            Err(error) => {
                let disk = node.disks()[disk].store.options.disk_as_said();
                tracing::warn!(disk, %error, "scrubbing waits");
                PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Reads on to the end of the extent at which the round is; `false` if that ended the round.
pub(crate) async fn scrub_extent(
    node: &Arc<Node>,
    disk: usize,
    rate_max: Option<u64>,
) -> Result<bool, StoreError> {
    let store = Arc::clone(&node.disks()[disk].store);
    let Some(start) = next_place(&store) else {
        keep(node, disk, Position::default(), None).await;
        return Ok(false);
    };
    let lane = &node.disks()[disk].lane;
    let reader = Arc::clone(&store);
    let begin = move || walk_extent(&reader, start.extent, start.offset);
    let mut walk = lane.run_in_background(begin).await?;
    let mut kept = start.offset;
    let mut damaged = Vec::new();
    let mut pace = Pace::new(rate_max.map(|most| rate(&store, most)));
    loop {
        let (reader, extent) = (Arc::clone(&store), start.extent);
        let step = move || {
            let found = check_next(&reader, extent, &mut walk)?;
            Ok((walk, found))
        };
        let (next, found) = lane.run_in_background(step).await?;
        walk = next;
        let Some(found) = found else {
            break;
        };
        mark(node, disk, found.bad).await;
        damaged.extend(found.damaged);
        if damaged.len() >= RANGES_MAX {
            mark_damaged(node, disk, start.extent, std::mem::take(&mut damaged)).await?;
        }
        if walk.offset() - kept >= KEEP_EVERY {
            kept = walk.offset();
            let position = Position {
                extent: start.extent,
                offset: kept,
            };
            keep(node, disk, position, None).await;
        }
        pace.after(found.bytes_read).await;
    }
    if !damaged.is_empty() {
        mark_damaged(node, disk, start.extent, damaged).await?;
    }
    let next = Position {
        extent: start.extent + 1,
        offset: 0,
    };
    // Only what was read from its beginning to its end in one go counts as read.
    let whole = start.offset <= EXTENT_HEADER_LEN;
    let finished = whole.then(|| (start.extent, node.environment.now_ms()));
    keep(node, disk, next, finished).await;
    Ok(true)
}

/// Marks what still is where it was found bad.
pub(crate) async fn mark(
    node: &Node,
    disk: usize,
    bad: impl IntoIterator<Item = (ChunkId, Location)>,
) {
    for (chunk, location) in bad {
        node.mark_corrupt(disk, chunk, location).await;
    }
}

async fn mark_damaged(
    node: &Node,
    disk: usize,
    extent: u64,
    ranges: Vec<Range<u64>>,
) -> Result<(), StoreError> {
    let store = Arc::clone(&node.disks()[disk].store);
    let find = move || Ok(store.rows_in(extent, &ranges)?);
    let rows = node.disks()[disk].lane.run_in_background(find).await?;
    mark(node, disk, rows).await;
    Ok(())
}

fn next_place(store: &Store) -> Option<Position> {
    let catalog = store.catalog();
    let place = catalog.scrub;
    let extent = catalog
        .extents
        .range(place.extent..)
        .next()
        .map(|(number, _)| *number)?;
    let offset = if extent == place.extent {
        place.offset
    } else {
        0
    };
    Some(Position {
        extent,
        offset: offset.max(EXTENT_HEADER_LEN),
    })
}

fn rate(store: &Store, most: u64) -> u64 {
    let monthly = store.catalog().stored_bytes() / ROUND.as_secs();
    monthly.clamp(RATE_MIN.min(most), most)
}

async fn keep(node: &Node, disk: usize, position: Position, finished: Option<(u64, u64)>) {
    let progress = crate::writer::ScrubProgress { position, finished };
    node.disks()[disk].writer.note_scrubbed(progress).await;
}

/// What one step found.
#[derive(Default)]
struct Checked {
    bytes_read: u64,
    bad: Option<(ChunkId, Location)>,
    damaged: Option<Range<u64>>,
}

/// Checks the next record; `None` at the end.
fn check_next(store: &Store, extent: u64, walk: &mut Walk) -> Result<Option<Checked>, StoreError> {
    let mut checked = Checked::default();
    match walk.next_item() {
        None => return Ok(None),
        Some(Item::Damage(range)) => {
            checked.bytes_read = range.end - range.start;
            checked.damaged = Some(range);
        }
        Some(Item::Record { header, .. }) => check_record(store, extent, &header, &mut checked)?,
    }
    Ok(Some(checked))
}

fn check_record(
    store: &Store,
    extent: u64,
    header: &RecordHeader,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    checked.bytes_read = record_len(0);
    if !matches!(header.kind, RecordKind::Put { .. }) {
        return Ok(());
    }
    let here = Location {
        extent,
        offset: header.offset,
        len: header.payload_len,
    };
    let is_here = |row: &Row| row.location == here && !row.corrupt;
    let verified = match store.open_if(&header.chunk, is_here) {
        Ok(None) => return Ok(()),
        Ok(Some(file)) => file.verify(),
        Err(error @ StoreError::Corrupt(_)) => Err(error),
        Err(error) => return Err(error),
    };
    checked.bytes_read = header.record_len();
    checked.bad = verified.is_err().then_some((header.chunk, here));
    Ok(())
}

/// Sleeps so that bytes are read at no more than a rate.
struct Pace {
    bytes_per_second: Option<u64>,
    begun: Instant,
    bytes: u64,
}

impl Pace {
    fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second,
            begun: Instant::now(),
            bytes: 0,
        }
    }

    async fn after(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(rate) = self.bytes_per_second {
            let due = Duration::from_millis(self.bytes.saturating_mul(1000) / rate.max(1));
            tokio::time::sleep_until(self.begun + due).await;
        }
    }
}
