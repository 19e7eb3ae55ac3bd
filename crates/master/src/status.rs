//! How the cluster does, in sums and in sentences for people.
//!
//! A pure function of [`Facts`], which are gathered without a scan: the status costs the same whatever the cluster
//! holds. Each problem says what is wrong, what happens next and how long it takes, or what to do.

mod phrases;

use std::time::Duration;

use proto::id::NodeId;
use proto::master::{
    ClusterRules, DeleteFuse, Health, NodeCounts, Problem, RepairStatus, SafeMode,
};
use proto::net::Address;
use proto::words::{count, grouped};

use phrases::{and_others, some_of, subject, time, verb};

use crate::repair::RepairReport;
use crate::repair::survey::Tally;
use crate::state::{COPIES_COUNTED, Counters};

/// What is known of the cluster now.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What the cluster was made with.
    pub rules: ClusterRules,
    /// Nodes by state.
    pub nodes: NodeCounts,
    /// Those that are not live, the dead ones first.
    pub down: Vec<NodeDown>,
    /// Live ones that take no new chunks because they are full.
    pub full: Vec<Address>,
    /// Bytes of the files in the trash.
    pub trashed_bytes: u64,
    /// When the next space of deleted files begins to come back; nothing if none is to.
    pub space_comes_in: Option<Duration>,
    /// Uploads that have begun and not ended.
    pub open_uploads: u64,
    /// How long an upload may be silent.
    pub upload_lease: Duration,
    /// Live ones with disks that failed.
    pub failed_disks: Vec<Address>,
    /// How long chunks that nothing needs are kept.
    pub garbage_grace: Duration,
    /// When a silent node counts as dead.
    pub failure_timeout: Duration,
    /// What is wrong with chunks.
    pub tally: Tally,
    /// What repair does.
    pub repair: RepairStatus,
    /// What waits since the start.
    pub safe_mode: Option<SafeMode>,
    /// Whether only a person can end safe mode.
    pub safe_mode_is_held: bool,
    /// A node for which safe mode waits because its inventory cannot be compared, and why.
    pub not_compared: Option<(Address, String)>,
    /// What a node of another cluster was told that asked to be taken in lately.
    pub refused: Option<String>,
    /// Whether the fuse has tripped.
    pub delete_fuse: Option<DeleteFuse>,
    /// Why this master gives no orders and takes no changes any more, if so.
    pub superseded: Option<String>,
    /// What is wrong with rows of the master's store, if a command met such a one.
    pub damaged_row: Option<String>,
    /// What is wrong with the store's file, if it is not what was written.
    pub damaged_store: Option<String>,
    /// Bytes that the master's own disk has left are fewer than it keeps in reserve.
    pub master_disk_full: bool,
}

/// A node that is not live.
#[derive(Debug, Clone)]
pub struct NodeDown {
    /// Which.
    pub node: NodeId,
    /// Where it was.
    pub address: Address,
    /// For how long it is silent.
    pub silence: Duration,
    /// Whether it counts as dead.
    pub is_dead: bool,
    /// Whether another node answers at its address now.
    pub is_replaced: bool,
}

impl Facts {
    /// Whether an upload would succeed now.
    pub fn uploads_possible(&self) -> bool {
        let needed = u32::from(self.rules.min_write_replicas);
        self.nodes.writable >= needed && !self.master_disk_full && self.superseded.is_none()
    }

    /// All that is wrong, worst first.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = [
            self.superseded_problem(),
            self.store_damaged(),
            self.row_damaged(),
            self.master_disk_problem(),
            self.too_few_nodes(),
            self.chunks_lost(),
            self.node_down(),
            self.node_replaced(),
            self.chunks_missing_copies(),
            self.disk_failed(),
            self.no_space(),
            self.delete_fuse_problem(),
            self.safe_mode_problem(),
        ]
        .into_iter()
        .flatten()
        .collect();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.health));
        problems
    }

    fn superseded_problem(&self) -> Option<Problem> {
        let reason = self.superseded.as_ref()?;
        let message = format!("This master gives no orders and takes no changes: {reason}.");
        Some(problem("stale_master", Health::Red, message))
    }

    fn store_damaged(&self) -> Option<Problem> {
        let what = self.damaged_store.as_ref()?;
        let message = format!(
            "The master's store is damaged on its disk ({what}). Nothing wrong is served, but the master stops when it needs \
             that part. Restore the master's folder from a backup; what it still answers can be downloaded before."
        );
        Some(problem("store_file_damaged", Health::Red, message))
    }

    fn row_damaged(&self) -> Option<Problem> {
        let what = self.damaged_row.as_ref()?;
        let message = format!(
            "A part of the master's store cannot be read ({what}): what needs it is refused, everything else works. \
             Restore the master's folder from a backup."
        );
        Some(problem("store_damaged", Health::Red, message))
    }

    fn master_disk_problem(&self) -> Option<Problem> {
        self.master_disk_full.then(|| {
            problem(
                "no_space",
                Health::Red,
                "The master's own disk is full, so nothing can be uploaded. Free some space there; reading and deleting \
                 files works."
                    .to_owned(),
            )
        })
    }

    fn too_few_nodes(&self) -> Option<Problem> {
        let NodeCounts {
            total, writable, ..
        } = self.nodes;
        let needed = u32::from(self.rules.min_write_replicas);
        let wanted = u32::from(self.rules.replication_factor);
        let message = if let (0, Some(refused)) = (total, &self.refused) {
            format!(
                "Nothing can be uploaded, since no storage node has joined, and one that asked to was refused: {refused}."
            )
        } else if total == 0 {
            format!(
                "No storage node has joined yet, so nothing can be uploaded. Start {needed} or more, {wanted} to have \
                 all copies."
            )
        } else if writable < needed {
            format!(
                "{} can take new files, and an upload needs {needed}: nothing can be uploaded until more nodes are started \
                 or have room.",
                some_of(writable, total)
            )
        } else if writable < wanted {
            let why = if writable == total {
                format!("There are only {}", count(total, "node"))
            } else {
                format!("{} can take new files", some_of(writable, total))
            };
            format!(
                "{why}: uploads work, but get {writable} of {wanted} copies for now. {}",
                self.when_copies_can_be_made()
            )
        } else {
            return None;
        };
        let health = if writable < needed {
            Health::Red
        } else {
            Health::Yellow
        };
        Some(problem("too_few_nodes", health, message))
    }

    fn chunks_lost(&self) -> Option<Problem> {
        let lost = self.tally.unavailable;
        let next = if self.down.is_empty() {
            "No node that is here has a good copy: the files concerned, which `dfs explain /` names, have to be uploaded \
             again, or come back with a node that was removed."
        } else {
            "Start the nodes that are down: the files can be read again as soon as one with a copy is back."
        };
        (lost > 0).then(|| {
            problem(
                "chunks_lost",
                Health::Red,
                format!(
                    "{} of files cannot be read now. {next}",
                    count(lost, "chunk")
                ),
            )
        })
    }

    fn node_down(&self) -> Option<Problem> {
        let down: Vec<_> = self.down.iter().filter(|node| !node.is_replaced).collect();
        let first = down.first()?;
        let who = subject(down.iter().map(|node| &node.address));
        let verb = verb(down.len(), "does not answer", "do not answer");
        let repair_waits = self
            .safe_mode
            .as_ref()
            .is_some_and(|safe| safe.repair_waits);
        let next = if self.nodes.live == 0 {
            "No file can be read or uploaded until a node answers. Start them again".to_owned()
        } else if first.is_dead && repair_waits {
            "Copies are not made again elsewhere before most nodes have reported. Start what is down again".to_owned()
        } else if first.is_dead {
            let copies = if self.tally.missing_copies == 0 {
                "All chunks have their copies on other nodes"
            } else {
                "What has copies on other nodes is read from there, and copied again elsewhere where there is a node for it"
            };
            let which = if down.len() == 1 {
                first.address.as_str()
            } else {
                "ADDRESS"
            };
            format!(
                "{copies}. Start what is down again; what is gone for good is forgotten with `dfs node remove {which}`"
            )
        } else {
            let left = self.failure_timeout.saturating_sub(first.silence);
            let left = time(left.as_secs().max(1));
            let then = if self.nodes.writable < u32::from(self.rules.replication_factor) {
                "copies are made again as soon as there are nodes for them"
            } else {
                "copies are made again elsewhere"
            };
            format!(
                "What has copies on other nodes is read from there; without an answer in {left}, {then}"
            )
        };
        let silence = time(first.silence.as_secs());
        let message = format!("{who} {verb} (silent for {silence}). {next}.");
        let health = if self.nodes.live == 0 {
            Health::Red
        } else {
            Health::Yellow
        };
        Some(problem("node_down", health, message))
    }

    /// What must happen before copies can be made for which there is no node now.
    fn when_copies_can_be_made(&self) -> &'static str {
        if self.full.is_empty() {
            "The missing copies are made as soon as another node is here."
        } else {
            "The missing copies are made as soon as another node is here, or full ones have room."
        }
    }

    /// A node whose folder was emptied comes back as another one.
    fn node_replaced(&self) -> Option<Problem> {
        let replaced = self.down.iter().find(|node| node.is_replaced)?;
        let NodeDown { node, address, .. } = replaced;
        let message = format!(
            "At {address} there is another node now than {node}, which is silent for {}. If its folder is gone for good, \
             `dfs node remove {node}` forgets it, once no chunk lacks copies.",
            time(replaced.silence.as_secs())
        );
        Some(problem("node_down", Health::Yellow, message))
    }

    fn chunks_missing_copies(&self) -> Option<Problem> {
        let Tally {
            missing_copies,
            one_copy,
            unavailable,
            repairable,
            ..
        } = self.tally;
        let readable = missing_copies - unavailable.min(missing_copies);
        if readable == 0 {
            return None;
        }
        let wanted = self.rules.replication_factor;
        let last = match one_copy {
            0 => String::new(),
            _ => format!(" ({} of them just one)", grouped(one_copy)),
        };
        let next = if self
            .safe_mode
            .as_ref()
            .is_some_and(|safe| safe.repair_waits)
        {
            "Repair waits until most nodes have reported after the master's start.".to_owned()
        } else if let Some(seconds) = self.repair.seconds_left {
            let left = time(seconds);
            format!("The missing copies are being made now: about {left} left.")
        } else if self.repair.running > 0 {
            "The missing copies are being made now.".to_owned()
        } else if repairable == 0 || self.nodes.writable < u32::from(wanted) {
            self.when_copies_can_be_made().to_owned()
        } else {
            "The missing copies are made next.".to_owned()
        };
        Some(problem(
            "chunks_missing_copies",
            Health::Yellow,
            format!(
                "{} of files can be read, but {} fewer than {wanted} copies{last}. {next}",
                count(readable, "chunk"),
                if readable == 1 { "has" } else { "have" },
            ),
        ))
    }

    fn disk_failed(&self) -> Option<Problem> {
        let first = self.failed_disks.first()?;
        Some(problem(
            "disk_failed",
            Health::Yellow,
            format!(
                "A disk of node {first}{} failed or does not answer, and takes no writes. What it holds does not count, and \
                 is copied elsewhere; what has no other good copy is still read from it. A disk that answers again counts \
                 again; one that failed and is sound after all does when the node is restarted. Otherwise replace it, once \
                 no chunk lacks copies.",
                and_others(self.failed_disks.len())
            ),
        ))
    }

    fn no_space(&self) -> Option<Problem> {
        if self.full.is_empty() {
            return None;
        }
        let who = subject(self.full.iter());
        let verb = verb(self.full.len(), "is full and gets", "are full and get");
        let trash = match self.trashed_bytes {
            0 => "or ",
            _ => "empty the trash with `dfs trash empty`, or ",
        };
        let coming = match self.space_comes_in {
            None => String::new(),
            Some(Duration::ZERO) => " What was deleted is being freed now.".to_owned(),
            Some(left) => format!(
                " What was deleted begins to be freed in about {}.",
                time(left.as_secs().max(1))
            ),
        };
        let unfinished = self.unfinished_uploads();
        let grace = time(self.garbage_grace.as_secs());
        let message = format!(
            "{who} {verb} no new files.{coming}{unfinished} Add a node, {trash}delete files with `dfs rm --purge`: their space \
             comes back {grace} later. Deleted without --purge, files keep their space while they are in the trash."
        );
        Some(problem("no_space", Health::Yellow, message))
    }

    /// They may be at work, or their programs were killed.
    fn unfinished_uploads(&self) -> String {
        if self.open_uploads == 0 {
            return String::new();
        }
        let who = count(self.open_uploads, "upload");
        let verb = if self.open_uploads == 1 { "is" } else { "are" };
        let kept = time((self.upload_lease + self.garbage_grace).as_secs());
        format!(
            " {who} {verb} not finished: what one has sent whose program was killed is freed {kept} later."
        )
    }

    fn delete_fuse_problem(&self) -> Option<Problem> {
        let DeleteFuse { copies, of } = self.delete_fuse.as_ref()?;
        Some(problem(
            "delete_fuse",
            Health::Yellow,
            format!(
                "The nodes hold {} that the master knows nothing of, beside {} that it knows. Deleting so many within a day \
                 was stopped: is this an old copy of the master's folder? If they may go, say `dfs fuse reset`.",
                count(*copies, "copy"),
                grouped(*of),
            ),
        ))
    }

    fn safe_mode_problem(&self) -> Option<Problem> {
        let safe_mode = self.safe_mode.as_ref()?;
        let message = if self.safe_mode_is_held {
            "The master was started from a restored folder: nothing is deleted until a person says \
             `dfs safe-mode leave`."
                .to_owned()
        } else if let (0, Some((node, reason))) = (safe_mode.waiting_for, &self.not_compared) {
            format!(
                "The master cannot compare what node {node} holds with its record ({reason}), and nothing is deleted before \
                 it has. It is tried again and again: look at that node's disks, remove it if it is gone for good, or end \
                 safe mode."
            )
        } else if safe_mode.waiting_for == 0 {
            "The master has just started and compares what the nodes hold with its record; nothing is deleted until \
             then."
                .to_owned()
        } else {
            let names: Vec<_> = safe_mode.examples.iter().map(Address::as_str).collect();
            // A second master is asked by nobody, and so by no node that could tell it.
            let second = if safe_mode.waiting_for >= self.nodes.total {
                " If they run, they follow another master: should this one be on a copy of its folder, stop this one."
            } else {
                ""
            };
            format!(
                "Since its start the master has not heard from {} ({}{}): nothing is deleted until {} reported. Start \
                 them, forget those that are gone for good with `dfs node remove`, or end the wait with \
                 `dfs safe-mode leave`.{second}",
                count(safe_mode.waiting_for, "node"),
                names.join(", "),
                if names.len() < safe_mode.waiting_for as usize {
                    ", …"
                } else {
                    ""
                },
                if safe_mode.waiting_for == 1 {
                    "it has"
                } else {
                    "they have"
                },
            )
        };
        Some(problem("safe_mode", Health::Yellow, message))
    }
}

/// The colour of all problems together.
pub fn health(problems: &[Problem]) -> Health {
    let worst = problems.iter().map(|problem| problem.health).max();
    worst.unwrap_or(Health::Green)
}

/// What the latest survey found, and never less than what is recorded: before the first survey, and until the next one,
/// chunks may lack copies that none has counted yet: those that are recorded on fewer nodes than wanted, and those of a node
/// that died since the survey, of which one has `on_newly_dead` on record.
pub fn at_least_recorded(
    surveyed: Option<Tally>,
    counters: &Counters,
    wanted: u8,
    on_newly_dead: u64,
) -> Tally {
    let by_copies = &counters.chunks_by_copies;
    let wanted = usize::from(wanted).min(COPIES_COUNTED - 1);
    let recorded: u64 = by_copies.iter().take(wanted).sum();
    let missing = recorded.max(on_newly_dead.min(counters.chunks));
    let (unavailable, one_copy) = (by_copies[0], if wanted > 1 { by_copies[1] } else { 0 });
    let surveyed = surveyed.unwrap_or_default();
    let unseen = missing.saturating_sub(surveyed.missing_copies.max(unavailable));
    Tally {
        missing_copies: surveyed.missing_copies.max(missing),
        one_copy: surveyed.one_copy.max(one_copy),
        unavailable: surveyed.unavailable.max(unavailable),
        repairable: surveyed.repairable.max(unseen),
        ..surveyed
    }
}

/// Repair in numbers, with the time that is left at the present pace.
pub fn repair_status(report: &RepairReport, tally: Tally) -> RepairStatus {
    let rate = report.bytes_per_second;
    RepairStatus {
        running: report.running,
        queued: tally.repairable.saturating_sub(u64::from(report.running)),
        bytes_per_second: rate,
        seconds_left: (rate > 0 && tally.repairable > 0)
            .then(|| tally.repairable_bytes.div_ceil(rate).max(1)),
    }
}

fn problem(code: &str, health: Health, message: String) -> Problem {
    Problem {
        code: code.to_owned(),
        health,
        message,
    }
}

#[cfg(test)]
mod tests;
