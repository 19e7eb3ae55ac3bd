//! Sends a chunk's bytes as the body of a reply.
//!
//! On Linux, where the connection is TCP, the system sends them from the file itself: no copy, and no check here,
//! since whoever gets them checks them. Everywhere else they are read, checked against their checksum
//! and written. Bytes that are known to be wrong break the connection off; they never go out.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use proto::body::BodySource;
use proto::net::ByteSink;
use tokio::io::AsyncWriteExt;

use crate::error::StoreError;
#[cfg(target_os = "linux")]
use crate::lane::Lane;
use crate::node::{FoundChunk, Node};

/// A chunk that writes itself to a connection.
#[derive(Debug)]
pub(crate) struct ChunkBody {
    node: Arc<Node>,
    chunk: FoundChunk,
}

impl ChunkBody {
    /// The body with this chunk's bytes.
    pub(crate) fn new(node: Arc<Node>, chunk: FoundChunk) -> Self {
        Self { node, chunk }
    }

    async fn write(self: Box<Self>, sink: &mut dyn ByteSink) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(sent) = self.send_file(sink).await {
            return match sent {
                Err(SendError::File(error)) => Err(self.refuse(&error)),
                Err(SendError::Connection(error)) => Err(error),
                Ok(()) => Ok(()),
            };
        }
        self.read_and_write(sink).await
    }

    /// The portable way.
    async fn read_and_write(self: Box<Self>, sink: &mut dyn ByteSink) -> io::Result<()> {
        let file = self.chunk.file.clone();
        let lane = &self.node.disks()[self.chunk.disk].lane;
        match lane.run(move || file.read()).await {
            Ok(bytes) => sink.write_all(&bytes).await,
            Err(error) => Err(self.refuse(&error)),
        }
    }

    fn refuse(&self, error: &StoreError) -> io::Error {
        let FoundChunk { disk, file } = &self.chunk;
        tracing::debug!(chunk = %file.chunk, %error, "could not send a chunk");
        if matches!(error, StoreError::Corrupt(_) | StoreError::Disk(_)) {
            self.node
                .mark_corrupt_soon(*disk, file.chunk, file.row.location);
        }
        io::Error::other(error.to_string())
    }
}

impl BodySource for ChunkBody {
    fn len(&self) -> usize {
        self.chunk.file.payload().2
    }

    /// Where the system sends them, none is needed.
    fn memory_len(&self, on_tcp: bool) -> usize {
        if on_tcp && can_send_files() && self.chunk.file.payload().0.as_std().is_some() {
            0
        } else {
            self.len()
        }
    }

    fn write_to<'a>(
        self: Box<Self>,
        sink: &'a mut dyn ByteSink,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
        Box::pin(self.write(sink))
    }
}

/// Whether files can be sent by the system from where this is called. A call may read from the disk: only where there are other
/// threads may this one do so.
fn can_send_files() -> bool {
    use tokio::runtime::{Handle, RuntimeFlavor};
    cfg!(target_os = "linux") && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread
}

/// Which end failed.
#[cfg(target_os = "linux")]
enum SendError {
    File(StoreError),
    Connection(io::Error),
}

#[cfg(target_os = "linux")]
impl ChunkBody {
    /// Has the system send the bytes; `None` where it cannot.
    async fn send_file(&self, sink: &mut dyn ByteSink) -> Option<Result<(), SendError>> {
        let (file, mut offset, len) = self.chunk.file.payload();
        let file = file.as_std()?;
        if !can_send_files() {
            return None;
        }
        if let Err(error) = sink.flush().await {
            return Some(Err(SendError::Connection(error)));
        }
        let tcp = sink.as_tcp()?;
        let end = offset + len as u64;
        while offset < end {
            let lane = &self.node.disks()[self.chunk.disk].lane;
            let sent = send_some(tcp, lane, file, &mut offset, end).await;
            if let Err(error) = sent {
                return Some(Err(error));
            }
        }
        Some(Ok(()))
    }
}

/// One call: as much as the connection takes now. It may read from the disk, and so takes one of the disk's turns, and must
/// not hold up other tasks.
#[cfg(target_os = "linux")]
async fn send_some(
    tcp: &tokio::net::TcpStream,
    lane: &Lane,
    file: &std::fs::File,
    offset: &mut u64,
    end: u64,
) -> Result<(), SendError> {
    tcp.writable().await.map_err(SendError::Connection)?;
    // Taken only when there is room to send: no connection that does not read keeps a turn.
    let turn = lane.turn().await.map_err(SendError::File)?;
    let count = usize::try_from(end - *offset).expect("chunks fit in memory");
    let sent = tokio::task::block_in_place(|| {
        tcp.try_io(tokio::io::Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(tcp, file, Some(offset), count)?)
        })
    });
    drop(turn);
    match sent {
        Ok(0) => {
            let cut_off = io::Error::from(io::ErrorKind::UnexpectedEof);
            Err(SendError::File(cut_off.into()))
        }
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
            // The system tells a bad sector by this; everything else is the connection.
            _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                Err(SendError::File(error.into()))
            }
            _ => Err(SendError::Connection(error)),
        },
    }
}
