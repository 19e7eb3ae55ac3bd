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
    /// From the clients to all others, and back.
    up: Throttle,
    down: Throttle,
    /// What each one who listens sends on.
    hosts: Arc<Mutex<HashMap<Address, Throttle>>>,
}

/// A line that can be made slow.
type Throttle = Arc<Mutex<Option<Line>>>;

/// What connections share to send on.
#[derive(Debug)]
struct Line {
    bytes_per_sec: u32,
    free_at: Instant,
}

impl Line {
    fn new(bytes_per_sec: u32) -> Self {
        Self {
            bytes_per_sec,
            free_at: Instant::now(),
        }
    }

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

    /// From now on all that clients send shares a line, and all that is sent to them another one.
    pub(crate) fn slow_down(&self, bytes_per_sec: u32) {
        for line in [&self.up, &self.down] {
            *line.lock().unwrap() = Some(Line::new(bytes_per_sec));
        }
    }

    /// From now on all that is sent by who listens at this address shares a line.
    pub(crate) fn slow_down_host(&self, address: &Address, bytes_per_sec: u32) {
        *self.host(address).lock().unwrap() = Some(Line::new(bytes_per_sec));
    }

    fn host(&self, address: &Address) -> Throttle {
        let mut hosts = self.hosts.lock().unwrap();
        hosts.entry(address.clone()).or_default().clone()
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
            Ok(wrap(stream, fate, &[&self.up]))
        })
    }

    fn listen<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let inner = self.inner.listen(address).await?;
            let host = self.host(&inner.address());
            let lines = [host, self.down.clone()];
            Ok(Box::new(SlowListener { inner, lines }) as Box<dyn Listener>)
        })
    }
}

/// Accepts connections on which answers share these lines.
#[derive(Debug)]
struct SlowListener {
    inner: Box<dyn Listener>,
    lines: [Throttle; 2],
}

impl Listener for SlowListener {
    fn accept(&self) -> Pending<'_, io::Result<Stream>> {
        Box::pin(async move {
            let stream = self.inner.accept().await?;
            let [host, down] = &self.lines;
            Ok(wrap(stream, &Fate::default(), &[host, down]))
        })
    }

    fn address(&self) -> Address {
        self.inner.address()
    }
}

fn wrap(stream: Stream, fate: &Fate, lines: &[&Throttle]) -> Stream {
    Stream {
        source: Box::new(Cuttable::new(stream.source, fate, &[])),
        sink: Box::new(Cuttable::new(stream.sink, fate, lines)),
        peer: stream.peer,
    }
}

struct Cuttable<T> {
    inner: T,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    silent: Arc<AtomicBool>,
    lines: Vec<Throttle>,
    /// Until the next piece has passed.
    passing: Option<Pin<Box<Sleep>>>,
}

impl<T> Cuttable<T> {
    fn new(inner: T, fate: &Fate, lines: &[&Throttle]) -> Self {
        Self {
            inner,
            cut: Box::pin(fate.cut.clone().cancelled_owned()),
            silent: fate.silent.clone(),
            lines: lines.iter().map(|line| Throttle::clone(line)).collect(),
            passing: None,
        }
    }

    /// Waits until the slowest line has taken this much.
    fn pass(&mut self, len: usize, context: &mut Context<'_>) -> Poll<()> {
        if self.passing.is_none() {
            let send = |line: &Throttle| Some(line.lock().unwrap().as_mut()?.send(len));
            let passed = self.lines.iter().filter_map(send).max();
            self.passing = passed.map(|passed| Box::pin(sleep_until(passed)));
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
