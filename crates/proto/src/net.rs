//! The seam to the network: who listens and who connects comes in as an argument.
//!
//! [`Tcp`] is the real one. A test hands in one that runs in memory, delays, cuts or refuses.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, tcp};

/// Where a server listens, as `host:port`: the host is a name, an IPv4 or a bracketed IPv6 address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// A text that is not `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address: write it as HOST:PORT, for example 127.0.0.1:9000")]
pub struct ParseAddressError(String);

impl Address {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without the port, and without an IPv6 address' brackets.
    pub fn host(&self) -> &str {
        let host = self.0.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub fn port(&self) -> u16 {
        let port = self.0.rsplit_once(':').map_or("", |(_, port)| port);
        port.parse().expect("checked when the address was made")
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        match self.host().parse::<std::net::IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host().eq_ignore_ascii_case("localhost"),
        }
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let error = || ParseAddressError(text.chars().take(80).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let inner = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let name = inner.unwrap_or(host);
        let host_is_one = !name.is_empty()
            && (inner.is_some() || !name.contains(':'))
            && !name.contains(|c: char| {
                c.is_whitespace() || c.is_control() || ['/', '[', ']'].contains(&c)
            });
        if !host_is_one || port.parse::<u16>().is_err() {
            return Err(error());
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Address {
    type Error = ParseAddressError;

    fn try_from(text: String) -> Result<Self, ParseAddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A future that a seam's method returns.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The half of a connection that is read.
pub type ByteSource = Box<dyn AsyncRead + Send + Unpin>;

/// The half of a connection that is written.
pub trait ByteSink: AsyncWrite + Send + Unpin {
    /// The TCP connection below, if it is one: the system may send a file on it without copying.
    fn as_tcp(&self) -> Option<&TcpStream> {
        None
    }
}

impl ByteSink for tcp::OwnedWriteHalf {
    fn as_tcp(&self) -> Option<&TcpStream> {
        Some(self.as_ref())
    }
}

impl ByteSink for tokio::io::WriteHalf<tokio::io::DuplexStream> {}

/// A connection, as its two halves.
pub struct Stream {
    /// What comes in.
    pub source: ByteSource,
    /// What goes out.
    pub sink: Box<dyn ByteSink>,
    /// The other end.
    pub peer: SocketAddr,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.peer)
    }
}

/// Makes connections and listeners.
pub trait Network: fmt::Debug + Send + Sync + 'static {
    /// Connects. Whoever calls sets the time that it may take.
    fn connect<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Stream>>;

    /// Listens; port 0 takes any free port.
    fn listen<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Box<dyn Listener>>>;
}

/// Nobody can listen on an address: why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", why_not(.error))]
pub struct ListenError {
    /// Which.
    pub address: Address,
    /// What the system says.
    pub error: io::Error,
}

fn why_not(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; is this running already? Stop what uses it, or choose another port"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one that it has".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "the system does not allow it: the port may be in use, or kept for others; choose another one, above 1023".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Accepts connections.
pub trait Listener: fmt::Debug + Send + Sync + 'static {
    /// The next connection. Cancelling it loses none. An error is one of the listener, not of a single connection.
    fn accept(&self) -> Pending<'_, io::Result<Stream>>;

    /// Where it listens, with the port that it got.
    fn address(&self) -> Address;
}

/// Whether this process, or the machine, has no file descriptor left for one more connection or file.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    // ENFILE and EMFILE have these numbers on all Unixes; the last is WSAEMFILE.
    let codes: &[i32] = if cfg!(windows) { &[10_024] } else { &[23, 24] };
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}

/// The machine's own TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Tcp {
    /// Itself, as what the rest asks for.
    pub fn shared() -> Arc<dyn Network> {
        Arc::new(Self)
    }
}

impl Network for Tcp {
    fn connect<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address.as_str()).await?;
            let peer = stream.peer_addr()?;
            tcp_stream(stream, peer)
        })
    }

    fn listen<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address.as_str()).await?;
            let address = listener.local_addr()?.into();
            Ok(Box::new(TcpAcceptor { listener, address }) as Box<dyn Listener>)
        })
    }
}

#[derive(Debug)]
struct TcpAcceptor {
    listener: TcpListener,
    address: Address,
}

impl Listener for TcpAcceptor {
    fn accept(&self) -> Pending<'_, io::Result<Stream>> {
        Box::pin(async move {
            loop {
                let (stream, peer) = self.listener.accept().await?;
                match tcp_stream(stream, peer) {
                    Ok(stream) => return Ok(stream),
                    // It was reset before it was looked at: the others wait.
                    Err(error) => tracing::debug!(%peer, %error, "a connection broke at once"),
                }
            }
        })
    }

    fn address(&self) -> Address {
        self.address.clone()
    }
}

fn tcp_stream(stream: TcpStream, peer: SocketAddr) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    let (source, sink) = stream.into_split();
    Ok(Stream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer,
    })
}

/// Connects within a time.
pub async fn connect(
    network: &dyn Network,
    address: &Address,
    connect_timeout: Duration,
) -> io::Result<Stream> {
    let connected = tokio::time::timeout(connect_timeout, network.connect(address)).await;
    connected.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no connection within {connect_timeout:?}"),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for text in [
            "127.0.0.1:9000",
            "localhost:0",
            "[::1]:5000",
            "node-1.lan:65535",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "9000",
            "127.0.0.1",
            ":9000",
            "a:b",
            "::1:9",
            "a b:1",
            "a:65536",
            "]:9000",
            "[]:9000",
            "[a:9000",
            "[[::1]]:9000",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert!("[::1]:1".parse::<Address>().unwrap().is_loopback());
        assert!(!"0.0.0.0:1".parse::<Address>().unwrap().is_loopback());
    }
}
