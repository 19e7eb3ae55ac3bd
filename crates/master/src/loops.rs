//! Tasks that are watched, so that none of them ends unnoticed.
//!
//! [`Loops`] run until they are stopped: one that ends before, which only a panic can make it do, is an error of the whole
//! process, since nobody else does its work. [`NodeTasks`] are short, one at a time for each node: a panic ends that one,
//! and the node is free for the next.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::command::NodeNumber;

/// A loop ended although nobody stopped it.
#[derive(Debug, thiserror::Error)]
#[error("{name} ended, and nobody else does its work: {reason}")]
pub struct LoopEnded {
    /// Which.
    pub name: &'static str,
    /// What it said last.
    pub reason: String,
}

/// Loops that run until they are stopped.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: CancellationToken,
}

impl Loops {
    /// Starts one, which ends when the token that it is given is cancelled.
    pub(crate) fn spawn<F>(&mut self, name: &'static str, run: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = self.tasks.spawn(run(self.stop.clone()));
        self.names.insert(task.id(), name);
    }

    /// Waits for the first that ends.
    pub(crate) async fn first_ended(&mut self) -> LoopEnded {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.ended(id, "it came to its end".to_owned()),
            Some(Err(failure)) => self.ended(failure.id(), reason_of(failure)),
            None => std::future::pending().await,
        }
    }

    /// Stops all and waits for them. One that fails meanwhile is told in the log.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Err(failure) = ended {
                let failed = self.ended(failure.id(), reason_of(failure));
                error!("{failed}");
            }
        }
    }

    fn ended(&self, id: Id, reason: String) -> LoopEnded {
        let name = self.names.get(&id).copied().unwrap_or("a loop");
        LoopEnded { name, reason }
    }
}

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

fn reason_of(failure: JoinError) -> String {
    let Ok(panic) = failure.try_into_panic() else {
        return "it was cancelled".to_owned();
    };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_panics_is_told_by_its_name() {
        let mut loops = Loops::default();
        loops.spawn("repair", |stop| async move { stop.cancelled().await });
        loops.spawn("garbage", |_| async { panic!("a page rotted") });
        let ended = loops.first_ended().await.to_string();
        assert!(ended.contains("garbage ended"), "{ended}");
        assert!(ended.contains("a page rotted"), "{ended}");
        loops.stop().await;
    }

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
