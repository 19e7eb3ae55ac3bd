//! Reads the whole store again and again, slowly, and compares it with what was written: what nobody asks for is not found
//! damaged only on the day on which it is needed.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::command::{ClusterMillis, Command};
use crate::control::Control;
use crate::state::StateError;

/// Before the first round: a start has enough to do.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// Between two pieces of 1 MiB.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two rounds.
const ROUND_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Works through rounds until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = control.state.damage_met() => control.open_again().await,
            () = tokio::time::sleep(pause) => {
                control.check_store(&shutdown).await;
                pause = ROUND_PAUSE;
            }
        }
    }
}

impl Control {
    /// One round; what is damaged is in the status from then on.
    pub(crate) async fn check_store(&self, shutdown: &CancellationToken) {
        match self.verify_store(shutdown).await {
            Ok(()) => debug!("all of the store that was read is what was written"),
            Err(StateError::Damaged(what)) => {
                error!("the master's store is damaged: {what}; restore its folder from a backup");
                // What was found first is enough.
                drop(self.store_damage.set(what));
            }
            Err(error) => warn!(%error, "the check of the store was cut off"),
        }
    }

    async fn verify_store(&self, shutdown: &CancellationToken) -> Result<(), StateError> {
        let mut next = Some(0);
        while let Some(from) = next {
            let state = self.state.clone();
            let verify = move || state.verify_some(from);
            // To its end also when all ends: the store is closed by whoever lets go of it last.
            next = self.config.blocking.run(verify).await?;
            let pause = tokio::time::sleep(PAUSE);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// A change that changes nothing: before it the store is opened again, and verified, since a read failed.
    async fn open_again(&self) {
        let nothing = Command::SweepSome {
            trash_before: ClusterMillis(0),
            versions_before: ClusterMillis(0),
            answers_before: ClusterMillis(0),
            limit: 0,
        };
        if let Err(error) = self.committer.submit(nothing).await {
            debug!(%error, "the store was opened again");
        }
    }
}
