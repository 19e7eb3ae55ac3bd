//! What the master knows: names, versions, chunks, who holds them, and what was promised.
//!
//! [`State`] is one redb database. It changes only by [`Transaction::apply`], one
//! [`Command`](crate::command::Command) at a time, and is read through [`Snapshot`]s, which never wait for a writer.
//! `commit.rs` is the only caller of the writing side.
//!
//! **Invariant:** equal commands in equal order make equal states: `apply` asks no clock, no chance and no network.
//! **Invariant:** a refused command changes nothing, although it shares its transaction with others.
//! **Invariant:** a copy whose deletion is planned is no longer recorded as a replica, and no promise names it; a
//! copy that a promise names is never planned for deletion. So a receipt and a deletion never cross.

mod answers;
mod apply;
mod chunks;
mod error;
mod head;
mod names;
mod nodes;
mod outcome;
mod promises;
mod proofs;
mod replicas;
mod rows;
mod snapshot;
mod snapshot_chunks;
mod sweep;
mod tables;
#[cfg(test)]
mod tests;
mod trash;
mod uploads;
mod versions;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use proto::id::ClusterId;
use proto::master::ClusterRules;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use crate::command::{ClusterMillis, TimedCommand};
use tables::Tables;

pub use error::StateError;
pub(crate) use error::refuse;
pub use head::{COPIES_COUNTED, Counters, TrippedFuse};
pub use outcome::{Allocation, Outcome};
pub use rows::{ChunkRow, NodeRow, NodeTally, Sums, UnknownChunk, UploadRow, VersionRow};
pub use snapshot::Snapshot;

/// How often, and how long apart, a reopening looks whether the last reader is gone.
const READERS_GONE_TRIES: u32 = 500;
const READERS_GONE_PAUSE: Duration = Duration::from_millis(10);

/// What a store is opened with.
#[derive(Debug, Clone)]
pub struct StateOptions {
    /// The cluster that a new store begins.
    pub new_cluster: ClusterId,
    /// What the cluster shall be. The chunk size and the name rules are fixed when the store is new; the rest may
    /// change later.
    pub rules: ClusterRules,
    /// Memory for cached pages, in bytes.
    pub cache_bytes: usize,
}

/// The master's state.
pub struct State {
    /// Nothing only while it is reopened.
    database: RwLock<Option<Arc<Database>>>,
    reopen: Box<dyn Fn() -> Result<Database, StateError> + Send + Sync>,
    cluster: ClusterId,
    rules: ClusterRules,
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
        backend: impl Fn() -> std::io::Result<B> + Send + Sync + 'static,
        options: &StateOptions,
    ) -> Result<Self, StateError> {
        let cache_bytes = options.cache_bytes;
        let reopen = move || {
            let backend = backend().map_err(redb::StorageError::Io)?;
            let mut builder = Database::builder();
            builder.set_cache_size(cache_bytes);
            builder.set_check_integrity_on_open(true);
            Ok(builder.create_with_backend(backend)?)
        };
        let database = reopen()?;
        let (cluster, rules) = prepare(&database, options)?;
        Ok(Self {
            database: RwLock::new(Some(Arc::new(database))),
            reopen: Box::new(reopen),
            cluster,
            rules,
        })
    }

    /// Which cluster this is.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What it was made with.
    pub fn rules(&self) -> ClusterRules {
        self.rules
    }

    /// The state as the last transaction left it. Let go of it soon: pages that it sees cannot be used again
    /// until then.
    ///
    /// # Errors
    /// `unavailable` while the store is being reopened.
    pub fn read(&self) -> Result<Snapshot, StateError> {
        let database = self.database()?;
        let transaction = database.begin_read()?;
        Ok(Snapshot::new(database, transaction))
    }

    /// Begins a transaction; one at a time, a second one waits.
    pub fn write(&self) -> Result<Transaction, StateError> {
        let transaction = self.database()?.begin_write()?;
        Ok(Transaction {
            transaction,
            rules: self.rules,
        })
    }

    /// Opens the store again after a failure below it: what was durable is there, what was not is gone. Waits
    /// a few seconds for readers to finish, since a page that they see may be written anew from now on.
    ///
    /// # Errors
    /// The store is lost to this process, which can only end.
    pub fn reopen(&self) -> Result<(), StateError> {
        let mut slot = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut database = slot.take();
        for _ in 0..READERS_GONE_TRIES {
            match database.map(Arc::try_unwrap) {
                None => break,
                Some(Ok(last)) => {
                    drop(last);
                    *slot = Some(Arc::new((self.reopen)()?));
                    return Ok(());
                }
                Some(Err(shared)) => database = Some(shared),
            }
            std::thread::sleep(READERS_GONE_PAUSE);
        }
        Err(StateError::Damaged(
            "it could not be reopened after a failure, since something still reads it".to_owned(),
        ))
    }

    fn database(&self) -> Result<Arc<Database>, StateError> {
        let slot = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(database) => Ok(Arc::clone(database)),
            None => refuse(
                proto::ErrorCode::Unavailable,
                "the master is reopening its store after a failure; try again in a moment",
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
    rules: ClusterRules,
}

impl Transaction {
    /// Applies the commands in order and makes the result durable, if asked, before it returns. Each command has
    /// its own outcome or refusal.
    ///
    /// # Errors
    /// The store failed: none of the commands may be answered as done, and the state must be reopened. Whether
    /// they were done is not known until then.
    pub fn run<'c>(
        mut self,
        commands: impl IntoIterator<Item = &'c TimedCommand>,
        durable: bool,
    ) -> Result<Vec<Result<Outcome, proto::WireError>>, StateError> {
        if !durable {
            self.transaction.set_durability(Durability::None)?;
        }
        let mut tables = Tables::open(&self.transaction, self.rules)?;
        let mut outcomes = Vec::new();
        for command in commands {
            outcomes.push(match apply::apply(&mut tables, command) {
                Ok(outcome) => Ok(outcome),
                Err(StateError::Refused(refusal)) => Err(refusal),
                Err(failure) => return Err(failure),
            });
        }
        tables.finish()?;
        self.transaction.commit()?;
        Ok(outcomes)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

/// The row that says which cluster this is. Its format is fixed for all time, so that any program can tell.
#[derive(Debug, Serialize, Deserialize)]
struct ClusterRow {
    cluster: ClusterId,
    chunk_size: u32,
    replication_factor: u8,
    min_write_replicas: u8,
    file_size_max: Option<u64>,
    portable_names: bool,
}

/// Makes a new store the cluster's, or sees that an old one fits the rules, and takes over what may change.
fn prepare(
    database: &Database,
    options: &StateOptions,
) -> Result<(ClusterId, ClusterRules), StateError> {
    let transaction = database.begin_write()?;
    let mut tables = Tables::open(&transaction, options.rules)?;
    let found: Option<ClusterRow> = match tables.meta.get(tables::CLUSTER_KEY)? {
        Some(row) => Some(rows::decode(row.value())?),
        None => None,
    };
    let cluster = found
        .as_ref()
        .map_or(options.new_cluster, |row| row.cluster);
    match &found {
        None => names::make_root(&mut tables)?,
        Some(row) => {
            check_fixed_rules(row, &options.rules)?;
            if row.replication_factor != options.rules.replication_factor {
                chunks::recount_needs_copies(&mut tables)?;
            }
        }
    }
    let row = ClusterRow {
        cluster,
        chunk_size: options.rules.chunk_size,
        replication_factor: options.rules.replication_factor,
        min_write_replicas: options.rules.min_write_replicas,
        file_size_max: options.rules.file_size_max,
        portable_names: options.rules.names == proto::name::NameRules::Portable,
    };
    tables
        .meta
        .insert(tables::CLUSTER_KEY, rows::encode(&row).as_slice())?;
    tables.finish()?;
    transaction.commit()?;
    Ok((cluster, options.rules))
}

fn check_fixed_rules(row: &ClusterRow, rules: &ClusterRules) -> Result<(), StateError> {
    if row.chunk_size != rules.chunk_size {
        return refuse(
            proto::ErrorCode::InvalidArgument,
            format!(
                "this cluster was made with a chunk size of {} bytes, and the settings say {}: \
                 set chunk_size back, it cannot change",
                row.chunk_size, rules.chunk_size
            ),
        );
    }
    if row.portable_names != (rules.names == proto::name::NameRules::Portable) {
        let made = if row.portable_names {
            "portable"
        } else {
            "any"
        };
        return refuse(
            proto::ErrorCode::InvalidArgument,
            format!("this cluster was made with names = {made:?}: set it back, it cannot change"),
        );
    }
    Ok(())
}

impl From<ClusterMillis> for u64 {
    fn from(millis: ClusterMillis) -> Self {
        millis.0
    }
}
