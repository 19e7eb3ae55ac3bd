//! The first exchange on every connection: versions, roles and, where the cluster has a secret, proof.
//!
//! With a secret, each side shows that it knows it without sending it: the caller's nonce comes with `hello`, the
//! server answers with its own nonce and a proof over both, and the caller sends its proof with
//! `authenticate`. Until then nothing else is answered. The two proofs differ in a label, so that one cannot be
//! echoed as the other.

use std::io;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::error::{ErrorCode, WireError};
use crate::id::{ChunkId, ClusterId, NodeId, PromiseId, ReceiptMac};
use crate::table::{Message, Operation};

/// The version of the protocol that this crate speaks.
pub const PROTOCOL: u32 = 1;
/// The oldest version that is still answered.
pub const PROTOCOL_MIN: u32 = 1;
/// The newest version whose callers are answered, with [`PROTOCOL`]: who speaks it speaks the one before too.
pub const PROTOCOL_MAX: u32 = PROTOCOL + 1;

/// What a peer says to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The master.
    Master,
    /// A storage node.
    Node,
    /// Anybody else: the web process, the command line, `nc`.
    Client,
}

/// The first request on a connection.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The version that the caller speaks.
    pub protocol: u32,
    /// What it says to be.
    #[serde(default = "client_role")]
    pub role: Role,
    /// The cluster that it belongs to, if it does: a server of another one refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterId>,
    /// The node that the caller means to reach: any other server refuses it with `wrong_node`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// 32 hex digits, new for each connection; needed where the cluster has a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
}

/// The server's answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct HelloReply {
    /// The version that both speak from now on.
    pub protocol: u32,
    /// What the server is.
    pub server: Role,
    /// Its cluster; a node that has not joined one yet has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterId>,
    /// Which node it is; present at nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Present where the cluster has a secret: `authenticate` must follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
}

/// What a server with a secret sends.
#[derive(Debug, Serialize, Deserialize)]
pub struct Challenge {
    /// The server's nonce.
    pub nonce: Nonce,
    /// The server's proof, over both nonces.
    pub proof: Proof,
}

/// The second request, where the server sent a challenge.
#[derive(Debug, Serialize, Deserialize)]
pub struct Authenticate {
    /// The caller's proof, over both nonces.
    pub proof: Proof,
}

/// The caller may go on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Authenticated {}

/// Asks nothing: keeps an idle connection, and finds a dead one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ping {}

/// The server is there.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pong {}

impl Message for Hello {}
impl Message for HelloReply {}
impl Message for Authenticate {}
impl Message for Authenticated {}
impl Message for Ping {}
impl Message for Pong {}

impl Operation for Hello {
    type Reply = HelloReply;
    const NAME: &'static str = "hello";
}

impl Operation for Authenticate {
    type Reply = Authenticated;
    const NAME: &'static str = "authenticate";
}

impl Operation for Ping {
    type Reply = Pong;
    const NAME: &'static str = "ping";
}

const fn client_role() -> Role {
    Role::Client
}

/// 16 random bytes, never used twice; in hex on the wire.
pub type Nonce = ReceiptMac;
/// 16 bytes of an HMAC; in hex on the wire.
pub type Proof = ReceiptMac;

/// What the members of a cluster share. Never logged, never sent.
#[derive(Clone)]
pub struct ClusterSecret(Vec<u8>);

impl ClusterSecret {
    /// The secret with this text.
    pub fn new(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }

    /// The proof that a server, or a caller, knows the secret.
    pub fn proof(&self, prover: Prover, caller: Nonce, server: Nonce) -> Proof {
        mac(
            &self.0,
            &[prover.label(), caller.as_bytes(), server.as_bytes()],
        )
    }
}

impl std::fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterSecret(..)")
    }
}

/// Whose proof it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prover {
    /// The end that said hello.
    Caller,
    /// The end that answered.
    Server,
}

impl Prover {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Caller => b"dfs hello caller",
            Self::Server => b"dfs hello server",
        }
    }
}

/// A node's key for receipts: made by the node once, known to it and to the master.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReceiptKey(crate::id::ChunkId);

impl ReceiptKey {
    /// The key with these bits.
    pub const fn from_bytes(bytes: [u8; ChunkId::LEN]) -> Self {
        Self(ChunkId::from_bytes(bytes))
    }

    /// The receipt for a chunk of `len` bytes held durably, as it was promised.
    pub fn receipt(&self, promise: PromiseId, chunk: &ChunkId, len: u64) -> ReceiptMac {
        mac(
            self.0.as_bytes(),
            &[
                promise.uuid().as_bytes(),
                chunk.as_bytes(),
                &len.to_be_bytes(),
            ],
        )
    }
}

impl std::fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReceiptKey(..)")
    }
}

/// What both ends say when a caller that means one node reaches another, or what is no node.
pub(crate) fn wrong_node(meant: Option<NodeId>, here: Option<NodeId>) -> WireError {
    let name = |node: Option<NodeId>| {
        node.map_or_else(|| "no node".to_owned(), |node| format!("node {node}"))
    };
    let message = format!(
        "this is {}, not {}: has another one taken its address?",
        name(here),
        name(meant)
    );
    WireError::new(ErrorCode::WrongNode, message)
}

/// A nonce that was never used before.
///
/// # Errors
/// If the system has no randomness to give.
pub(crate) fn new_nonce() -> io::Result<Nonce> {
    let mut bytes = [0; Nonce::LEN];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Nonce::from_bytes(bytes))
}

/// Whether two proofs are the same, in a time that does not tell where they differ.
pub fn same_mac(one: &ReceiptMac, other: &ReceiptMac) -> bool {
    use subtle::ConstantTimeEq;
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> ReceiptMac {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    let digest = mac.finalize().into_bytes();
    let mut bytes = [0; ReceiptMac::LEN];
    bytes.copy_from_slice(&digest[..ReceiptMac::LEN]);
    ReceiptMac::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_receipt_is_good_for_its_promise_chunk_and_length_only() {
        let key = ReceiptKey::from_bytes([7; 32]);
        let promise = PromiseId::new(Uuid::from_u128(1));
        let receipt = key.receipt(promise, &ChunkId::of(b"a"), 1);
        assert!(same_mac(
            &receipt,
            &key.receipt(promise, &ChunkId::of(b"a"), 1)
        ));
        let others = [
            key.receipt(PromiseId::new(Uuid::from_u128(2)), &ChunkId::of(b"a"), 1),
            key.receipt(promise, &ChunkId::of(b"b"), 1),
            key.receipt(promise, &ChunkId::of(b"a"), 2),
            ReceiptKey::from_bytes([8; 32]).receipt(promise, &ChunkId::of(b"a"), 1),
        ];
        assert!(others.iter().all(|other| !same_mac(&receipt, other)));
    }

    #[test]
    fn the_callers_proof_is_not_the_servers() {
        let secret = ClusterSecret::new("a long secret");
        let (one, two) = (Nonce::from_bytes([1; 16]), Nonce::from_bytes([2; 16]));
        assert_ne!(
            secret.proof(Prover::Caller, one, two),
            secret.proof(Prover::Server, one, two)
        );
    }
}
