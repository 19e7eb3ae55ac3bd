//! The in-memory network, with connections that can be cut in the middle.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proto::memory::MemoryNetwork;
use proto::net::{Address, ByteSink, Listener, Network, Pending, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bytes that a slow line takes at once.
const PIECE_LEN: usize = 4096;

/// Connections that were made through it can be cut, by the address that they lead to.
#[derive(Debug, Clone, Default)]
pub(crate) struct CuttableNetwork {
    inner: MemoryNetwork,
    open: Arc<Mutex<HashMap<Address, Fate>>>,
    line: Arc<Mutex<Option<Line>>>,
}

/// What all connections share to send on.
#[derive(Debug)]
struct Line {
    bytes_per_sec: u32,
    free_at: Instant,
}

impl Line {
    /// When so many bytes have passed, after all that was sent before.
    fn send(&mut self, len: usize) -> Instant {
        let micros = len as u64 * 1_000_000 / u64::from(self.bytes_per_sec);
        let took = Duration::from_micros(micros);
        self.free_at = self.free_at.max(Instant::now()) + took;
        self.free_at
    }
}

/// What happens to the connections to one address.
#[derive(Debug, Clone, Default)]
struct Fate {
    cut: CancellationToken,
    silent: Arc<AtomicBool>,
}

impl CuttableNetwork {
    /// Breaks every connection to this address: what was sent and not yet read is lost.
    pub(crate) fn cut(&self, address: &Address) {
        if let Some(open) = self.open.lock().unwrap().remove(address) {
            open.cut.cancel();
        }
    }

    /// Nothing arrives any more on the connections there are, and nobody is told: as behind a router that forgot
    /// them. New connections are fine.
    pub(crate) fn silence(&self, address: &Address) {
        if let Some(open) = self.open.lock().unwrap().remove(address) {
            open.silent.store(true, Ordering::Relaxed);
        }
    }

    /// From now on all that is sent on new connections shares a line.
    pub(crate) fn slow_down(&self, bytes_per_sec: u32) {
        *self.line.lock().unwrap() = Some(Line {
            bytes_per_sec,
            free_at: Instant::now(),
        });
    }

    /// As when the process at this address is killed.
    pub(crate) fn kill(&self, address: &Address) {
        self.inner.refuse(address);
        self.cut(address);
    }

    /// As when it is started again.
    pub(crate) fn heal(&self, address: &Address) {
        self.inner.heal(address);
    }
}

impl Network for CuttableNetwork {
    fn connect<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Stream>> {
        Box::pin(async move {
            let stream = self.inner.connect(address).await?;
            let mut open = self.open.lock().unwrap();
            let fate = open.entry(address.clone()).or_default();
            Ok(Stream {
                source: Box::new(Cuttable::new(stream.source, fate, &self.line)),
                sink: Box::new(Cuttable::new(stream.sink, fate, &self.line)),
                peer: stream.peer,
            })
        })
    }

    fn listen<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Box<dyn Listener>>> {
        self.inner.listen(address)
    }
}

struct Cuttable<T> {
    inner: T,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    silent: Arc<AtomicBool>,
    line: Arc<Mutex<Option<Line>>>,
    /// Until the next piece has passed.
    passing: Option<Pin<Box<Sleep>>>,
}

impl<T> Cuttable<T> {
    fn new(inner: T, fate: &Fate, line: &Arc<Mutex<Option<Line>>>) -> Self {
        Self {
            inner,
            cut: Box::pin(fate.cut.clone().cancelled_owned()),
            silent: fate.silent.clone(),
            line: line.clone(),
            passing: None,
        }
    }

    /// Waits until the line has taken this much.
    fn pass(&mut self, len: usize, context: &mut Context<'_>) -> Poll<()> {
        if self.passing.is_none()
            && let Some(line) = &mut *self.line.lock().unwrap()
        {
            self.passing = Some(Box::pin(sleep_until(line.send(len))));
        }
        match &mut self.passing {
            Some(passing) => passing.as_mut().poll(context),
            None => Poll::Ready(()),
        }
    }

    fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Cuttable<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        if self.is_silent() {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Cuttable<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        if self.is_silent() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let bytes = &bytes[..bytes.len().min(PIECE_LEN)];
        ready!(self.pass(bytes.len(), context));
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes));
        self.passing = None;
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Send + Unpin> ByteSink for Cuttable<T> {}

impl<T> fmt::Debug for Cuttable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cuttable")
    }
}
