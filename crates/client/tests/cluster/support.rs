//! A whole cluster in one process, and readers that count and fail.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use client::{ClientOptions, Cluster, Error, Hashing, UploadOptions, Uploaded};
use futures::TryStreamExt;
use proto::hello::Role;
use proto::id::NodeId;
use proto::master::MasterServer;
use proto::name::EntryPath;
use proto::net::{Listener, Network};
use proto::node::NodeServer;
use proto::server::{Identity, Limits, serve};
use proto::table::Service;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::master::FakeMaster;
use crate::network::CuttableNetwork;
use crate::node::FakeNode;

/// A master, some nodes, and a client of them.
pub(crate) struct TestCluster {
    pub(crate) network: CuttableNetwork,
    master: Arc<MasterServer<FakeMaster>>,
    pub(crate) client: Cluster,
}

/// What a simulation would use: everything in place, and the same ids each time.
pub(crate) fn options() -> ClientOptions {
    ClientOptions {
        hashing: Hashing::Inline,
        seed: Some(1),
        ..ClientOptions::default()
    }
}

impl TestCluster {
    pub(crate) async fn start(nodes: usize, chunk_size: u32) -> Self {
        Self::start_with(nodes, chunk_size, options()).await
    }

    pub(crate) async fn start_with(nodes: usize, chunk_size: u32, options: ClientOptions) -> Self {
        let network = CuttableNetwork::default();
        let mut started = Vec::new();
        for number in 1..=nodes as u128 {
            let listener = listen(&network).await;
            let id = NodeId::new(Uuid::from_u128(number));
            let node = FakeNode::new(id, listener.address(), network.clone());
            let node = Arc::new(NodeServer(node));
            let id = Some(node.0.id);
            spawn(listener, node.clone(), Role::Node, id);
            started.push(node);
        }
        let listener = listen(&network).await;
        let masters = vec![listener.address()];
        let master = FakeMaster::new(listener.address(), started, chunk_size, network.clone());
        let master = Arc::new(MasterServer(master));
        spawn(listener, master.clone(), Role::Master, None);
        let client = Cluster::new(Arc::new(network.clone()), masters, None, options);
        Self {
            network,
            master,
            client,
        }
    }

    pub(crate) fn master(&self) -> &FakeMaster {
        &self.master.0
    }

    /// Counted from 1.
    pub(crate) fn node(&self, number: usize) -> &FakeNode {
        &self.master().nodes[number - 1].0
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &FakeNode> {
        self.master().nodes.iter().map(|node| &node.0)
    }

    /// Chunks that were sent to nodes.
    pub(crate) fn puts(&self) -> u32 {
        self.nodes().map(FakeNode::puts).sum()
    }

    /// Chunks that nodes were asked for.
    pub(crate) fn gets(&self) -> u32 {
        self.nodes().map(FakeNode::gets).sum()
    }

    pub(crate) async fn upload(&self, path: &str, bytes: &[u8]) -> Result<Uploaded, Error> {
        let options = UploadOptions::default();
        self.client.upload(&name(path), bytes, options).await
    }

    pub(crate) async fn download(&self, path: &str) -> Result<Vec<u8>, Error> {
        let file = self.client.open(&name(path), None).await?;
        let size = file.size;
        let pieces: Vec<_> = file.read(0..size).try_collect().await?;
        Ok(pieces.concat())
    }

    /// Whether a name, an upload or a promise is left that nobody finished.
    pub(crate) async fn assert_nothing_left(&self, path: &str) {
        self.client.settle().await;
        let state = self.master().lock();
        assert!(
            !state.files.contains_key(&name(path)),
            "the name is visible"
        );
        assert!(state.uploads.is_empty(), "the upload was not abandoned");
    }
}

pub(crate) fn name(path: &str) -> EntryPath {
    path.parse().unwrap()
}

/// Bytes that differ from chunk to chunk, for every chunk size.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) async fn listen(network: &CuttableNetwork) -> Box<dyn Listener> {
    let any_port = "127.0.0.1:0".parse().unwrap();
    network.listen(&any_port).await.unwrap()
}

pub(crate) fn spawn<S: Service>(
    listener: Box<dyn Listener>,
    service: Arc<S>,
    role: Role,
    node: Option<NodeId>,
) {
    let identity = Identity {
        role,
        cluster: watch::Sender::new(None).subscribe(),
        node,
        secret: None,
    };
    let shutdown = CancellationToken::new();
    let served = serve(listener, service, identity, Limits::default(), shutdown);
    tokio::spawn(served);
}

/// Gives bytes as another reader does, counts them, and does something before some of them.
pub(crate) struct Watched<R> {
    inner: R,
    read: Arc<AtomicU64>,
    at: u64,
    then: Option<Box<dyn FnOnce() -> io::Result<()> + Send + Sync>>,
}

impl<R> Watched<R> {
    pub(crate) fn new(inner: R) -> Self {
        let (read, at, then) = (Arc::default(), u64::MAX, None);
        Self {
            inner,
            read,
            at,
            then,
        }
    }

    /// Does this when so many bytes were read.
    pub(crate) fn at(
        mut self,
        at: u64,
        then: impl FnOnce() -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.at = at;
        self.then = Some(Box::new(then));
        self
    }

    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        self.read.clone()
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.load(Ordering::Relaxed) >= self.at
            && let Some(then) = self.then.take()
        {
            then()?;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let read = (buffer.filled().len() - before) as u64;
        self.read.fetch_add(read, Ordering::Relaxed);
        polled
    }
}
