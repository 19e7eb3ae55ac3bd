//! Points at which a process can be killed: those between two steps where the order of the steps is what keeps a promise.
//!
//! Only a program that is built with the feature `armed` has any, and only `DFS_KILL_AT=point` or `DFS_KILL_AT=point:3`, for the
//! third time that it gets there, has it end. Nothing is flushed, nobody is told: as with `kill -9`.

macro_rules! points {
    ($($(#[doc = $doc:literal])+ $point:ident = $name:literal on $server:ident,)+) => {
        /// A point at which a process can be killed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[doc = $doc])+ $point,)+
        }

        impl Point {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$point,)+];

            /// What `DFS_KILL_AT` calls it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }

            /// Which servers get there.
            pub const fn server(self) -> PointOf {
                match self {
                    $(Self::$point => PointOf::$server,)+
                }
            }
        }
    };
}

/// Which server gets to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointOf {
    /// A master.
    Master,
    /// A storage node.
    Node,
}

points! {
    /// A batch of records is written, and not synced.
    RecordsWritten = "records-written" on Node,
    /// A batch of records is synced, and the index does not know it.
    RecordsSynced = "records-synced" on Node,
    /// The index knows a batch, and nobody was answered.
    RecordsIndexed = "records-indexed" on Node,
    /// An extent has a durable header, and no record.
    ExtentMade = "extent-made" on Node,
    /// The index is durable, and counts as changed still.
    IndexDurable = "index-durable" on Node,
    /// All that is needed of an extent is copied, and it is still there.
    ExtentCopied = "extent-copied" on Node,
    /// An extent is removed, and its folder is not synced.
    ExtentRemoved = "extent-removed" on Node,
    /// An extent is gone, and the index still knows what was in it.
    ExtentForgotten = "extent-forgotten" on Node,
    /// A file is written beside the one that it is to replace.
    FileBeside = "file-beside" on Node,
    /// A file is in the place of the one before, and the folder is not synced.
    FileRenamed = "file-renamed" on Node,
    /// Commands were taken, and nothing was done with them.
    CommandsTaken = "commands-taken" on Master,
    /// Commands are durable, and the witness does not know of them.
    CommandsDurable = "commands-durable" on Master,
    /// The witness knows of commands, and only promises were answered.
    CommandsWitnessed = "commands-witnessed" on Master,
    /// Repair has made copies, and they are not on record.
    CopiesMade = "copies-made" on Master,
    /// A node has carried out deletions, and they are still planned.
    DeletionsObeyed = "deletions-obeyed" on Master,
}

/// Ends the process if it is to be killed here.
#[cfg(not(feature = "armed"))]
#[inline]
pub const fn reach(_point: Point) {}

/// Ends the process if it is to be killed here.
#[cfg(feature = "armed")]
pub fn reach(point: Point) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: OnceLock<Option<(Point, u64)>> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);
    let Some((chosen, time)) = CHOSEN.get_or_init(chosen) else {
        return;
    };
    if *chosen == point && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == *time {
        kill_this();
    }
}

#[cfg(feature = "armed")]
fn chosen() -> Option<(Point, u64)> {
    let said = std::env::var("DFS_KILL_AT").ok()?;
    let (name, time) = said.split_once(':').unwrap_or((&said, "1"));
    let point = Point::ALL.iter().find(|point| point.name() == name);
    // What is misspelt would prove nothing.
    match (point, time.parse()) {
        (Some(point), Ok(time)) => Some((*point, time)),
        _ => panic!("DFS_KILL_AT names no point: {said}"),
    }
}

#[cfg(all(feature = "armed", unix))]
fn kill_this() {
    let killed =
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    killed.expect("a process may kill itself");
}

#[cfg(all(feature = "armed", not(unix)))]
fn kill_this() {
    std::process::abort();
}
