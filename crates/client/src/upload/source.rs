//! Where the chunks of an upload come from: out of a reader, whose bytes are yet to be hashed, or out of another file of
//! the cluster, whose chunks are known by their hashes and are fetched only if the cluster does not have them any more.

use std::sync::Arc;
use std::{io, mem};

use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Semaphore;

use crate::fetch::{ChunkPlace, Origin, fetch};
use crate::{Error, Shared};

/// What a source gave.
pub(super) enum Taken {
    /// A chunk's bytes, and whether more may come; no bytes if the end was at a chunk's end.
    Read(Bytes, bool),
    /// A chunk of another file, and what fetches its bytes.
    Known(ChunkPlace, Arc<Fetcher>),
    /// All of that file's chunks were given.
    End,
}

/// Gives chunks. A type for both kinds, and no trait, so that the compiler sees of any reader's upload that it may go on in
/// another thread.
pub(super) enum Source<R> {
    /// A reader, with what was read of the next chunk.
    Reader(R, BytesMut),
    /// The chunks of another file, and what fetches their bytes.
    File(BoxStream<'static, Result<ChunkPlace, Error>>, Arc<Fetcher>),
}

impl<R: AsyncRead + Unpin> Source<R> {
    pub(super) fn reader(reader: R) -> Self {
        Self::Reader(reader, BytesMut::new())
    }

    /// The next chunk, of this many bytes at most; memory for `first_len` is set aside for it first. May be cancelled, and
    /// goes on where it was.
    pub(super) async fn next(&mut self, len: usize, first_len: usize) -> Result<Taken, Error> {
        match self {
            Self::Reader(reader, buffer) => {
                let filled = fill(reader, buffer, len, first_len).await;
                let more = filled.map_err(Error::Read)?;
                Ok(Taken::Read(mem::take(buffer).freeze(), more))
            }
            Self::File(places, fetcher) => Ok(match places.next().await.transpose()? {
                Some(place) => Taken::Known(place, Arc::clone(fetcher)),
                None => Taken::End,
            }),
        }
    }
}

/// Reads until the buffer holds `len` bytes, or the end: says whether more may come. Sets memory for `first_len` aside
/// first. May be cancelled, and goes on where it was.
async fn fill<R: AsyncRead + Unpin>(
    reader: &mut R,
    buffer: &mut BytesMut,
    len: usize,
    first_len: usize,
) -> io::Result<bool> {
    if buffer.capacity() == 0 {
        buffer.reserve(first_len);
    }
    while buffer.len() < len {
        let room = len - buffer.len();
        if reader.read_buf(&mut (&mut *buffer).limit(room)).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fetches chunks of the file that is copied, as many at once as an upload may have in memory.
#[derive(Debug)]
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    origin: Origin,
    at_once: Semaphore,
}

impl Fetcher {
    pub(super) fn new(shared: Arc<Shared>, origin: Origin) -> Self {
        let at_once = Semaphore::new(shared.options.chunks_in_flight.max(1));
        Self {
            shared,
            origin,
            at_once,
        }
    }

    /// Does something with a chunk's bytes, which are in memory until that is done.
    pub(super) async fn with_bytes<T>(
        &self,
        place: ChunkPlace,
        then: impl AsyncFnOnce(Bytes) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _place = self.at_once.acquire().await;
        then(fetch(&self.shared, &self.origin, place).await?).await
    }
}
