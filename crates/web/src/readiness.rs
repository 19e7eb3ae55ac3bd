//! Whether uploads would succeed now, and if not, why: asked of the master at most once a second, whoever asks here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::Error;
use client::people::reason;
use proto::connection::CallError;
use proto::master::{ClusterStatus, Health};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::drive::Drive;
use crate::error::{Kind, Problem, Reason};

/// How old a status may be that is shown.
const AGE_MAX: Duration = Duration::from_secs(1);

/// The cluster's status, or why it is not known.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// The master said so.
    Status(Arc<ClusterStatus>),
    /// The master was not reached.
    Unknown(Reason),
}

/// What is asked for by scripts that wait for the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Readiness {
    /// Whether an upload would succeed now.
    pub(crate) ready: bool,
    /// Why not: empty when ready.
    pub(crate) reasons: Vec<Reason>,
}

/// The last status. The lock is held while the master is asked, so that many ask once.
#[derive(Debug, Default)]
pub(crate) struct StatusCache {
    last: Mutex<Option<Last>>,
    /// How often what was asked before has become doubtful.
    changes: AtomicU64,
}

#[derive(Debug)]
struct Last {
    came: Instant,
    /// How many changes there were when it was asked for.
    changes: u64,
    known: Known,
}

impl StatusCache {
    /// What was asked before may not be true any more: a person who changed something wants to see it. Waits for nobody, also
    /// while the master is asked.
    pub(crate) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// The status, at most a second old.
    pub(crate) async fn get(&self, drive: &dyn Drive) -> Known {
        self.get_within(drive, AGE_MAX).await
    }

    /// The status, at most this old.
    pub(crate) async fn get_within(&self, drive: &dyn Drive, age_max: Duration) -> Known {
        let mut last = self.last.lock().await;
        let changes = self.changes.load(Ordering::Relaxed);
        if let Some(last) = &*last
            && last.changes == changes
            && last.came.elapsed() < age_max
        {
            return last.known.clone();
        }
        let known = match drive.status().await {
            Ok(status) => Known::Status(Arc::new(status)),
            Err(error) => {
                let why = unreached(&error);
                let detail = Problem::from(error).detail;
                let why = why.unwrap_or_else(|| sentence(&detail));
                let before = last.as_ref().map(|last| &last.known);
                if matches!(before, Some(Known::Unknown(_))) {
                    tracing::debug!("the cluster's status is still not known: {detail}");
                } else {
                    tracing::warn!("the cluster's status is not known: {detail}");
                }
                Known::Unknown(Reason {
                    code: "master_unreachable".into(),
                    message: format!(
                        "{why}. Nothing is lost: start dfs-master, or wait until it is back."
                    ),
                })
            }
        };
        *last = Some(Last {
            came: Instant::now(),
            changes,
            known: known.clone(),
        });
        known
    }
}

impl Known {
    /// Whether uploads would succeed.
    pub(crate) fn readiness(&self) -> Readiness {
        let reasons = match self {
            Self::Status(status) if status.uploads_possible => Vec::new(),
            Self::Status(status) => reasons(status),
            Self::Unknown(reason) => vec![reason.clone()],
        };
        Readiness {
            ready: reasons.is_empty(),
            reasons,
        }
    }
}

impl Readiness {
    /// As an answer to those who asked whether it is ready.
    pub(crate) fn problem(self) -> Problem {
        let messages: Vec<&str> = self.reasons.iter().map(|reason| &*reason.message).collect();
        Problem::new(Kind::NotReady, messages.join(" ")).with_reasons(self.reasons)
    }
}

/// Which master was not reached, and why, if it is that.
fn unreached(error: &Error) -> Option<String> {
    let Error::Unavailable { source, .. } = error else {
        return None;
    };
    match source.as_ref()?.downcast_ref::<CallError>()? {
        CallError::Unreachable { address, source } => Some(format!(
            "The master at {address} does not answer: {}",
            reason(source)
        )),
        _ => None,
    }
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(rest).collect()
    })
}

fn reasons(status: &ClusterStatus) -> Vec<Reason> {
    let red_first = [Health::Red, Health::Yellow, Health::Green];
    let mut reasons: Vec<Reason> = red_first
        .iter()
        .flat_map(|health| {
            status
                .problems
                .iter()
                .filter(move |problem| problem.health == *health)
        })
        .map(Reason::from)
        .collect();
    if reasons.is_empty() {
        reasons.push(Reason {
            code: "uploads_impossible".into(),
            message: format!(
                "{} of {} storage nodes take writes; {} are needed.",
                status.nodes.writable, status.nodes.total, status.rules.min_write_replicas
            ),
        });
    }
    reasons
}
