//! Rereads every chunk now and then, slowly, and reports what does not verify while there are still good copies.
//!
//! First it rereads what is known to be bad: that may only have been unreadable for a while, and be the last copy.
//! An extent is due when it was never read, and again a month after it was. Those that are due are read in the order of
//! their numbers, at the rate at which all of the disk takes a month; a small disk takes less, and rests. The place is
//! kept, so that a restart goes on where it was.
//!
//! **Invariant:** the scrubber only reads and marks; replacing a corrupt chunk is the master's to order.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use proto::id::ChunkId;
use proto::node::ChunkState;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::catalog::{ExtentSums, Location, Position};
use crate::error::StoreError;
use crate::extent::{EXTENT_HEADER_LEN, RECORD_HEADER_LEN, RecordHeader, RecordKind};
use crate::node::Node;
use crate::node_disk::NodeDisk;
use crate::store::{RANGES_MAX, Reread, Store};
use crate::walk::{Item, Walk};
use crate::writer::ScrubProgress;

/// An extent is read again so long after it was.
const INTERVAL: Duration = Duration::from_secs(30 * 24 * 3600);
/// However little there is, it is read at this rate at least, in bytes a second.
const RATE_MIN: u64 = 64 << 10;
/// How long the scrubber rests when nothing is due, and after a failed step.
const PAUSE: Duration = Duration::from_secs(60);
/// How long it rests when nothing is due but what could not be read.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(3600);
/// The place is kept after this many bytes.
const KEEP_EVERY: u64 = 64 << 20;
/// What a slow disk made it miss of its rate is made up for as far as this.
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Bad records that are noted at once.
const MARKS_AT_ONCE: usize = 64;

/// Scrubs one disk for as long as the node runs.
pub(crate) async fn run(node: Arc<Node>, disk: usize, rate_max: u64, shutdown: CancellationToken) {
    let (mut said, mut in_trouble) = (String::new(), false);
    tokio::select! {
        reread = reread_bad(&node, disk, Some(rate_max)) => if let Err(error) = reread {
            let disk = node.disks()[disk].store.options.disk_as_said();
            tracing::warn!(disk, %error, "not all that is known to be bad could be read again: that is tried at the next start");
        },
        () = shutdown.cancelled() => return,
    }
    loop {
        let step = tokio::select! {
            step = scrub_extent(&node, disk, Some(rate_max)) => step,
            () = shutdown.cancelled() => return,
        };
        let pause = match step {
            Ok(true) => continue,
            Ok(false) if std::mem::take(&mut in_trouble) => PAUSE_AFTER_TROUBLE,
            Ok(false) => PAUSE,
            Err(error) => {
                in_trouble = true;
                let disk = node.disks()[disk].store.options.disk_as_said();
                let why = error.to_string();
                if said == why {
                    tracing::debug!(disk, %error, "an extent still could not be scrubbed");
                } else {
                    tracing::warn!(disk, %error, "an extent could not be scrubbed; it is tried again after the others");
                    said = why;
                }
                PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Reads the next extent that is due to its end; `false` if none is any more.
///
/// # Errors
/// If it cannot be read now. The next time it is another's turn.
pub(crate) async fn scrub_extent(
    node: &Arc<Node>,
    disk: usize,
    rate_max: Option<u64>,
) -> Result<bool, StoreError> {
    let store = Arc::clone(&node.disks()[disk].store);
    let Some(start) = next_place(&store, node.environment.now_ms()) else {
        // Of a disk that rests nothing is written.
        if store.catalog().scrub != Position::default() {
            keep(node, disk, Position::default(), None).await?;
        }
        return Ok(false);
    };
    let began_ms = node.environment.now_ms();
    let read = read_extent(node, disk, start, rate_max).await;
    let next = Position {
        extent: start.extent + 1,
        offset: 0,
    };
    // Only what was read from its beginning to its end in one go counts as read, and as read when that began: more may have
    // been appended since.
    let whole = read.is_ok() && start.offset <= EXTENT_HEADER_LEN;
    let finished = whole.then_some((start.extent, began_ms));
    keep(node, disk, next, finished).await?;
    read.map(|()| true)
}

/// Reads once more what is known to be bad, and serves what is good again.
///
/// # Errors
/// Why one of them could not be verified; the others were, unless the disk as a whole is in trouble.
pub(crate) async fn reread_bad(
    node: &Node,
    disk: usize,
    rate_max: Option<u64>,
) -> Result<(), StoreError> {
    let NodeDisk { store, lane, .. } = &node.disks()[disk];
    let mut pace = Pace::new(rate_max.map(|most| rate(store, most)));
    let (mut after, mut first_error) = (None, Ok(()));
    loop {
        let reader = Arc::clone(store);
        let next = move || Ok(reader.corrupt_page(after.as_ref(), MARKS_AT_ONCE)?);
        let bad = lane.run_in_background(next).await?;
        let Some(last) = bad.last() else {
            return first_error;
        };
        after = Some(*last);
        for chunk in &bad {
            match node.verify_copy(disk, chunk).await {
                Ok(ChunkState::Good) => {
                    tracing::info!(%chunk, "a chunk that could not be read is good");
                }
                Ok(_) => {}
                Err(error) if !node.disks()[disk].is_sound() => return Err(error),
                Err(error) => first_error = first_error.and(Err(error)),
            }
            let row = store.find(chunk)?;
            pace.after(row.map_or(0, |row| row.location.len.into()))
                .await;
        }
    }
}

/// Reads an extent from there to its end, and marks what is bad.
async fn read_extent(
    node: &Arc<Node>,
    disk: usize,
    start: Position,
    rate_max: Option<u64>,
) -> Result<(), StoreError> {
    let Position { extent, offset } = start;
    let NodeDisk { store, lane, .. } = &node.disks()[disk];
    let reader = Arc::clone(store);
    let begin = move || reader.walk_extent(extent, offset);
    let Some(mut walk) = lane.run_in_background(begin).await? else {
        return mark_lost(node, disk, extent).await;
    };
    let mut kept = offset;
    let mut damaged = Vec::new();
    let mut pace = Pace::new(rate_max.map(|most| rate(store, most)));
    loop {
        let reader = Arc::clone(store);
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
            mark_damaged(node, disk, extent, std::mem::take(&mut damaged)).await?;
        }
        if walk.offset() - kept >= KEEP_EVERY {
            kept = walk.offset();
            let offset = kept;
            keep(node, disk, Position { extent, offset }, None).await?;
        }
        pace.after(found.bytes_read).await;
    }
    if !damaged.is_empty() {
        mark_damaged(node, disk, extent, damaged).await?;
    }
    Ok(())
}

/// Marks what still is where it was found bad.
pub(crate) async fn mark(
    node: &Node,
    disk: usize,
    bad: impl IntoIterator<Item = (ChunkId, Location)>,
) {
    let marks = bad
        .into_iter()
        .map(|(chunk, location)| node.mark_corrupt(disk, chunk, location));
    let marks = futures::stream::iter(marks).buffer_unordered(MARKS_AT_ONCE);
    marks.collect::<()>().await;
}

/// An extent's file is gone, and all that it held. If it is the one that is written, the next chunk goes to a new one.
pub(crate) async fn mark_lost(node: &Node, disk: usize, extent: u64) -> Result<(), StoreError> {
    let NodeDisk { store, writer, .. } = &node.disks()[disk];
    let last = store.catalog().last_extent();
    if last == Some(extent) {
        writer.seal().await?;
    }
    let disk_as_said = store.options.disk_as_said();
    tracing::error!(
        extent,
        disk = disk_as_said,
        "the file of an extent is gone: its chunks are lost here"
    );
    let everything = 0..u64::MAX;
    mark_damaged(node, disk, extent, vec![everything]).await
}

async fn mark_damaged(
    node: &Node,
    disk: usize,
    extent: u64,
    ranges: Vec<Range<u64>>,
) -> Result<(), StoreError> {
    let NodeDisk { store, lane, .. } = &node.disks()[disk];
    let store = Arc::clone(store);
    let find = move || Ok(store.rows_in(extent, &ranges)?);
    let rows = lane.run_in_background(find).await?;
    mark(node, disk, rows).await;
    Ok(())
}

/// Where the scrubber goes on: in the next extent that is due.
fn next_place(store: &Store, now_ms: u64) -> Option<Position> {
    let catalog = store.catalog();
    let place = catalog.scrub;
    let mut left = catalog.extents.range(place.extent..);
    let (extent, _) = left.find(|(_, sums)| is_due(sums, now_ms))?;
    let is_begun = *extent == place.extent;
    let offset = if is_begun { place.offset } else { 0 };
    Some(Position {
        extent: *extent,
        offset: offset.max(EXTENT_HEADER_LEN),
    })
}

/// Whether an extent was never read, or not for long. A clock that was put back makes it due, too.
pub(crate) fn is_due(sums: &ExtentSums, now_ms: u64) -> bool {
    let age_ms = now_ms.checked_sub(sums.scrubbed_ms);
    age_ms.is_none_or(|age_ms| u128::from(age_ms) >= INTERVAL.as_millis())
}

fn rate(store: &Store, most: u64) -> u64 {
    let monthly = store.catalog().stored_bytes() / INTERVAL.as_secs();
    monthly.clamp(RATE_MIN.min(most), most)
}

async fn keep(
    node: &Node,
    disk: usize,
    position: Position,
    finished: Option<(u64, u64)>,
) -> Result<(), StoreError> {
    let progress = ScrubProgress { position, finished };
    node.disks()[disk].writer.note_scrubbed(progress).await
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
    match walk.next_item() {
        None => Ok(None),
        Some(Item::Damage(range)) => Ok(Some(Checked {
            bytes_read: walk.bytes_in_file(&range),
            damaged: Some(range),
            ..Checked::default()
        })),
        Some(Item::Record { header, .. }) => check_record(store, extent, &header).map(Some),
    }
}

fn check_record(store: &Store, extent: u64, header: &RecordHeader) -> Result<Checked, StoreError> {
    let mut checked = Checked {
        bytes_read: RECORD_HEADER_LEN as u64,
        ..Checked::default()
    };
    if matches!(header.kind, RecordKind::Put { .. }) {
        let here = Location::of(extent, header);
        match store.read_at(header.chunk, here)? {
            Reread::Unneeded => return Ok(checked),
            Reread::Good(_) => {}
            Reread::Bad => checked.bad = Some((header.chunk, here)),
        }
        checked.bytes_read = header.record_len();
    }
    Ok(checked)
}

/// Sleeps so that bytes are read at no more than a rate.
struct Pace {
    bytes_per_second: Option<u64>,
    due: Instant,
}

impl Pace {
    fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second,
            due: Instant::now(),
        }
    }

    async fn after(&mut self, bytes: u64) {
        if let Some(rate) = self.bytes_per_second {
            let now = Instant::now();
            let earliest = now.checked_sub(BEHIND_MAX).unwrap_or(now);
            let takes = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1));
            self.due = self.due.max(earliest) + takes;
            tokio::time::sleep_until(self.due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extent_is_due_once_a_month_and_when_it_was_never_read() {
        let due = |scrubbed_ms, now_ms| {
            let sums = ExtentSums {
                scrubbed_ms,
                ..ExtentSums::default()
            };
            is_due(&sums, now_ms)
        };
        let month_ms = 30 * 24 * 3600 * 1000;
        assert!(due(0, 1_700_000_000_000));
        assert!(!due(1_700_000_000_000, 1_700_000_000_000));
        assert!(!due(1_700_000_000_000, 1_700_000_000_000 + month_ms - 1));
        assert!(due(1_700_000_000_000, 1_700_000_000_000 + month_ms));
        assert!(due(1_700_000_000_000, 1_600_000_000_000));
    }

    /// A disk that hung for an hour was then read as fast as it could, until the hour was made up for.
    #[tokio::test(start_paused = true)]
    async fn what_a_slow_disk_missed_is_not_made_up_for_at_once() {
        let mut pace = Pace::new(Some(1000));
        tokio::time::advance(Duration::from_secs(3600)).await;
        let begun = Instant::now();
        for _ in 0..10 {
            pace.after(1000).await;
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(9));
    }
}
