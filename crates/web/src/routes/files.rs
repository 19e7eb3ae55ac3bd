//! `PUT` and `DELETE` of `/api/v1/files/{path}`: uploads stream through, and are complete or leave nothing behind.
//!
//! What can be refused before a large body comes is refused then: a condition that does not hold, a folder in the way, a file
//! larger than the cluster takes. The master checks the same again when the file gets its name.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use client::{DeleteOptions, Error, UploadOptions, Uploaded};
use proto::id::VersionId;
use proto::master::{Entry, Precondition, TrashId};
use proto::name::EntryPath;
use serde::{Deserialize, Serialize};
use tokio_util::io::StreamReader;

use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::headers::conditional::{self, Validators};
use crate::headers::only;
use crate::location::{self, FilePath};
use crate::pace::PacedBody;
use crate::room;
use crate::tickets::Fate;
use crate::{AppState, Shared};

/// A body up to this long is read before it is known whether the file can be stored: that is quicker.
const UNCHECKED_LEN_MAX: u64 = 1 << 20;

/// When the content was last changed.
const MODIFIED_MS: HeaderName = HeaderName::from_static("x-modified-ms");

/// The answer to an upload.
#[derive(Debug, Serialize)]
pub(crate) struct FileStored {
    path: EntryPath,
    version: VersionId,
    size: u64,
    created: bool,
    copies: u8,
    copies_wanted: u8,
    message: String,
}

/// `PUT /api/v1/files/{path}`
pub(crate) async fn put(
    State(state): State<Shared>,
    FilePath(path): FilePath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let size_hint = announced_size(&headers)?;
    let options = UploadOptions {
        modified_ms: modified(&headers)?,
        precondition: check_before(&state, &path, &headers, size_hint).await?,
        size_hint,
        ..UploadOptions::default()
    };
    let _turn = state.transfers.uploads.turn(1).await?;
    let body = PacedBody::new(body.into_data_stream(), state.patience);
    let reader = Box::new(StreamReader::new(body));
    let uploaded = state.drive.upload(&path, reader, options).await?;
    Ok(FileStored::new(path, uploaded).into_response())
}

/// How a file is deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteQuery {
    #[serde(default)]
    purge: bool,
}

/// The answer to a deletion.
#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    pub(crate) trashed: Option<TrashId>,
}

/// `DELETE /api/v1/files/{path}`
pub(crate) async fn delete(
    State(state): State<Shared>,
    FilePath(path): FilePath,
    QueryOf(query): QueryOf<DeleteQuery>,
    headers: HeaderMap,
) -> Result<Json<Deleted>, Problem> {
    let current = current(&state, &path).await?;
    let precondition = match changed_only_if(&headers, current)? {
        // Not a folder that came in its place meanwhile.
        Precondition::Any if current.is_some() => Precondition::Present,
        precondition => precondition,
    };
    let options = DeleteOptions {
        recursive: false,
        purge: query.purge,
        precondition,
    };
    let trashed = state.drive.delete(&path, options).await;
    state.status.forget();
    Ok(Json(Deleted { trashed: trashed? }))
}

impl FileStored {
    pub(super) fn new(path: EntryPath, uploaded: Uploaded) -> Self {
        let Uploaded {
            version,
            size,
            created,
            copies,
            copies_wanted,
            ..
        } = uploaded;
        let message = if copies < copies_wanted {
            format!("{copies} of {copies_wanted} copies for now; the rest follows by itself")
        } else {
            format!("stored, {copies} copies")
        };
        Self {
            path,
            version,
            size,
            created,
            copies,
            copies_wanted,
            message,
        }
    }

    pub(super) fn fate(&self) -> Fate {
        Fate::Stored {
            version: self.version,
            copies: self.copies,
            copies_wanted: self.copies_wanted,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        if self.created {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        }
    }
}

impl IntoResponse for FileStored {
    fn into_response(self) -> Response {
        let place = format!(
            "{}{}",
            location::FILES.trim_end_matches('/'),
            location::encode(&self.path)
        );
        let header =
            |text: String| HeaderValue::try_from(text).expect("encoded as printable ASCII");
        let headers = [
            (header::ETAG, header(conditional::etag(self.version))),
            (header::LOCATION, header(place)),
        ];
        (self.status(), headers, Json(self)).into_response()
    }
}

/// The body's length, if the caller says it. A part of a file cannot be put.
fn announced_size(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Problem::new(
            Kind::BadRequest,
            "a part of a file cannot be put; send the whole file without Content-Range",
        ));
    }
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok());
    Ok(length.and_then(|length| length.parse().ok()))
}

/// When the content was last changed, if the caller says it.
fn modified(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let text = |name| {
        let value = only(headers, &name)?;
        Ok::<_, Problem>(value.map(|value| value.to_str().unwrap_or("?")))
    };
    if let Some(milliseconds) = text(MODIFIED_MS)? {
        return milliseconds.parse().map(Some).map_err(|_| {
            Problem::new(
                Kind::InvalidArgument,
                "X-Modified-Ms must be a number: milliseconds since 1970, UTC",
            )
        });
    }
    text(header::LAST_MODIFIED)?.map_or(Ok(None), |date| {
        conditional::parse_http_date(date).map(Some).ok_or_else(|| {
            Problem::new(
                Kind::InvalidArgument,
                "Last-Modified must be a time as HTTP writes it, for example `Sun, 06 Nov 1994 08:49:37 GMT`",
            )
        })
    })
}

/// Refuses what can be refused before the body comes; gives what must hold when the file gets its name.
pub(super) async fn check_before(
    state: &AppState,
    path: &EntryPath,
    headers: &HeaderMap,
    size_hint: Option<u64>,
) -> Result<Precondition, Problem> {
    let is_large = size_hint.is_none_or(|size| size > UNCHECKED_LEN_MAX);
    if !is_large && !conditional::needs_current(headers) {
        // The master compares it in the step in which the file gets its name.
        let precondition = conditional::change(headers, None);
        return precondition.map_err(|_| {
            let both = "the file cannot be there and not there";
            Problem::new(Kind::PreconditionFailed, both)
        });
    }
    if let Some(size) = size_hint {
        room::check_size(state, size).await?;
    }
    changed_only_if(headers, current(state, path).await?)
}

/// The file as it is now; a folder in its place is an error.
pub(super) async fn current(
    state: &AppState,
    path: &EntryPath,
) -> Result<Option<Validators>, Problem> {
    match state.drive.entry(path).await {
        Ok(Entry::File {
            version,
            modified_ms,
            ..
        }) => Ok(Some(Validators {
            version,
            modified_ms,
        })),
        Ok(Entry::Folder { .. }) => {
            Err(Problem::new(Kind::IsAFolder, format!("{path} is a folder")))
        }
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What must hold when the file is changed, by the headers of the request; refused if it does not hold now.
pub(super) fn changed_only_if(
    headers: &HeaderMap,
    current: Option<Validators>,
) -> Result<Precondition, Problem> {
    let failed = || {
        Problem::new(
            Kind::PreconditionFailed,
            match current {
                Some(file) => format!("the file is there, in version {}", file.version),
                None => String::from("the file is not there"),
            },
        )
    };
    let precondition = conditional::change(headers, current).map_err(|_| failed())?;
    match (precondition, current) {
        (Precondition::Absent, Some(_)) | (Precondition::Present, None) => Err(failed()),
        _ => Ok(precondition),
    }
}
