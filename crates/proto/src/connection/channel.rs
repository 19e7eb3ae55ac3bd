//! One exchange at a time, in the caller's own task; and the hello with which every connection begins.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::call::{CallError, CallerIdentity, Incoming, Outgoing, Peer, unreachable};
use crate::error::{ErrorCode, WireError};
use crate::frame::{FrameError, FrameLimits, FrameReader, FrameWriter};
use crate::hello::{
    Authenticate, Hello, HelloReply, Nonce, PROTOCOL, PROTOCOL_MIN, Prover, new_nonce, same_mac,
    wrong_node,
};
use crate::id::{ClusterId, NodeId};
use crate::net::{Address, Network, connect};
use crate::table::Operation;

/// One exchange at a time, in the caller's own task.
#[derive(Debug)]
pub struct Channel {
    pub(super) address: Address,
    pub(crate) reader: FrameReader,
    pub(super) writer: FrameWriter,
    pub(super) next_id: u64,
    pub(super) cluster: Option<ClusterId>,
}

impl Channel {
    /// Connects and says hello, all within the time. Fails with `wrong_node` where another node answers than the peer.
    pub async fn open<'p>(
        network: &dyn Network,
        peer: impl Into<Peer<'p>>,
        identity: &CallerIdentity,
        connect_timeout: Duration,
    ) -> Result<Self, CallError> {
        let peer = peer.into();
        let address = peer.address;
        let opening = async {
            let stream = connect(network, address, connect_timeout)
                .await
                .map_err(|source| unreachable(address, source))?;
            let mut channel = Self {
                address: address.clone(),
                reader: FrameReader::new(stream.source, FrameLimits::GREETING),
                writer: FrameWriter::new(stream.sink),
                next_id: 1,
                cluster: None,
            };
            channel.greet(identity, peer.node).await?;
            channel.reader.expect_more(FrameLimits::default());
            tracing::debug!(%address, "connected");
            Ok(channel)
        };
        match timeout(connect_timeout, opening).await {
            Ok(result) => result,
            Err(_) => Err(CallError::TimedOut {
                address: address.clone(),
                operation: Hello::NAME,
                after: connect_timeout,
            }),
        }
    }

    /// One request and its reply. After an error other than [`CallError::Refused`], and when cancelled, the
    /// channel is of no more use.
    pub async fn exchange<O: Operation>(&mut self, request: O) -> Result<O::Reply, CallError> {
        self.exchange_outgoing::<O>(&Outgoing::new(request)).await
    }

    pub(crate) async fn exchange_outgoing<O: Operation>(
        &mut self,
        request: &Outgoing,
    ) -> Result<O::Reply, CallError> {
        let id = self.next_id;
        self.next_id += 1;
        // A server that refuses a body answers before it has read it: its answer counts, not the broken write.
        let written = request.write(id, &mut self.writer).await;
        let answered = match Incoming::read(&mut self.reader).await {
            Ok(Some((answered, incoming))) if answered.is_none_or(|answered| answered == id) => {
                incoming
            }
            Ok(Some((answered, _))) => {
                return Err(
                    self.bad_reply(O::NAME, format!("it is for request {answered:?}, not {id}"))
                );
            }
            Ok(None) => {
                let ended = || {
                    io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the connection was closed",
                    )
                };
                return Err(unreachable(
                    &self.address,
                    written.err().unwrap_or_else(ended),
                ));
            }
            Err(FrameError::Io(error)) => return Err(unreachable(&self.address, error)),
            Err(error) => return Err(self.bad_reply(O::NAME, error.to_string())),
        };
        answered.into_reply(O::NAME, &self.address)
    }

    /// The cluster that the server belongs to, as it said.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    async fn greet(
        &mut self,
        identity: &CallerIdentity,
        node: Option<NodeId>,
    ) -> Result<(), CallError> {
        let nonce = new_nonce().map_err(|source| unreachable(&self.address, source))?;
        let reply = self
            .exchange(Hello {
                protocol: PROTOCOL,
                role: identity.role,
                cluster: identity.cluster,
                node,
                nonce: identity.secret.as_ref().map(|_| nonce),
            })
            .await?;
        if !(PROTOCOL_MIN..=PROTOCOL).contains(&reply.protocol) {
            let reason = format!("it speaks version {} of the protocol", reply.protocol);
            return Err(self.bad_reply(Hello::NAME, reason));
        }
        if node.is_some() && reply.node != node {
            return Err(wrong_node(node, reply.node).into());
        }
        self.cluster = reply.cluster;
        self.authenticate(identity, nonce, &reply).await
    }

    async fn authenticate(
        &mut self,
        identity: &CallerIdentity,
        nonce: Nonce,
        reply: &HelloReply,
    ) -> Result<(), CallError> {
        let (secret, challenge) = match (&identity.secret, &reply.challenge) {
            (None, None) => return Ok(()),
            (Some(secret), Some(challenge)) => (secret, challenge),
            (Some(_), None) => {
                let reason = "a secret is set here, but the server has none".to_owned();
                return Err(self.bad_reply(Hello::NAME, reason));
            }
            (None, Some(_)) => {
                return Err(CallError::Refused(WireError::new(
                    ErrorCode::Unauthenticated,
                    "the cluster has a secret; set cluster.secret here too",
                )));
            }
        };
        let expected = secret.proof(Prover::Server, nonce, challenge.nonce);
        if !same_mac(&expected, &challenge.proof) {
            return Err(CallError::Refused(WireError::new(
                ErrorCode::Unauthenticated,
                format!(
                    "{} has another secret: set cluster.secret here as it is there",
                    self.address
                ),
            )));
        }
        let proof = secret.proof(Prover::Caller, nonce, challenge.nonce);
        self.exchange(Authenticate { proof }).await.map(drop)
    }

    fn bad_reply(&self, operation: &'static str, reason: String) -> CallError {
        CallError::BadReply {
            address: self.address.clone(),
            operation,
            reason,
        }
    }
}
