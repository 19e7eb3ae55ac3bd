//! `GET` and `HEAD` of `/api/v1/files/{path}`: whole files, parts of them, or that nothing has changed.
//!
//! **Invariant:** an answer that began and cannot be finished ends with a broken connection, never cleanly: its
//! `Content-Length` says how much should have come.

use std::io;
use std::ops::Range;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use client::people::exact_size;
use futures::stream::{Stream, StreamExt, try_unfold};
use proto::id::VersionId;
use proto::name::EntryPath;
use serde::Deserialize;

use crate::drive::{Content, OpenFile};
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::headers::conditional::{self, Read, Validators};
use crate::headers::content_type;
use crate::headers::disposition::{Disposition, content_disposition};
use crate::headers::only;
use crate::headers::range::{self, Wanted};
use crate::location::FilePath;
use crate::turns::{DownloadTurn, Transfers};
use crate::{AppState, Shared};

/// A file is shown, if at all, as if it came from nowhere: without scripts, forms or our origin's rights.
const FILE_POLICY: &str = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";
/// What a browser shows of these documents is its own viewer, which has an origin of its own and, in some, does not start in a
/// sandbox. With `nosniff` they are taken for nothing else. Only our own pages may have them in a frame.
const DOCUMENT_POLICY: &str = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; \
                               form-action 'none'; frame-ancestors 'self'";

/// How a file is read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadQuery {
    /// A former version.
    version: Option<VersionId>,
    /// Saved by a browser even if it could show it.
    download: Option<String>,
}

impl ReadQuery {
    /// The current version, to be saved.
    pub(crate) fn to_save() -> Self {
        Self {
            version: None,
            download: Some(String::new()),
        }
    }
}

/// `GET` and `HEAD` of `/api/v1/files/{path}`
pub(crate) async fn get(
    State(state): State<Shared>,
    method: Method,
    FilePath(path): FilePath,
    QueryOf(query): QueryOf<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match prepare(&state, &method, path, &query, &headers).await? {
        Ready::Done(response) => Ok(response),
        Ready::Body(prepared) => prepared.send(&state.transfers).await,
    }
}

/// What is left to do after a file was found.
pub(crate) enum Ready {
    /// Nothing: it has no body.
    Done(Response),
    /// To send bytes.
    Body(Prepared),
}

/// An answer whose bytes are yet to be read.
pub(crate) struct Prepared {
    status: StatusCode,
    headers: HeaderMap,
    file: OpenFile,
    range: Range<u64>,
    path: EntryPath,
}

impl Prepared {
    /// Whether it begins with the first byte.
    pub(crate) fn is_from_begin(&self) -> bool {
        self.range.start == 0
    }

    /// What is sent.
    pub(crate) fn version(&self) -> VersionId {
        self.file.version
    }

    /// Reads and sends it.
    pub(crate) async fn send(self, transfers: &Transfers) -> Result<Response, Problem> {
        let turn = transfers
            .downloads
            .turn(&self.range, self.file.chunk_size, self.file.read_ahead)
            .await?;
        let body = body(self.file, self.range, &self.path, turn).await?;
        Ok((self.status, self.headers, body).into_response())
    }
}

/// Finds what is asked for, and decides which of it is sent.
pub(crate) async fn prepare(
    state: &AppState,
    method: &Method,
    path: EntryPath,
    query: &ReadQuery,
    headers: &HeaderMap,
) -> Result<Ready, Problem> {
    let file = state.drive.open(&path, query.version).await?;
    let validators = Validators {
        version: file.version,
        modified_ms: file.modified_ms,
    };
    let mut answered = validator_headers(validators);
    let kind = kind(&path, query.download.is_some());
    confine(&mut answered, &kind);
    match conditional::read(headers, validators) {
        Read::NotModified => {
            if *method == Method::HEAD {
                // Else it would be said that it is empty.
                answered.insert(header::CONTENT_LENGTH, file.size.into());
            }
            let response = (StatusCode::NOT_MODIFIED, answered).into_response();
            return Ok(Ready::Done(response));
        }
        Read::PreconditionFailed => return Err(changed(&path, file.version)),
        Read::Send => {}
    }
    // Two of them are no range (RFC 9110, section 14.2): all of it comes.
    let range_header = only(headers, &header::RANGE)
        .unwrap_or_default()
        .filter(|_| *method == Method::GET && conditional::range_holds(headers, validators));
    let range_header = range_header.and_then(|range| range.to_str().ok());
    let (status, range) = match range_header.map(|range| range::wanted(range, file.size)) {
        None | Some(Wanted::Whole) => (StatusCode::OK, 0..file.size),
        Some(Wanted::Part(range)) => {
            let text = format!("bytes {}-{}/{}", range.start, range.end - 1, file.size);
            answered.insert(header::CONTENT_RANGE, header_value(text));
            (StatusCode::PARTIAL_CONTENT, range)
        }
        Some(Wanted::Nothing) => return Err(no_such_range(file.size)),
    };
    describe(&mut answered, &path, kind, &range);
    if *method == Method::HEAD {
        return Ok(Ready::Done((status, answered).into_response()));
    }
    Ok(Ready::Body(Prepared {
        status,
        headers: answered,
        file,
        range,
        path,
    }))
}

pub(super) fn validator_headers(file: Validators) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, header_value(conditional::etag(file.version)));
    if let Some(date) = conditional::http_date(file.modified_ms) {
        headers.insert(header::LAST_MODIFIED, header_value(date));
    }
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers
}

/// Its type, and what is to be done with it.
type FileKind = (String, Disposition);

fn kind(path: &EntryPath, download: bool) -> FileKind {
    let name = path.name().map_or("", |name| name.as_str());
    let content_type = content_type::content_type(name);
    let disposition = if download {
        Disposition::Attachment
    } else {
        content_type::disposition(&content_type)
    };
    (content_type, disposition)
}

fn describe(headers: &mut HeaderMap, path: &EntryPath, kind: FileKind, range: &Range<u64>) {
    let name = path.name().map_or("", |name| name.as_str());
    let (content_type, disposition) = kind;
    headers.insert(header::CONTENT_TYPE, header_value(content_type));
    headers.insert(
        header::CONTENT_DISPOSITION,
        content_disposition(disposition, name),
    );
    headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
}

/// What a browser may do with it. It takes this from an answer that nothing has changed, too, in place of what it was told with the file.
fn confine(headers: &mut HeaderMap, (content_type, disposition): &FileKind) {
    let is_document = content_type == content_type::DOCUMENT && *disposition == Disposition::Inline;
    let policy = if is_document {
        let frames = HeaderValue::from_static("SAMEORIGIN");
        headers.insert(header::X_FRAME_OPTIONS, frames);
        DOCUMENT_POLICY
    } else {
        FILE_POLICY
    };
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
}

fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("made of printable ASCII")
}

pub(super) fn changed(path: &EntryPath, version: VersionId) -> Problem {
    Problem::new(
        Kind::PreconditionFailed,
        format!("{path} is in version {version}"),
    )
}

fn no_such_range(size: u64) -> Problem {
    Problem::new(
        Kind::RangeNotSatisfiable,
        format!("the file has {}", exact_size(size)),
    )
    .with_header(
        header::CONTENT_RANGE,
        header_value(format!("bytes */{size}")),
    )
}

/// The bytes. The first of them are awaited, so that a file that cannot be read is an honest error.
async fn body(
    file: OpenFile,
    range: Range<u64>,
    path: &EntryPath,
    turn: DownloadTurn,
) -> Result<Body, Problem> {
    let len = range.end - range.start;
    if len == 0 {
        return Ok(Body::empty());
    }
    let mut content = (file.read)(range, turn.ahead());
    let first = match content.next().await {
        Some(first) => first?,
        None => return Err(Problem::new(Kind::Internal, format!("{path} has no bytes"))),
    };
    if first.len() as u64 == len {
        return Ok(Body::from(turn.held_by(first)));
    }
    let content = futures::stream::iter([Ok(first)]).chain(content).boxed();
    Ok(Body::from_stream(exactly(content, len, path.clone(), turn)))
}

/// The content, which fails when it is shorter or longer than announced. It keeps its turn until the last bytes are sent.
fn exactly(
    content: Content,
    len: u64,
    path: EntryPath,
    turn: DownloadTurn,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    try_unfold(
        (content, len, path, turn),
        |(mut content, left, path, turn)| async move {
            if left == 0 {
                return Ok(None);
            }
            let result = match content.next().await {
                Some(Ok(bytes)) if bytes.len() as u64 <= left => Ok(bytes),
                Some(Ok(_)) => Err(String::from("more bytes came than the file has")),
                Some(Err(error)) => Err(Problem::from(error).detail),
                None => Err(String::from("the bytes ended early")),
            };
            match result {
                Ok(bytes) => {
                    let left = left - bytes.len() as u64;
                    Ok(Some((turn.held_by(bytes), (content, left, path, turn))))
                }
                Err(reason) => {
                    tracing::warn!(%path, left, "download of {path} broken off: {reason}");
                    Err(io::Error::other(reason))
                }
            }
        },
    )
}
