//! What has come of a reply that is still coming.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts bytes as they come, so that whoever waits for a reply sees whether it gets on.
#[derive(Debug, Default)]
pub struct Received {
    bytes: AtomicU64,
    in_all: Arc<AtomicU64>,
}

impl Received {
    /// Counts from 0, and adds the same to `in_all`, which several may share.
    pub fn new(in_all: Arc<AtomicU64>) -> Self {
        let bytes = AtomicU64::new(0);
        Self { bytes, in_all }
    }

    /// So many so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, len: usize) {
        self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        self.in_all.fetch_add(len as u64, Ordering::Relaxed);
    }
}
