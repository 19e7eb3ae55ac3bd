//! A storage node: one or more disks, who it is, and what it has seen of its master's orders.
//!
//! A chunk is on one of the disks. A put goes to the disk with the most room, puts of one chunk at the same time
//! go to the same disk, whose writer stores it once. A disk that failed is read as long as it can be, and
//! the others go on.
//!
//! **Invariants:** orders of a master before the newest seen are refused (`node/master.rs`); deletions are done in the
//! order of their sequence, one order at a time, and an order is answered only when it is durable on every disk that
//! takes writes; what others hold of it is named in the answer (`node/delete.rs`).

mod delete;
mod disks;
mod duplicates;
mod inventory;
mod master;
mod put;
mod report;
mod rot;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use disk::Blocking;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use proto::hello::ReceiptKey;
use proto::id::{BootId, ChunkId, ClusterId, NodeId};
use proto::{ErrorCode, WireError};
use threads::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use crate::catalog::Row;
use crate::environment::Environment;
use crate::error::StoreError;
use crate::identity::Identity;
use crate::store::{ChunkFile, Store};
use delete::Orders;
use duplicates::Duplicates;
use master::Following;
use put::DiskClaim;
use rot::Rot;

pub(crate) use disks::Disks;
pub(crate) use master::FollowError;

/// Up to this length hashing and reading take less time than handing them to another thread.
pub(crate) const INLINE_LEN_MAX: usize = 64 << 10;

/// The node. Shared by all connections.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) environment: Environment,
    pub(crate) boot: BootId,
    disks: RwLock<Arc<Disks>>,
    id: NodeId,
    receipt_key: ReceiptKey,
    following: Following,
    /// The epoch of the last deletion that was carried out before this start, as far as the disks are known.
    last_order_epoch: AtomicU64,
    cluster: watch::Sender<Option<ClusterId>>,
    orders: tokio::sync::Mutex<Orders>,
    puts: Mutex<HashMap<ChunkId, DiskClaim>>,
    rot: Rot,
    duplicates: Duplicates,
    pub(crate) corrupt_found: Notify,
    pub(crate) deleted: Notify,
    registered: AtomicBool,
}

/// A chunk that can be read.
#[derive(Debug)]
pub(crate) enum OpenChunk {
    /// A small one, read and checked.
    Bytes(Bytes),
    /// A large one, of which the record's header was checked.
    File(FoundChunk),
}

/// A chunk found on one of the disks.
#[derive(Debug, Clone)]
pub(crate) struct FoundChunk {
    pub(crate) disk: usize,
    pub(crate) file: ChunkFile,
}

impl Node {
    pub(crate) fn new(identity: Identity, disks: Disks, environment: Environment) -> Self {
        let order = disks.iter().map(|disk| disk.store.catalog().order).max();
        let order = order.unwrap_or_default();
        let orders = Orders::new(order, disks.len());
        let cluster = watch::Sender::new(identity.cluster());
        Self {
            boot: environment.boot(),
            environment,
            disks: RwLock::new(Arc::new(disks)),
            id: identity.node(),
            receipt_key: identity.receipt_key().clone(),
            following: Following::new(identity),
            last_order_epoch: AtomicU64::new(order.epoch.0),
            cluster,
            orders: tokio::sync::Mutex::new(orders),
            puts: Mutex::default(),
            rot: Rot::default(),
            duplicates: Duplicates::default(),
            corrupt_found: Notify::new(),
            deleted: Notify::new(),
            registered: AtomicBool::new(false),
        }
    }

    /// Who it is.
    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// Its key for receipts.
    pub(crate) fn receipt_key(&self) -> &ReceiptKey {
        &self.receipt_key
    }

    /// The cluster that it joined, if it has.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        *self.cluster.borrow()
    }

    /// The same, and the one that it joins later.
    pub(crate) fn watch_cluster(&self) -> watch::Receiver<Option<ClusterId>> {
        self.cluster.subscribe()
    }

    /// Whether its master knows it now.
    pub(crate) fn is_registered(&self) -> bool {
        self.registered.load(Ordering::Relaxed)
    }

    pub(crate) fn set_registered(&self, registered: bool) {
        self.registered.store(registered, Ordering::Relaxed);
    }

    pub(crate) fn blocking(&self) -> Blocking {
        self.environment.blocking
    }

    /// The chunk's row: a good one before a corrupt one. An index that cannot be read hides what only it knows.
    pub(crate) async fn find(&self, chunk: &ChunkId) -> Result<Option<(usize, Row)>, StoreError> {
        let id = *chunk;
        let find = move |store: &Store| store.find(&id);
        self.first_good(find, |row| !row.corrupt).await
    }

    /// Asks all disks at once; the first good answer wins, so that a disk that hangs hides only what it alone has.
    async fn first_good<T: Send + 'static>(
        &self,
        ask: impl Fn(&Store) -> Result<Option<T>, StoreError> + Clone + Send + 'static,
        is_good: impl Fn(&T) -> bool,
    ) -> Result<Option<(usize, T)>, StoreError> {
        let disks = self.disks();
        let asked = disks.iter().enumerate().map(|(place, disk)| {
            let (ask, store) = (ask.clone(), Arc::clone(&disk.store));
            async move { (place, disk.lane.run(move || ask(&store)).await) }
        });
        let mut answers: FuturesUnordered<_> = asked.collect();
        let mut best = Best::default();
        if disks.late > 0 {
            best.error = Some(StoreError::TimedOut);
        }
        while let Some((place, answer)) = answers.next().await {
            if best.take(place, answer, &is_good) {
                break;
            }
        }
        best.result()
    }

    /// Opens a good chunk for reading, and reads it if it is small. One that is found bad is refused at once, and marked
    /// after that.
    pub(crate) async fn open_chunk(
        self: &Arc<Self>,
        chunk: &ChunkId,
    ) -> Result<OpenChunk, StoreError> {
        let id = *chunk;
        let open = move |store: &Store| open_in(store, &id);
        let opened = self.first_good(open, |(_, opened)| opened.is_ok()).await?;
        let (disk, (row, opened)) = opened.ok_or(StoreError::NotFound(*chunk))?;
        match opened {
            Ok(Opened::Bytes(bytes)) => Ok(OpenChunk::Bytes(bytes)),
            Ok(Opened::File(file)) => Ok(OpenChunk::File(FoundChunk { disk, file })),
            Err(error) => {
                let is_bad = matches!(error, StoreError::Corrupt(_) | StoreError::Disk(_));
                if is_bad && !row.corrupt {
                    self.mark_corrupt_soon(disk, *chunk, row.location);
                }
                Err(error)
            }
        }
    }
}

/// What one disk has of a chunk.
enum Opened {
    Bytes(Bytes),
    File(ChunkFile),
}

/// A chunk's row, and what can be read of it.
type RowOpened = (Row, Result<Opened, StoreError>);

/// The chunk's row and what can be read of it, if the disk has it.
fn open_in(store: &Store, chunk: &ChunkId) -> Result<Option<RowOpened>, StoreError> {
    let file = match store.open_chunk(chunk) {
        Ok(file) => file,
        Err(StoreError::NotFound(_)) => return Ok(None),
        Err(error) => return Ok(store.find(chunk)?.map(|row| (row, Err(error)))),
    };
    let row = file.row;
    let opened = if row.corrupt {
        Err(StoreError::Corrupt(*chunk))
    } else if file.payload().2 <= INLINE_LEN_MAX {
        file.read().map(Opened::Bytes)
    } else {
        file.check_header().map(|_| Opened::File(file))
    };
    Ok(Some((row, opened)))
}

/// The best of what several disks say.
struct Best<T> {
    found: Option<(usize, T)>,
    error: Option<StoreError>,
}

impl<T> Default for Best<T> {
    fn default() -> Self {
        Self {
            found: None,
            error: None,
        }
    }
}

impl<T> Best<T> {
    /// Takes what one disk says; whether that settles it.
    fn take(
        &mut self,
        place: usize,
        answer: Result<Option<T>, StoreError>,
        is_good: impl Fn(&T) -> bool,
    ) -> bool {
        match answer {
            Ok(Some(value)) => {
                let settles = is_good(&value);
                self.found = Some((place, value));
                settles
            }
            Ok(None) => false,
            Err(error) => {
                self.error = Some(error);
                false
            }
        }
    }

    fn result(self) -> Result<Option<(usize, T)>, StoreError> {
        match (self.found, self.error) {
            (None, Some(error)) => Err(error),
            (found, _) => Ok(found),
        }
    }
}

fn stale(message: String) -> WireError {
    WireError::new(ErrorCode::StaleEpoch, message)
}
