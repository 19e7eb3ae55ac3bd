//! Reads the whole store again and again, slowly, and compares it with what was written: what nobody asks for is not found
//! damaged only on the day on which it is needed.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::control::Control;
use crate::state::StateError;

/// Between two pieces of 1 MiB.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two rounds.
const ROUND_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Works through rounds until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let rounds = async {
        loop {
            control.check_store().await;
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    };
    shutdown.run_until_cancelled(rounds).await;
}

impl Control {
    /// One round; what is damaged is in the status from then on.
    pub(crate) async fn check_store(&self) {
        match self.verify_store().await {
            Ok(()) => debug!("all of the store is what was written"),
            Err(StateError::Damaged(what)) => {
                error!("the master's store is damaged: {what}; restore its folder from a backup");
                // What was found first is enough.
                let _ = self.store_damage.set(what);
            }
            Err(error) => warn!(%error, "the check of the store was cut off"),
        }
    }

    async fn verify_store(&self) -> Result<(), StateError> {
        let mut next = Some(0);
        while let Some(from) = next {
            let state = self.state.clone();
            let verify = move || state.verify_some(from);
            next = self.config.blocking.run(verify).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}
