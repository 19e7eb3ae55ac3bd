//! A network inside the process, for tests: no ports, no waiting, and hosts that can be taken away.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;

use crate::net::{Address, Listener, Network, Pending, Stream};

/// Bytes on the way in each direction of a connection.
const IN_FLIGHT: usize = 64 << 10;
/// Connections that wait to be accepted.
const BACKLOG: usize = 128;

/// Connections between tasks of one process. Clones are the same network.
#[derive(Debug, Clone, Default)]
pub struct MemoryNetwork(Arc<Mutex<Hosts>>);

#[derive(Debug, Default)]
struct Hosts {
    listening: HashMap<Address, mpsc::Sender<Stream>>,
    refusing: HashSet<Address>,
    silent: HashSet<Address>,
    last_port: u16,
}

impl MemoryNetwork {
    /// Nobody listens on it yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on connections to this address are refused, as when its process is gone. Those that are open stay.
    pub fn refuse(&self, address: &Address) {
        self.lock().refusing.insert(address.clone());
    }

    /// From now on connecting to this address never ends, as when its machine is gone.
    pub fn silence(&self, address: &Address) {
        self.lock().silent.insert(address.clone());
    }

    /// Undoes [`refuse`](Self::refuse) and [`silence`](Self::silence).
    pub fn heal(&self, address: &Address) {
        let mut hosts = self.lock();
        hosts.refusing.remove(address);
        hosts.silent.remove(address);
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        self.0.lock()
    }
}

impl Network for MemoryNetwork {
    fn connect<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Stream>> {
        Box::pin(async move {
            let (listener, silent) = {
                let hosts = self.lock();
                let refusing = hosts.refusing.contains(address);
                let listener = hosts.listening.get(address).filter(|_| !refusing).cloned();
                (listener, hosts.silent.contains(address))
            };
            if silent {
                std::future::pending::<()>().await;
            }
            let (here, there) = tokio::io::duplex(IN_FLIGHT);
            listener
                .ok_or(io::ErrorKind::ConnectionRefused)?
                .send(stream(there))
                .await
                .map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(stream(here))
        })
    }

    fn listen<'a>(&'a self, address: &'a Address) -> Pending<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let mut hosts = self.lock();
            let address = if address.port() == 0 {
                hosts.last_port += 1;
                SocketAddr::from((Ipv4Addr::LOCALHOST, hosts.last_port)).into()
            } else {
                address.clone()
            };
            if hosts
                .listening
                .get(&address)
                .is_some_and(|sender| !sender.is_closed())
            {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let (sender, receiver) = mpsc::channel(BACKLOG);
            hosts.listening.insert(address.clone(), sender);
            Ok(Box::new(MemoryListener {
                address,
                receiver: tokio::sync::Mutex::new(receiver),
            }) as Box<dyn Listener>)
        })
    }
}

#[derive(Debug)]
struct MemoryListener {
    address: Address,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Stream>>,
}

impl Listener for MemoryListener {
    fn accept(&self) -> Pending<'_, io::Result<Stream>> {
        Box::pin(async move {
            let next = self.receiver.lock().await.recv().await;
            next.ok_or_else(|| io::ErrorKind::NotConnected.into())
        })
    }

    fn address(&self) -> Address {
        self.address.clone()
    }
}

fn stream(duplex: tokio::io::DuplexStream) -> Stream {
    let (source, sink) = tokio::io::split(duplex);
    Stream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}
