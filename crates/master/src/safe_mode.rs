//! What a master may do soon after its start: neither repair nor delete before it has heard from the nodes.
//!
//! A master that has just started knows what was recorded, not what is true now. Repair waits until a majority of
//! the nodes known at the start has registered, and each of the others has registered or was silent for the failure
//! timeout. Deletions wait until every one of them has registered and its inventory was compared with the
//! record, or a person says that they need not come. A brand-new cluster knows no nodes and waits for none.
//!
//! A plain value. **Invariant:** once left, safe mode does not come back before the next start.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::command::NodeNumber;

/// Which nodes are still waited for.
#[derive(Debug, Clone)]
pub struct SafeMode {
    known: usize,
    waiting: BTreeMap<NodeNumber, Progress>,
    /// Why nodes that have registered cannot be compared.
    not_compared: BTreeMap<NodeNumber, String>,
    silent_until: Instant,
    left: bool,
    held: bool,
    repairs: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Silent,
    Registered,
}

impl SafeMode {
    /// At the master's start, with the nodes that the store knows.
    pub fn new(
        known: impl IntoIterator<Item = NodeNumber>,
        started: Instant,
        failure_timeout: Duration,
    ) -> Self {
        let waiting: BTreeMap<_, _> = known
            .into_iter()
            .map(|node| (node, Progress::Silent))
            .collect();
        Self {
            known: waiting.len(),
            left: waiting.is_empty(),
            held: false,
            repairs: waiting.is_empty(),
            waiting,
            not_compared: BTreeMap::new(),
            silent_until: started + failure_timeout,
        }
    }

    /// Deletions wait for a person, whatever the nodes say.
    pub fn hold(&mut self) {
        self.held = true;
        self.left = false;
    }

    /// Whether only a person can end it.
    pub fn is_held(&self) -> bool {
        self.held && !self.left
    }

    /// A node has registered.
    pub fn note_registered(&mut self, node: NodeNumber) {
        if let Some(progress) = self.waiting.get_mut(&node) {
            *progress = Progress::Registered;
        }
    }

    /// A registered node's inventory was compared with the record, and the differences are noted.
    pub fn note_compared(&mut self, node: NodeNumber) {
        self.not_compared.remove(&node);
        self.waiting.remove(&node);
        self.left |= self.waiting.is_empty() && !self.held;
    }

    /// A registered node's inventory could not be compared, again.
    pub fn note_not_compared(&mut self, node: NodeNumber, reason: String) {
        if self.waiting.contains_key(&node) {
            self.not_compared.insert(node, reason);
        }
    }

    /// A node that is waited for because its inventory cannot be compared, and why.
    pub fn not_compared(&self) -> Option<(NodeNumber, &str)> {
        let (node, reason) = self.not_compared.first_key_value()?;
        Some((*node, reason))
    }

    /// A node was removed by a person: it need not come.
    pub fn note_removed(&mut self, node: NodeNumber) {
        self.not_compared.remove(&node);
        if self.waiting.remove(&node).is_some() {
            self.known -= 1;
        }
        self.left |= self.waiting.is_empty() && !self.held;
    }

    /// A person ends it.
    pub fn leave(&mut self) {
        self.waiting.clear();
        self.not_compared.clear();
        self.left = true;
        self.repairs = true;
    }

    /// Whether deletions wait.
    pub fn deletions_wait(&self) -> bool {
        !self.left
    }

    /// Whether repair waits. Once it need not, it never does again.
    pub fn repair_waits(&mut self, now: Instant) -> bool {
        self.repairs |= self.left || self.enough_for_repair(now);
        !self.repairs
    }

    /// The nodes that have not registered.
    pub fn silent(&self) -> impl Iterator<Item = NodeNumber> + '_ {
        self.waiting
            .iter()
            .filter(|(_, progress)| **progress == Progress::Silent)
            .map(|(node, _)| *node)
    }

    /// The nodes that have registered and whose inventories are being compared.
    pub fn comparing(&self) -> usize {
        self.waiting.len() - self.silent().count()
    }

    fn enough_for_repair(&self, now: Instant) -> bool {
        let silent = self.silent().count();
        let here = self.known - silent;
        silent == 0 || (here * 2 > self.known && now >= self.silent_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURE: Duration = Duration::from_secs(15);
    const NODES: [NodeNumber; 3] = [NodeNumber(1), NodeNumber(2), NodeNumber(3)];

    fn check(
        registered: usize,
        compared: usize,
        after: Duration,
        repair_waits: bool,
        deletions_wait: bool,
    ) {
        let started = Instant::now();
        let mut safe_mode = SafeMode::new(NODES, started, FAILURE);
        for node in &NODES[..registered] {
            safe_mode.note_registered(*node);
        }
        for node in &NODES[..compared] {
            safe_mode.note_compared(*node);
        }
        let case = format!("{registered} registered, {compared} compared, after {after:?}");
        assert_eq!(
            safe_mode.repair_waits(started + after),
            repair_waits,
            "{case}"
        );
        assert_eq!(safe_mode.deletions_wait(), deletions_wait, "{case}");
    }

    #[test]
    fn repair_waits_for_a_majority_and_deletions_for_all() {
        let second = Duration::from_secs(1);
        check(0, 0, second, true, true);
        check(2, 0, second, true, true);
        check(3, 0, second, false, true);
        check(3, 3, second, false, false);
        check(1, 1, FAILURE, true, true);
        check(2, 2, FAILURE, false, true);
        check(2, 0, FAILURE, false, true);
        check(0, 0, FAILURE * 100, true, true);
    }

    #[test]
    fn a_new_cluster_waits_for_nobody() {
        let now = Instant::now();
        let mut safe_mode = SafeMode::new([], now, FAILURE);
        assert!(!safe_mode.repair_waits(now));
        assert!(!safe_mode.deletions_wait());
    }

    #[test]
    fn a_person_can_end_it_or_remove_the_nodes_that_will_not_come() {
        let now = Instant::now();
        let mut left = SafeMode::new(NODES, now, FAILURE);
        left.leave();
        assert!(!left.repair_waits(now) && !left.deletions_wait());

        let mut removed = SafeMode::new(NODES, now, FAILURE);
        removed.note_registered(NODES[0]);
        removed.note_compared(NODES[0]);
        removed.note_removed(NODES[1]);
        assert_eq!(removed.silent().collect::<Vec<_>>(), [NODES[2]]);
        assert!(removed.deletions_wait());
        removed.note_removed(NODES[2]);
        assert!(!removed.deletions_wait() && !removed.repair_waits(now));
    }

    #[test]
    fn a_restored_folder_waits_for_a_person() {
        let now = Instant::now();
        let mut safe_mode = SafeMode::new(NODES, now, FAILURE);
        safe_mode.hold();
        for node in NODES {
            safe_mode.note_registered(node);
            safe_mode.note_compared(node);
        }
        assert!(safe_mode.deletions_wait() && safe_mode.is_held());
        assert!(!safe_mode.repair_waits(now));
        safe_mode.leave();
        assert!(!safe_mode.deletions_wait());
    }

    #[test]
    fn repair_that_began_is_not_stopped_again() {
        let now = Instant::now();
        let mut safe_mode = SafeMode::new(NODES, now, FAILURE);
        safe_mode.note_registered(NODES[0]);
        safe_mode.note_registered(NODES[1]);
        assert!(!safe_mode.repair_waits(now + FAILURE));
        assert!(!safe_mode.repair_waits(now));
        assert_eq!(safe_mode.comparing(), 2);
    }
}
