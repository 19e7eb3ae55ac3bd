//! What an upload does when the master forgot some of it, or all: a crash may lose promises, and leases run out.
//!
//! The bytes of stored chunks are not in memory any more, and receipts for promises that were forgotten are worth
//! nothing. So what the master does not call stored is read back from the nodes that hold it, verified, and stored
//! again; only if no node gives it, the upload fails.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use proto::id::{NodeId, UploadId};
use proto::master::{ChunkToStore, NodeLocation, StoredChunk};
use proto::node::Receipt;

use super::Upload;
use super::allocate::{Destination, allocate_patiently};
use super::session::Session;
use super::store::ChunkStore;
use crate::fetch::fetch_from_patiently;
use crate::{Error, Shared};

/// Then the upload fails with what the master says.
const RECOVERIES_MAX: u32 = 3;
/// Nodes that are asked for a chunk of which it is not known who holds it.
const SOURCES_MAX: usize = 16;

/// What the master lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// Enough copies of some chunks: receipts do not count, or nodes are gone.
    Lacking,
    /// The whole upload.
    Forgotten,
}

impl Upload {
    /// Makes the master know again what it lacks; `error` is what it said, and what is returned when nothing helps.
    pub(super) async fn recover(
        &mut self,
        mut trouble: Trouble,
        mut error: Error,
    ) -> Result<(), Error> {
        loop {
            self.recoveries += 1;
            // Whoever goes on with an upload knows a part of it only, and cannot begin it again.
            let is_lost = trouble == Trouble::Forgotten && self.session.is_kept();
            if is_lost || self.recoveries > RECOVERIES_MAX {
                return Err(error);
            }
            tracing::info!(path = %self.path, %error, "the master forgot a part of an upload; repeating it");
            if let Some(worse) = self.finish_events().await? {
                trouble = trouble.max(worse);
            }
            let recovered = match trouble {
                Trouble::Lacking => self.secure_all().await,
                Trouble::Forgotten => self.begin_again().await,
            };
            (trouble, error) = match recovered {
                Ok(()) => return Ok(()),
                Err(error) => Trouble::of(error)?,
            };
        }
    }

    /// Lets what goes on come to its end, without beginning anything.
    async fn finish_events(&mut self) -> Result<Option<Trouble>, Error> {
        let mut trouble = None;
        while let Some(event) = self.events.next().await {
            if let Some((worse, _)) = self.note(event)? {
                trouble = trouble.max(Some(worse));
            }
        }
        Ok(trouble)
    }

    /// The same upload under a new id: all that was recorded is recorded again.
    async fn begin_again(&mut self) -> Result<(), Error> {
        self.session = Session::new(self.shared.clone());
        self.session.open();
        let recorded: Vec<_> = self.ledger.recorded_blocks().collect();
        for (block, chunks) in recorded {
            let distinct = distinct(&chunks);
            let secured = self.secure(distinct).await?;
            let stored = |chunk: &ChunkToStore| StoredChunk {
                chunk: chunk.chunk,
                len: chunk.len,
                receipts: receipts_of(&secured, chunk),
            };
            let stored = chunks.iter().map(stored).collect();
            self.record((block, 0), stored).await?;
        }
        self.secure_all().await
    }

    /// Has the stored chunks that are not recorded yet promised again.
    async fn secure_all(&mut self) -> Result<(), Error> {
        for (piece, chunks) in self.ledger.stored_pending().into_iter().enumerate() {
            for (chunk, receipts) in self.secure(chunks).await? {
                self.ledger.replace_receipts(piece, chunk.chunk, receipts);
            }
        }
        Ok(())
    }

    /// Asks where these distinct chunks go now, and stores again those that the master does not have. Their
    /// receipts say who holds them.
    async fn secure(
        &mut self,
        chunks: Vec<(ChunkToStore, Vec<Receipt>)>,
    ) -> Result<Vec<(ChunkToStore, Vec<Receipt>)>, Error> {
        if chunks.is_empty() {
            return Ok(chunks);
        }
        let wanted: Vec<_> = chunks.iter().map(|(chunk, _)| *chunk).collect();
        let allocated = allocate_patiently(&self.shared, self.session.id(), &wanted).await?;
        self.session.note_lease(allocated.lease);
        self.copies_min = allocated.copies_min;
        for destination in &allocated.places {
            if let Destination::Nodes(_, nodes) = destination {
                self.meet(nodes);
            }
        }
        let restorer = &Restorer {
            shared: &self.shared,
            upload: self.session.id(),
            copies_min: self.copies_min,
            known: &self.nodes,
        };
        let secured = chunks.into_iter().zip(allocated.places);
        let secured = secured.map(async move |((chunk, receipts), destination)| {
            let receipts = restorer.secure(chunk, receipts, destination).await?;
            Ok((chunk, receipts))
        });
        let at_once = self.shared.options.chunks_in_flight.max(1);
        let secured = futures::stream::iter(secured).buffered(at_once);
        secured.try_collect().await
    }
}

/// Stores chunks again.
struct Restorer<'a> {
    shared: &'a Arc<Shared>,
    upload: UploadId,
    copies_min: usize,
    /// The nodes that the upload has met.
    known: &'a HashMap<NodeId, NodeLocation>,
}

impl Restorer<'_> {
    async fn secure(
        &self,
        chunk: ChunkToStore,
        receipts: Vec<Receipt>,
        destination: Destination,
    ) -> Result<Vec<Receipt>, Error> {
        let Destination::Nodes(promise, nodes) = destination else {
            return Ok(Vec::new());
        };
        let sources = self.sources(&receipts, &nodes);
        let fetched = fetch_from_patiently(self.shared, chunk.chunk, chunk.len, sources).await;
        let bytes = fetched.map_err(|failures| {
            let what = "the master forgot the upload, and a part of it cannot be read back";
            failures.into_error(what.to_owned(), chunk.chunk)
        })?;
        let (shared, copies_min) = (self.shared.clone(), self.copies_min);
        let store = ChunkStore::new(shared, self.upload, chunk, bytes, promise, copies_min);
        store.store(nodes).await
    }

    /// Who gave a receipt, or else who may hold it.
    fn sources(&self, receipts: &[Receipt], nodes: &[NodeLocation]) -> Vec<NodeLocation> {
        let holders = receipts.iter();
        let holders = holders.filter_map(|receipt| self.known.get(&receipt.node));
        let sources: Vec<_> = holders.cloned().collect();
        if !sources.is_empty() {
            return sources;
        }
        let others = self.known.values().filter(|node| !nodes.contains(node));
        nodes
            .iter()
            .chain(others)
            .take(SOURCES_MAX)
            .cloned()
            .collect()
    }
}

fn distinct(chunks: &[ChunkToStore]) -> Vec<(ChunkToStore, Vec<Receipt>)> {
    let mut distinct: Vec<_> = chunks.iter().map(|chunk| (*chunk, Vec::new())).collect();
    distinct.sort_unstable_by_key(|(chunk, _)| chunk.chunk);
    distinct.dedup_by_key(|(chunk, _)| chunk.chunk);
    distinct
}

fn receipts_of(secured: &[(ChunkToStore, Vec<Receipt>)], chunk: &ChunkToStore) -> Vec<Receipt> {
    let place = secured.binary_search_by_key(&chunk.chunk, |(secured, _)| secured.chunk);
    place.map_or_else(|_| Vec::new(), |place| secured[place].1.clone())
}
