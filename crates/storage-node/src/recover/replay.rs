//! Takes the records of an extent into the index, in their order.
//!
//! A later put of a chunk replaces an earlier one, a deletion removes it: whatever was appended last holds. What does not
//! verify makes its chunk corrupt, unless the chunk is here once more: it may have been synced once ([`crate::tail`]).

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use disk::Disk;
use proto::id::ChunkId;

use super::Recovery;
use crate::catalog::{Location, Position, Row};
use crate::extent::{EXTENT_HEADER_LEN, RecordHeader, RecordKind, extent_path};
use crate::found::sealed_len;
use crate::summary::Summarized;
use crate::tail::find_end;
use crate::walk::{Item, Payloads, Walk};

/// What the replay of one extent showed.
#[derive(Default)]
pub(super) struct Replayed {
    /// Records whose payloads do not verify, without another of the chunk behind them.
    suspects: BTreeMap<ChunkId, RecordHeader>,
    /// Where those that were taken stand.
    taken: Vec<Range<u64>>,
    records: u64,
    damaged_ranges: u64,
    /// Whether anything that was needed could not be read.
    pub(super) met_unreadable: bool,
    /// Whether there may be records that could not be read.
    hides_records: bool,
}

impl Recovery {
    pub(super) fn replay_extent(
        &mut self,
        disk: &dyn Disk,
        number: u64,
        from: u64,
    ) -> io::Result<()> {
        let is_last = !self.is_partial && self.extents.keys().next_back() == Some(&number);
        let found = &self.extents[&number];
        let (file, len, header) = (Arc::clone(&found.file), found.len, found.header.clone());
        let salt = header.as_ref().map(|header| header.salt);
        let end = if is_last {
            let end = find_end(&file, salt, from)?;
            self.is_end_certain = end.is_certain();
            end.at
        } else {
            len.min(sealed_len(&self.extents, number))
                .max(EXTENT_HEADER_LEN)
        };
        if let Some(header) = &header {
            self.catalog.order = self.catalog.order.max(header.order);
        }
        let payloads = if self.is_rebuild && !is_last {
            Payloads::Skip
        } else {
            Payloads::Verify
        };
        let summarized = salt.filter(|_| self.is_rebuild && !is_last);
        let summary = summarized.and_then(|salt| self.summary(disk, number, salt));
        let replayed = self.replay_part(number, from..end, payloads, summary)?;
        if replayed.hides_records {
            self.note_hidden(number)?;
        }
        if is_last {
            self.unsettled = replayed.taken;
        }
        if is_last && len > end && self.is_end_certain {
            tracing::info!(
                extent = number,
                bytes = len - end,
                "cut off what was being written"
            );
        }
        Ok(())
    }

    /// What could not be read may be a deletion, and a later start that can read it would undo what is acknowledged until
    /// then. So an index that knows more is not brought up to date: there is one for this start only, and no writes.
    fn note_hidden(&mut self, number: u64) -> io::Result<()> {
        if self.is_rebuild {
            self.is_partial = true;
            self.hidden_in.get_or_insert(number);
            return Ok(());
        }
        self.index.retire()?;
        let path = extent_path(number);
        Err(io::Error::other(format!(
            "a place in {path} cannot be read"
        )))
    }

    /// Takes the records of a part of an extent: as its summary tells them, if there is one.
    pub(super) fn replay_part(
        &mut self,
        number: u64,
        range: Range<u64>,
        payloads: Payloads,
        summary: Option<Vec<RecordHeader>>,
    ) -> io::Result<Replayed> {
        let found = &self.extents[&number];
        let (file, len, end) = (Arc::clone(&found.file), found.len, range.end);
        let salt = found.header.as_ref().map(|header| header.salt);
        let mut walk = Walk::new(file, salt, range, payloads)?;
        let mut replayed = Replayed::default();
        if let Some(headers) = summary {
            for header in headers {
                let is_put = matches!(header.kind, RecordKind::Put { .. });
                let payload_good = !is_put || header.offset + header.record_len() <= len;
                let item = Item::Record {
                    header,
                    payload_good,
                };
                self.replay_item(number, &item, &mut walk, &mut replayed)?;
            }
        } else {
            while let Some(item) = walk.next_item() {
                self.replay_item(number, &item, &mut walk, &mut replayed)?;
            }
        }
        self.replay_suspects(number, &replayed)?;
        self.catalog.extents.entry(number).or_default().len = end;
        self.catalog.position = Position {
            extent: number,
            offset: end,
        };
        replayed.report(number);
        replayed.met_unreadable = walk.met_unreadable();
        replayed.hides_records = walk.hides_records();
        Ok(replayed)
    }

    /// The headers of all records of a sealed extent, if its summary tells them.
    fn summary(&self, disk: &dyn Disk, number: u64, salt: u64) -> Option<Vec<RecordHeader>> {
        let end = match sealed_len(&self.extents, number) {
            u64::MAX => self.extents[&number].len,
            end => end,
        };
        Summarized { number, salt, end }.read(disk)
    }

    fn replay_item(
        &mut self,
        number: u64,
        item: &Item,
        walk: &mut Walk,
        replayed: &mut Replayed,
    ) -> io::Result<()> {
        match item {
            Item::Damage(_) => replayed.damaged_ranges += 1,
            Item::Record {
                header,
                payload_good,
            } => {
                if *payload_good && self.replay_record(number, header, walk)? {
                    replayed.take(header);
                } else {
                    replayed.suspects.insert(header.chunk, *header);
                }
            }
        }
        Ok(())
    }

    /// `false` if it is a put that does not verify after all, in the place of a good one.
    fn replay_record(
        &mut self,
        number: u64,
        header: &RecordHeader,
        walk: &mut Walk,
    ) -> io::Result<bool> {
        let new = match header.kind {
            RecordKind::Put { written_ms } => Some(Row {
                location: Location {
                    extent: number,
                    offset: header.offset,
                    len: header.payload_len,
                },
                corrupt: false,
                verified_ms: written_ms,
            }),
            RecordKind::Delete { order } | RecordKind::Order { order } => {
                self.catalog.order = self.catalog.order.max(order);
                self.catalog.note_deletions(number, 1);
                None
            }
        };
        if matches!(header.kind, RecordKind::Order { .. }) {
            return Ok(true);
        }
        if let Some(old) = self.row(&header.chunk)? {
            if new.is_some() && !old.corrupt && !walk.payload_verifies(header) {
                return Ok(false);
            }
            self.dead.push((header.chunk, old.location.extent));
        }
        self.set_row(header.chunk, new)?;
        Ok(true)
    }

    /// They may have been synced once: they are corrupt, unless they are here once more.
    fn replay_suspects(&mut self, number: u64, replayed: &Replayed) -> io::Result<()> {
        for header in replayed.suspects.values() {
            if self.row(&header.chunk)?.is_none() {
                tracing::error!(chunk = %header.chunk, extent = number, "a chunk is corrupt");
                let location = Location {
                    extent: number,
                    offset: header.offset,
                    len: header.payload_len,
                };
                let row = Row {
                    location,
                    corrupt: true,
                    verified_ms: 0,
                };
                self.set_row(header.chunk, Some(row))?;
            }
        }
        Ok(())
    }
}

impl Replayed {
    fn take(&mut self, header: &RecordHeader) {
        self.suspects.remove(&header.chunk);
        self.records += 1;
        let end = header.offset + header.record_len();
        match self.taken.last_mut() {
            Some(range) if range.end == header.offset => range.end = end,
            _ => self.taken.push(header.offset..end),
        }
    }

    fn report(&self, extent: u64) {
        if self.records > 0 {
            tracing::info!(extent, records = self.records, "replayed");
        }
        if self.damaged_ranges > 0 {
            let ranges = self.damaged_ranges;
            tracing::error!(
                extent,
                ranges,
                "damaged places in an extent: their chunks are lost here"
            );
        }
    }
}
