//! Keeps the master informed: registers, sends heartbeats, reports corrupt chunks, and begins again when the
//! connection breaks.
//!
//! The connection stays open between heartbeats: when it breaks the master knows at once that the node may be gone.
//! The node serves its chunks whether or not there is a master.

use std::sync::Arc;
use std::time::Duration;

use proto::connection::{CallError, CallerIdentity, Connection};
use proto::hello::{ClusterSecret, Role};
use proto::master::{NodeRegistered, RegisterNode, ReportCorruptChunks, ReportHeartbeat};
use proto::net::{Address, Network};
use proto::{ErrorCode, HistoryPoint, WireError};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::error::StoreError;
use crate::node::{FollowError, Node};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Whatever a master asks for, heartbeats come no more often.
const INTERVAL_MIN: Duration = Duration::from_millis(20);
/// Nor more seldom.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Corrupt chunks that are still here are reported again: by then, their files may be gone, and so they may go too.
const REPORT_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Where the master is, and where it finds this node.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) masters: Vec<Address>,
    pub(crate) secret: Option<ClusterSecret>,
    pub(crate) address: Address,
    pub(crate) zone: String,
}

/// Why a connection to a master ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    NotFollowed(#[from] FollowError),
    #[error("the connection to {0} broke")]
    Broken(Address),
}

impl Ended {
    /// What the master has against this node, or the node against the master.
    fn refusal(&self) -> Option<&WireError> {
        match self {
            Self::Call(CallError::Refused(error))
            | Self::NotFollowed(FollowError::Refused(error)) => Some(error),
            _ => None,
        }
    }
}

/// Stays in touch until shutdown.
///
/// # Errors
/// If the master says that this node is of another cluster before it ever registered: somebody has to look.
pub(crate) async fn run(
    node: Arc<Node>,
    membership: Membership,
    shutdown: CancellationToken,
) -> Result<(), WireError> {
    let mut reporter = Reporter {
        node,
        membership,
        sequence: 0,
        was_registered: false,
        last_complaint: String::new(),
    };
    tokio::select! {
        refused = reporter.run() => Err(refused),
        () = shutdown.cancelled() => Ok(()),
    }
}

struct Reporter {
    node: Arc<Node>,
    membership: Membership,
    /// Counts the heartbeats of this start.
    sequence: u64,
    was_registered: bool,
    last_complaint: String,
}

impl Reporter {
    async fn run(&mut self) -> WireError {
        let mut backoff = BACKOFF_MIN;
        loop {
            for master in self.membership.masters.clone() {
                let began = Instant::now();
                let Err(ended) = self.stay_with(&master).await;
                self.node.set_registered(false);
                if let Some(refusal) = self.fatal(&ended) {
                    return refusal;
                }
                if began.elapsed() > BACKOFF_MAX {
                    backoff = BACKOFF_MIN;
                }
                self.complain(&ended);
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Registers with a master and reports to it until something breaks.
    async fn stay_with(&mut self, master: &Address) -> Result<std::convert::Infallible, Ended> {
        let caller = CallerIdentity {
            role: Role::Node,
            cluster: self.node.cluster(),
            secret: self.membership.secret.clone(),
        };
        let network = &*self.membership.network;
        let connection = Connection::open(network, master, &caller, CONNECT_TIMEOUT).await?;
        let registered = self.register(&connection).await?;
        self.node.join(registered.cluster).await?;
        self.hear(registered.master)?;
        self.was_registered = true;
        self.last_complaint.clear();
        self.node.set_registered(true);
        tracing::info!(%master, cluster = %registered.cluster, epoch = %registered.master.epoch, "registered with the master at {master}");
        self.node.report_all_corrupt();
        let mut owes = true;
        let wanted = Duration::from_millis(registered.heartbeat_interval_ms);
        let wanted = wanted.clamp(INTERVAL_MIN, INTERVAL_MAX);
        let mut ticks = interval_at(Instant::now() + wanted, wanted);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = interval_at(Instant::now() + REPORT_AGAIN_AFTER, REPORT_AGAIN_AFTER);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A heartbeat that is due goes before the next page.
            tokio::select! {
                biased;
                () = connection.closed() => return Err(Ended::Broken(master.clone())),
                _ = ticks.tick() => {
                    self.heartbeat(&connection).await?;
                    owes |= self.node.owes_reports();
                }
                () = self.node.corrupt_found.notified() => owes = true,
                _ = again.tick() => {
                    self.node.report_all_corrupt();
                    owes = true;
                }
                () = std::future::ready(()), if owes => {
                    owes = self.report_corrupt(&connection).await?;
                }
            }
        }
    }

    async fn register(&self, connection: &Connection) -> Result<NodeRegistered, Ended> {
        let request = RegisterNode {
            node: self.node.id(),
            boot: self.node.boot,
            address: self.membership.address.clone(),
            zone: self.membership.zone.clone(),
            cluster: self.node.cluster(),
            seen: self.node.seen(),
            last_order: self.node.last_order_epoch(),
            receipt_key: self.node.receipt_key().clone(),
            usage: self.node.usage().await,
        };
        Ok(connection.call(request, CALL_TIMEOUT).await?)
    }

    async fn heartbeat(&mut self, connection: &Connection) -> Result<(), Ended> {
        self.sequence += 1;
        let request = ReportHeartbeat {
            node: self.node.id(),
            boot: self.node.boot,
            sequence: self.sequence,
            usage: self.node.usage().await,
        };
        let noted = connection.call(request, CALL_TIMEOUT).await?;
        self.hear(noted.master)
    }

    /// Reports a page of corrupt chunks; whether there are more.
    async fn report_corrupt(&self, connection: &Connection) -> Result<bool, Ended> {
        let page = self.node.next_corrupt().await;
        if !page.chunks.is_empty() {
            let request = ReportCorruptChunks {
                node: self.node.id(),
                boot: self.node.boot,
                chunks: page.chunks,
            };
            // If it fails, the next registration reports them all; what stays is reported again later in any case.
            connection.call(request, CALL_TIMEOUT).await?;
        }
        Ok(page.more)
    }

    fn hear(&self, master: HistoryPoint) -> Result<(), Ended> {
        Ok(self.node.hear(master).map_err(FollowError::from)?)
    }

    fn fatal(&self, ended: &Ended) -> Option<WireError> {
        ended
            .refusal()
            .filter(|error| error.code == ErrorCode::WrongCluster && !self.was_registered)
            .cloned()
    }

    /// Says once what keeps the node from its master, not at every attempt.
    fn complain(&mut self, ended: &Ended) {
        let complaint = ended.to_string();
        if complaint == self.last_complaint {
            return;
        }
        if ended.refusal().is_some() {
            tracing::error!("this node and its master do not fit together: {complaint}");
        } else {
            tracing::info!("not in touch with the master, trying again: {complaint}");
        }
        self.last_complaint = complaint;
    }
}
