//! One connection, from hello to end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Admission;
use super::memory::{Loan, Share};
use super::{Limits, Server};
use crate::body::Body;
use crate::error::{ErrorCode, WireError};
use crate::frame::{
    FrameError, FrameLimits, FrameReader, FrameWriter, RequestHead, SHORT_LINE_LEN_MAX, error_line,
    reply_line,
};
use crate::hello::{
    Authenticate, Authenticated, Challenge, Hello, HelloReply, Nonce, PROTOCOL, PROTOCOL_MAX,
    PROTOCOL_MIN, Prover, Role, new_nonce, same_mac, wrong_node,
};
use crate::net::Stream;
use crate::table::{Answer, Caller, Operation, Service, parse_fields};

/// One connection, from hello to end.
pub(super) struct ConnectionTask<S> {
    server: Arc<Server<S>>,
    reader: FrameReader,
    memory: Share,
    replies: Arc<Replies>,
    admission: Arc<Admission>,
    caller: Caller,
}

/// What a request takes beside its line and its body: the task that answers it, and the like.
const REQUEST_LEN: usize = 4 << 10;

/// After an error, so much of what the peer still sends is read and thrown away,
const LINGER_LEN_MAX: usize = 4 << 20;
/// for so long.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// Why a connection ends before its time.
enum Ending {
    /// The peer is told, under this number if it has one.
    Refused(Option<u64>, WireError),
    /// There is no telling, or no need.
    Silent,
}

impl From<FrameError> for Ending {
    fn from(error: FrameError) -> Self {
        error
            .to_wire()
            .map_or(Self::Silent, |error| Self::Refused(None, error))
    }
}

impl Ending {
    /// The same, as the answer to a request.
    fn about_request(self, id: u64) -> Self {
        match self {
            Self::Refused(_, error) => Self::Refused(Some(id), error),
            Self::Silent => Self::Silent,
        }
    }
}

/// A request whose line and body are here.
pub(super) struct Request {
    id: u64,
    pub(super) op: String,
    pub(super) line: Bytes,
    pub(super) body: Bytes,
    /// Held until it is answered.
    _memory: Loan,
}

impl<S: Service> ConnectionTask<S> {
    pub(super) fn new(server: Arc<Server<S>>, stream: Stream, admission: Admission) -> Self {
        Self {
            reader: FrameReader::new(stream.source, FrameLimits::GREETING),
            replies: Arc::new(Replies {
                on_tcp: stream.sink.as_tcp().is_some(),
                writer: tokio::sync::Mutex::new(FrameWriter::new(stream.sink)),
                memory: server.reply_memory.share(),
                broken: CancellationToken::new(),
            }),
            caller: Caller {
                connection: admission.number(),
                peer: stream.peer,
                role: Role::Client,
            },
            admission: Arc::new(admission),
            memory: server.request_memory.share(),
            server,
        }
    }

    pub(super) async fn run(mut self) {
        let requests = TaskTracker::new();
        let _disconnected = Disconnected(&self.server.service.clone(), self.caller.clone());
        let shutdown = self.server.shutdown.clone();
        let ending = tokio::select! {
            ending = self.converse(&requests) => ending,
            // Only requests that are here are waited for, not those of which a part is still to come.
            () = shutdown.cancelled() => Ending::Silent,
        };
        requests.close();
        requests.wait().await;
        if let Ending::Refused(id, error) = ending {
            tracing::debug!(peer = %self.caller.peer, %error, "closed a connection");
            let line = error_line(id, &error);
            let line_timeout = self.server.limits.line_timeout;
            self.replies.write(line, Body::Empty, line_timeout).await;
            let shutdown = self.server.shutdown.clone();
            tokio::select! {
                () = self.linger() => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Lets the peer hear why: a connection that is closed while bytes of the peer are unread is reset, and the peer's
    /// system may throw away what it has not read yet. Meanwhile others may take its place.
    async fn linger(mut self) {
        let heard = async {
            self.replies.end().await;
            self.reader.discard(LINGER_LEN_MAX).await;
        };
        // The connection ends here either way.
        drop(timeout(LINGER_TIME, heard).await);
    }

    async fn converse(&mut self, requests: &TaskTracker) -> Ending {
        match self.greet().await {
            Ok(()) => self.answer_requests(requests).await,
            Err(ending) => ending,
        }
    }

    /// Hello and, where there is a secret, proof of it. Until then nothing is read that needs more memory than every
    /// connection has.
    async fn greet(&mut self) -> Result<(), Ending> {
        let line_timeout = self.server.limits.line_timeout;
        let greeted = async {
            let request = self.next_request().await?;
            let hello: Hello = expect_operation(&request, ErrorCode::HelloRequired)?;
            let (reply, expected) = self.welcome(&hello).map_err(refusal(request.id))?;
            self.reply(request.id, Answer::new(reply)).await;
            if let Some(expected) = expected {
                let request = self.next_request().await?;
                let given: Authenticate = expect_operation(&request, ErrorCode::Unauthenticated)?;
                if !same_mac(&given.proof, &expected) {
                    let message =
                        "the proof is wrong; is cluster.secret the same on both machines?";
                    let error = WireError::new(ErrorCode::Unauthenticated, message);
                    return Err(Ending::Refused(Some(request.id), error));
                }
                self.reply(request.id, Answer::new(Authenticated {})).await;
            }
            self.caller.role = hello.role;
            Ok(())
        };
        tokio::select! {
            biased;
            () = sleep(line_timeout) => {
                let message = format!("no hello within {line_timeout:?}");
                return Err(Ending::Refused(None, WireError::new(ErrorCode::TimedOut, message)));
            }
            greeted = greeted => greeted?,
        }
        self.reader.expect_more(FrameLimits {
            line_len_max: self.server.limits.line_len_max,
            body_len_max: self.server.limits.body_len_max,
        });
        if self.caller.role != Role::Client {
            self.admission.spare();
        }
        Ok(())
    }

    /// What to answer to a hello, and the proof that is then expected of the caller.
    fn welcome(&self, hello: &Hello) -> Result<(HelloReply, Option<Nonce>), WireError> {
        let identity = &self.server.identity;
        if !(PROTOCOL_MIN..=PROTOCOL_MAX).contains(&hello.protocol) {
            let too = if hello.protocol < PROTOCOL_MIN {
                "old"
            } else {
                "new"
            };
            let message = format!(
                "version {} of the protocol is too {too}: this server takes {PROTOCOL_MIN} to {PROTOCOL_MAX}, and speaks {PROTOCOL}",
                hello.protocol
            );
            return Err(WireError::new(ErrorCode::UnsupportedProtocol, message));
        }
        let cluster = *identity.cluster.borrow();
        if let (Some(here), Some(there)) = (cluster, hello.cluster)
            && here != there
        {
            let message = format!("this is cluster {here}, not {there}; check the addresses");
            return Err(WireError::new(ErrorCode::WrongCluster, message));
        }
        if hello.node.is_some() && hello.node != identity.node {
            return Err(wrong_node(hello.node, identity.node));
        }
        let mut reply = HelloReply {
            protocol: hello.protocol.min(PROTOCOL),
            server: identity.role,
            cluster,
            node: identity.node,
            challenge: None,
        };
        let Some(secret) = &identity.secret else {
            return Ok((reply, None));
        };
        let caller = hello.nonce.ok_or_else(|| {
            let message = "the cluster has a secret; hello needs a nonce of 32 hex digits";
            WireError::new(ErrorCode::Unauthenticated, message)
        })?;
        let nonce =
            new_nonce().map_err(|error| WireError::new(ErrorCode::Internal, error.to_string()))?;
        reply.challenge = Some(Challenge {
            nonce,
            proof: secret.proof(Prover::Server, caller, nonce),
        });
        Ok((reply, Some(secret.proof(Prover::Caller, caller, nonce))))
    }

    /// Reads requests and sets each to work, until the connection ends or is idle for too long.
    async fn answer_requests(&mut self, requests: &TaskTracker) -> Ending {
        let slots = Arc::new(Semaphore::new(
            self.server.limits.requests_per_connection_max,
        ));
        loop {
            let slot = slots.clone().acquire_owned().await;
            let slot = slot.expect("it is never closed");
            if let Err(ending) = self.wait_for_request().await {
                return ending;
            }
            let request = match self.next_request().await {
                Ok(request) => request,
                Err(ending) => return ending,
            };
            let (server, replies) = (self.server.clone(), self.replies.clone());
            let caller = self.caller.clone();
            let work = Admission::work(&self.admission);
            requests.spawn(async move {
                let id = request.id;
                let answer = server.answer(&caller, request).await;
                replies.send(id, answer, &server.limits).await;
                drop((slot, work));
            });
        }
    }

    /// Waits for the beginning of a line. The time that requests are being answered does not count as idle.
    async fn wait_for_request(&mut self) -> Result<(), Ending> {
        loop {
            let idle_timeout = self.server.limits.idle_timeout;
            tokio::select! {
                begun = timeout(idle_timeout, self.reader.begins()) => match begun {
                    Ok(Ok(true)) => return Ok(()),
                    Err(_) if self.admission.is_working() => {}
                    Ok(_) | Err(_) => return Err(Ending::Silent),
                },
                () = self.replies.broken.cancelled() => return Err(Ending::Silent),
            }
        }
    }

    /// A line that has begun, and its body.
    async fn next_request(&mut self) -> Result<Request, Ending> {
        let line_timeout = self.server.limits.line_timeout;
        let (line, lent) = self.line().await?;
        let head: RequestHead<'_> =
            serde_json::from_slice(&line).map_err(FrameError::NotAMessage)?;
        let (id, op) = (head.id, head.op.into_owned());
        let body_len = self.reader.check_body_len(head.body_len);
        let body_len = body_len.map_err(|error| Ending::from(error).about_request(id))?;
        let memory = match lent {
            // Nobody holds memory while waiting for more.
            Some(_) if body_len > 0 => return Err(Ending::Refused(Some(id), line_too_long())),
            Some(lent) => lent,
            None => {
                let request_len = REQUEST_LEN + line.len() + body_len;
                let lent = self.memory.lend(request_len, line_timeout).await;
                lent.map_err(refusal(id))?
            }
        };
        let body = match body_len {
            0 => Bytes::new(),
            len => {
                let body = self.body(len, &memory).await;
                body.map_err(|ending| ending.about_request(id))?
            }
        };
        Ok(Request {
            id,
            op,
            line,
            body,
            _memory: memory,
        })
    }

    /// The line; with the memory that it takes, if it is long.
    async fn line(&mut self) -> Result<(Bytes, Option<Loan>), Ending> {
        let limits = &self.server.limits;
        let is_long = self.reader.is_longer_than(SHORT_LINE_LEN_MAX);
        let lent = if in_time(limits, is_long).await? {
            let lent = self.memory.lend(limits.line_len_max, limits.line_timeout);
            let lent = lent.await.map_err(|error| Ending::Refused(None, error))?;
            Some((lent, Admission::work(&self.admission)))
        } else {
            None
        };
        let line = in_time(limits, self.reader.line()).await?;
        let line = line.ok_or(Ending::Silent)?;
        let memory = lent.map(|(mut memory, _)| {
            memory.shrink_to(REQUEST_LEN + line.len());
            memory
        });
        Ok((line, memory))
    }

    /// The body. Whoever sends one is not idle.
    async fn body(&mut self, len: usize, memory: &Loan) -> Result<Bytes, Ending> {
        let _work = Admission::work(&self.admission);
        let limits = &self.server.limits;
        let pace = limits.pace();
        let body = self.reader.body_at_pace(len, &pace);
        match memory.during(body, limits.slow_after()).await {
            Some(body) => Ok(body?),
            None => Err(FrameError::TooSlow("body").into()),
        }
    }

    async fn reply(&mut self, id: u64, answer: Result<Answer, WireError>) {
        self.replies.send(id, answer, &self.server.limits).await;
    }
}

/// The writing half, shared by all requests of a connection.
struct Replies {
    on_tcp: bool,
    writer: tokio::sync::Mutex<FrameWriter>,
    memory: Share,
    broken: CancellationToken,
}

impl Replies {
    async fn send(&self, id: u64, answer: Result<Answer, WireError>, limits: &Limits) {
        let lent = match answer {
            Ok(answer) => self.lend(id, answer, limits).await,
            Err(error) => Err(error),
        };
        let (line, body, memory) = match lent {
            Ok(lent) => lent,
            Err(error) => {
                tracing::debug!(code = error.code.as_str(), %error, "refused a request");
                let line = error_line(Some(id), &error);
                return self.write(line, Body::Empty, limits.line_timeout).await;
            }
        };
        let write_timeout = limits.transfer_timeout(line.len() + body.len());
        let write = self.write(line, body, write_timeout);
        if memory.during(write, limits.slow_after()).await.is_none() {
            tracing::debug!(
                "a reply is read too slowly while others wait: the connection is broken off"
            );
        }
    }

    /// The reply's line and body, with memory for them: a body that is still elsewhere can wait for it.
    async fn lend(
        &self,
        id: u64,
        Answer { ok, body }: Answer,
        limits: &Limits,
    ) -> Result<(Vec<u8>, Body, Loan), WireError> {
        let line = reply_line(id, &ok, body.len());
        if line.len() > limits.line_len_max {
            let message = "the reply is too long for a line";
            return Err(WireError::new(ErrorCode::Internal, message));
        }
        let len = line.len() + body.memory_len(self.on_tcp);
        let memory = match &body {
            Body::Source(_) => self.memory.lend(len, limits.line_timeout).await?,
            Body::Empty | Body::Bytes(_) => self.memory.lend_now(len)?,
        };
        Ok((line, body, memory))
    }

    /// Writes one message; if that fails, or takes too long, the connection is broken.
    async fn write(&self, line: Vec<u8>, body: Body, write_timeout: Duration) {
        let unfinished = self.broken.clone().drop_guard();
        let written = timeout(write_timeout, async {
            let mut writer = self.writer.lock().await;
            if self.broken.is_cancelled() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            writer.write(line, body).await
        });
        if matches!(written.await, Ok(Ok(()))) {
            unfinished.disarm();
        }
    }

    /// Nothing more comes.
    async fn end(&self) {
        self.writer.lock().await.end().await;
    }
}

/// Tells the service, however the connection ends.
struct Disconnected<'a, S: Service>(&'a Arc<S>, Caller);

impl<S: Service> Drop for Disconnected<'_, S> {
    fn drop(&mut self) {
        self.0.disconnected(&self.1);
    }
}

fn expect_operation<O: Operation>(request: &Request, code: ErrorCode) -> Result<O, Ending> {
    if request.op == O::NAME {
        return parse_fields(O::NAME, &request.line).map_err(refusal(request.id));
    }
    let message = format!("{:?} must come first", O::NAME);
    Err(Ending::Refused(
        Some(request.id),
        WireError::new(code, message),
    ))
}

fn refusal(id: u64) -> impl Fn(WireError) -> Ending {
    move |error| Ending::Refused(Some(id), error)
}

/// What a line must be here in.
async fn in_time<T>(
    limits: &Limits,
    read: impl Future<Output = Result<T, FrameError>>,
) -> Result<T, Ending> {
    let read = timeout(limits.line_timeout, read).await;
    Ok(read.map_err(|_| FrameError::TooSlow("line"))??)
}

fn line_too_long() -> WireError {
    let message = format!("a line that a body follows has at most {SHORT_LINE_LEN_MAX} bytes");
    WireError::new(ErrorCode::TooLarge, message)
}
