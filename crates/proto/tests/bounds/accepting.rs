//! Accepting: which failures are of one connection, and which of the server.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::memory::MemoryNetwork;
use proto::net::{Address, Listener, Network, Pending, Stream, Tcp};
use proto::server::Limits;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::support::Server;

/// What the system says when a process may open no more files.
const TOO_MANY_OPEN_FILES: i32 = if cfg!(windows) { 10_024 } else { 24 };

/// A network whose listener fails as it is told.
#[derive(Debug)]
struct Failing {
    inner: MemoryNetwork,
    failures: Mutex<Option<mpsc::UnboundedReceiver<io::Error>>>,
}

impl Network for Failing {
    fn connect<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Stream>> {
        self.inner.connect(address)
    }

    fn listen<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let inner = self.inner.listen(address).await?;
            let failures = self.failures.lock().unwrap().take().unwrap();
            let failures = tokio::sync::Mutex::new(failures);
            Ok(Box::new(FailingListener { inner, failures }) as Box<dyn Listener>)
        })
    }
}

#[derive(Debug)]
struct FailingListener {
    inner: Box<dyn Listener>,
    failures: tokio::sync::Mutex<mpsc::UnboundedReceiver<io::Error>>,
}

impl Listener for FailingListener {
    fn accept(&self) -> Pending<'_, io::Result<Stream>> {
        Box::pin(async move {
            let mut failures = self.failures.lock().await;
            tokio::select! {
                biased;
                Some(failure) = failures.recv() => Err(failure),
                accepted = self.inner.accept() => accepted,
            }
        })
    }

    fn address(&self) -> Address {
        self.inner.address()
    }
}

/// Health checks and port scanners connect and reset at once. Each of these was taken for a lack of file descriptors:
/// it threw out somebody who was idle, and nobody was accepted for a moment.
#[tokio::test]
async fn connections_that_are_reset_at_once_harm_nobody() {
    let server = Server::start_on(Tcp::shared(), Limits::default()).await;
    let mut idle = server.peer().await;
    for _ in 0..100 {
        let scanner = TcpStream::connect(server.address.as_str()).await.unwrap();
        scanner.set_zero_linger().unwrap();
    }
    let mut next = server.peer().await;
    assert!(next.ping().await.contains("\"ok\""));
    assert!(idle.ping().await.contains("\"ok\""));
}

/// The same where the system tells of it, and with a failure that closing connections does not help.
#[tokio::test(start_paused = true)]
async fn only_a_lack_of_file_descriptors_closes_who_is_idle() {
    let (fail, failures) = mpsc::unbounded_channel();
    let network = Arc::new(Failing {
        inner: MemoryNetwork::new(),
        failures: Mutex::new(Some(failures)),
    });
    let server = Server::start_on(network, Limits::default()).await;
    let mut idle = server.peer().await;
    let begun = Instant::now();
    for _ in 0..300 {
        fail.send(io::ErrorKind::ConnectionAborted.into()).unwrap();
    }
    fail.send(io::ErrorKind::PermissionDenied.into()).unwrap();
    let mut next = server.peer().await;
    assert!(begun.elapsed() < Duration::from_millis(100));
    assert!(idle.ping().await.contains("\"ok\""));

    fail.send(io::Error::from_raw_os_error(TOO_MANY_OPEN_FILES))
        .unwrap();
    assert_eq!(next.line().await, "", "it was idle longest");
    assert!(idle.ping().await.contains("\"ok\""));
}
