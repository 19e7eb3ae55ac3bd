//! Every error that this server answers, as `application/problem+json` (RFC 9457), from one table.
//!
//! `code` is for scripts and never changes its meaning; `title` and `detail` are for people.

use std::error::Error as StdError;
use std::mem;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use client::{Error, people};
use proto::ErrorCode;
use proto::name::NameError;
use serde::Serialize;

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// What kind of error it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All kinds, to compare them with the API's description.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// For scripts.
            pub(crate) const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that it is answered with.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// What it is in a few words.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

problems! {
    /// The request cannot be read.
    BadRequest = "bad_request", BAD_REQUEST, "The request cannot be understood";
    /// A name or an argument breaks a rule.
    InvalidArgument = "invalid_argument", BAD_REQUEST, "The request breaks a rule";
    /// The body ended early, or has another length than announced.
    UploadInterrupted = "upload_interrupted", BAD_REQUEST, "The upload did not come through whole";
    /// The request comes from another site.
    CrossSite = "cross_site", FORBIDDEN, "Requests from other sites are refused";
    /// A share link asks for its password first.
    PasswordNeeded = "password_needed", FORBIDDEN, "A password is needed";
    /// No route has this address.
    NoSuchRoute = "no_such_route", NOT_FOUND, "There is nothing at this address";
    /// No such file, folder, version.
    NotFound = "not_found", NOT_FOUND, "It is not here";
    /// What was named is not in the cluster.
    ContentNotHere = "content_not_here", NOT_FOUND, "The content is not here yet";
    /// The route has no such method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This address does not take this method";
    /// The body comes too slowly.
    TooSlow = "too_slow", REQUEST_TIMEOUT, "The upload comes too slowly";
    /// The name is taken.
    AlreadyExists = "already_exists", CONFLICT, "The name is taken";
    /// A folder stands where a file is meant.
    IsAFolder = "is_a_folder", CONFLICT, "It is a folder";
    /// A file stands where a folder is meant.
    NotAFolder = "not_a_folder", CONFLICT, "It is not a folder";
    /// The folder has entries.
    FolderNotEmpty = "folder_not_empty", CONFLICT, "The folder is not empty";
    /// The upload is not as far as the request says.
    OffsetMismatch = "offset_mismatch", CONFLICT, "The upload is elsewhere";
    /// Another version of tus.
    UnsupportedTusVersion = "unsupported_tus_version", PRECONDITION_FAILED, "Another version of the tus protocol";
    /// Another request is at work on it, or whoever knows cannot be asked: for protocols that try again at this only.
    Locked = "locked", LOCKED, "It is busy for the moment";
    /// Whoever sent it did not want it any more.
    Cancelled = "cancelled", CONFLICT, "It was cancelled";
    /// A condition of the request does not hold.
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, "It is not in the state that was asked for";
    /// The file is larger than the cluster takes.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "The file is too large";
    /// The body is longer than any that makes sense here.
    RequestTooLarge = "request_too_large", PAYLOAD_TOO_LARGE, "The request is too large";
    /// The body is of another type than this address takes.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body has the wrong type";
    /// It is no picture, or none of which a small one can be made.
    NoThumbnail = "no_thumbnail", UNSUPPORTED_MEDIA_TYPE, "There is no small picture of it";
    /// The range is not in the file.
    RangeNotSatisfiable = "range_not_satisfiable", RANGE_NOT_SATISFIABLE, "The range is not in the file";
    /// The `Host` is not one of this server's names.
    UnknownHost = "unknown_host", MISDIRECTED_REQUEST, "This server does not answer to this name";
    /// A defect.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong in the server";
    /// Every copy is damaged.
    Corrupt = "corrupt", BAD_GATEWAY, "The file is damaged";
    /// The cluster refuses this server.
    Refused = "refused", BAD_GATEWAY, "The cluster refused";
    /// Too much at once.
    Busy = "busy", SERVICE_UNAVAILABLE, "Too many requests at once";
    /// The master or the nodes cannot be reached.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "The cluster cannot be reached";
    /// Too few nodes are there for a write.
    NotEnoughReplicas = "not_enough_replicas", SERVICE_UNAVAILABLE, "Too few storage nodes take writes";
    /// Uploads would not succeed now.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "The cluster is not ready";
    /// No answer in time.
    TimedOut = "timed_out", GATEWAY_TIMEOUT, "The cluster did not answer in time";
    /// The disks are full.
    NoSpace = "no_space", INSUFFICIENT_STORAGE, "The disks are full";
}

/// An error as it is answered.
#[derive(Debug)]
pub struct Problem {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
    /// What is told to the log in place of that, where it is not for whoever asked.
    cause: Option<String>,
    reasons: Vec<Reason>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One of several things that are wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Reason {
    /// For scripts.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
}

impl From<&proto::master::Problem> for Reason {
    fn from(problem: &proto::master::Problem) -> Self {
        Self {
            code: problem.code.clone(),
            message: problem.message.clone(),
        }
    }
}

/// The body of the answer.
#[derive(Debug, Serialize)]
pub(crate) struct ProblemBody {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Reason>,
}

impl Problem {
    /// A problem of this kind; `detail` says what happened, to what, and what to do.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let mut headers = Vec::new();
        if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::LOCKED].contains(&kind.status()) {
            headers.push((header::RETRY_AFTER, HeaderValue::from_static("5")));
        }
        Self {
            kind,
            detail: detail.into(),
            cause: None,
            reasons: Vec::new(),
            headers,
        }
    }

    /// With all that is wrong.
    pub(crate) fn with_reasons(mut self, reasons: Vec<Reason>) -> Self {
        self.reasons = reasons;
        self
    }

    /// For whoever reads the log, another sentence.
    pub(crate) fn with_cause(mut self, cause: String) -> Self {
        self.cause = Some(cause);
        self
    }

    /// With a header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Whether what was asked for may be done all the same: whoever does it did not answer.
    pub(crate) fn is_open(&self) -> bool {
        let open = [Kind::Unavailable, Kind::TimedOut, Kind::Internal];
        open.contains(&self.kind)
    }

    /// As it is answered; with that it is told to the log.
    pub(crate) fn into_body(self) -> ProblemBody {
        let status = self.kind.status();
        let told = self.cause.as_ref().unwrap_or(&self.detail);
        // Whoever asks whether the cluster is ready is told so; that is no event.
        if status.is_server_error() && self.kind != Kind::NotReady {
            tracing::warn!(status = status.as_u16(), code = self.kind.code(), "{told}");
        } else {
            tracing::debug!(status = status.as_u16(), code = self.kind.code(), "{told}");
        }
        ProblemBody {
            r#type: format!("urn:dfs:problem:{}", self.kind.code()),
            title: self.kind.title(),
            status: status.as_u16(),
            detail: self.detail,
            code: self.kind.code(),
            reasons: self.reasons,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let status = self.kind.status();
        let headers = HeaderMap::from_iter(mem::take(&mut self.headers));
        let mut response = (status, headers, Json(self.into_body())).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::new(kind(&error), chain(&error))
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::new(Kind::InvalidArgument, error.to_string())
    }
}

/// The table from the cluster's errors to this server's.
fn kind(error: &Error) -> Kind {
    match error {
        Error::NotFound { .. } => Kind::NotFound,
        Error::AlreadyExists { .. } => Kind::AlreadyExists,
        Error::IsAFolder { .. } => Kind::IsAFolder,
        Error::NotAFolder { .. } => Kind::NotAFolder,
        Error::FolderNotEmpty { .. } => Kind::FolderNotEmpty,
        Error::PreconditionFailed { .. } => Kind::PreconditionFailed,
        Error::InvalidArgument { .. } => Kind::InvalidArgument,
        Error::Withdrawn => Kind::Cancelled,
        Error::TooLarge { .. } => Kind::TooLarge,
        Error::NoSpace { .. } => Kind::NoSpace,
        Error::NotEnoughReplicas { .. } => Kind::NotEnoughReplicas,
        Error::Corrupt { .. } => Kind::Corrupt,
        Error::Unavailable { .. } => Kind::Unavailable,
        Error::TimedOut { .. } => Kind::TimedOut,
        Error::Read(source) if source.kind() == std::io::ErrorKind::TimedOut => Kind::TooSlow,
        Error::Read(source) if source.kind() == std::io::ErrorKind::FileTooLarge => Kind::TooLarge,
        Error::Read(_) | Error::SizeMismatch { .. } => Kind::UploadInterrupted,
        Error::Refused(refused) => match refused.code {
            ErrorCode::Busy => Kind::Busy,
            ErrorCode::TimedOut => Kind::TimedOut,
            // This master is superseded; the right one will do it.
            ErrorCode::StaleEpoch => Kind::Unavailable,
            ErrorCode::Unauthenticated
            | ErrorCode::WrongCluster
            | ErrorCode::UnsupportedProtocol
            | ErrorCode::Forbidden => Kind::Refused,
            _ => Kind::Internal,
        },
        _ => Kind::Internal,
    }
}

/// The error and its causes in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let system = error.downcast_ref::<std::io::Error>();
        let next = system.map_or_else(|| error.to_string(), people::reason);
        // Some libraries repeat their source in their own text.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::io;

    #[test]
    fn each_kind_has_its_own_code() {
        let codes: HashSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
    }

    #[test]
    fn the_clusters_errors_have_their_status() {
        let message = || String::from("a");
        for (error, status) in [
            (Error::NotFound { message: message() }, 404),
            (Error::AlreadyExists { message: message() }, 409),
            (Error::PreconditionFailed { message: message() }, 412),
            (Error::TooLarge { message: message() }, 413),
            (Error::NoSpace { message: message() }, 507),
            (
                Error::Unavailable {
                    what: message(),
                    source: None,
                },
                503,
            ),
            (Error::Read(io::ErrorKind::UnexpectedEof.into()), 400),
            (Error::Read(io::ErrorKind::TimedOut.into()), 408),
        ] {
            assert_eq!(kind(&error).status().as_u16(), status, "{error:?}");
        }
    }

    #[test]
    fn the_detail_has_the_whole_chain() {
        let error = Error::Unavailable {
            what: "open /a".into(),
            source: Some("127.0.0.1:9000: refused".into()),
        };
        assert_eq!(chain(&error), "open /a: 127.0.0.1:9000: refused");
    }
}
