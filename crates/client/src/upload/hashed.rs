//! A chunk whose hash is known, on its way to nodes: with its bytes, or with what fetches them should they be needed.

use std::sync::Arc;

use bytes::Bytes;
use proto::id::{ChunkId, PromiseId, UploadId};
use proto::master::{ChunkToStore, NodeLocation};
use proto::node::Receipt;

use super::source::Fetcher;
use super::store::ChunkStore;
use crate::fetch::ChunkPlace;
use crate::{Error, Shared};

/// A chunk that is ready to be sent.
pub(super) struct Hashed {
    pub(super) index: u64,
    pub(super) chunk: ChunkId,
    pub(super) content: Content,
}

/// A chunk's bytes.
#[derive(Clone)]
pub(super) enum Content {
    /// They were read.
    Here(Bytes),
    /// They are to be fetched, should they be needed.
    Elsewhere(ChunkPlace, Arc<Fetcher>),
}

impl Hashed {
    pub(super) fn to_store(&self) -> ChunkToStore {
        ChunkToStore {
            chunk: self.chunk,
            len: match &self.content {
                Content::Here(bytes) => chunk_len(bytes),
                Content::Elsewhere(place, _) => place.len,
            },
        }
    }

    /// Sends it to the nodes that a promise names, and fetches it before, where it was not read.
    pub(super) fn store(
        &self,
        shared: Arc<Shared>,
        upload: UploadId,
        (promise, nodes): (PromiseId, Vec<NodeLocation>),
        copies_min: usize,
    ) -> impl Future<Output = Result<Vec<Receipt>, Error>> + Send + use<> {
        let (chunk, content) = (self.to_store(), self.content.clone());
        let store = async move |bytes| {
            let store = ChunkStore::new(shared, upload, chunk, bytes, promise, copies_min);
            store.store(nodes).await
        };
        async move {
            match content {
                Content::Here(bytes) => store(bytes).await,
                Content::Elsewhere(place, fetcher) => fetcher.with_bytes(place, store).await,
            }
        }
    }
}

pub(super) fn chunk_len(bytes: &Bytes) -> u32 {
    u32::try_from(bytes.len()).expect("a chunk is at most 8 MiB")
}
