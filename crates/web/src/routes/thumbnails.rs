//! `GET` and `HEAD` of `/api/v1/thumbnails/{path}`: a small picture of an image.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proto::id::VersionId;
use serde::Deserialize;

use super::download::{changed, validator_headers};
use crate::Shared;
use crate::error::Problem;
use crate::extract::QueryOf;
use crate::headers::conditional::{self, Read, Validators};
use crate::location::ThumbnailPath;

/// Which version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThumbnailQuery {
    version: Option<VersionId>,
}

/// `GET` and `HEAD` of `/api/v1/thumbnails/{path}`
pub(crate) async fn get(
    State(state): State<Shared>,
    ThumbnailPath(path): ThumbnailPath,
    QueryOf(query): QueryOf<ThumbnailQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = state.drive.open(&path, query.version).await?;
    let validators = Validators {
        version: file.version,
        modified_ms: file.modified_ms,
    };
    let mut answered = validator_headers(validators);
    answered.remove(header::ACCEPT_RANGES);
    if query.version.is_some() {
        // A version never changes, so nobody has to ask again.
        let lasting = HeaderValue::from_static("private, max-age=604800, immutable");
        answered.insert(header::CACHE_CONTROL, lasting);
    }
    match conditional::read(&headers, validators) {
        Read::NotModified => return Ok((StatusCode::NOT_MODIFIED, answered).into_response()),
        Read::PreconditionFailed => return Err(changed(&path, file.version)),
        Read::Send => {}
    }
    let drawn = state.thumbnails.of(file).await?;
    let content_type = HeaderValue::from_static(drawn.content_type);
    answered.insert(header::CONTENT_TYPE, content_type);
    Ok((answered, drawn.bytes).into_response())
}
