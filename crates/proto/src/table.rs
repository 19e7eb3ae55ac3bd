//! A server's table of operations: which request has which reply, checked by the compiler.
//!
//! [`operations!`](crate::operations) turns a table into the enum of all requests, a trait with one method an
//! operation (so that a server which forgets one, or answers with another's reply, does not compile), and
//! the dispatch between the two. A new operation is one line in a table and one method in a server.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::Body;
use crate::error::{ErrorCode, WireError};
use crate::json;

/// A request or a reply: fields that go into the line, and perhaps a body that follows it.
///
/// The body is a field that serde skips; `take_body` and `put_body` move it out and in.
pub trait Message: Serialize + DeserializeOwned + fmt::Debug + Send + 'static {
    /// Takes out the body that is to follow the line.
    fn take_body(&mut self) -> Body {
        Body::Empty
    }

    /// Puts in the body that followed the line.
    ///
    /// # Errors
    /// `bad_message`, for messages that have none.
    fn put_body(&mut self, body: Bytes) -> Result<(), WireError> {
        if body.is_empty() {
            return Ok(());
        }
        Err(WireError::new(
            ErrorCode::BadMessage,
            "this message takes no body; send it without body_len",
        ))
    }
}

/// A request, which knows its name on the wire and the type of its reply.
pub trait Operation: Message {
    /// What is true when it has been done.
    type Reply: Message;
    /// The value of `op` in the line.
    const NAME: &'static str;
}

/// All requests that one kind of server takes.
pub trait OperationTable: Sized + Send + 'static {
    /// Reads the request named `op` from its line; the body is what followed.
    ///
    /// # Errors
    /// `unknown_operation`, or `bad_message` with the field that is wrong.
    fn parse(op: &str, line: &[u8], body: Bytes) -> Result<Self, WireError>;
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Counts the connections of this server since its start.
    pub connection: u64,
    /// The other end.
    pub peer: SocketAddr,
    /// What it said to be in its `hello`; proved where the cluster has a secret.
    pub role: crate::hello::Role,
}

/// What a server answers: the reply's fields as JSON, and the body that follows.
#[derive(Debug)]
pub struct Answer {
    /// The reply as a JSON object.
    pub ok: Vec<u8>,
    /// The body to announce and to send after the line.
    pub body: Body,
}

impl Answer {
    /// The answer that carries this reply.
    pub fn new(mut reply: impl Message) -> Result<Self, WireError> {
        let body = reply.take_body();
        let ok = serde_json::to_vec(&reply)
            .map_err(|error| WireError::new(ErrorCode::Internal, error.to_string()))?;
        Ok(Self { ok, body })
    }
}

/// What answers the requests of one table.
pub trait Service: Send + Sync + 'static {
    /// The table.
    type Request: OperationTable;

    /// Does what is asked, and says what is true then.
    fn answer(
        &self,
        caller: &Caller,
        request: Self::Request,
    ) -> impl Future<Output = Result<Answer, WireError>> + Send;

    /// The connection is gone: nothing more comes from this caller.
    fn disconnected(&self, caller: &Caller);
}

/// Makes a server's table. See `master.rs` and `node.rs` for the two there are.
#[macro_export]
macro_rules! operations {
    (
        $(#[$enum_doc:meta])* enum $table:ident;
        $(#[$trait_doc:meta])* trait $handlers:ident;
        $(#[$server_doc:meta])* struct $server:ident;
        $($(#[$doc:meta])* $method:ident: $request:ident => $reply:ident;)*
    ) => {
        $(#[$enum_doc])*
        #[derive(Debug)]
        pub enum $table {
            $($(#[$doc])* $request($request),)*
        }

        $(impl $crate::table::Operation for $request {
            type Reply = $reply;
            const NAME: &'static str = stringify!($method);
        })*

        impl $crate::table::OperationTable for $table {
            fn parse(
                op: &str,
                line: &[u8],
                body: bytes::Bytes,
            ) -> Result<Self, $crate::WireError> {
                use $crate::table::Message as _;
                match op {
                    $(stringify!($method) => {
                        let mut request: $request = $crate::table::parse_fields(op, line)?;
                        request.put_body(body)?;
                        Ok(Self::$request(request))
                    })*
                    _ => Err($crate::table::unknown_operation(op)),
                }
            }
        }

        $(#[$trait_doc])*
        pub trait $handlers: Send + Sync + 'static {
            $($(#[$doc])*
            fn $method(
                &self,
                caller: &$crate::table::Caller,
                request: $request,
            ) -> impl std::future::Future<Output = Result<$reply, $crate::WireError>> + Send;)*

            /// The connection is gone: nothing more comes from this caller.
            fn disconnected(&self, _caller: &$crate::table::Caller) {}
        }

        $(#[$server_doc])*
        #[derive(Debug)]
        pub struct $server<H>(pub H);

        impl<H: $handlers> $crate::table::Service for $server<H> {
            type Request = $table;

            async fn answer(
                &self,
                caller: &$crate::table::Caller,
                request: $table,
            ) -> Result<$crate::table::Answer, $crate::WireError> {
                match request {
                    $($table::$request(request) => {
                        $crate::table::Answer::new(self.0.$method(caller, request).await?)
                    })*
                }
            }

            fn disconnected(&self, caller: &$crate::table::Caller) {
                self.0.disconnected(caller);
            }
        }
    };
}

/// The request's own fields, out of a line that also has `id`, `op` and `body_len`.
pub fn parse_fields<T: DeserializeOwned>(op: &str, line: &[u8]) -> Result<T, WireError> {
    serde_json::from_slice(line).map_err(|error| {
        WireError::new(
            ErrorCode::BadMessage,
            format!("{op}: {}", json::fault(&error)),
        )
    })
}

/// The answer to an operation that the table does not have.
pub fn unknown_operation(op: &str) -> WireError {
    let op: String = op.chars().take(80).collect();
    WireError::new(
        ErrorCode::UnknownOperation,
        format!("there is no operation {op:?} here"),
    )
}

/// Messages that are their line and nothing else.
macro_rules! without_body {
    ($($message:ident),* $(,)?) => { $(impl $crate::table::Message for $message {})* };
}
pub(crate) use without_body;
