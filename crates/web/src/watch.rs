//! The cluster as it is now, for those who watch it: asked of the master at most twice a second, however many watch, and not
//! at all while nobody does.

use std::sync::Arc;
use std::time::Duration;

use proto::master::NodeSummary;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::drive::Drive;
use crate::error::{Kind, Problem};
use crate::readiness::{Known, StatusCache};

/// How old what is shown may be, and how often those who watch look.
pub(crate) const AGE_MAX: Duration = Duration::from_millis(500);
/// Nodes that are shown.
pub(crate) const NODES_MAX: u32 = 200;
/// How many may watch at once: each has a connection.
const WATCHERS_MAX: usize = 64;

/// Its status, and its nodes.
#[derive(Debug)]
pub(crate) struct ClusterNow {
    /// Its status, or why that is not known.
    pub(crate) known: Known,
    /// Its nodes, by id; none where the status is not known.
    pub(crate) nodes: Vec<NodeSummary>,
    /// Whether there are more nodes.
    pub(crate) more_nodes: bool,
}

/// What those who watch share.
#[derive(Debug)]
pub(crate) struct Watch {
    last: Mutex<Option<Seen>>,
    places: Arc<Semaphore>,
}

/// What was seen last.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    since: Instant,
    /// Counts changes.
    pub(crate) change: u64,
    /// What it was.
    pub(crate) now: Arc<ClusterNow>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            last: Mutex::new(None),
            places: Arc::new(Semaphore::new(WATCHERS_MAX)),
        }
    }
}

impl Watch {
    /// A place among those who watch.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let detail =
                "too many watch the cluster already; ask /api/v1/status now and then instead";
            Problem::new(Kind::Busy, detail)
        })
    }

    /// The cluster, as it was half a second ago at most. The lock is held while the master is asked, so that many ask once.
    pub(crate) async fn look(&self, drive: &dyn Drive, status: &StatusCache) -> Seen {
        let mut last = self.last.lock().await;
        if let Some(seen) = &*last
            && seen.since.elapsed() < AGE_MAX
        {
            return seen.clone();
        }
        let now = ask(drive, status).await;
        let change = match &*last {
            Some(seen) if is_same(&seen.now, &now) => seen.change,
            Some(seen) => seen.change + 1,
            None => 1,
        };
        let seen = Seen {
            since: Instant::now(),
            change,
            now: Arc::new(now),
        };
        *last = Some(seen.clone());
        seen
    }
}

async fn ask(drive: &dyn Drive, status: &StatusCache) -> ClusterNow {
    let mut now = ClusterNow {
        known: status.get_within(drive, AGE_MAX / 2).await,
        nodes: Vec::new(),
        more_nodes: false,
    };
    if let Known::Status(_) = now.known {
        match drive.nodes(None, NODES_MAX).await {
            Ok(listed) => {
                now.nodes = listed.nodes;
                now.more_nodes = listed.more;
            }
            Err(error) => tracing::debug!("the nodes are not known: {error}"),
        }
    }
    now
}

/// Whether nobody would see a difference: that time passes is none.
fn is_same(before: &ClusterNow, now: &ClusterNow) -> bool {
    let same_status = match (&before.known, &now.known) {
        (Known::Status(before), Known::Status(now)) => before == now,
        (Known::Unknown(before), Known::Unknown(now)) => before == now,
        _ => false,
    };
    let timeless = |node: &NodeSummary| NodeSummary {
        heartbeat_age_ms: None,
        ..node.clone()
    };
    same_status
        && before
            .nodes
            .iter()
            .map(timeless)
            .eq(now.nodes.iter().map(timeless))
}
