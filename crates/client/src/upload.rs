//! Uploads: a reader is cut into chunks, which are hashed, placed, stored and recorded, all at the same time. A copy is an
//! upload whose chunks come out of another file: as a rule the cluster has them, and nothing is sent.
//!
//! One task drives it all: [`Upload::run`] waits for whatever happens first, and everything that happens is an
//! [`Event`]. So there is one owner of the state and no lock, and dropping the future stops everything at once.
//!
//! **Invariant:** never more chunks in memory than [`ClientOptions::chunks_in_flight`](crate::ClientOptions), and
//! nothing is visible under the name before the commit.

mod allocate;
mod by_name;
mod checks;
mod copy;
mod hashed;
mod intake;
mod ledger;
mod options;
mod recover;
mod resume;
mod session;
mod source;
mod store;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use proto::ErrorCode;
use proto::id::NodeId;
use proto::master::{
    CHUNKS_PER_BLOCK, ClusterRules, CommitUpload, LookUpEntry, NodeLocation, RecordChunks,
    StoredChunk, UploadCommitted,
};
use proto::name::EntryPath;
use proto::node::Receipt;
use tokio::io::AsyncRead;
use tokio::time::sleep_until;

use crate::{Cluster, Error, Shared};
use allocate::{Allocated, Destination, allocate_patiently};
pub(crate) use by_name::{append_stored, upload_stored};
use checks::{check_entry, check_size};
pub(crate) use copy::copy;
use hashed::Hashed;
use ledger::{Ledger, Standing};
pub use options::{Progress, StillWanted, UploadOptions, Uploaded};
use recover::Trouble;
pub(crate) use resume::append;
pub use resume::{Appended, OpenUpload};
use session::Session;
use source::Source;

pub(crate) async fn upload<R: AsyncRead + Send + Unpin>(
    cluster: &Cluster,
    path: &EntryPath,
    reader: R,
    options: UploadOptions,
) -> Result<Uploaded, Error> {
    let upload = begin(cluster, path, options).await?;
    upload.run(Source::reader(reader)).await
}

/// Nothing is begun before it is known that the cluster takes such a file.
async fn begin(
    cluster: &Cluster,
    path: &EntryPath,
    options: UploadOptions,
) -> Result<Upload, Error> {
    if path.is_root() {
        let message = "a file needs a name".to_owned();
        return Err(Error::InvalidArgument { message });
    }
    let shared = cluster.shared.clone();
    let rules = shared.rules().await?;
    check_size(&rules, options.size_hint)?;
    Ok(Upload::new(shared, path.clone(), options, rules))
}

/// An upload under way.
struct Upload {
    shared: Arc<Shared>,
    path: EntryPath,
    options: UploadOptions,
    rules: ClusterRules,
    session: Session,
    ledger: Ledger,
    /// What goes on.
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Hashed, and to be placed with the next call.
    waiting: Vec<Hashed>,
    /// Hashed, and equal to a chunk of a block that is to be recorded first.
    deferred: Vec<Hashed>,
    /// Chunks that are begun and not stored. Those that were read have their bytes in memory.
    in_flight: usize,
    allocating: bool,
    recording: bool,
    /// The reader is at its end.
    ended: bool,
    /// What it gave last, if that is no whole chunk and not the end of the file.
    rest: Bytes,
    copies_min: usize,
    /// Where the nodes are that this upload met, to read a chunk back from.
    nodes: HashMap<NodeId, NodeLocation>,
    recoveries: u32,
}

/// What came to its end.
enum Event {
    Hashed(Hashed),
    Allocated(Vec<Hashed>, Result<Allocated, Error>),
    Stored(Hashed, Result<Vec<Receipt>, Error>),
    Recorded(Result<(), Error>),
    Renewed(Result<Allocated, Error>),
    /// Whether the name could be given, as far as that can be told before the end.
    Checked(Result<(), Error>),
}

impl Upload {
    fn new(
        shared: Arc<Shared>,
        path: EntryPath,
        options: UploadOptions,
        rules: ClusterRules,
    ) -> Self {
        let session = Session::new(shared.clone());
        Self {
            session,
            shared,
            path,
            options,
            rules,
            ledger: Ledger::new(),
            events: FuturesUnordered::new(),
            waiting: Vec::new(),
            deferred: Vec::new(),
            in_flight: 0,
            allocating: false,
            recording: false,
            ended: false,
            rest: Bytes::new(),
            copies_min: usize::from(rules.min_write_replicas),
            nodes: HashMap::new(),
            recoveries: 0,
        }
    }

    async fn run<R: AsyncRead + Send + Unpin>(
        mut self,
        source: Source<R>,
    ) -> Result<Uploaded, Error> {
        self.store_all(source).await?;
        self.commit().await
    }

    /// Stores all that the source gives, and records all but what goes with the commit.
    async fn store_all<R: AsyncRead + Send + Unpin>(
        &mut self,
        mut source: Source<R>,
    ) -> Result<(), Error> {
        while !self.is_drained() {
            self.start_calls();
            let may_take = self.may_take(&source);
            let (len, first_len) = (self.rules.chunk_size as usize, self.next_buffer_len());
            let event = tokio::select! {
                biased;
                Some(event) = self.events.next() => event,
                taken = source.next(len, first_len), if may_take => {
                    self.take_in(taken?)?;
                    continue;
                }
                () = sleep_until(self.session.renew_at()) => {
                    self.renew();
                    continue;
                }
            };
            if let Some((trouble, error)) = self.note(event)? {
                self.recover(trouble, error).await?;
            }
        }
        Ok(())
    }

    fn is_drained(&self) -> bool {
        if !self.ended || self.in_flight > 0 || self.recording {
            return false;
        }
        if self.stops_short() {
            self.ledger.is_recorded()
        } else {
            self.ledger.rest().is_some()
        }
    }

    /// Whether the reader ended before the file does, and others go on.
    fn stops_short(&self) -> bool {
        let size = self.options.size_hint;
        self.ended && self.session.is_kept() && size != Some(self.ledger.begun_bytes())
    }

    /// Takes note of what happened. Trouble is what recovery can help.
    fn note(&mut self, event: Event) -> Result<Option<(Trouble, Error)>, Error> {
        match event {
            Event::Hashed(hashed) => self.note_hashed(hashed),
            Event::Allocated(batch, Ok(allocated)) => {
                self.allocating = false;
                self.note_allocated(batch, allocated)?;
            }
            // Too few nodes were waited for already.
            Event::Allocated(_, Err(error @ Error::NotEnoughReplicas { .. })) => return Err(error),
            Event::Allocated(batch, Err(error)) => {
                self.allocating = false;
                self.waiting.extend(batch);
                return Trouble::of(error).map(Some);
            }
            Event::Stored(hashed, Ok(receipts)) => {
                self.in_flight -= 1;
                let Hashed { index, chunk, .. } = hashed;
                self.ledger.note_stored(index, chunk, receipts);
                self.tell_progress();
            }
            // Its bytes are still here, and are placed anew.
            Event::Stored(hashed, Err(error)) if error.is_refusal(ErrorCode::UploadUnknown) => {
                self.waiting.push(hashed);
                return Ok(Some((Trouble::Forgotten, error)));
            }
            Event::Stored(_, Err(error)) => return Err(error),
            Event::Recorded(recorded) => {
                self.recording = false;
                match recorded {
                    Ok(()) => self.note_recorded(),
                    Err(error) => return Trouble::of(error).map(Some),
                }
            }
            Event::Renewed(renewed) => match renewed {
                Ok(allocated) => self.session.note_lease(allocated.lease),
                Err(_) => self.session.note_no_contact(),
            },
            Event::Checked(checked) => checked?,
        }
        Ok(None)
    }

    fn note_hashed(&mut self, hashed: Hashed) {
        match self.ledger.note_hash(hashed.index, hashed.chunk) {
            Standing::New => self.waiting.push(hashed),
            Standing::Deferred => self.deferred.push(hashed),
            Standing::Twin => {
                self.in_flight -= 1;
                self.tell_progress();
            }
        }
    }

    fn note_allocated(&mut self, batch: Vec<Hashed>, allocated: Allocated) -> Result<(), Error> {
        if allocated.chunk_size != self.rules.chunk_size {
            return Err(self.other_chunk_size());
        }
        self.session.note_lease(allocated.lease);
        self.copies_min = allocated.copies_min;
        for (hashed, destination) in batch.into_iter().zip(allocated.places) {
            match destination {
                Destination::Stored => {
                    let Hashed { index, chunk, .. } = hashed;
                    self.in_flight -= 1;
                    self.ledger.note_stored(index, chunk, Vec::new());
                    self.tell_progress();
                }
                Destination::Nodes(promise, nodes) => {
                    self.meet(&nodes);
                    let (shared, upload) = (self.shared.clone(), self.session.id());
                    let stored = hashed.store(shared, upload, (promise, nodes), self.copies_min);
                    self.spawn(async move { Event::Stored(hashed, stored.await) });
                }
            }
        }
        Ok(())
    }

    fn other_chunk_size(&self) -> Error {
        self.shared.forget_rules();
        Error::Unavailable {
            what: "the cluster's chunk size is another one than a moment ago; try again".into(),
            source: None,
        }
    }

    fn note_recorded(&mut self) {
        self.ledger.note_recorded();
        self.session.note_contact();
        self.recoveries = 0;
        let ledger = &self.ledger;
        let is_free =
            |hashed: &mut Hashed| ledger.standing(hashed.index, hashed.chunk) != Standing::Deferred;
        self.waiting.extend(self.deferred.extract_if(.., is_free));
    }

    /// Begins the calls for which there is something to say, one of each kind at a time.
    fn start_calls(&mut self) {
        if !self.allocating && !self.waiting.is_empty() {
            self.allocating = true;
            let len = self.waiting.len().min(CHUNKS_PER_BLOCK);
            let batch: Vec<Hashed> = self.waiting.drain(..len).collect();
            let (shared, upload) = (self.shared.clone(), self.session.open());
            self.spawn(async move {
                let chunks: Vec<_> = batch.iter().map(Hashed::to_store).collect();
                let allocated = allocate_patiently(&shared, upload, &chunks).await;
                Event::Allocated(batch, allocated)
            });
        }
        if !self.recording
            && let Some(chunks) = self.ledger.next_to_record(self.stops_short())
        {
            self.recording = true;
            let recorded = self.record(self.ledger.recorded(), chunks);
            self.spawn(async move { Event::Recorded(recorded.await) });
        }
    }

    fn record(
        &self,
        (block, place): (u32, u16),
        chunks: Vec<StoredChunk>,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (shared, upload) = (self.shared.clone(), self.session.id());
        async move {
            let request = || RecordChunks {
                upload,
                block,
                place,
                chunks: chunks.clone(),
            };
            let retry_for = shared.options.transfer_retry_for;
            shared.masters.call(retry_for, request).await.map(drop)
        }
    }

    /// Keeps the lease while the reader gives nothing.
    fn renew(&mut self) {
        self.session.note_renewing();
        if !self.session.is_open() {
            return;
        }
        let (shared, upload) = (self.shared.clone(), self.session.id());
        self.spawn(async move { Event::Renewed(allocate_patiently(&shared, upload, &[]).await) });
    }

    /// A large file should not be sent in vain where the name cannot be given to it.
    fn check_name(&mut self) {
        let (shared, path) = (self.shared.clone(), self.path.clone());
        let precondition = self.options.precondition;
        self.spawn(async move {
            let request = || LookUpEntry { path: path.clone() };
            let found = shared.masters.call(shared.options.call_retry_for, request);
            let found = found.await.map(|found| found.entry);
            Event::Checked(check_entry(&path, found, precondition))
        });
    }

    async fn commit(mut self) -> Result<Uploaded, Error> {
        let is_wanted = self.options.still_wanted.take();
        if is_wanted.is_some_and(|is_wanted| !is_wanted()) {
            return Err(Error::Withdrawn);
        }
        // An empty file has no session before this, and needs none.
        self.session.open();
        let committed = loop {
            match self.try_commit().await {
                Ok(committed) => break committed,
                Err(error) => {
                    let (trouble, error) = Trouble::of(error)?;
                    self.recover(trouble, error).await?;
                }
            }
        };
        self.session.finish();
        Ok(Uploaded::new(self.ledger.begun_bytes(), &committed))
    }

    fn try_commit(&self) -> impl Future<Output = Result<UploadCommitted, Error>> + Send + use<> {
        let chunks = self.ledger.rest().expect("all is stored and recorded");
        let (shared, path) = (self.shared.clone(), self.path.clone());
        let (upload, size) = (self.session.id(), self.ledger.begun_bytes());
        let (blocks, place) = self.ledger.recorded();
        let (modified_ms, parents) = (self.options.modified_ms, self.options.parents);
        let precondition = self.options.precondition;
        async move {
            let request = || CommitUpload {
                upload,
                path: path.clone(),
                size,
                modified_ms,
                blocks,
                place,
                chunks: chunks.clone(),
                parents,
                precondition,
            };
            let retry_for = shared.options.transfer_retry_for;
            shared.masters.call(retry_for, request).await
        }
    }

    fn meet(&mut self, nodes: &[NodeLocation]) {
        for location in nodes {
            let met = self.nodes.entry(location.node);
            met.or_insert_with(|| location.clone());
        }
    }

    fn tell_progress(&self) {
        if let Some(progress) = &self.options.progress {
            progress(self.ledger.stored_bytes());
        }
    }

    fn spawn(&self, work: impl Future<Output = Event> + Send + 'static) {
        self.events.push(Box::pin(work));
    }
}

impl Trouble {
    /// What recovery may help; every other error is final.
    fn of(error: Error) -> Result<(Self, Error), Error> {
        if error.is_refusal(ErrorCode::UploadUnknown) {
            return Ok((Self::Forgotten, error));
        }
        if matches!(error, Error::NotEnoughReplicas { .. }) {
            return Ok((Self::Lacking, error));
        }
        Err(error)
    }
}
