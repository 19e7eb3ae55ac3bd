//! Wins deleted space back: what is still needed of a mostly dead extent is copied to the active one, then
//! the file goes.
//!
//! The copies are planned, checked against the index and synced by the disk's writer like puts, so that a delete or a
//! put at the same time is simply before or after them. A deletion is copied only while a put that it undoes still
//! lies in another extent.
//!
//! **Invariant:** an extent is removed only when the index points to nothing in it, and everything copied from it is
//! durable. A chunk that could not be read may be the last copy and readable another time: its extent stays until the
//! master has had the chunk replaced or deleted.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use planted::{Bug, Point, is_planted, reach};
use proto::id::ChunkId;
use tokio_util::sync::CancellationToken;

use crate::appender::Moved;
use crate::catalog::Location;
use crate::error::StoreError;
use crate::extent::{EXTENT_HEADER_LEN, EXTENTS_FOLDER, RecordHeader, RecordKind, extent_path};
use crate::lane::Lane;
use crate::node::Node;
use crate::node_disk::NodeDisk;
use crate::scrub;
use crate::store::{RANGES_MAX, Reread, Store};
use crate::walk::{Item, Walk};
use crate::writer::Writer;

/// Bytes that are copied, or walked over, at once.
const PIECE_LEN: u64 = 8 << 20;
/// Puts of a removed extent that the index forgets at once.
const PUTS_AT_ONCE: usize = 4096;
/// How often an extent is looked for when nothing was deleted.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Deletions come in bursts: what follows shortly is waited for.
const AFTER_DELETES: Duration = Duration::from_secs(1);
/// An active extent is closed for compaction only from this share of its full size on.
const ACTIVE_SHARE: u64 = 8;

/// Why an extent, or all of a disk, was not compacted.
#[derive(Debug)]
pub(crate) struct Trouble {
    extent: Option<u64>,
    error: StoreError,
}

/// Compacts one disk for as long as the node runs.
pub(crate) async fn run(
    node: Arc<Node>,
    disk: usize,
    live_share_min: f64,
    shutdown: CancellationToken,
) {
    let (mut said, mut kept) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let woken = async {
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = node.deleted.notified() => tokio::time::sleep(AFTER_DELETES).await,
            }
            // A chunk that is known to be bad keeps its extent, so that is noted first.
            node.mark_again(disk).await;
            compact_all(&node, disk, live_share_min, &mut kept).await
        };
        let troubles = tokio::select! {
            troubles = woken => troubles,
            () = shutdown.cancelled() => return,
        };
        said = say(&node, disk, &troubles, &said);
    }
}

/// Says in the log what is in the way, once for as long as it is; gives what was said.
fn say(
    node: &Node,
    disk: usize,
    troubles: &[Trouble],
    said: &BTreeSet<Option<u64>>,
) -> BTreeSet<Option<u64>> {
    let disk = node.disks()[disk].store.options.disk_as_said();
    for Trouble { extent, error } in troubles {
        if said.contains(extent) {
            tracing::debug!(disk, extent, %error, "compaction still waits");
        } else {
            tracing::warn!(disk, extent, %error, "compaction waits");
        }
    }
    troubles.iter().map(|trouble| trouble.extent).collect()
}

/// Compacts each extent of a disk that is worth it, beginning with the one that gives most back. One that cannot be
/// compacted is left for another time; one that was read and could not be removed is `kept` until a restart, lest its deletions
/// are copied again and again.
pub(crate) async fn compact_all(
    node: &Arc<Node>,
    disk: usize,
    live_share_min: f64,
    kept: &mut BTreeSet<u64>,
) -> Vec<Trouble> {
    let disks = node.disks();
    let NodeDisk { store, lane, .. } = &disks[disk];
    let (mut tried, mut troubles) = (BTreeSet::new(), Vec::new());
    // What is handed to a writer that hangs would stay in memory.
    while disks[disk].is_sound() {
        let chosen = held_extents(store, lane).await.map(|mut held| {
            held.extend(tried.union(kept));
            choose(store, live_share_min, &held)
        });
        let (extent, compacted) = match chosen {
            Ok(None) => break,
            Ok(Some(extent)) => {
                tried.insert(extent);
                (
                    Some(extent),
                    compact_extent(node, disk, &disks[disk], extent, kept).await,
                )
            }
            Err(error) => (None, Err(error)),
        };
        if let Err(error) = compacted {
            let is_of_extent = matches!(error, StoreError::Unopened(_) | StoreError::Disk(_));
            troubles.push(Trouble { extent, error });
            if extent.is_none() || !is_of_extent {
                break;
            }
        }
    }
    troubles
}

/// Copies what is needed of an extent, and removes it, or notes that it is kept.
async fn compact_extent(
    node: &Arc<Node>,
    disk: usize,
    on: &NodeDisk,
    extent: u64,
    kept: &mut BTreeSet<u64>,
) -> Result<(), StoreError> {
    let NodeDisk {
        store,
        lane,
        writer,
        ..
    } = on;
    let last = store.catalog().last_extent();
    if last == Some(extent) {
        writer.seal().await?;
    }
    let reader = Arc::clone(store);
    let begin = move || Pass::begin(&reader, extent);
    match lane.run_in_background(begin).await? {
        None => scrub::mark_lost(node, disk, extent).await?,
        Some(mut pass) => {
            if is_planted(Bug::ExtentRemovedFirst) {
                store.disk.remove(&extent_path(extent))?;
                store.disk.sync_folder(EXTENTS_FOLDER)?;
            }
            while let (next, Some(piece)) = lane.run_in_background(move || pass.piece()).await? {
                pass = next;
                scrub::mark(node, disk, piece.bad).await;
                if !piece.moved.is_empty() {
                    writer.relocate(extent, piece.moved).await?;
                }
            }
        }
    }
    reach(Point::ExtentCopied);
    // It reads on from the extent when that has no name any more.
    let reader = Arc::clone(store);
    let again = move || reader.walk_extent(extent, EXTENT_HEADER_LEN);
    let walk = lane.run_in_background(again).await?;
    let removed = writer.remove_extent(extent).await;
    if matches!(removed, Ok(false)) && held_extents(store, lane).await?.contains(&extent) {
        // Chunks of it were found bad just now: it is tried again when they are replaced or deleted.
        return Ok(());
    }
    if matches!(removed, Ok(false) | Err(StoreError::Disk(_))) {
        kept.insert(extent);
    }
    let disk = store.options.disk_as_said();
    if !removed? {
        tracing::warn!(
            disk,
            extent,
            "an extent could not be removed: it stays until a restart"
        );
        return Ok(());
    }
    reach(Point::ExtentForgotten);
    if let Some(walk) = walk {
        bury_puts(lane, writer, extent, walk).await?;
    }
    tracing::info!(disk, extent, "compacted");
    Ok(())
}

/// The extents that stay because of corrupt chunks.
async fn held_extents(store: &Arc<Store>, lane: &Lane) -> Result<BTreeSet<u64>, StoreError> {
    let store = Arc::clone(store);
    let read = move || {
        let mut held = store.index.corrupt_extents()?;
        held.extend(store.unmarked().iter().map(|(_, at)| at.extent));
        Ok(held)
    };
    lane.run_in_background(read).await
}

/// Has the index forget the puts of an extent that was removed.
async fn bury_puts(
    lane: &Lane,
    writer: &Writer,
    extent: u64,
    mut walk: Walk,
) -> Result<(), StoreError> {
    loop {
        let (next, puts) = lane.run_in_background(move || Ok(next_puts(walk))).await?;
        walk = next;
        if puts.is_empty() {
            return Ok(());
        }
        writer.bury(extent, puts).await?;
    }
}

/// The next chunks of an extent's puts.
fn next_puts(mut walk: Walk) -> (Walk, Vec<ChunkId>) {
    let mut puts = Vec::new();
    while puts.len() < PUTS_AT_ONCE
        && let Some(item) = walk.next_item()
    {
        if let Item::Record { header, .. } = item
            && matches!(header.kind, RecordKind::Put { .. })
        {
            puts.push(header.chunk);
        }
    }
    (walk, puts)
}

/// The extent with the smallest live share below the limit, of those that are not held. Deletions are live, unless they are all
/// that the first extent holds.
#[expect(clippy::cast_precision_loss, reason = "a share needs no exact bytes")]
fn choose(store: &Store, live_share_min: f64, held: &BTreeSet<u64>) -> Option<u64> {
    let catalog = store.catalog();
    let last = catalog.last_extent();
    // The last one is closed for it, and another is opened: not for nothing.
    let last_len_min = (EXTENT_HEADER_LEN + 1).max(store.options.extent_size / ACTIVE_SHARE);
    let worth = |number: u64, len: u64| Some(number) != last || len >= last_len_min;
    // What a deletion undoes lies before it: those of the first extent undo nothing that is left elsewhere.
    let first = catalog.extents.keys().next().copied();
    catalog
        .extents
        .iter()
        .filter(|(number, sums)| worth(**number, sums.len) && !held.contains(number))
        .map(|(number, sums)| {
            // One that holds no record at all gives its file back.
            let room = sums.len.saturating_sub(EXTENT_HEADER_LEN).max(1) as f64;
            let is_done_with =
                Some(*number) == first && Some(*number) != last && sums.live_chunks == 0;
            let live = if is_done_with { 0 } else { sums.live_bytes };
            (*number, live as f64 / room)
        })
        .filter(|(_, share)| *share < live_share_min)
        .min_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(number, _)| number)
}

/// One walk through an extent.
struct Pass {
    store: Arc<Store>,
    extent: u64,
    walk: Walk,
    /// Of these the chunks are not looked for yet.
    damaged: Vec<Range<u64>>,
}

/// What a piece of an extent holds.
#[derive(Default)]
struct Piece {
    moved: Vec<Moved>,
    bad: Vec<(ChunkId, Location)>,
}

impl Pass {
    /// `None` if the extent's file is gone.
    fn begin(store: &Arc<Store>, extent: u64) -> Result<Option<Self>, StoreError> {
        let walk = store.walk_extent(extent, EXTENT_HEADER_LEN)?;
        Ok(walk.map(|walk| Self {
            store: Arc::clone(store),
            extent,
            walk,
            damaged: Vec::new(),
        }))
    }

    fn rows_in_damage(&mut self) -> Result<Vec<(ChunkId, Location)>, StoreError> {
        let damaged = std::mem::take(&mut self.damaged);
        Ok(self.store.rows_in(self.extent, &damaged)?)
    }

    /// The next piece; `None` at the end.
    fn piece(mut self) -> Result<(Self, Option<Piece>), StoreError> {
        let piece = self.read_piece()?;
        Ok((self, piece))
    }

    fn read_piece(&mut self) -> Result<Option<Piece>, StoreError> {
        let mut piece = Piece::default();
        let begin = self.walk.offset();
        while self.walk.offset() - begin < PIECE_LEN {
            match self.walk.next_item() {
                None if self.walk.offset() == begin && self.damaged.is_empty() => return Ok(None),
                None if self.walk.offset() == begin => {
                    piece.bad = self.rows_in_damage()?;
                    break;
                }
                None => break,
                Some(Item::Damage(range)) => {
                    self.damaged.push(range);
                    if self.damaged.len() >= RANGES_MAX {
                        piece.bad.extend(self.rows_in_damage()?);
                    }
                }
                Some(Item::Record { header, .. }) => self.take(&header, &mut piece)?,
            }
        }
        Ok(Some(piece))
    }

    fn take(&mut self, header: &RecordHeader, piece: &mut Piece) -> Result<(), StoreError> {
        match header.kind {
            RecordKind::Order { .. } => {}
            RecordKind::Delete { order } => piece.moved.push(Moved::Delete(header.chunk, order)),
            RecordKind::Put { .. } => {
                let here = Location::of(self.extent, header);
                match self.store.read_at(header.chunk, here)? {
                    Reread::Unneeded => {}
                    Reread::Good(chunk) => piece.moved.push(Moved::Put(chunk, here)),
                    Reread::Bad => piece.bad.push((header.chunk, here)),
                }
            }
        }
        Ok(())
    }
}
