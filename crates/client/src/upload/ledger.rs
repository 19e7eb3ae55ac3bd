//! What an upload has read so far: which chunks, in which order, which of them are stored, and which recorded.
//!
//! Chunks come to be hashed and stored in any order; blocks are recorded in the order of the file, each when all of its
//! chunks are stored. Equal chunks within a block are stored once. One that is equal to a chunk of an earlier block
//! waits until that block is recorded: then the master says that it is stored.
//!
//! A value without any waiting or calling. For what is recorded it keeps the 32 bytes of the id, in case the master
//! forgets the upload.

use std::collections::{HashMap, VecDeque};

use proto::id::ChunkId;
use proto::master::{CHUNKS_PER_BLOCK, ChunkToStore, StoredChunk};
use proto::node::Receipt;

/// Blocks that are begun and not recorded, at most: twins take no memory for bytes, so that nothing else would
/// bound them.
const BLOCKS_PENDING_MAX: usize = 3;

/// The chunks of one upload.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    recorded: Vec<ChunkId>,
    /// The length of all recorded chunks: none of them is the file's last.
    recorded_len: u32,
    pending: VecDeque<Block>,
    begun: u64,
    begun_bytes: u64,
    stored_bytes: u64,
}

#[derive(Debug, Default)]
struct Block {
    slots: Vec<Slot>,
    /// The receipts of each distinct chunk, once it is stored.
    copies: HashMap<ChunkId, Option<Vec<Receipt>>>,
}

/// One chunk's place in the file.
#[derive(Debug, Clone, Copy)]
struct Slot {
    chunk: Option<ChunkId>,
    len: u32,
}

/// What is to be done with a chunk whose hash is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is to be stored.
    New,
    /// An equal one in its block is stored for both.
    Twin,
    /// An equal one is in a block that is not recorded yet: ask again when that is.
    Deferred,
}

impl Ledger {
    /// Whether another chunk may be begun now.
    pub(crate) fn has_room(&self) -> bool {
        let open = self.pending.back().is_some_and(|block| !block.is_full());
        open || self.pending.len() < BLOCKS_PENDING_MAX
    }

    /// Takes in the next chunk of the file and says its place, from 0.
    pub(crate) fn begin(&mut self, len: u32) -> u64 {
        if self.pending.back().is_none_or(Block::is_full) {
            self.pending.push_back(Block::default());
        }
        let block = self
            .pending
            .back_mut()
            .expect("just made, if there was none");
        block.slots.push(Slot { chunk: None, len });
        self.begun += 1;
        self.begun_bytes += u64::from(len);
        self.begun - 1
    }

    /// Notes a chunk's hash.
    pub(crate) fn note_hash(&mut self, index: u64, chunk: ChunkId) -> Standing {
        let standing = self.standing(index, chunk);
        let (block, slot) = self.position(index);
        let block = &mut self.pending[block];
        block.slots[slot].chunk = Some(chunk);
        if let Some(copies) = block.copies.get(&chunk) {
            if copies.is_some() {
                self.stored_bytes += u64::from(block.slots[slot].len);
            }
            return Standing::Twin;
        }
        block.copies.insert(chunk, None);
        standing
    }

    /// [`Standing::New`] or [`Standing::Deferred`], by what is recorded now.
    pub(crate) fn standing(&self, index: u64, chunk: ChunkId) -> Standing {
        let (block, _) = self.position(index);
        let mut earlier = self.pending.iter().take(block);
        if earlier.any(|block| block.copies.contains_key(&chunk)) {
            return Standing::Deferred;
        }
        Standing::New
    }

    /// Notes that a chunk, and its twins in its block, are stored.
    pub(crate) fn note_stored(&mut self, index: u64, chunk: ChunkId, receipts: Vec<Receipt>) {
        let (block, _) = self.position(index);
        let block = &mut self.pending[block];
        let twins = block.slots.iter().filter(|slot| slot.chunk == Some(chunk));
        self.stored_bytes += twins.map(|slot| u64::from(slot.len)).sum::<u64>();
        block.copies.insert(chunk, Some(receipts));
    }

    /// The block to record next, with its number, if it is full and all of its chunks are stored.
    pub(crate) fn next_to_record(&self) -> Option<(u32, Vec<StoredChunk>)> {
        let block = self.pending.front().filter(|block| block.is_full())?;
        Some((self.blocks_recorded(), block.stored_chunks()?))
    }

    /// The block of [`next_to_record`](Self::next_to_record) is recorded.
    pub(crate) fn note_recorded(&mut self) {
        if let Some(block) = self.pending.pop_front() {
            self.recorded_len = block.slots[0].len;
            self.recorded
                .extend(block.slots.iter().filter_map(|slot| slot.chunk));
        }
    }

    /// What is left for the commit, when all is stored and all full blocks are recorded.
    pub(crate) fn rest(&self) -> Option<Vec<StoredChunk>> {
        match self.pending.front() {
            None => Some(Vec::new()),
            Some(block) if block.is_full() => None,
            Some(block) => block.stored_chunks(),
        }
    }

    pub(crate) fn blocks_recorded(&self) -> u32 {
        u32::try_from(self.recorded.len() / CHUNKS_PER_BLOCK).expect("2^41 chunks are never read")
    }

    /// The blocks that are recorded, each as what would have to be stored again.
    pub(crate) fn recorded_blocks(&self) -> impl Iterator<Item = (u32, Vec<ChunkToStore>)> {
        let len = self.recorded_len;
        let blocks = self.recorded.chunks(CHUNKS_PER_BLOCK);
        let to_store = move |chunk: &ChunkId| ChunkToStore { chunk: *chunk, len };
        (0..).zip(blocks.map(move |block| block.iter().map(to_store).collect()))
    }

    /// The distinct chunks that are stored and not recorded, block by block, with their receipts.
    pub(crate) fn stored_pending(&self) -> Vec<Vec<(ChunkToStore, Vec<Receipt>)>> {
        self.pending.iter().map(Block::stored_distinct).collect()
    }

    /// Puts other receipts in the place of those of a stored chunk of a pending block.
    pub(crate) fn replace_receipts(
        &mut self,
        block: usize,
        chunk: ChunkId,
        receipts: Vec<Receipt>,
    ) {
        self.pending[block].copies.insert(chunk, Some(receipts));
    }

    /// Bytes read.
    pub(crate) fn begun_bytes(&self) -> u64 {
        self.begun_bytes
    }

    /// Bytes that are stored.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// Which pending block, and where in it.
    fn position(&self, index: u64) -> (usize, usize) {
        let place = usize::try_from(index).expect("it fits, since a byte is kept for each");
        let pending = place - self.recorded.len();
        (pending / CHUNKS_PER_BLOCK, pending % CHUNKS_PER_BLOCK)
    }
}

impl Block {
    fn is_full(&self) -> bool {
        self.slots.len() >= CHUNKS_PER_BLOCK
    }

    /// All of them in order; nothing if one is not stored.
    fn stored_chunks(&self) -> Option<Vec<StoredChunk>> {
        let stored = |slot: &Slot| {
            let chunk = slot.chunk?;
            let receipts = self.copies.get(&chunk)?.clone()?;
            let len = slot.len;
            Some(StoredChunk {
                chunk,
                len,
                receipts,
            })
        };
        self.slots.iter().map(stored).collect()
    }

    fn stored_distinct(&self) -> Vec<(ChunkToStore, Vec<Receipt>)> {
        let mut lens: HashMap<ChunkId, u32> = HashMap::new();
        for slot in &self.slots {
            lens.extend(slot.chunk.map(|chunk| (chunk, slot.len)));
        }
        let mut stored: Vec<_> = self
            .copies
            .iter()
            .filter_map(|(chunk, receipts)| {
                let (chunk, len) = (*chunk, *lens.get(chunk)?);
                Some((ChunkToStore { chunk, len }, receipts.clone()?))
            })
            .collect();
        stored.sort_unstable_by_key(|(to_store, _)| to_store.chunk);
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = CHUNKS_PER_BLOCK as u64;

    fn chunk(number: u64) -> ChunkId {
        ChunkId::of(&number.to_be_bytes())
    }

    /// A ledger with these chunks begun and hashed.
    fn ledger(chunks: impl IntoIterator<Item = u64>) -> (Ledger, Vec<Standing>) {
        let mut ledger = Ledger::default();
        let mut note = |number| {
            let index = ledger.begin(10);
            ledger.note_hash(index, chunk(number))
        };
        let standings = chunks.into_iter().map(&mut note).collect();
        (ledger, standings)
    }

    #[test]
    fn equal_chunks_of_a_block_are_stored_once() {
        let (mut ledger, standings) = ledger([1, 2, 1]);
        assert_eq!(standings, [Standing::New, Standing::New, Standing::Twin]);
        assert!(ledger.rest().is_none());
        ledger.note_stored(0, chunk(1), Vec::new());
        ledger.note_stored(1, chunk(2), Vec::new());
        assert_eq!(ledger.stored_bytes(), 30);
        let last = ledger.begin(10);
        assert_eq!(ledger.note_hash(last, chunk(2)), Standing::Twin);
        assert_eq!(ledger.stored_bytes(), 40);
        let rest = ledger.rest().unwrap();
        let order: Vec<_> = rest.iter().map(|stored| stored.chunk).collect();
        assert_eq!(order, [chunk(1), chunk(2), chunk(1), chunk(2)]);
    }

    #[test]
    fn a_chunk_of_an_earlier_block_waits_for_its_record() {
        let (mut ledger, standings) = ledger((0..BLOCK).chain([0, BLOCK, 0]));
        let standings = &standings[CHUNKS_PER_BLOCK..];
        assert_eq!(
            standings,
            [Standing::Deferred, Standing::New, Standing::Twin]
        );
        for index in 0..BLOCK {
            assert!(ledger.next_to_record().is_none());
            ledger.note_stored(index, chunk(index), Vec::new());
        }
        let (number, chunks) = ledger.next_to_record().unwrap();
        assert_eq!((number, chunks.len()), (0, CHUNKS_PER_BLOCK));
        assert_eq!(ledger.standing(BLOCK, chunk(0)), Standing::Deferred);
        ledger.note_recorded();
        assert_eq!(ledger.standing(BLOCK, chunk(0)), Standing::New);
        ledger.note_stored(BLOCK, chunk(0), Vec::new());
        ledger.note_stored(BLOCK + 1, chunk(BLOCK), Vec::new());
        assert_eq!(ledger.rest().unwrap().len(), 3);
        assert_eq!(ledger.stored_bytes(), ledger.begun_bytes());
        assert_eq!(ledger.recorded_blocks().count(), 1);
    }

    #[test]
    fn a_file_of_equal_chunks_does_not_run_ahead_without_bound() {
        let mut ledger = Ledger::default();
        while ledger.has_room() {
            let index = ledger.begin(10);
            ledger.note_hash(index, chunk(1));
        }
        assert_eq!(ledger.begun_bytes(), 10 * BLOCK * BLOCKS_PENDING_MAX as u64);
    }

    #[test]
    fn a_file_of_full_blocks_only_leaves_nothing_for_the_commit() {
        let (mut ledger, _) = ledger(0..BLOCK);
        (0..BLOCK).for_each(|index| ledger.note_stored(index, chunk(index), Vec::new()));
        assert!(ledger.rest().is_none());
        ledger.note_recorded();
        assert_eq!(ledger.rest().unwrap(), []);
        assert_eq!(ledger.blocks_recorded(), 1);
    }
}
