//! A machine with its disks, and what may become of its process.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use disk::{Disk, MemoryDisk};
use parking_lot::Mutex;
use proto::id::{ChunkId, NodeId};
use rand::Rng;

/// Room on a node's disk.
pub(crate) const CAPACITY: u64 = 64 << 20;
/// Room on the master's.
pub(crate) const MASTER_CAPACITY: u64 = 1 << 40;

/// What a process may say at its end, because this was done to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Excuse {
    /// The disk stopped: the power is about to go.
    Stopped,
    /// A sync was to fail.
    Sync,
    /// A write was to fail.
    Write,
    /// Reads of a file fail.
    Read,
    /// A file cannot be opened.
    Open,
    /// There is no room: a process that starts may end of it, and none that runs.
    Full,
    /// A file of the master's is damaged: it may end of whatever it finds, and says what to do.
    Damage,
}

impl Excuse {
    fn words(self) -> &'static str {
        match self {
            Self::Stopped => "the disk has stopped",
            Self::Sync => "injected sync error",
            Self::Write => "injected write error",
            Self::Read => "injected read error",
            Self::Open => "injected open error",
            Self::Full => "StorageFull",
            Self::Damage => "",
        }
    }
}

/// How a process came to its end, which nobody told it to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Before it ran.
    pub(crate) in_start: bool,
    pub(crate) error: Result<(), String>,
}

/// A machine with its disks.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) disks: Mutex<Vec<MemoryDisk>>,
    /// What its process may end of.
    excuses: Mutex<BTreeSet<Excuse>>,
    /// Why its process ended last, as far as its files were damaged.
    refusal: Mutex<Option<String>>,
    /// Whether files of its disks other than extents rotted, or could not be read for a while: what it has may be there and not
    /// be found.
    pub(crate) is_doubtful: AtomicBool,
    /// Whether any file of its disks was damaged or could not be read: with that, records of deletions may be lost.
    pub(crate) is_harmed: AtomicBool,
    /// Until when its process may have written to an extent that had no name any more, and so lost what it said to have; for
    /// ever as long as that process runs.
    losing_until: Mutex<Option<Duration>>,
    /// How often its process was started.
    starts: AtomicU32,
    /// A client that has ended.
    pub(crate) done: AtomicBool,
}

impl Machine {
    pub(crate) fn new(name: String, disks: impl IntoIterator<Item = MemoryDisk>) -> Self {
        Self {
            disks: Mutex::new(disks.into_iter().collect()),
            name,
            excuses: Mutex::default(),
            refusal: Mutex::default(),
            is_doubtful: AtomicBool::new(false),
            is_harmed: AtomicBool::new(false),
            losing_until: Mutex::default(),
            starts: AtomicU32::new(0),
            done: AtomicBool::new(false),
        }
    }

    pub(crate) fn disks(&self) -> Vec<MemoryDisk> {
        self.disks.lock().clone()
    }

    /// Its disks have as much room as at first.
    pub(crate) fn empty_disks(&self) {
        let capacity = if self.name == super::MASTER {
            MASTER_CAPACITY
        } else {
            CAPACITY
        };
        for disk in self.disks() {
            disk.set_capacity(capacity);
        }
        self.excuses.lock().remove(&Excuse::Full);
    }

    /// Counts a start of its process.
    pub(crate) fn count_start(&self) -> u32 {
        self.starts.fetch_add(1, Ordering::Relaxed)
    }

    /// Its process may end of this.
    pub(crate) fn excuse(&self, excuse: Excuse) {
        self.excuses.lock().insert(excuse);
    }

    /// Its process may end of nothing that was done before; a full disk is still full.
    pub(crate) fn forget_excuses(&self) {
        self.excuses.lock().retain(|excuse| *excuse == Excuse::Full);
    }

    /// Whether something that was done to its disks is why its process ended.
    pub(crate) fn may_end(&self, ended: &Ended) -> bool {
        let Err(error) = &ended.error else {
            return false;
        };
        let excuses = self.excuses.lock();
        if excuses.contains(&Excuse::Damage) {
            *self.refusal.lock() = Some(error.clone());
        }
        excuses.iter().any(|excuse| {
            (*excuse != Excuse::Full || ended.in_start) && error.contains(excuse.words())
        })
    }

    /// What its process said that ended of damage.
    pub(crate) fn take_refusal(&self) -> Option<String> {
        self.refusal.lock().take()
    }

    /// An extent lost its name: what the present process writes to it is lost.
    pub(crate) fn begin_losing(&self) {
        *self.losing_until.lock() = Some(Duration::MAX);
    }

    /// Its process ends, which alone had that extent.
    pub(crate) fn end_losing(&self, now: Duration) {
        if let Some(until) = &mut *self.losing_until.lock() {
            *until = now.min(*until);
        }
    }

    /// Whether its present process may write to an extent that has no name any more.
    pub(crate) fn is_losing(&self) -> bool {
        *self.losing_until.lock() == Some(Duration::MAX)
    }

    /// Whether that may have befallen something that was written at this time or later.
    pub(crate) fn may_have_lost(&self, since: Duration) -> bool {
        self.losing_until.lock().is_some_and(|until| until >= since)
    }

    /// The good chunks on its disks, as the disks themselves say.
    pub(crate) fn good_chunks(&self) -> BTreeSet<ChunkId> {
        self.good_chunks_on(MemoryDisk::heal)
    }

    /// Those that would be there if the power went now.
    pub(crate) fn durable_chunks(&self, chance: &mut impl Rng) -> BTreeSet<ChunkId> {
        self.good_chunks_on(|disk| disk.crash(chance))
    }

    fn good_chunks_on(&self, mut before: impl FnMut(&MemoryDisk)) -> BTreeSet<ChunkId> {
        let mut chunks = BTreeSet::new();
        for disk in self.disks() {
            let (copy, exported) = (disk.fork(), MemoryDisk::new());
            before(&copy);
            // It also fails when a chunk is damaged, which is left out, and where there is no node.
            drop(storage_node::offline::export(
                &copy,
                &exported,
                &mut std::io::sink(),
            ));
            let names = exported.list("").expect("it is a new disk");
            chunks.extend(
                names
                    .iter()
                    .filter_map(|entry| entry.name.parse::<ChunkId>().ok()),
            );
        }
        chunks
    }

    /// All that its disks say of a chunk, a line a record: for whoever looks into a failure.
    pub(crate) fn records_of(&self, chunk: &ChunkId) -> Vec<String> {
        let mut said = Vec::new();
        for disk in self.disks() {
            let copy = disk.fork();
            copy.heal();
            drop(storage_node::offline::inspect(&copy, true, &mut said));
        }
        let (said, chunk) = (String::from_utf8_lossy(&said), chunk.to_string());
        let lines = said
            .lines()
            .filter(|line| line.contains(&chunk) || line.contains("extents/"));
        lines.map(str::to_owned).collect()
    }

    /// Who it is, if it has ever run.
    pub(crate) fn node(&self) -> Option<NodeId> {
        let identity = self.disks.lock().first()?.content("node.json")?;
        let identity: serde_json::Value = serde_json::from_slice(&identity).ok()?;
        serde_json::from_value(identity.get("node")?.clone()).ok()
    }
}

/// A new disk of a node.
pub(crate) fn empty_disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.set_capacity(CAPACITY);
    disk
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any end whose error named a fault was excused, on any machine, at any time.
    #[test]
    fn an_end_is_excused_only_where_its_fault_was_set() {
        let ended = |in_start, error: &str| Ended {
            in_start,
            error: Err(error.to_owned()),
        };
        let machine = Machine::new("node-1".to_owned(), [empty_disk()]);
        let failed_sync = ended(false, "Disk(injected sync error)");
        assert!(!machine.may_end(&failed_sync));
        machine.excuse(Excuse::Sync);
        machine.excuse(Excuse::Full);
        assert!(machine.may_end(&failed_sync));
        assert!(!machine.may_end(&ended(false, "Disk(injected write error)")));
        assert!(machine.may_end(&ended(true, "Open(Io(StorageFull))")));
        assert!(!machine.may_end(&ended(false, "Loop(StorageFull)")));
        machine.forget_excuses();
        assert!(!machine.may_end(&failed_sync));
        assert!(machine.may_end(&ended(true, "Open(Io(StorageFull))")));
        machine.empty_disks();
        assert!(!machine.may_end(&ended(true, "Open(Io(StorageFull))")));
    }

    /// A node that once lost a file was taken to have, and to have lost, whatever was acknowledged from then on.
    #[test]
    fn only_the_process_that_has_a_lost_extent_loses_what_it_writes() {
        let machine = Machine::new("node-1".to_owned(), [empty_disk()]);
        let seconds = Duration::from_secs;
        machine.end_losing(seconds(3));
        assert!(!machine.may_have_lost(seconds(0)));
        machine.begin_losing();
        assert!(machine.may_have_lost(seconds(9)));
        machine.end_losing(seconds(10));
        assert!(machine.may_have_lost(seconds(9)));
        assert!(!machine.may_have_lost(seconds(11)));
        machine.end_losing(seconds(12));
        assert!(!machine.may_have_lost(seconds(11)), "it ended before");
    }
}
