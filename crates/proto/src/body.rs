//! The bytes that follow a line.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::Bytes;

use crate::net::ByteSink;

/// What follows a line: nothing, bytes in memory, or something that writes itself.
#[derive(Default)]
pub enum Body {
    /// No body: the line does not announce one.
    #[default]
    Empty,
    /// Bytes that are here.
    Bytes(Bytes),
    /// Bytes that are elsewhere, for example in a file from which the system can send them.
    Source(Box<dyn BodySource>),
}

/// Bytes that write themselves to a connection.
pub trait BodySource: Send + 'static {
    /// How many bytes there will be, exactly.
    fn len(&self) -> usize;

    /// Whether there will be none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes of memory writing them takes: fewer, perhaps, on a TCP connection, where the system may send
    /// them.
    fn memory_len(&self, _on_tcp: bool) -> usize {
        self.len()
    }

    /// Writes all of them. An error closes the connection, since the length was already announced.
    fn write_to<'a>(
        self: Box<Self>,
        sink: &'a mut dyn ByteSink,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;
}

impl Body {
    /// How many bytes follow.
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::Source(source) => source.len(),
        }
    }

    /// How many bytes of memory it takes until it is written, on a TCP connection or another.
    pub fn memory_len(&self, on_tcp: bool) -> usize {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::Source(source) => source.memory_len(on_tcp),
        }
    }

    /// Whether none follow.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that are here; nothing for a source that still has to be read.
    pub fn into_bytes(self) -> Option<Bytes> {
        match self {
            Self::Empty => Some(Bytes::new()),
            Self::Bytes(bytes) => Some(bytes),
            Self::Source(_) => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}
