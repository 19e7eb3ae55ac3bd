//! Loops that run for as long as their process, watched so that none of them ends unnoticed.
//!
//! One that ends before it is stopped, which only a panic can make it do, is an error of the whole process, since nobody
//! else does its work.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

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
pub struct Loops {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: CancellationToken,
}

impl Loops {
    /// Starts one, which ends when the token that it is given is cancelled.
    pub fn spawn<F>(&mut self, name: &'static str, run: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = self.tasks.spawn(run(self.stop.clone()));
        self.names.insert(task.id(), name);
    }

    /// Waits for the first that ends.
    pub async fn first_ended(&mut self) -> LoopEnded {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.ended(id, "it came to its end".to_owned()),
            Some(Err(failure)) => self.ended(failure.id(), reason_of(failure)),
            None => std::future::pending().await,
        }
    }

    /// Stops all and waits for them. One that fails meanwhile is told in the log.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Err(failure) = ended {
                let failed = self.ended(failure.id(), reason_of(failure));
                tracing::error!("{failed}");
            }
        }
    }

    fn ended(&self, id: Id, reason: String) -> LoopEnded {
        let name = self.names.get(&id).copied().unwrap_or("a loop");
        LoopEnded { name, reason }
    }
}

/// Why a task was cut off.
pub fn reason_of(failure: JoinError) -> String {
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
}
