//! All that changes a store, one batch at a time: plan records, append and sync them, then the index, then answer.
//!
//! A batch is planned against the index plus what the batch itself has planned, so that two puts of one chunk
//! write once and a delete between two puts does what it says. [`Appender::flush`] is the one place
//! that makes anything durable:
//!
//! 1. the records are written: a crash now leaves a torn tail, which the next start cuts;
//! 2. the extent is synced: from now on they survive;
//! 3. the index learns of them, without a sync: a crash now is mended by replay;
//! 4. whoever waits is answered.
//!
//! **Invariants:** nothing is answered before step 2. An extent whose sync failed is never written or synced again.

mod relocate;
mod room;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use disk::{Ballast, is_full};
use planted::{Bug, Point, is_planted, reach};
use proto::id::ChunkId;
use proto::net::is_out_of_descriptors;

use crate::active::{Active, AppendError, RecordBytes};
use crate::catalog::{Location, Position, Row};
use crate::error::StoreError;
use crate::extent::{
    EXTENT_HEADER_LEN, ExtentHeader, Order, RECORD_HEADER_LEN, RecordHeader, RecordKind, batch_at,
    record_len,
};
use crate::index::Changes;
use crate::store::Store;
use crate::verified::VerifiedChunk;
use crate::writer::ScrubProgress;

/// The index is made durable after this many records at the latest: replay stays short.
const CHECKPOINT_RECORDS: usize = 8192;

pub(crate) use relocate::Moved;
use room::index_reserve;

/// Called when a batch is durable, or was refused.
pub(crate) type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The writing side of one store. There is one.
pub(crate) struct Appender {
    store: Arc<Store>,
    active: Option<Active>,
    next_number: u64,
    /// The extent before the next one, and its length.
    previous: Position,
    batch: Batch,
    records_since_checkpoint: usize,
    bytes_since_checkpoint: u64,
    changed_since_checkpoint: bool,
    ballast: Ballast,
}

/// What was planned since the last flush.
#[derive(Default)]
struct Batch {
    records: Vec<RecordBytes>,
    len: u64,
    rows: BTreeMap<ChunkId, Option<Row>>,
    dead: Vec<(ChunkId, u64)>,
    deletions: u64,
    order: Order,
    waiting: Vec<Answer>,
    /// Free bytes of the disk, asked for once a batch, less what was planned since.
    free: Option<u64>,
}

impl Appender {
    pub(crate) fn new(
        store: Arc<Store>,
        active: Option<Active>,
        next_number: u64,
        previous: Position,
    ) -> Self {
        let ballast = Ballast::find(&*store.disk, index_reserve(store.options.reserve));
        let mut appender = Self {
            store,
            active,
            next_number,
            previous,
            batch: Batch::default(),
            records_since_checkpoint: 0,
            bytes_since_checkpoint: 0,
            changed_since_checkpoint: false,
            ballast,
        };
        appender.take_ballast();
        appender
    }

    /// Plans to store a chunk. `false` if it is here already, in good state.
    pub(crate) fn put(&mut self, chunk: &VerifiedChunk) -> Result<bool, StoreError> {
        self.check_writable()?;
        let old = self.row(&chunk.chunk)?;
        if old.is_some_and(|row| !row.corrupt) {
            return Ok(false);
        }
        self.take_room(record_len(chunk.len()), self.store.options.reserve)?;
        self.append_put(chunk, old)?;
        Ok(true)
    }

    /// Plans to remove chunks on an order; tells which are here.
    pub(crate) fn delete(
        &mut self,
        order: Order,
        chunks: &[ChunkId],
    ) -> Result<Vec<ChunkId>, StoreError> {
        self.check_writable()?;
        let record_len = RECORD_HEADER_LEN as u64;
        self.take_room_of_ballast(chunks.len() as u64 * record_len)?;
        let mut deleted = Vec::new();
        for chunk in chunks {
            if let Some(old) = self.row(chunk)? {
                self.append_deletion(order, *chunk, old)?;
                deleted.push(*chunk);
            }
        }
        if deleted.is_empty() {
            let nothing = ChunkId::from_bytes([0; ChunkId::LEN]);
            self.append(RecordKind::Order { order }, nothing, Bytes::new(), 0)?;
            self.batch.deletions += 1;
        }
        self.batch.order = self.batch.order.max(order);
        Ok(deleted)
    }

    /// Plans to remove a record without an order, since another disk of the node has the chunk in good state; `false` if it is
    /// not there any more.
    pub(crate) fn drop_copy(
        &mut self,
        chunk: &ChunkId,
        location: Location,
    ) -> Result<bool, StoreError> {
        self.check_writable()?;
        let is_it = |row: &Row| row.location == location;
        let Some(old) = self.row(chunk)?.filter(is_it) else {
            return Ok(false);
        };
        self.take_room(RECORD_HEADER_LEN as u64, self.index_reserve())?;
        // It says no more of the master's orders than the disk knows already.
        let order = self.store.catalog().order.max(self.batch.order);
        self.append_deletion(order, *chunk, old)?;
        Ok(true)
    }

    /// Plans to note that the record there was found corrupt, or good again; `false` if the chunk is not there any more.
    pub(crate) fn mark(
        &mut self,
        chunk: &ChunkId,
        location: Location,
        corrupt: bool,
    ) -> Result<bool, StoreError> {
        // What is only remembered of it is not noted yet.
        let row = match self.batch.rows.get(chunk) {
            Some(row) => *row,
            None => self.store.index.get(chunk)?,
        };
        let Some(row) = row.filter(|row| row.location == location) else {
            return Ok(false);
        };
        if row.corrupt != corrupt {
            self.batch.rows.insert(*chunk, Some(Row { corrupt, ..row }));
        }
        Ok(true)
    }

    /// Closes the active extent although it has room, so that it can be compacted.
    pub(crate) fn seal(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        if let Some(active) = self.active.take() {
            self.previous = position_of(&active);
            active.seal();
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Keeps the scrubber's place with the next checkpoint.
    pub(crate) fn note_scrubbed(&mut self, progress: ScrubProgress) {
        let mut catalog = self.store.catalog();
        catalog.scrub = progress.position;
        if let Some((extent, at_ms)) = progress.finished
            && let Some(sums) = catalog.extents.get_mut(&extent)
        {
            sums.scrubbed_ms = at_ms;
        }
        self.changed_since_checkpoint = true;
    }

    /// Answers when everything planned so far is durable.
    pub(crate) fn answer_when_durable(&mut self, answer: Answer) {
        self.batch.waiting.push(answer);
    }

    /// Makes what was planned durable, and answers. See the module's doc for the steps.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        let mut batch = std::mem::take(&mut self.batch);
        if is_planted(Bug::NodeAnswersFirst) {
            for answer in std::mem::take(&mut batch.waiting) {
                answer(Ok(()));
            }
        }
        let result = self.write(&batch);
        if !batch.waiting.is_empty() {
            reach(Point::RecordsIndexed);
        }
        for answer in batch.waiting {
            answer(result.clone());
        }
        result
    }

    /// Makes the index durable if it is time, or if `now` and anything changed.
    pub(crate) fn checkpoint_if_due(&mut self, now: bool) -> Result<(), StoreError> {
        let due = self.bytes_since_checkpoint >= self.store.options.checkpoint_bytes
            || self.records_since_checkpoint >= CHECKPOINT_RECORDS;
        if due || (now && self.changed_since_checkpoint) {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Whether the index has changes that a crash would leave to replay.
    pub(crate) fn has_changes(&self) -> bool {
        self.changed_since_checkpoint
    }

    /// For a writer that panicked: what it was about is unknown, and what it acknowledged is in the extents.
    pub(crate) fn give_up(&self) {
        let error = io::Error::other("it panicked: a defect, of which the log says more");
        self.store.fail("write", &error);
    }

    /// Gives blocks back that were taken ahead: there is nothing more to write.
    pub(crate) fn end(&mut self) {
        if let Some(active) = self.active.take() {
            active.seal();
        }
    }

    /// On a full disk it waits: replay takes longer then, and that is all.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.take_ballast();
        self.make_room_for_index()?;
        let catalog = self.store.catalog().clone();
        self.store
            .index
            .checkpoint(&catalog)
            .map_err(index_failed)?;
        reach(Point::IndexDurable);
        self.bytes_since_checkpoint = 0;
        self.records_since_checkpoint = 0;
        self.changed_since_checkpoint = false;
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.records.is_empty() && batch.rows.is_empty() {
            return Ok(());
        }
        self.make_room_for_index()?;
        if !batch.records.is_empty() {
            let free = batch.free.unwrap_or(0);
            let spare = free.saturating_sub(self.store.options.reserve);
            let active = self.active.as_mut().expect("records were planned for it");
            if let Err(error) = active.append(&batch.records, batch.len, spare) {
                return Err(self.recover_from(error));
            }
            self.store.note_synced(position_of(active));
            reach(Point::RecordsSynced);
        }
        let position = self.active.as_ref().map(position_of);
        let changes = Changes {
            rows: batch
                .rows
                .iter()
                .map(|(chunk, row)| (*chunk, *row))
                .collect(),
            dead: batch.dead.clone(),
            buried: Vec::new(),
            position: position.unwrap_or_else(|| self.store.catalog().position),
        };
        self.commit(&changes)?;
        let mut catalog = self.store.catalog();
        if let Some(position) = position {
            catalog.extents.entry(position.extent).or_default().len = position.offset;
            catalog.note_deletions(position.extent, batch.deletions);
        }
        catalog.order = catalog.order.max(batch.order);
        self.records_since_checkpoint += batch.rows.len();
        self.bytes_since_checkpoint += batch.len;
        Ok(())
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let rows = self.store.index.commit(changes).map_err(index_failed)?;
        let mut catalog = self.store.catalog();
        for (chunk, old, new) in &rows {
            catalog.note(chunk, old.as_ref(), new.as_ref());
        }
        catalog.position = changes.position;
        drop(catalog);
        for (chunk, old, new) in &rows {
            self.store.note_row(chunk, old.as_ref(), new.as_ref());
        }
        self.changed_since_checkpoint = true;
        Ok(())
    }

    /// Leaves the extent alone for good if a sync failed, and shows by a new one that the disk still works.
    fn recover_from(&mut self, error: AppendError) -> StoreError {
        let active = self.active.as_mut().expect("it was appended to");
        let error = match error {
            AppendError::Write(error) if is_full(&error) && active.cut_back().is_ok() => {
                return error.into();
            }
            AppendError::Write(error) | AppendError::Sync(error) => error,
        };
        let (extent, disk) = (active.number, self.store.options.disk_as_said());
        tracing::error!(extent, disk, %error, "could not make chunks durable: the extent is sealed, the chunks were refused");
        self.previous = position_of(active);
        self.active = None;
        if let Err(error) = self.open_active() {
            tracing::debug!(%error, "no new extent after a failed one");
        }
        error.into()
    }

    fn append_put(&mut self, chunk: &VerifiedChunk, old: Option<Row>) -> Result<(), StoreError> {
        let written_ms = self.store.environment.now_ms();
        let kind = RecordKind::Put { written_ms };
        let payload = chunk.payload.clone();
        let location = self.append(kind, chunk.chunk, payload, chunk.payload_crc)?;
        if let Some(old) = old {
            self.batch.dead.push((chunk.chunk, old.location.extent));
        }
        let row = Row {
            location,
            corrupt: false,
            verified_ms: written_ms,
        };
        self.batch.rows.insert(chunk.chunk, Some(row));
        Ok(())
    }

    fn append_deletion(
        &mut self,
        order: Order,
        chunk: ChunkId,
        old: Row,
    ) -> Result<(), StoreError> {
        self.append(RecordKind::Delete { order }, chunk, Bytes::new(), 0)?;
        self.batch.deletions += 1;
        self.batch.dead.push((chunk, old.location.extent));
        self.batch.rows.insert(chunk, None);
        Ok(())
    }

    /// Plans one record; flushes and goes on in a new extent where this one would get too long.
    fn append(
        &mut self,
        kind: RecordKind,
        chunk: ChunkId,
        payload: Bytes,
        payload_crc: u32,
    ) -> Result<Location, StoreError> {
        let len = u32::try_from(payload.len()).expect("chunks are far shorter");
        self.make_way_for(record_len(len))?;
        let active = self.active.as_ref().expect("just made sure of");
        let offset = active.len + self.batch.len;
        let header = RecordHeader {
            kind,
            chunk,
            payload_len: len,
            payload_crc,
            salt: active.salt,
            offset,
            batch: batch_at(active.len),
        };
        let extent = active.number;
        self.batch.len += header.record_len();
        self.batch.records.push(RecordBytes {
            header: header.encode(),
            payload,
        });
        Ok(Location {
            extent,
            offset,
            len,
        })
    }

    fn make_way_for(&mut self, record_len: u64) -> Result<(), StoreError> {
        if let Some(active) = &self.active {
            let end = active.len + self.batch.len;
            if end == EXTENT_HEADER_LEN || end + record_len <= self.store.options.extent_size {
                return Ok(());
            }
            self.seal()?;
        }
        self.open_active()
    }

    fn open_active(&mut self) -> Result<(), StoreError> {
        let header = ExtentHeader {
            number: self.next_number,
            salt: u64::from_le_bytes(self.store.environment.random()),
            node: self.store.options.node,
            disk: self.store.options.disk_number,
            created_ms: self.store.environment.now_ms(),
            previous: self.previous.extent,
            previous_len: self.previous.offset,
            order: self.store.catalog().order.max(self.batch.order),
        };
        self.next_number += 1;
        match Active::create(&*self.store.disk, &header) {
            Ok(active) => {
                let mut catalog = self.store.catalog();
                catalog.extents.entry(active.number).or_default().len = active.len;
                self.active = Some(active);
                Ok(())
            }
            Err(error) => {
                // Neither for want of room nor of descriptors has the disk failed: the next batch tries again.
                if !is_full(&error) && !is_out_of_descriptors(&error) {
                    self.store.fail("make a new extent", &error);
                }
                Err(error.into())
            }
        }
    }

    /// A chunk's row as it will be when the batch is done.
    fn row(&self, chunk: &ChunkId) -> Result<Option<Row>, StoreError> {
        match self.batch.rows.get(chunk) {
            Some(row) => Ok(*row),
            None => self.store.find(chunk),
        }
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        self.store
            .failure()
            .map_or(Ok(()), |why| Err(StoreError::Failed(why)))
    }
}

/// Also for want of room: what is to be said is that the disk takes no more.
fn index_failed(error: io::Error) -> StoreError {
    StoreError::Disk(Arc::new(error))
}

fn position_of(active: &Active) -> Position {
    Position {
        extent: active.number,
        offset: active.len,
    }
}
