//! Reading a file: its chunks are fetched ahead of the reader, within bounds, and given out in order.
//!
//! Each chunk is fetched in a task of its own, so that fetching goes on while the reader is busy with what it has got;
//! a range within one chunk needs no task. Where the chunks are is asked of the master in blocks, ahead of need.
//!
//! **Invariant:** what is given out is verified and in order, and a stream that cannot go on ends with an error.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use proto::id::{ChunkId, VersionId};
use proto::master::{CHUNKS_PER_BLOCK, ChunkLocations, LocateChunks, OpenFile};
use proto::name::EntryPath;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::explain::{ExplainedChunk, explain};
use crate::fetch::{ChunkPlace, Origin, chunk_places, fetch};
use crate::{Cluster, Error, Shared};

/// Chunks that the master locates when a file is opened.
const LOCATED_AT_OPEN: u32 = 32;
/// Further ones are located when fewer than these are left.
const LOCATE_AHEAD: usize = 64;
/// Chunks that are fetched at once at first: whoever reads on gets more.
const FIRST_WINDOW: u64 = 2;

/// More are fetched at once while each takes less than this,
const GROWS_WITHIN: Duration = Duration::from_secs(2);
/// and one at a time when it takes longer than this.
const SHRINKS_AFTER: Duration = Duration::from_secs(5);

/// A chunk of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChunk {
    /// Its place in the file, in bytes.
    pub range: Range<u64>,
    /// The SHA-256 of its bytes.
    pub chunk: ChunkId,
}

/// One version of a file, ready to be read. It stays readable when the name gets another version.
#[derive(Debug, Clone)]
pub struct File {
    /// The version, which is also its `ETag`.
    pub version: VersionId,
    /// Bytes.
    pub size: u64,
    /// When the content was last changed, in milliseconds since 1970, UTC.
    pub modified_ms: u64,
    chunk_size: u32,
    first: ChunkLocations,
    path: EntryPath,
    cluster: Cluster,
}

impl File {
    /// The bytes of this range, in order and verified; what lies beyond the end of the file is left out. A stream
    /// that cannot go on ends with an error, and yields nothing after it. Dropping it stops all work for it.
    pub fn read(
        self,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + 'static {
        let ahead = self.read_ahead();
        self.read_within(range, ahead)
    }

    /// The same, fetching no more bytes ahead of its reader than these; one chunk always is.
    pub fn read_within(
        self,
        range: Range<u64>,
        ahead: u64,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + 'static {
        let reader = Reader::new(self, range, ahead);
        Box::pin(futures::stream::try_unfold(reader, Reader::step))
    }

    /// Bytes of each of its chunks, but the last.
    pub fn chunk_size(&self) -> u64 {
        self.chunk_size.into()
    }

    /// Bytes that a read of it fetches ahead of its reader at most.
    pub fn read_ahead(&self) -> u64 {
        let chunks = self.cluster.shared.options.chunks_in_flight.max(1);
        chunks as u64 * u64::from(self.chunk_size)
    }

    /// The chunks that hold this range, in order, without their bytes: to verify what is had of the file already.
    pub fn chunks(
        &self,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<FileChunk, Error>> + Send + Unpin + 'static {
        let chunk_size = self.chunk_size();
        self.clone().places(range).map_ok(move |place| {
            let begin = place.index * chunk_size;
            FileChunk {
                range: begin..begin + u64::from(place.len),
                chunk: place.chunk,
            }
        })
    }

    /// The same, with who holds them.
    pub(crate) fn places(self, range: Range<u64>) -> BoxStream<'static, Result<ChunkPlace, Error>> {
        let range = range.start..range.end.min(self.size);
        let places = Places::new(self.cluster.shared.clone(), self, &range);
        let next = async |mut places: Places| {
            if places.left() == 0 {
                return Ok(None);
            }
            let place = places.next().await?;
            Ok(Some((place, places)))
        };
        futures::stream::try_unfold(places, next).boxed()
    }

    /// What is read of it.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            path: self.path.clone(),
            version: self.version,
        }
    }

    /// Where its chunks are, from the `first` on (counted from 0), at most `limit` and at most 512; with what the nodes
    /// say of them.
    pub async fn explain(&self, first: u64, limit: u32) -> Result<Vec<ExplainedChunk>, Error> {
        explain(&self.cluster, self.version, first, limit).await
    }
}

pub(crate) async fn open(
    cluster: &Cluster,
    path: &EntryPath,
    version: Option<VersionId>,
) -> Result<File, Error> {
    let request = || OpenFile {
        path: path.clone(),
        version,
        chunks: LOCATED_AT_OPEN,
    };
    let opened = cluster.ask(request).await?;
    if opened.chunk_size == 0 {
        return Err(misplaced(path));
    }
    Ok(File {
        version: opened.version,
        size: opened.size,
        modified_ms: opened.modified_ms,
        chunk_size: opened.chunk_size,
        first: opened.first,
        path: path.clone(),
        cluster: cluster.clone(),
    })
}

/// A read under way.
struct Reader {
    shared: Arc<Shared>,
    places: Places,
    range: Range<u64>,
    /// The chunks being fetched, in order.
    fetching: VecDeque<Fetching>,
    fetching_bytes: u64,
    /// Bytes that may be fetched ahead at present.
    window: u64,
    window_max: u64,
}

struct Fetching {
    index: u64,
    len: u32,
    /// The bytes, and how long they took.
    task: AbortOnDropHandle<Result<(Bytes, Duration), Error>>,
}

impl Reader {
    fn new(file: File, range: Range<u64>, ahead: u64) -> Self {
        let shared = file.cluster.shared.clone();
        let range = range.start..range.end.min(file.size);
        let chunk_size = u64::from(file.chunk_size);
        let window_max = file.read_ahead().min(ahead);
        Self {
            window: window_max.min(FIRST_WINDOW * chunk_size),
            window_max,
            places: Places::new(shared.clone(), file, &range),
            shared,
            range,
            fetching: VecDeque::new(),
            fetching_bytes: 0,
        }
    }

    /// The next piece, and what is left; nothing at the end.
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        if self.range.is_empty() {
            return Ok(None);
        }
        let (index, bytes) = if self.fetching.is_empty() && self.places.left() == 1 {
            let place = self.places.next().await?;
            let index = place.index;
            (
                index,
                fetch(&self.shared, &self.places.origin, place).await?,
            )
        } else {
            self.fetch_ahead().await?;
            self.take_first().await?
        };
        let piece = self.cut(index, &bytes);
        Ok(Some((piece, self)))
    }

    /// Begins to fetch as many chunks as there is room for, at least one.
    async fn fetch_ahead(&mut self) -> Result<(), Error> {
        while self.places.left() > 0
            && (self.fetching.is_empty() || self.fetching_bytes < self.window)
        {
            let place = self.places.next().await?;
            let (index, len) = (place.index, place.len);
            let (shared, origin) = (self.shared.clone(), self.places.origin.clone());
            let task = tokio::spawn(async move {
                let started = Instant::now();
                let bytes = fetch(&shared, &origin, place).await?;
                Ok((bytes, started.elapsed()))
            });
            self.fetching_bytes += u64::from(len);
            self.fetching.push_back(Fetching {
                index,
                len,
                task: AbortOnDropHandle::new(task),
            });
        }
        Ok(())
    }

    async fn take_first(&mut self) -> Result<(u64, Bytes), Error> {
        let first = self.fetching.pop_front();
        let Fetching { index, len, task } = first.expect("at least one is being fetched");
        let (bytes, took) = task.await.map_err(|error| Error::Unavailable {
            what: format!("read {}", self.places.origin.path),
            source: Some(error.into()),
        })??;
        self.fetching_bytes -= u64::from(len);
        self.adapt_window(took);
        Ok((index, bytes))
    }

    /// Whoever reads on gets more at once. On a slow line, where that only makes each chunk take longer, one after
    /// another gets the whole of it.
    fn adapt_window(&mut self, took: Duration) {
        let chunk_size = u64::from(self.places.chunk_size);
        if took < GROWS_WITHIN {
            self.window = (self.window + chunk_size).min(self.window_max);
        } else if took > SHRINKS_AFTER {
            self.window = chunk_size;
        }
    }

    /// What of this chunk is wanted.
    fn cut(&mut self, index: u64, bytes: &Bytes) -> Bytes {
        let begin = index * u64::from(self.places.chunk_size);
        let end = begin + bytes.len() as u64;
        let wanted = self.range.start.max(begin)..self.range.end.min(end);
        self.range.start = wanted.end;
        let within = |place: u64| usize::try_from(place - begin).expect("it is within a chunk");
        bytes.slice(within(wanted.start)..within(wanted.end))
    }
}

/// Where the chunks of a range are, one after another.
struct Places {
    shared: Arc<Shared>,
    origin: Origin,
    size: u64,
    chunk_size: u32,
    /// The chunks that are still wanted.
    wanted: Range<u64>,
    known: VecDeque<ChunkPlace>,
    ahead: Option<AbortOnDropHandle<Result<Vec<ChunkPlace>, Error>>>,
}

impl Places {
    fn new(shared: Arc<Shared>, file: File, range: &Range<u64>) -> Self {
        let chunk_size = u64::from(file.chunk_size);
        let wanted = if range.is_empty() {
            0..0
        } else {
            range.start / chunk_size..range.end.div_ceil(chunk_size)
        };
        let origin = file.origin();
        let known = chunk_places(0, file.first);
        Self {
            shared,
            origin,
            size: file.size,
            chunk_size: file.chunk_size,
            known: known
                .filter(|place| wanted.contains(&place.index))
                .collect(),
            wanted,
            ahead: None,
        }
    }

    /// Chunks that are still to come.
    fn left(&self) -> u64 {
        self.wanted.end - self.wanted.start
    }

    /// The next chunk; one must be left.
    async fn next(&mut self) -> Result<ChunkPlace, Error> {
        if self.known.is_empty() {
            let located = match self.ahead.take() {
                Some(ahead) => ahead
                    .await
                    .unwrap_or_else(|_| Err(misplaced(&self.origin.path))),
                None => self.locate(self.wanted.start).await,
            };
            self.known.extend(located?);
        }
        let place = self.known.pop_front();
        let place = place.filter(|place| self.is_next(place));
        let place = place.ok_or_else(|| misplaced(&self.origin.path))?;
        self.wanted.start += 1;
        self.look_ahead();
        Ok(place)
    }

    /// A wrong answer of the master must not shift what the reader gets.
    fn is_next(&self, place: &ChunkPlace) -> bool {
        let begin = place.index * u64::from(self.chunk_size);
        let len = (self.size - begin).min(u64::from(self.chunk_size));
        place.index == self.wanted.start && u64::from(place.len) == len
    }

    fn look_ahead(&mut self) {
        let first = self.wanted.start + self.known.len() as u64;
        if self.ahead.is_none() && self.known.len() < LOCATE_AHEAD && first < self.wanted.end {
            let located = tokio::spawn(self.locate(first));
            self.ahead = Some(AbortOnDropHandle::new(located));
        }
    }

    fn locate(
        &self,
        first: u64,
    ) -> impl Future<Output = Result<Vec<ChunkPlace>, Error>> + Send + 'static {
        let shared = self.shared.clone();
        let version = self.origin.version;
        let wanted = self.wanted.end - first;
        let limit = u32::try_from(wanted.min(CHUNKS_PER_BLOCK as u64)).unwrap_or(u32::MAX);
        async move {
            let request = || LocateChunks {
                version,
                first,
                limit,
            };
            let retry_for = shared.options.transfer_retry_for;
            let located = shared.masters.call(retry_for, request).await?;
            Ok(chunk_places(first, located.locations).collect())
        }
    }
}

fn misplaced(path: &EntryPath) -> Error {
    Error::Unavailable {
        what: format!("read {path}: the master's answer does not fit the file"),
        source: None,
    }
}
