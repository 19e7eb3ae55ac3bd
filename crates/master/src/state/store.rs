//! Opening the database below the state, after a clean end or after a failure.
//!
//! After a failed fsync the system may show bytes that never reached the disk, and a later fsync reports success
//! without writing them. So a store that was not closed cleanly is written anew, byte by byte in its place, and
//! synced before it is used: from then on what is seen is what is durable. Only a process that saw all its fsyncs of the
//! store succeed, and failed otherwise (a full disk), need not. Then every page is read and its checksum verified:
//! damage is found now, and refused. All of that takes as long as the store is large.
//!
//! A store that was closed cleanly in a data folder has [`Checksums`] beside it, and is used at once: each block is compared when it
//! is read, as it is in any case.
//!
//! **Invariant:** no transaction begins on bytes of which it is not known that they are durable.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use disk::Disk;
use parking_lot::Mutex;
use proto::id::ClusterId;
use proto::master::ClusterRules;
use redb::{Database, StorageBackend};
use tokio::sync::Notify;

use super::checksums::Checksums;
use super::error::StateError;
use super::rules::{self, ClusterRow};
use super::tables::{self, Tables};
use super::{StateOptions, names, rows};

/// What is written anew at once.
const REWRITE_LEN: u64 = 64 << 10;

/// Blocks that are verified at once: 1 MiB.
const VERIFIED_AT_ONCE: usize = 256;
/// redb's header: what tells one state of a store from all others.
const HEADER_LEN: usize = 512;

/// The store's file, in which a database is opened as often as need be.
pub(super) trait StoreFile: Send + Sync {
    /// Opens the database, or begins one where the file is empty.
    fn open(&self) -> Result<Database, StateError>;

    /// Reads the next blocks, from this one on, and compares them with what was written. Says with which to go on, if there are
    /// more.
    fn verify(&self, from: usize) -> io::Result<Option<usize>>;

    /// Told when a read met what was not written.
    fn damage_met(&self) -> &Notify;
}

/// Opens a store's file: the backend is called anew each time.
#[derive(Debug)]
pub(super) struct Opener<B, F> {
    backend: F,
    /// The data folder, where checksums are kept while the store is closed.
    folder: Option<Arc<dyn Disk>>,
    cache_bytes: usize,
    /// Whether this process has opened the store and no fsync of it has failed since.
    synced: Arc<AtomicBool>,
    damage_met: Arc<Notify>,
    /// The file as it was opened last.
    file: Mutex<Option<Arc<CheckedFile<B>>>>,
}

/// The file, and what it should have in it.
#[derive(Debug)]
struct CheckedFile<B> {
    inner: B,
    checksums: Checksums,
}

impl<B, F> Opener<B, F> {
    pub(super) fn new(backend: F, folder: Option<Arc<dyn Disk>>, cache_bytes: usize) -> Self {
        Self {
            backend,
            folder,
            cache_bytes,
            synced: Arc::default(),
            damage_met: Arc::default(),
            file: Mutex::default(),
        }
    }
}

impl<B: StorageBackend, F: Fn() -> io::Result<B>> Opener<B, F> {
    /// The file, after an unclean end once it is durable as it is; and whether it is known that it is what was written.
    fn open_file(&self) -> io::Result<(CheckedFile<B>, bool)> {
        let inner = (self.backend)()?;
        let is_closed = was_closed(&inner)?;
        if !self.synced.load(Ordering::SeqCst) {
            if !is_closed {
                rewrite(&inner)?;
            }
            self.synced.store(true, Ordering::SeqCst);
        }
        let header = if is_closed { header_of(&inner)? } else { None };
        let kept = match &self.folder {
            Some(folder) => Checksums::take(&**folder, header.as_deref())?,
            None => None,
        };
        let len = inner.len()?;
        let kept = kept.filter(|kept| kept.is_of_len(len));
        let is_known = kept.is_some();
        let checksums = kept.unwrap_or_default();
        checksums.resize(len);
        Ok((CheckedFile { inner, checksums }, is_known))
    }
}

impl<B: StorageBackend, F: Fn() -> io::Result<B> + Send + Sync> StoreFile for Opener<B, F> {
    fn open(&self) -> Result<Database, StateError> {
        let (file, is_known) = self.open_file().map_err(redb::StorageError::Io)?;
        let file = Arc::new(file);
        let is_trusted = Arc::<AtomicBool>::default();
        let watched = WatchedBackend {
            file: file.clone(),
            synced: self.synced.clone(),
            damage_met: self.damage_met.clone(),
            is_trusted: is_trusted.clone(),
            folder: self.folder.clone(),
        };
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache_bytes);
        builder.set_check_integrity_on_open(!is_known);
        let database = builder.create_with_backend(watched)?;
        is_trusted.store(true, Ordering::SeqCst);
        *self.file.lock() = Some(file);
        Ok(database)
    }

    fn verify(&self, from: usize) -> io::Result<Option<usize>> {
        let Some(file) = self.file.lock().clone() else {
            return Ok(None);
        };
        let to = file.checksums.len().min(from + VERIFIED_AT_ONCE);
        let read = |offset, out: &mut [u8]| file.inner.read(offset, out);
        file.checksums.verify(from..to, read)?;
        Ok((to < file.checksums.len()).then_some(to))
    }

    fn damage_met(&self) -> &Notify {
        &self.damage_met
    }
}

/// Notes an fsync that failed, and compares what is read with what was written.
#[derive(Debug)]
struct WatchedBackend<B> {
    file: Arc<CheckedFile<B>>,
    synced: Arc<AtomicBool>,
    damage_met: Arc<Notify>,
    /// Whether it was opened. Until then a block's checksum may be that of a damaged one, which redb is about to find.
    is_trusted: Arc<AtomicBool>,
    folder: Option<Arc<dyn Disk>>,
}

impl<B: StorageBackend> WatchedBackend<B> {
    /// Keeps the checksums of a store that was closed cleanly.
    fn keep_checksums(&self, folder: &dyn Disk) -> io::Result<()> {
        let CheckedFile { inner, checksums } = &*self.file;
        let is_good = [&self.is_trusted, &self.synced]
            .iter()
            .all(|flag| flag.load(Ordering::SeqCst));
        if !is_good || !was_closed(inner)? {
            return Ok(());
        }
        match header_of(inner)? {
            Some(header) => checksums.keep(folder, &header),
            None => Ok(()),
        }
    }
}

impl<B: StorageBackend> StorageBackend for WatchedBackend<B> {
    fn len(&self) -> io::Result<u64> {
        self.file.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.inner.read(offset, out)?;
        let checked = self.file.checksums.check(offset, out);
        if checked.is_err() {
            self.damage_met.notify_one();
        }
        checked
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // Before: whoever verifies leaves out what is cut.
        self.file.checksums.resize(len);
        self.file.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.file.inner.sync_data();
        if synced.is_err() {
            self.synced.store(false, Ordering::SeqCst);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.checksums.writing(offset, data);
        self.file.inner.write(offset, data)?;
        self.file.checksums.written(offset, data);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        if let Some(folder) = &self.folder
            && let Err(error) = self.keep_checksums(&**folder)
        {
            tracing::warn!(%error, "the store's checksums could not be kept: the next start verifies all of the store");
        }
        // Whoever verifies it still leaves out all that others write from now on.
        self.file.checksums.resize(0);
        self.file.inner.close()
    }
}

/// The header, if the file is not too short to have one.
fn header_of(backend: &impl StorageBackend) -> io::Result<Option<Vec<u8>>> {
    if backend.len()? < HEADER_LEN as u64 {
        return Ok(None);
    }
    let mut header = vec![0; HEADER_LEN];
    backend.read(0, &mut header)?;
    Ok(Some(header))
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
