//! Patience with a peer: how long it may keep us waiting for its bytes.
//!
//! A peer begins with a full measure of patience. Waiting for it uses that up, every 10 KiB that it moves win one second
//! back, up to the full measure. So a peer that stops is dropped after one full measure, and one slower than 10 KiB/s a
//! little later; time in which we do not wait for it never counts against it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use proto::server::gate::{Admission, Work};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The slowest peer that is served, in bytes a second.
pub(crate) const RATE_MIN: u64 = 10 * 1024;

/// The measure of one peer's patience, in one direction.
#[derive(Debug)]
struct Patience {
    full: Duration,
    left: Duration,
    waiting_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(full: Duration) -> Self {
        Self {
            full,
            left: full,
            waiting_since: None,
            alarm: None,
        }
    }

    /// The peer keeps us waiting: ready when there is no patience left.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let since = *self.waiting_since.get_or_insert(now);
        let end = since + self.left;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if alarm.deadline() != end {
            alarm.as_mut().reset(end);
        }
        alarm.as_mut().poll(context)
    }

    /// The peer moved some bytes.
    fn moved(&mut self, len: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        let won = Duration::from_micros((len as u64).saturating_mul(1_000_000) / RATE_MIN);
        self.left = self.left.saturating_add(won).min(self.full);
    }
}

fn too_slow(what: &str) -> io::Error {
    let reason = format!("the peer {what} too slowly: below {RATE_MIN} bytes a second");
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

/// A request's body that fails when it comes too slowly.
#[derive(Debug)]
pub(crate) struct PacedBody<S> {
    body: S,
    patience: Patience,
}

impl<S> PacedBody<S> {
    /// The body of a peer with this much patience.
    pub(crate) fn new(body: S, patience: Duration) -> Self {
        Self {
            body,
            patience: Patience::new(patience),
        }
    }
}

impl<S, E> Stream for PacedBody<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_next(context) {
            Poll::Ready(Some(Ok(bytes))) => {
                this.patience.moved(bytes.len());
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(io::Error::other(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match this.patience.wait(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(too_slow("sends")))),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

/// A connection that fails when its peer takes what is written too slowly, and is not idle while it waits for that. Reads
/// are passed on as they are.
#[derive(Debug)]
pub(crate) struct PacedWrites<T> {
    connection: T,
    patience: Patience,
    admission: Arc<Admission>,
    waiting: Option<Work>,
}

impl<T> PacedWrites<T> {
    /// The connection to a peer with this much patience.
    pub(crate) fn new(connection: T, patience: Duration, admission: Arc<Admission>) -> Self {
        Self {
            connection,
            patience: Patience::new(patience),
            admission,
            waiting: None,
        }
    }

    fn paced(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(len)) => {
                self.patience.moved(len);
                self.waiting = None;
                Poll::Ready(Ok(len))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let admission = &self.admission;
                self.waiting
                    .get_or_insert_with(|| Admission::work(admission));
                self.patience
                    .wait(context)
                    .map(|()| Err(too_slow("receives")))
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for PacedWrites<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for PacedWrites<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.connection).poll_write(context, bytes);
        self.paced(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.connection).poll_write_vectored(context, slices);
        self.paced(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use proto::server::gate::Gate;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const MINUTE: Duration = Duration::from_secs(60);

    /// A body of `pieces`, each after a pause.
    async fn receive(pieces: &[(u64, usize)]) -> io::Result<usize> {
        let pieces = pieces.to_vec();
        let body = futures::stream::iter(pieces).then(|(seconds, len)| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok::<_, io::Error>(Bytes::from(vec![0; len]))
        });
        let mut body = PacedBody::new(Box::pin(body), MINUTE);
        let mut len = 0;
        while let Some(bytes) = body.next().await {
            len += bytes?.len();
        }
        Ok(len)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stops_or_drips_is_dropped() {
        assert!(receive(&[(0, 10), (61, 10)]).await.is_err());
        assert!(receive(&[(1, 1); 100]).await.is_err());
        assert!(receive(&[(1, 9 * 1024); 1000]).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_but_steady_peer_is_served() {
        assert!(receive(&[(59, 10)]).await.is_ok());
        assert!(receive(&[(1, 10 * 1024); 1000]).await.is_ok());
        assert!(receive(&[(30, 400 * 1024); 100]).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_dropped() {
        let (near, mut far) = tokio::io::duplex(1024);
        let gate = Arc::new(Gate::new(1));
        let admission = Arc::new(gate.admit().unwrap());
        let mut near = PacedWrites::new(near, MINUTE, admission);
        near.write_all(&[0; 1024]).await.unwrap();
        far.read_exact(&mut [0; 512]).await.unwrap();
        near.write_all(&[0; 512]).await.unwrap();
        let begin = Instant::now();
        let waiting = near.write_all(&[0; 1]);
        let full = async { gate.admit().is_none() };
        let (written, full) = tokio::join!(waiting, full);
        assert!(full, "whoever is still to get something is not idle");
        let error = written.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() >= MINUTE && begin.elapsed() < MINUTE * 2);
    }
}
