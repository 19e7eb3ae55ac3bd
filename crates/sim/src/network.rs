//! turmoil's network as the processes ask for it, with lines that can be cut in either direction.
//!
//! A line that is cut loses what is sent, and never says so: neither a connection that is being made nor one that is open
//! ends by itself, also not when the line is whole again, as when a firewall forgot it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use proto::net::{Address, ByteSink, Listener, Network, Pending, Stream};
use tokio::io::AsyncWrite;
use turmoil::net::tcp::OwnedWriteHalf;
use turmoil::net::{TcpListener, TcpStream};

use crate::journal::Journal;

/// Which directions are cut, and how often over. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cables(Arc<Mutex<BTreeMap<(String, String), u32>>>);

impl Cables {
    /// Cuts one direction, or cuts it once more.
    pub(crate) fn cut(&self, sim: &turmoil::Sim<'_>, from: &str, to: &str) {
        let mut cuts = self.0.lock();
        let cut = cuts.entry((from.to_owned(), to.to_owned())).or_default();
        *cut += 1;
        if *cut == 1 {
            sim.partition_oneway(from, to);
        }
    }

    /// Undoes one cut.
    pub(crate) fn mend(&self, sim: &turmoil::Sim<'_>, from: &str, to: &str) {
        let mut cuts = self.0.lock();
        let cut = cuts.entry((from.to_owned(), to.to_owned())).or_default();
        *cut -= 1;
        if *cut == 0 {
            sim.repair_oneway(from, to);
        }
    }

    fn is_cut(&self, from: &str, to: &str) -> bool {
        let cuts = self.0.lock();
        let is_cut = |from: &str, to: &str| {
            cuts.get(&(from.to_owned(), to.to_owned()))
                .is_some_and(|cut| *cut > 0)
        };
        is_cut(from, to) || is_cut(to, from)
    }
}

/// The network as one machine sees it.
#[derive(Debug, Clone)]
pub(crate) struct SimNetwork {
    pub(crate) host: String,
    pub(crate) cables: Cables,
    pub(crate) journal: Journal,
}

impl Network for SimNetwork {
    fn connect<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Stream>> {
        Box::pin(async move {
            if self.cables.is_cut(&self.host, address.host()) {
                std::future::pending::<()>().await;
            }
            let stream = TcpStream::connect(address.as_str()).await?;
            let peer = stream.peer_addr()?;
            Ok(self.stream(stream, peer))
        })
    }

    fn listen<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address.as_str()).await?;
            Ok(Box::new(SimListener {
                address: format!("{}:{}", self.host, address.port())
                    .parse()
                    .map_err(io::Error::other)?,
                listener,
                network: self.clone(),
            }) as Box<dyn Listener>)
        })
    }
}

impl SimNetwork {
    fn stream(&self, stream: TcpStream, peer: SocketAddr) -> Stream {
        let (source, sink) = stream.into_split();
        Stream {
            source: Box::new(source),
            sink: Box::new(SimSink {
                sink,
                line: format!("{} -> {peer}", self.host),
                journal: self.journal.clone(),
            }),
            peer,
        }
    }
}

struct SimListener {
    address: Address,
    listener: TcpListener,
    network: SimNetwork,
}

impl std::fmt::Debug for SimListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimListener({})", self.address)
    }
}

impl Listener for SimListener {
    fn accept(&self) -> Pending<'_, io::Result<Stream>> {
        Box::pin(async move {
            let (stream, peer) = self.listener.accept().await?;
            Ok(self.network.stream(stream, peer))
        })
    }

    fn address(&self) -> Address {
        self.address.clone()
    }
}

/// What goes out; every write is part of the trace.
struct SimSink {
    sink: OwnedWriteHalf,
    line: String,
    journal: Journal,
}

impl ByteSink for SimSink {}

impl AsyncWrite for SimSink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.sink).poll_write(context, bytes);
        if let Poll::Ready(Ok(len)) = written {
            self.journal.sent(&self.line, &bytes[..len]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sink).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sink).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that two faults cut is whole only when both are over.
    #[test]
    fn what_was_cut_twice_is_mended_twice() {
        let mut sim = turmoil::Builder::new().build();
        for name in ["a", "b"] {
            sim.host(name, || async { Ok(()) });
        }
        let cables = Cables::default();
        cables.cut(&sim, "a", "b");
        cables.cut(&sim, "a", "b");
        assert!(cables.is_cut("a", "b") && cables.is_cut("b", "a"));
        cables.mend(&sim, "a", "b");
        assert!(cables.is_cut("a", "b"));
        cables.mend(&sim, "a", "b");
        assert!(!cables.is_cut("a", "b"));
    }

    /// What is said on a line that is cut does not arrive, in the one direction that is cut.
    #[test]
    fn a_cut_line_loses_what_is_said() {
        let heard_with = |cut: Option<(&str, &str)>| {
            let mut sim = turmoil::Builder::new()
                .simulation_duration(std::time::Duration::from_secs(60))
                .build();
            let network = |host: &str| SimNetwork {
                host: host.to_owned(),
                cables: Cables::default(),
                journal: Journal::default(),
            };
            let (server, caller) = (network("server"), network("caller"));
            let cables = caller.cables.clone();
            let heard = Arc::new(Mutex::new(Vec::new()));
            let ear = heard.clone();
            sim.host("server", move || {
                let (server, ear) = (server.clone(), ear.clone());
                async move {
                    let listener = server.listen(&"0.0.0.0:1".parse()?).await?;
                    let mut stream = listener.accept().await?;
                    let mut word = [0; 2];
                    while tokio::io::AsyncReadExt::read_exact(&mut stream.source, &mut word)
                        .await
                        .is_ok()
                    {
                        ear.lock().extend(word);
                    }
                    Ok(())
                }
            });
            sim.client("caller", async move {
                let mut stream = caller.connect(&"server:1".parse()?).await?;
                tokio::io::AsyncWriteExt::write_all(&mut stream.sink, b"hi").await?;
                tokio::time::sleep(std::time::Duration::from_secs(5)).await;
                tokio::io::AsyncWriteExt::write_all(&mut stream.sink, b"ho").await?;
                tokio::time::sleep(std::time::Duration::from_secs(5)).await;
                Ok(())
            });
            while sim.elapsed() < std::time::Duration::from_secs(2) {
                sim.step().unwrap();
            }
            if let Some((from, to)) = cut {
                cables.cut(&sim, from, to);
            }
            sim.run().unwrap();
            let heard = heard.lock();
            String::from_utf8_lossy(&heard).into_owned()
        };
        assert_eq!(heard_with(None), "hiho");
        assert_eq!(heard_with(Some(("caller", "server"))), "hi");
        assert_eq!(heard_with(Some(("server", "caller"))), "hiho");
    }
}
