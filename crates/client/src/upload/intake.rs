//! What an upload takes in: chunks of its reader, or of the file that is copied, as long as there is room.

use std::sync::Arc;

use bytes::Bytes;
use proto::master::CHUNKS_PER_BLOCK;

use super::checks::check_size;
use super::hashed::{Content, Hashed, chunk_len};
use super::source::{Fetcher, Source, Taken};
use super::{Event, Upload};
use crate::Error;
use crate::fetch::ChunkPlace;

/// What a buffer has room for at first, where the size is not known.
const FIRST_BUFFER_LEN: usize = 64 << 10;

impl Upload {
    pub(super) fn may_take<R>(&self, source: &Source<R>) -> bool {
        let in_flight_max = match source {
            Source::Reader(..) => self.shared.options.chunks_in_flight.max(1),
            // Without their bytes they take next to no memory.
            Source::File(..) => CHUNKS_PER_BLOCK,
        };
        !self.ended && self.in_flight < in_flight_max && self.ledger.has_room()
    }

    /// No more than will come, as far as that is known.
    pub(super) fn next_buffer_len(&self) -> usize {
        let chunk_size = self.rules.chunk_size as usize;
        let begun = self.ledger.begun_bytes();
        match self.options.size_hint {
            _ if self.ended => 0,
            Some(size) => chunk_size.min(usize::try_from(size - begun).unwrap_or(chunk_size)),
            None if begun == 0 => chunk_size.min(FIRST_BUFFER_LEN),
            None => chunk_size,
        }
    }

    pub(super) fn take_in(&mut self, taken: Taken) -> Result<(), Error> {
        match taken {
            Taken::Read(bytes, more) => self.take_in_bytes(bytes, more),
            Taken::Known(place, fetcher) => {
                self.take_in_known(place, fetcher);
                Ok(())
            }
            Taken::End => self.take_in_bytes(Bytes::new(), false),
        }
    }

    /// Takes in what was read: a chunk, unless the reader ended at a chunk's end.
    fn take_in_bytes(&mut self, bytes: Bytes, more: bool) -> Result<(), Error> {
        self.ended = !more;
        let read = self.ledger.begun_bytes() + bytes.len() as u64;
        if let Some(expected) = self.options.size_hint {
            let is_short = self.ended && read < expected;
            if read > expected || (is_short && !self.session.is_kept()) {
                return Err(Error::SizeMismatch { expected, read });
            }
            if is_short && bytes.len() < self.rules.chunk_size as usize {
                self.rest = bytes;
                return Ok(());
            }
        }
        check_size(&self.rules, Some(read))?;
        if bytes.is_empty() {
            return Ok(());
        }
        let index = self.ledger.begin(chunk_len(&bytes));
        if self.session.is_kept() && self.options.size_hint == Some(read) {
            self.ledger.close();
        }
        if index == 0 && more {
            self.check_name();
        }
        self.in_flight += 1;
        let hashing = self.shared.options.hashing;
        self.spawn(async move {
            let chunk = hashing.chunk_id(&bytes).await;
            Event::Hashed(Hashed {
                index,
                chunk,
                content: Content::Here(bytes),
            })
        });
        Ok(())
    }

    /// Takes in a chunk of the file that is copied.
    fn take_in_known(&mut self, place: ChunkPlace, fetcher: Arc<Fetcher>) {
        let index = self.ledger.begin(place.len);
        if index == 0 && self.options.size_hint > Some(place.len.into()) {
            self.check_name();
        }
        self.in_flight += 1;
        self.meet(&place.nodes);
        self.note_hashed(Hashed {
            index,
            chunk: place.chunk,
            content: Content::Elsewhere(place, fetcher),
        });
    }
}
