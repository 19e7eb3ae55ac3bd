//! Who is taken into the cluster, and who is removed from it.
//!
//! **Invariant:** the state decides which number a node has, and the membership follows it in the same order: no removal
//! while nodes are taken in, each a command. So no number is ever live that the state forgot. Nodes are taken in together,
//! since after a master's start all come at once; two registrations of one node get the same number in any order, and the
//! membership lets only one of two starts of it speak.

use proto::id::ChunkId;
use proto::master::{NodeRegistered, NodeState, RegisterNode, RemoveNode};
use proto::table::Caller;
use proto::{ErrorCode, WireError};
use tokio::time::Instant;
use tracing::{debug, error};

use crate::command::{Command, NodeNumber};
use crate::control::Control;
use crate::lineage;
use crate::state::{ChunkRow, Outcome, Snapshot, StateError};

/// Chunks looked at in one snapshot before a node is removed.
const REMOVAL_PAGE: usize = 1024;

/// Reads which chunks a node has, above a cursor, so many at most.
type PageOfChunks =
    fn(&Snapshot, NodeNumber, Option<&ChunkId>, usize) -> Result<Vec<ChunkId>, StateError>;

impl Control {
    /// Takes a node in, if it belongs here. See [`RegisterNode`].
    pub(super) async fn admit(
        &self,
        caller: &Caller,
        request: &RegisterNode,
    ) -> Result<NodeRegistered, WireError> {
        self.refuse_if_superseded()?;
        self.check_cluster(request)?;
        self.membership().check(request)?;
        self.check_lineage(request).await?;
        let _admission = self.admission.read().await;
        let number = self.record_node(request).await?;
        let now = Instant::now();
        let (heard, displaced) = {
            let mut membership = self.membership();
            let heard = membership.register(number, request, caller.connection, now)?;
            (heard, membership.displaced_by(number))
        };
        for change in displaced {
            self.node_changed(change);
        }
        self.safe_mode().note_registered(number);
        self.announced.send_replace(Some(self.state.cluster()));
        match heard.change {
            Some(change) => self.node_changed(change),
            None => self.node_is_here(number),
        }
        debug!(node = %request.address, id = %request.node, zone = request.zone, "a node registered");
        Ok(NodeRegistered {
            cluster: self.state.cluster(),
            master: self.point(),
            rules: self.config.rules,
            heartbeat_interval_ms: u64::try_from(self.config.heartbeat_interval.as_millis())
                .unwrap_or(u64::MAX),
        })
    }

    fn check_cluster(&self, request: &RegisterNode) -> Result<(), WireError> {
        let own = self.state.cluster();
        let Some(theirs) = request.cluster.filter(|theirs| *theirs != own) else {
            return Ok(());
        };
        let is_new = self.announced.borrow().is_none();
        let message = if is_new {
            format!(
                "this master is new and empty (cluster {own}), but node {} belongs to cluster {theirs}: was the master's \
                 data folder lost, or is another one meant? Start the master with the folder of cluster {theirs}; nothing \
                 was deleted",
                request.node
            )
        } else {
            format!(
                "node {} belongs to cluster {theirs}, and this is the master of cluster {own}: give the node the right \
                 master's address, or an empty folder; nothing was deleted",
                request.node
            )
        };
        self.note_refused(theirs, &message);
        Err(WireError::new(ErrorCode::WrongCluster, message))
    }

    /// A node that has worked with another master than this one: either this one went back in time, or two run.
    async fn check_lineage(&self, request: &RegisterNode) -> Result<(), WireError> {
        let mut checked = lineage::check_not_later(request.node, request.last_order, self.epoch());
        if let Some(seen) = request.seen {
            let known = self
                .read(move |snapshot| snapshot.lineage_of(seen.epoch))
                .await?;
            checked = checked.and_then(|()| lineage::check(request.node, seen, known));
        }
        let Err(stranger) = checked else {
            return Ok(());
        };
        let reason = stranger.to_string();
        if stranger.is_damage() {
            error!(node = %request.node, "refused a node: {reason}");
            return Err(WireError::new(ErrorCode::InvalidArgument, reason));
        }
        self.supersede(&reason);
        Err(WireError::new(ErrorCode::StaleEpoch, reason))
    }

    /// Makes what is new about a node durable, and gives its number. Always a command, although there is seldom news: so
    /// that it comes after any removal of the node that was begun before.
    async fn record_node(&self, request: &RegisterNode) -> Result<NodeNumber, WireError> {
        let upsert = Command::UpsertNode {
            node: request.node,
            address: request.address.clone(),
            zone: request.zone.clone(),
            receipt_key: request.receipt_key.clone(),
        };
        match self.committer.submit(upsert).await? {
            Outcome::Node(number) => Ok(number),
            other => Err(super::unexpected(&other)),
        }
    }

    /// The state decides, and the membership follows: no registration comes between the two.
    pub(super) async fn remove(&self, request: &RemoveNode) -> Result<(), WireError> {
        let _admission = self.admission.write().await;
        let number = self.removable(request)?;
        let remove = Command::RemoveNode { node: request.node };
        match self.committer.submit(remove).await {
            // One that is not there was removed by an earlier request, which got no answer in time.
            Ok(_) => {}
            Err(error) if error.code == ErrorCode::NotFound => {}
            Err(error) => return Err(error),
        }
        self.membership().forget(number);
        self.safe_mode().note_removed(number);
        Ok(())
    }

    pub(super) fn removable(&self, request: &RemoveNode) -> Result<NodeNumber, WireError> {
        let membership = self.membership();
        let Some(number) = membership.number(request.node) else {
            let message = format!("there is no node {} in this cluster", request.node);
            return Err(WireError::new(ErrorCode::NotFound, message));
        };
        if membership.state(number) == NodeState::Dead {
            return Ok(number);
        }
        let message = format!(
            "node {} is here, or was a moment ago: stop it, and remove it when it counts as dead, {} seconds later",
            request.node,
            self.config.failure_timeout.as_secs()
        );
        Err(WireError::new(ErrorCode::PreconditionFailed, message))
    }

    /// Refuses unless every chunk that files need has another copy that can be relied on.
    pub(super) async fn check_others_hold(&self, node: NodeNumber) -> Result<(), WireError> {
        self.check_others_hold_all(node, Snapshot::node_chunks_page)
            .await?;
        self.check_others_hold_all(node, Snapshot::failing_page)
            .await
    }

    async fn check_others_hold_all(
        &self,
        node: NodeNumber,
        page: PageOfChunks,
    ) -> Result<(), WireError> {
        let mut after: Option<ChunkId> = None;
        loop {
            let read = move |snapshot: &Snapshot| -> Result<_, StateError> {
                let ids = page(snapshot, node, after.as_ref(), REMOVAL_PAGE)?;
                let rows = snapshot.chunks(&ids)?;
                Ok((ids, rows))
            };
            let (ids, rows) = self.read(read).await?;
            let rows: Vec<_> = rows.into_iter().flatten().collect();
            self.check_others_hold_these(node, &rows)?;
            if ids.len() < REMOVAL_PAGE {
                return Ok(());
            }
            after = ids.last().copied();
        }
    }

    fn check_others_hold_these(
        &self,
        node: NodeNumber,
        rows: &[ChunkRow],
    ) -> Result<(), WireError> {
        let relied_on = self.membership().relied_on();
        let others = |row: &ChunkRow| {
            let others = row.replicas.iter().filter(|other| **other != node);
            others.copied().collect::<Vec<_>>()
        };
        let doubtful: Vec<_> = rows
            .iter()
            .filter(|row| row.references > 0)
            .map(others)
            .filter(|others| !others.iter().any(|other| relied_on.contains(other)))
            .collect();
        if doubtful.is_empty() {
            return Ok(());
        }
        let membership = self.membership();
        let is_dead = |other: &NodeNumber| membership.state(*other) == NodeState::Dead;
        let lost = doubtful.iter().filter(|others| others.iter().all(is_dead));
        let message = match (lost.count(), doubtful.len()) {
            (0, count) => format!(
                "the other copies of {count} chunks or more are on nodes that are silent, or that have just come and were \
                 not compared with the record yet: wait until they are back and compared, and try again"
            ),
            (lost, _) => format!(
                "the node holds the only copy of {lost} chunks or more: files would be lost with it. Start it again \
                 so that they can be copied, or say that they may be lost"
            ),
        };
        Err(WireError::new(ErrorCode::PreconditionFailed, message))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use disk::MemoryDisk;
    use futures::future::join_all;
    use proto::id::{BootId, NodeId};
    use uuid::Uuid;

    use super::*;
    use crate::control::tests::{NODE, caller, master, master_on, registration};
    use crate::handlers::ControlHandlers;

    /// A thousand nodes came back to a master that had started again, and were taken in one after another, each with an
    /// fsync: it took longer than the failure timeout, and those that waited were taken for dead.
    #[tokio::test(start_paused = true)]
    async fn nodes_that_come_together_are_taken_in_together() {
        let disk = MemoryDisk::new();
        let (control, writer) = master_on(&disk);
        tokio::spawn(writer.run());
        let register = |number: u16| {
            let request = RegisterNode {
                node: NodeId::new(Uuid::from_u128(number.into())),
                address: format!("127.0.0.1:{number}").parse().unwrap(),
                ..registration()
            };
            let control = &control;
            async move { control.register_node(&caller(number.into()), request).await }
        };
        let begun = disk.changes();
        for number in 100..110 {
            register(number).await.unwrap();
        }
        let one_by_one = disk.changes() - begun;
        for registered in join_all((200..210).map(register)).await {
            registered.unwrap();
        }
        let together = disk.changes() - begun - one_by_one;
        assert!(
            2 * together < one_by_one,
            "{together} changes of the disk, not {one_by_one}"
        );
        assert_eq!(control.membership().live().len(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_registrations_of_a_node_at_once_one_speaks() {
        let check = async |other_boot: u128, refused: usize| {
            let (control, writer) = master();
            tokio::spawn(writer.run());
            let mut second = registration();
            second.boot = BootId::new(Uuid::from_u128(other_boot));
            let (one, two) = (caller(1), caller(2));
            let both = [
                control.register_node(&one, registration()),
                control.register_node(&two, second),
            ];
            let outcomes = join_all(both).await;
            let refusals: Vec<_> = outcomes
                .iter()
                .filter_map(|one| one.as_ref().err())
                .collect();
            assert_eq!(refusals.len(), refused);
            assert!(
                refusals
                    .iter()
                    .all(|one| one.code == ErrorCode::DuplicateNode)
            );
            let recorded = control.state.read().unwrap().node_number(NODE).unwrap();
            assert_eq!(control.membership().live(), recorded.as_slice());
            let boots = [1, other_boot].map(|boot| BootId::new(Uuid::from_u128(boot)));
            let membership = control.membership();
            let speakers = [1, 2].into_iter().zip(boots);
            let speakers = speakers
                .filter(|(connection, boot)| membership.speaker(NODE, *boot, *connection).is_ok());
            assert_eq!(speakers.count(), 1);
        };
        check(1, 0).await;
        check(2, 1).await;
    }

    /// A node was removed in the very moment in which it came back. It was told that it is a member under a number that
    /// the state was about to forget.
    #[tokio::test(start_paused = true)]
    async fn a_node_that_comes_back_while_it_is_removed_gets_a_number_that_lasts() {
        let (control, writer) = master();
        tokio::time::sleep(Duration::from_secs(60)).await;
        control.membership().tick(Instant::now());
        let (one, other) = (control.clone(), control.clone());
        let removing = tokio::spawn(async move {
            let remove = RemoveNode {
                node: NODE,
                lose_chunks: true,
            };
            one.remove_node(&caller(1), remove).await
        });
        tokio::task::yield_now().await;
        let registering =
            tokio::spawn(async move { other.register_node(&caller(2), registration()).await });
        tokio::task::yield_now().await;
        let writing = tokio::spawn(writer.run());
        removing.await.unwrap().unwrap();
        registering.await.unwrap().unwrap();
        let recorded = control.state.read().unwrap().node_number(NODE).unwrap();
        assert_eq!(control.membership().live(), recorded.as_slice());
        assert_eq!(control.membership().number(NODE), recorded);
        assert_eq!(recorded, Some(NodeNumber(2)));
        drop(control);
        writing.await.unwrap().unwrap();
    }
}
