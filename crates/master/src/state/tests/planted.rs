//! What tests elsewhere plant in a store, past the commands.

use proto::id::ChunkId;

use crate::command::NodeNumber;
use crate::state::tables::{CHUNKS, Tables};
use crate::state::{ChunkRow, State};

impl State {
    /// Makes the row of a chunk one that this program does not write.
    pub(crate) fn spoil_chunk(&self, chunk: &ChunkId) {
        let transaction = self.write().unwrap().transaction;
        let mut chunks = transaction.open_table(CHUNKS).unwrap();
        chunks.insert(chunk.as_bytes(), &b"?"[..]).unwrap();
        drop(chunks);
        transaction.commit().unwrap();
    }

    /// All that is derived is as what it is derived from.
    #[cfg(feature = "races")]
    pub(crate) fn check(&self) {
        super::audit::audit(self);
    }

    /// Adds chunks that nothing needs since the beginning, with copies on a node that was removed.
    pub(crate) fn add_garbage(&self, chunks: &[ChunkId]) {
        let transaction = self.write().unwrap().transaction;
        let mut tables = Tables::open(&transaction).unwrap();
        for chunk in chunks {
            let row = ChunkRow {
                leftovers: vec![NodeNumber(99)],
                ..ChunkRow::default()
            };
            tables.put_chunk(chunk, None, row).unwrap();
        }
        tables.finish().unwrap();
        transaction.commit().unwrap();
    }
}
