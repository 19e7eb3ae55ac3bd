//! One call: the request as it is sent, the reply as it comes, and why there is none.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::body::Body;
use crate::error::{ErrorCode, WireError};
use crate::frame::{FrameError, FrameReader, FrameWriter, ReplyHead, request_line};
use crate::hello::{ClusterSecret, Role};
use crate::id::{ClusterId, NodeId};
use crate::json;
use crate::net::Address;
use crate::table::{Message, Operation};

/// Why a call has no reply.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server answered, with an error.
    #[error(transparent)]
    Refused(#[from] WireError),
    /// The server could not be reached, or the connection broke before it answered.
    #[error("{address}: {source}")]
    Unreachable {
        /// Who.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("{address}: no answer to {operation} within {after:?}")]
    TimedOut {
        /// Who.
        address: Address,
        /// What was asked.
        operation: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// It answered something that is not a reply.
    #[error("{address}: the answer to {operation} is not one: {reason}")]
    BadReply {
        /// Who.
        address: Address,
        /// What was asked.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl CallError {
    /// The code with which the server refused, if it did.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(error) => Some(error.code),
            _ => None,
        }
    }
}

/// What the calling end says of itself.
#[derive(Debug, Clone)]
pub struct CallerIdentity {
    /// What it is.
    pub role: Role,
    /// The cluster that it belongs to, if it does: a server of another one refuses it.
    pub cluster: Option<ClusterId>,
    /// The cluster's secret, if it has one.
    pub secret: Option<ClusterSecret>,
}

/// Whom a call is for: whoever listens at an address, or one node and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer<'a> {
    /// Where.
    pub address: &'a Address,
    /// The node that must answer there; nothing where any server will do, for example the master.
    pub node: Option<NodeId>,
}

impl<'a> Peer<'a> {
    /// This node, at this address.
    pub const fn node(node: NodeId, address: &'a Address) -> Self {
        Self {
            address,
            node: Some(node),
        }
    }
}

impl<'a> From<&'a Address> for Peer<'a> {
    fn from(address: &'a Address) -> Self {
        Self {
            address,
            node: None,
        }
    }
}

/// A request as it is sent: made once, so that it can be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    operation: &'static str,
    fields: Bytes,
    body: Bytes,
}

impl Outgoing {
    pub(crate) fn new<O: Operation>(mut request: O) -> Self {
        let body = request.take_body().into_bytes();
        let fields =
            serde_json::to_vec(&request).expect("requests are plain structs of JSON values");
        Self {
            operation: O::NAME,
            fields: fields.into(),
            body: body.expect("a request's body is in memory"),
        }
    }

    pub(crate) fn operation(&self) -> &'static str {
        self.operation
    }

    pub(super) async fn write(&self, id: u64, writer: &mut FrameWriter) -> io::Result<()> {
        let line = request_line(id, self.operation, &self.fields, self.body.len());
        let body = match self.body.len() {
            0 => Body::Empty,
            _ => Body::Bytes(self.body.clone()),
        };
        writer.write(line, body).await
    }
}

/// A reply as it came: its fields or its error, and the body that followed.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Nothing, if it has neither.
    answer: Option<Result<Bytes, WireError>>,
    body: Bytes,
}

impl Incoming {
    /// Reads the next reply, with its number; nothing at the connection's end.
    pub(super) async fn read(
        reader: &mut FrameReader,
    ) -> Result<Option<(Option<u64>, Self)>, FrameError> {
        let Some(line) = reader.line().await? else {
            return Ok(None);
        };
        let head: ReplyHead<'_> = serde_json::from_slice(&line).map_err(FrameError::NotAMessage)?;
        let fields = |ok: &RawValue| Ok(line.slice_ref(ok.get().as_bytes()));
        let answer = head.error.map(Err).or(head.ok.map(fields));
        let body = match reader.check_body_len(head.body_len)? {
            0 => Bytes::new(),
            len => reader.body(len).await?,
        };
        Ok(Some((head.id, Self { answer, body })))
    }

    pub(super) fn into_reply<M: Message>(
        self,
        operation: &'static str,
        address: &Address,
    ) -> Result<M, CallError> {
        let bad_reply = |reason: String| CallError::BadReply {
            address: address.clone(),
            operation,
            reason,
        };
        let answer = self.answer;
        let fields = answer.ok_or_else(|| bad_reply("it has neither ok nor error".into()))??;
        let mut reply: M =
            serde_json::from_slice(&fields).map_err(|error| bad_reply(json::fault(&error)))?;
        reply
            .put_body(self.body)
            .map_err(|error| bad_reply(error.message))?;
        Ok(reply)
    }
}

pub(super) fn unreachable(address: &Address, source: io::Error) -> CallError {
    CallError::Unreachable {
        address: address.clone(),
        source,
    }
}
