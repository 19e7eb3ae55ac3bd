//! The receipts for which copies were taken for stored, on their way from the writer to whoever looks into them.
//!
//! They come from what was applied, never from what a client sent, and whether or not anybody waited for the answer.
//! **Invariant:** none is lost without a word: where they do not fit, or nobody knows what a transaction that failed has
//! left, all copies may be meant.

use threads::Mutex;
use tokio::sync::Notify;

use crate::state::{CountedReceipt, Outcome};

/// Receipts that wait.
const RECEIPTS_MAX: usize = 256 * 1024;

/// Where they wait.
#[derive(Debug, Default)]
pub(super) struct CountedReceipts {
    counted: Mutex<Counted>,
    news: Notify,
}

/// What was counted since this was asked last.
#[derive(Debug, Default)]
pub struct Counted {
    /// These were.
    pub receipts: Vec<CountedReceipt>,
    /// So were others, of which nobody knows which.
    pub and_others: bool,
}

impl CountedReceipts {
    /// Takes those that were counted for what was applied.
    pub(super) fn note<E>(&self, outcomes: &[Result<Outcome, E>]) {
        let counted = outcomes.iter().filter_map(|outcome| match outcome {
            Ok(Outcome::Recorded(receipts) | Outcome::Committed(_, receipts)) => receipts.as_ref(),
            _ => None,
        });
        let receipts: Vec<_> = counted.flatten().copied().collect();
        if receipts.is_empty() {
            return;
        }
        let mut waiting = self.counted.lock();
        if waiting.receipts.len() + receipts.len() > RECEIPTS_MAX {
            waiting.and_others = true;
        } else {
            waiting.receipts.extend(receipts);
        }
        self.news.notify_one();
    }

    /// Some may have been counted that nobody knows.
    pub(super) fn note_others(&self) {
        self.counted.lock().and_others = true;
        self.news.notify_one();
    }

    /// Waits until there are any.
    pub(super) async fn next(&self) -> Counted {
        self.news.notified().await;
        self.take()
    }

    pub(super) fn take(&self) -> Counted {
        std::mem::take(&mut *self.counted.lock())
    }
}
