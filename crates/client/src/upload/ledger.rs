//! What an upload has read so far: which chunks, in which order, which of them are stored, and which recorded.
//!
//! Chunks come to be hashed and stored in any order; they are recorded in the order of the file, piece by piece, each when
//! all of its chunks are stored. A piece is a block, or of an upload that others may go on with a smaller part of
//! one. Equal chunks within a piece are stored once. One that is equal to a chunk of an earlier piece
//! waits until that one is recorded: then the master says that it is stored.
//!
//! A value without any waiting or calling. For what is recorded it keeps the 32 bytes of the id, in case the master
//! forgets the upload.

use std::collections::{HashMap, VecDeque};

use proto::id::ChunkId;
use proto::master::{CHUNKS_PER_BLOCK, ChunkToStore, StoredChunk};
use proto::node::Receipt;

/// Pieces that are begun and not recorded, at most: twins take no memory for bytes, so that nothing else would
/// bound them.
const PIECES_PENDING_MAX: usize = 3;
/// Chunks in a piece of an upload that others may go on with: what has to be sent again if all processes die.
const SMALL_PIECE_LEN: usize = 32;

/// The chunks of one upload.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Chunks in a piece: a part of a block without a rest.
    piece_len: usize,
    /// Chunks that somebody recorded before.
    recorded_before: u64,
    recorded: Vec<ChunkId>,
    /// The length of all recorded chunks: none of them is the file's last.
    recorded_len: u32,
    pending: VecDeque<Piece>,
    begun: u64,
    begun_bytes: u64,
    stored_bytes: u64,
    /// Nothing more is begun, and the last piece goes with the commit.
    is_closed: bool,
}

#[derive(Debug)]
struct Piece {
    /// How many slots it gets.
    len: usize,
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
    /// An equal one in its piece is stored for both.
    Twin,
    /// An equal one is in a piece that is not recorded yet: ask again when that is.
    Deferred,
}

impl Ledger {
    /// Of an upload that begins now, recorded block by block.
    pub(crate) fn new() -> Self {
        Self {
            piece_len: CHUNKS_PER_BLOCK,
            recorded_before: 0,
            recorded: Vec::new(),
            recorded_len: 0,
            pending: VecDeque::new(),
            begun: 0,
            begun_bytes: 0,
            stored_bytes: 0,
            is_closed: false,
        }
    }

    /// Of an upload that has so many chunks with so many bytes and goes on behind them, recorded in small pieces.
    pub(crate) fn resumed(chunks: u64, bytes: u64) -> Self {
        Self {
            piece_len: SMALL_PIECE_LEN,
            recorded_before: chunks,
            begun: chunks,
            begun_bytes: bytes,
            stored_bytes: bytes,
            ..Self::new()
        }
    }

    /// That was the file's last chunk. Its piece is left to the commit, also if it is full: as long as nobody committed, less than
    /// the file is recorded.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    fn is_left_to_commit(&self) -> bool {
        self.is_closed && self.pending.len() == 1
    }

    /// Whether another chunk may be begun now.
    pub(crate) fn has_room(&self) -> bool {
        let open = self.pending.back().is_some_and(|piece| !piece.is_full());
        open || self.pending.len() < PIECES_PENDING_MAX
    }

    /// Takes in the next chunk of the file and says its place, from 0.
    pub(crate) fn begin(&mut self, len: u32) -> u64 {
        if self.pending.back().is_none_or(Piece::is_full) {
            let into_piece = self.begun % self.piece_len as u64;
            let into_piece = usize::try_from(into_piece).expect("less than a piece");
            self.pending
                .push_back(Piece::new(self.piece_len - into_piece));
        }
        let piece = self
            .pending
            .back_mut()
            .expect("just made, if there was none");
        piece.slots.push(Slot { chunk: None, len });
        self.begun += 1;
        self.begun_bytes += u64::from(len);
        self.begun - 1
    }

    /// Notes a chunk's hash.
    pub(crate) fn note_hash(&mut self, index: u64, chunk: ChunkId) -> Standing {
        let standing = self.standing(index, chunk);
        let (piece, slot) = self.position(index);
        let piece = &mut self.pending[piece];
        piece.slots[slot].chunk = Some(chunk);
        if let Some(copies) = piece.copies.get(&chunk) {
            if copies.is_some() {
                self.stored_bytes += u64::from(piece.slots[slot].len);
            }
            return Standing::Twin;
        }
        piece.copies.insert(chunk, None);
        standing
    }

    /// [`Standing::New`] or [`Standing::Deferred`], by what is recorded now.
    pub(crate) fn standing(&self, index: u64, chunk: ChunkId) -> Standing {
        let (piece, _) = self.position(index);
        let mut earlier = self.pending.iter().take(piece);
        if earlier.any(|piece| piece.copies.contains_key(&chunk)) {
            return Standing::Deferred;
        }
        Standing::New
    }

    /// Notes that a chunk, and its twins in its piece, are stored.
    pub(crate) fn note_stored(&mut self, index: u64, chunk: ChunkId, receipts: Vec<Receipt>) {
        let (piece, _) = self.position(index);
        let piece = &mut self.pending[piece];
        let twins = piece.slots.iter().filter(|slot| slot.chunk == Some(chunk));
        self.stored_bytes += twins.map(|slot| u64::from(slot.len)).sum::<u64>();
        piece.copies.insert(chunk, Some(receipts));
    }

    /// The piece to record next, if it is full, or `also_short`, and all of its chunks are stored.
    pub(crate) fn next_to_record(&self, also_short: bool) -> Option<Vec<StoredChunk>> {
        if self.is_left_to_commit() {
            return None;
        }
        let piece = self.pending.front();
        let piece = piece.filter(|piece| piece.is_full() || also_short)?;
        piece.stored_chunks()
    }

    /// The piece of [`next_to_record`](Self::next_to_record) is recorded.
    pub(crate) fn note_recorded(&mut self) {
        if let Some(piece) = self.pending.pop_front() {
            self.recorded_len = piece.slots[0].len;
            self.recorded
                .extend(piece.slots.iter().filter_map(|slot| slot.chunk));
        }
    }

    /// What is left for the commit, when all is stored and all full pieces are recorded.
    pub(crate) fn rest(&self) -> Option<Vec<StoredChunk>> {
        match self.pending.front() {
            None => Some(Vec::new()),
            Some(piece) if piece.is_full() && !self.is_left_to_commit() => None,
            Some(piece) => piece.stored_chunks(),
        }
    }

    /// Chunks recorded, as full blocks and what is beyond them.
    pub(crate) fn recorded(&self) -> (u32, u16) {
        let per_block = CHUNKS_PER_BLOCK as u64;
        let recorded = self.recorded_count();
        let blocks = u32::try_from(recorded / per_block).expect("2^41 chunks are never read");
        let place = u16::try_from(recorded % per_block).expect("less than a block");
        (blocks, place)
    }

    /// Whether all that was begun is recorded.
    pub(crate) fn is_recorded(&self) -> bool {
        self.pending.is_empty()
    }

    /// Chunks recorded.
    pub(crate) fn recorded_count(&self) -> u64 {
        self.recorded_before + self.recorded.len() as u64
    }

    /// The blocks that are recorded, each as what would have to be stored again.
    pub(crate) fn recorded_blocks(&self) -> impl Iterator<Item = (u32, Vec<ChunkToStore>)> {
        let len = self.recorded_len;
        let blocks = self.recorded.chunks(CHUNKS_PER_BLOCK);
        let to_store = move |chunk: &ChunkId| ChunkToStore { chunk: *chunk, len };
        (0..).zip(blocks.map(move |block| block.iter().map(to_store).collect()))
    }

    /// The distinct chunks that are stored and not recorded, piece by piece, with their receipts.
    pub(crate) fn stored_pending(&self) -> Vec<Vec<(ChunkToStore, Vec<Receipt>)>> {
        self.pending.iter().map(Piece::stored_distinct).collect()
    }

    /// Puts other receipts in the place of those of a stored chunk of a pending piece.
    pub(crate) fn replace_receipts(
        &mut self,
        piece: usize,
        chunk: ChunkId,
        receipts: Vec<Receipt>,
    ) {
        self.pending[piece].copies.insert(chunk, Some(receipts));
    }

    /// Bytes read.
    pub(crate) fn begun_bytes(&self) -> u64 {
        self.begun_bytes
    }

    /// Bytes that are stored.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// Which pending piece, and where in it.
    fn position(&self, index: u64) -> (usize, usize) {
        let pending = usize::try_from(index - self.recorded_count()).expect("few are pending");
        let first_len = self.pending.front().map_or(0, |piece| piece.len);
        match pending.checked_sub(first_len) {
            None => (0, pending),
            Some(behind) => (1 + behind / self.piece_len, behind % self.piece_len),
        }
    }
}

impl Piece {
    fn new(len: usize) -> Self {
        Self {
            len,
            slots: Vec::new(),
            copies: HashMap::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.slots.len() >= self.len
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
        let mut ledger = Ledger::new();
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
            assert!(ledger.next_to_record(false).is_none());
            ledger.note_stored(index, chunk(index), Vec::new());
        }
        let chunks = ledger.next_to_record(false).unwrap();
        assert_eq!(
            (ledger.recorded(), chunks.len()),
            ((0, 0), CHUNKS_PER_BLOCK)
        );
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
        let mut ledger = Ledger::new();
        while ledger.has_room() {
            let index = ledger.begin(10);
            ledger.note_hash(index, chunk(1));
        }
        assert_eq!(ledger.begun_bytes(), 10 * BLOCK * PIECES_PENDING_MAX as u64);
    }

    #[test]
    fn a_file_of_full_blocks_only_leaves_nothing_for_the_commit() {
        let (mut ledger, _) = ledger(0..BLOCK);
        (0..BLOCK).for_each(|index| ledger.note_stored(index, chunk(index), Vec::new()));
        assert!(ledger.rest().is_none());
        ledger.note_recorded();
        assert_eq!(ledger.rest().unwrap(), []);
        assert_eq!(ledger.recorded(), (1, 0));
    }

    /// Goes on behind so many chunks with `more` of them: the lengths of the pieces that are recorded.
    fn check_pieces(before: u64, more: u64, expected: &[usize]) {
        let mut ledger = Ledger::resumed(before, 10 * before);
        let (mut lens, mut next) = (Vec::new(), before);
        while next < before + more || !ledger.is_recorded() {
            if next < before + more && ledger.has_room() {
                let index = ledger.begin(10);
                assert_eq!(
                    (index, ledger.note_hash(index, chunk(index))),
                    (next, Standing::New)
                );
                next += 1;
                continue;
            }
            let recorded = ledger.recorded_count();
            let unstored = (recorded..next).filter(|index| {
                let (piece, _) = ledger.position(*index);
                piece == 0
            });
            for index in unstored.collect::<Vec<_>>() {
                ledger.note_stored(index, chunk(index), Vec::new());
            }
            lens.push(ledger.next_to_record(next == before + more).unwrap().len());
            ledger.note_recorded();
        }
        assert_eq!(lens, expected, "{more} behind {before}");
        let (blocks, place) = ledger.recorded();
        assert_eq!(u64::from(blocks) * BLOCK + u64::from(place), before + more);
        assert_eq!(ledger.begun_bytes(), 10 * (before + more));
        assert_eq!(ledger.stored_bytes(), ledger.begun_bytes());
    }

    #[test]
    fn an_upload_that_goes_on_is_recorded_in_small_pieces_within_blocks() {
        check_pieces(0, 1, &[1]);
        check_pieces(0, 32, &[32]);
        check_pieces(0, 33, &[32, 1]);
        check_pieces(5, 200, &[27, 32, 32, 32, 32, 32, 13]);
        check_pieces(510, 3, &[2, 1]);
        check_pieces(1024, 31, &[31]);
    }

    /// The last piece was recorded when it was full, and an upload whose commit failed seemed to be whole.
    #[test]
    fn the_piece_that_ends_the_file_is_left_to_the_commit() {
        let mut ledger = Ledger::resumed(32, 320);
        for index in 32..96 {
            assert_eq!(ledger.begin(10), index);
            ledger.note_hash(index, chunk(index));
            ledger.note_stored(index, chunk(index), Vec::new());
        }
        ledger.close();
        assert!(
            ledger.rest().is_none(),
            "one piece is to be recorded before"
        );
        assert_eq!(ledger.next_to_record(false).unwrap().len(), 32);
        ledger.note_recorded();
        assert!(ledger.next_to_record(false).is_none());
        assert_eq!(ledger.rest().unwrap().len(), 32);
        assert_eq!(ledger.recorded(), (0, 64));
    }
}
