//! Short tasks, one at a time for each node: a panic ends that one, and the node is free for the next.

use std::collections::HashMap;
use std::future::Future;

use settings::loops::reason_of;
use tokio::task::{Id, JoinSet};
use tracing::error;

use crate::command::NodeNumber;

/// Short tasks, one at a time for each node.
#[derive(Debug)]
pub(crate) struct NodeTasks<T> {
    tasks: JoinSet<T>,
    running: HashMap<NodeNumber, Running>,
}

#[derive(Debug)]
struct Running {
    task: Id,
    again: bool,
}

/// A task of a node that is over.
#[derive(Debug)]
pub(crate) struct Done<T> {
    /// Whose.
    pub(crate) node: NodeNumber,
    /// What it gave; nothing if it panicked.
    pub(crate) result: Option<T>,
    /// Whether it was asked for again meanwhile.
    pub(crate) again: bool,
}

impl<T: Send + 'static> NodeTasks<T> {
    pub(crate) fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// How many run.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether the node has one; then it is noted that another is asked for.
    pub(crate) fn ask_again(&mut self, node: NodeNumber) -> bool {
        let running = self.running.get_mut(&node);
        running.map(|running| running.again = true).is_some()
    }

    /// Begins the task of a node that has none.
    pub(crate) fn begin(
        &mut self,
        node: NodeNumber,
        task: impl Future<Output = T> + Send + 'static,
    ) {
        let task = self.tasks.spawn(task).id();
        self.running.insert(node, Running { task, again: false });
    }

    /// Waits for the next that is over; nothing if none runs.
    pub(crate) async fn next_done(&mut self) -> Option<Done<T>> {
        let (id, result) = match self.tasks.join_next_with_id().await? {
            Ok((id, result)) => (id, Some(result)),
            Err(failure) => {
                let id = failure.id();
                let reason = reason_of(failure);
                error!("the work on a node was cut off by a mistake of the master: {reason}");
                (id, None)
            }
        };
        let mut running = self.running.iter();
        let (node, _) = running.find(|(_, running)| running.task == id)?;
        let (node, Running { again, .. }) = self.running.remove_entry(&node.clone())?;
        Some(Done {
            node,
            result,
            again,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_whose_task_panicked_is_free_for_the_next() {
        let mut tasks = NodeTasks::new();
        tasks.begin(NodeNumber(1), async { panic!("a page rotted") });
        assert!(tasks.ask_again(NodeNumber(1)));
        let done: Done<u32> = tasks.next_done().await.unwrap();
        assert_eq!(
            (done.node, done.result, done.again),
            (NodeNumber(1), None, true)
        );
        assert!(!tasks.ask_again(NodeNumber(1)));
        tasks.begin(NodeNumber(1), async { 7 });
        assert_eq!(tasks.next_done().await.unwrap().result, Some(7));
        assert!(tasks.next_done().await.is_none());
    }
}
