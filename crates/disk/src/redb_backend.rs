//! Lets a redb database live in a [`DiskFile`], so that it runs on an in-memory disk that crashes as well.
//!
//! The data folder's own lock keeps other processes out, so this takes no lock of its own.

use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use crate::DiskFile;

/// A file as what redb asks for.
#[derive(Debug)]
pub struct RedbBackend {
    file: Arc<dyn DiskFile>,
}

impl RedbBackend {
    /// The database in this file; an empty file becomes a new database.
    pub fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file }
    }
}

impl StorageBackend for RedbBackend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use redb::{Builder, ReadableDatabase, TableDefinition};

    use super::*;
    use crate::{Disk, MemoryDisk};

    const TABLE: TableDefinition<u64, u64> = TableDefinition::new("numbers");

    fn open(disk: &MemoryDisk) -> redb::Database {
        let file = disk.open("state.redb").unwrap();
        Builder::new()
            .set_cache_size(1 << 20)
            .create_with_backend(RedbBackend::new(file))
            .unwrap()
    }

    /// What was committed survives any crash, and the database opens after any crash.
    #[test]
    fn committed_rows_survive_crashes() {
        for seed in 0..20 {
            let mut rng = StdRng::seed_from_u64(seed);
            let disk = MemoryDisk::new();
            disk.create("state.redb").unwrap();
            disk.sync_folder("").unwrap();
            for round in 0..5 {
                let database = open(&disk);
                let write = database.begin_write().unwrap();
                let mut table = write.open_table(TABLE).unwrap();
                for row in 0..100 {
                    table.insert(row, round).unwrap();
                }
                drop(table);
                write.commit().unwrap();
                let write = database.begin_write().unwrap();
                write.open_table(TABLE).unwrap().insert(0, 99).unwrap();
                disk.crash(&mut rng);
                drop(write);
                drop(database);

                let database = open(&disk);
                let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
                for row in 0..100 {
                    assert_eq!(table.get(row).unwrap().unwrap().value(), round);
                }
            }
        }
    }
}
