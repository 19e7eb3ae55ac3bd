//! What the master knows: names, versions, chunks, who holds them, and what was promised.
//!
//! [`State`] is one redb database. It changes only by [`Transaction::run_each`], one
//! [`Command`](crate::command::Command) at a time, and is read through [`Snapshot`]s, which never wait for a writer.
//! `commit/batcher.rs` is the only caller of the writing side.
//!
//! **Invariant:** equal commands in equal order make equal states: `apply` asks no clock, no chance and no network.
//! **Invariant:** a refused command changes nothing, although it shares its transaction with others.
//! **Invariant:** a copy whose deletion is planned is no longer recorded as a replica, and no promise names it; a
//! copy that a promise names is never planned for deletion. So a receipt and a deletion never cross.

mod answers;
mod apply;
mod browse;
mod checksums;
mod chunks;
mod commits;
mod error;
mod fuse;
mod head;
mod kept;
mod lineage;
mod names;
mod nodes;
mod outcome;
mod promises;
mod proofs;
mod replicas;
mod rows;
mod rules;
mod search;
mod shares;
mod snapshot;
mod snapshot_chunks;
mod snapshot_shares;
mod snapshot_versions;
mod store;
mod sweep;
mod tables;
#[cfg(test)]
mod tests;
mod trash;
mod uploads;
mod versions;

use std::fmt;
use std::io;
use std::sync::Arc;

use disk::{Disk, RedbBackend};
use proto::id::ClusterId;
use proto::master::ClusterRules;
use redb::{Database, Durability, ReadableDatabase, StorageBackend, WriteTransaction};
use threads::RwLock;

use crate::command::TimedCommand;
use crate::folder::Folder;
use store::{Opener, StoreFile};
use tables::Tables;

#[cfg(test)]
pub(crate) use checksums::FILE as CHECKSUMS;
pub use error::StateError;
pub(crate) use error::refuse;
pub use fuse::{Fuse, TrippedFuse};
pub use head::{COPIES_COUNTED, Counters};
pub use kept::KeptUpload;
pub use outcome::{Allocation, CountedReceipt, Outcome};
pub(crate) use replicas::INVENTORIES_MIN;
pub use rows::{
    ChunkRow, NodeRow, NodeTally, PromiseRow, Sums, UnknownChunk, UploadRow, VersionRow,
    VersionSums,
};
pub use snapshot::Snapshot;

/// What a store is opened with.
#[derive(Debug, Clone)]
pub struct StateOptions {
    /// The cluster that a new store begins.
    pub new_cluster: ClusterId,
    /// What a new store's cluster is made with. An old one has its own rules, which `SetRules` changes, and is refused if it
    /// was made with another chunk size or other name rules.
    pub rules: ClusterRules,
    /// Memory for cached pages, in bytes.
    pub cache_bytes: usize,
}

/// The master's state.
pub struct State {
    /// Nothing while the store is opened again, and after a failure that could not be mended.
    database: RwLock<Option<Database>>,
    file: Box<dyn StoreFile>,
    cluster: ClusterId,
    rules: Arc<RwLock<ClusterRules>>,
}

impl State {
    /// Opens the store, or makes a new one where the backend is empty. `backend` is called again when the
    /// store has to be reopened after a failure.
    ///
    /// The whole store is read and its checksums are verified: damage is found now and not later.
    ///
    /// # Errors
    /// `Damaged` or `Store` if it cannot be trusted; a refusal if it was made with other rules.
    pub fn open<B: StorageBackend>(
        backend: impl Fn() -> io::Result<B> + Send + Sync + 'static,
        options: &StateOptions,
    ) -> Result<Self, StateError> {
        Self::open_file(Opener::new(backend, None, options.cache_bytes), options)
    }

    /// Opens the store of a master's data folder, or makes a new one, as [`open`](Self::open) does. One that was closed cleanly there
    /// is used at once, whatever its size: damage is found where it is read, or by [`verify_some`](Self::verify_some).
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub fn open_in(folder: &Arc<dyn Disk>, options: &StateOptions) -> Result<Self, StateError> {
        let disk = folder.clone();
        let backend = move || Ok(RedbBackend::new(Folder::store(&*disk)?));
        let opener = Opener::new(backend, Some(folder.clone()), options.cache_bytes);
        Self::open_file(opener, options)
    }

    fn open_file(
        file: impl StoreFile + 'static,
        options: &StateOptions,
    ) -> Result<Self, StateError> {
        let database = file.open()?;
        let (cluster, rules) = store::prepare(&database, options)?;
        Ok(Self {
            database: RwLock::new(Some(database)),
            file: Box::new(file),
            cluster,
            rules: Arc::new(RwLock::new(rules)),
        })
    }

    /// Which cluster this is.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What it goes by, as the last transaction left it.
    pub fn rules(&self) -> ClusterRules {
        *self.rules.read()
    }

    /// The state as the last transaction left it. Let go of it soon: pages that it sees cannot be used again
    /// until then.
    ///
    /// # Errors
    /// `unavailable` while the store is opened again after a failure, or if it was lost.
    pub fn read(&self) -> Result<Snapshot, StateError> {
        let transaction = self.with_database(Database::begin_read)?;
        Ok(Snapshot::new(transaction))
    }

    /// Begins a transaction; one at a time, a second one waits.
    pub fn write(&self) -> Result<Transaction, StateError> {
        let transaction = self.with_database(Database::begin_write)?;
        Ok(Transaction {
            transaction,
            rules: self.rules.clone(),
        })
    }

    /// Opens the store again after a failure below it: what was durable is there, and what was not may be. Readers from
    /// before find their snapshot closed, and those who come meanwhile are refused and not kept waiting: it may take
    /// minutes.
    ///
    /// # Errors
    /// The store is lost to this process, which can only end.
    pub fn reopen(&self) -> Result<(), StateError> {
        let failed = self.database.write().take();
        drop(failed);
        let database = self.file.open()?;
        let meta = database.begin_read()?.open_table(tables::META)?;
        if let Some(row) = rules::ClusterRow::read(&meta)? {
            *self.rules.write() = row.rules();
        }
        *self.database.write() = Some(database);
        Ok(())
    }

    /// Reads some of the store's file, from this block on (the first is 0), and compares it with what was written there. Says with which
    /// block to go on, if there are more.
    ///
    /// # Errors
    /// `Damaged` if it is not; `Store` if it cannot be read.
    pub fn verify_some(&self, from: usize) -> Result<Option<usize>, StateError> {
        let verified = self.file.verify(from);
        verified.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => StateError::Damaged(error.to_string()),
            _ => redb::StorageError::Io(error).into(),
        })
    }

    /// Waits until a read met what is not what was written: from then on all reads fail, until the store is opened again before
    /// the next transaction, and all of it is verified.
    pub async fn damage_met(&self) {
        self.file.damage_met().notified().await;
    }

    fn with_database<T>(
        &self,
        begin: impl FnOnce(&Database) -> Result<T, redb::TransactionError>,
    ) -> Result<T, StateError> {
        let slot = self.database.read();
        match &*slot {
            Some(database) => Ok(begin(database)?),
            None => refuse(
                proto::ErrorCode::Unavailable,
                "the master's disk failed, and its store is being opened again: try again in a moment",
            ),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("cluster", &self.cluster)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Several commands that are kept, or lost, together. Dropped without [`Transaction::run`], it changes nothing.
pub struct Transaction {
    transaction: WriteTransaction,
    rules: Arc<RwLock<ClusterRules>>,
}

impl Transaction {
    /// Applies the commands in order and makes the result durable, if asked, before it returns. Each command has
    /// its own outcome or refusal.
    ///
    /// # Errors
    /// `Damaged`: one of the commands met what this program does not write; nothing was changed. Otherwise the store
    /// failed: none of the commands may be answered as done, and the state must be reopened. Whether they were done is
    /// not known until then.
    pub fn run<'c>(
        self,
        commands: impl IntoIterator<Item = &'c TimedCommand>,
        durable: bool,
    ) -> Result<Applied, StateError> {
        self.run_each(commands, durable, |_| {})
    }

    /// The same, for one who wants to hear of each outcome, in order, as soon as the command is applied: nobody else sees yet
    /// what it did, and it may still be lost with the transaction.
    ///
    /// # Errors
    /// As those of [`run`](Self::run); what was answered because of `note` may be lost.
    pub fn run_each<'c>(
        mut self,
        commands: impl IntoIterator<Item = &'c TimedCommand>,
        durable: bool,
        mut note: impl FnMut(&Result<Outcome, proto::WireError>),
    ) -> Result<Applied, StateError> {
        if !durable {
            self.transaction.set_durability(Durability::None)?;
        }
        let mut tables = Tables::open(&self.transaction)?;
        let mut outcomes = Vec::new();
        for command in commands {
            let outcome = match apply::apply(&mut tables, command) {
                Ok(outcome) => Ok(outcome),
                Err(StateError::Refused(refusal)) => Err(refusal),
                Err(failure) => return Err(failure),
            };
            note(&outcome);
            outcomes.push(outcome);
        }
        let (commands, rules) = (tables.head.applied, tables.rules);
        tables.finish()?;
        self.transaction.commit()?;
        *self.rules.write() = rules;
        Ok(Applied { outcomes, commands })
    }
}

/// What a transaction did.
#[derive(Debug)]
pub struct Applied {
    /// One for each command, in order.
    pub outcomes: Vec<Result<Outcome, proto::WireError>>,
    /// Commands applied or refused since the store was new.
    pub commands: u64,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}
