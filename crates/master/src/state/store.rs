//! Opening the database below the state, after a clean end or after a failure.
//!
//! After a failed fsync the system may show bytes that never reached the disk, and a later fsync reports success
//! without writing them. So a store that was not closed cleanly is written anew, byte by byte in its place, and
//! synced before it is used: from then on what is seen is what is durable. Only a process that saw all its fsyncs of the
//! store succeed, and failed otherwise (a full disk), need not. Then every page is read and its checksum verified:
//! damage is found now, and refused, and not served later. All of that takes as long as the store is large.
//!
//! **Invariant:** no transaction begins on bytes of which it is not known that they are durable.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::id::ClusterId;
use proto::master::ClusterRules;
use redb::{Database, StorageBackend};

use super::error::StateError;
use super::rules::{self, ClusterRow};
use super::tables::{self, Tables};
use super::{StateOptions, names, rows};

/// What is written anew at once.
const REWRITE_LEN: u64 = 64 << 10;

/// Opens a database as often as need be.
#[derive(Debug)]
pub(super) struct Opener<F> {
    backend: F,
    cache_bytes: usize,
    /// Whether this process has opened the store and no fsync of it has failed since.
    synced: Arc<AtomicBool>,
}

impl<B: StorageBackend, F: Fn() -> io::Result<B>> Opener<F> {
    pub(super) fn new(backend: F, cache_bytes: usize) -> Self {
        Self {
            backend,
            cache_bytes,
            synced: Arc::default(),
        }
    }

    /// Opens the database, or begins one where the backend is empty. The backend is called once or twice.
    pub(super) fn open(&self) -> Result<Database, StateError> {
        let failed = redb::StorageError::Io;
        let again = || (self.backend)().map_err(failed);
        if !self.synced.load(Ordering::SeqCst) {
            let first = again()?;
            if !was_closed(&first).map_err(failed)? {
                rewrite(&first).map_err(failed)?;
            }
            self.synced.store(true, Ordering::SeqCst);
        }
        let watched = WatchedBackend {
            inner: again()?,
            synced: self.synced.clone(),
        };
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache_bytes);
        builder.set_check_integrity_on_open(true);
        Ok(builder.create_with_backend(watched)?)
    }
}

/// Notes an fsync that failed.
#[derive(Debug)]
struct WatchedBackend<B> {
    inner: B,
    synced: Arc<AtomicBool>,
}

impl<B: StorageBackend> StorageBackend for WatchedBackend<B> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.inner.sync_data();
        if synced.is_err() {
            self.synced.store(false, Ordering::SeqCst);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}

/// Whether the store is new, or its last user closed it, so that all of it was synced. redb's header says so: see
/// `recovery_required` in the description of its format.
fn was_closed(backend: &impl StorageBackend) -> io::Result<bool> {
    const FLAGS_OFFSET: u64 = 9;
    const RECOVERY_REQUIRED: u8 = 2;
    if backend.len()? <= FLAGS_OFFSET {
        return Ok(true);
    }
    let mut flags = [0];
    backend.read(FLAGS_OFFSET, &mut flags)?;
    Ok(flags[0] & RECOVERY_REQUIRED == 0)
}

/// A piece of zeros is left alone: it is a hole, or is to be written yet, and on a full disk there may be no room for it.
fn rewrite(backend: &impl StorageBackend) -> io::Result<()> {
    tracing::info!("the store was not closed cleanly: writing it anew before it is used");
    let len = backend.len()?;
    let mut offset = 0;
    while offset < len {
        let part = usize::try_from(REWRITE_LEN.min(len - offset)).expect("it is small");
        let mut buffer = vec![0; part];
        backend.read(offset, &mut buffer)?;
        if buffer.iter().any(|byte| *byte != 0) {
            backend.write(offset, &buffer)?;
        }
        offset += REWRITE_LEN;
    }
    backend.sync_data()
}

/// Makes a new store the cluster's, or sees that an old one was made with what is fixed of these rules. Returns which
/// cluster it is, and the rules that it has.
pub(super) fn prepare(
    database: &Database,
    options: &StateOptions,
) -> Result<(ClusterId, ClusterRules), StateError> {
    let transaction = database.begin_write()?;
    let mut meta = transaction.open_table(tables::META)?;
    let found = ClusterRow::read(&meta)?;
    if found.is_none() {
        let row = ClusterRow::new(options.new_cluster, &options.rules);
        meta.insert(tables::CLUSTER_KEY, rows::encode(&row).as_slice())?;
    }
    drop(meta);
    let mut tables = Tables::open(&transaction)?;
    let (cluster, rules) = (tables.cluster, tables.rules);
    rules::check_fixed(&rules, &options.rules)?;
    if found.is_none() {
        names::make_root(&mut tables)?;
    }
    tables.finish()?;
    transaction.commit()?;
    Ok((cluster, rules))
}
