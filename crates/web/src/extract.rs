//! A request's query, JSON body and form, whose errors are answered like all others.
//!
//! **Invariant:** a body that is kept is short, and comes in time: nobody holds memory or a connection by sending one slowly.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Form, FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use serde::de::DeserializeOwned;

use crate::Shared;
use crate::error::{Kind, Problem};
use crate::pace::PacedBody;

/// The longest JSON body: two of the longest paths, every byte escaped, have room.
const JSON_LEN_MAX: usize = 64 << 10;
/// Fields of a form that is one of a few.
const FIELDS_MAX: usize = 16;

/// The query.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub(crate) T);

/// The body.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

/// The body, as a browser's form sends it, of at most so many bytes.
#[derive(Debug)]
pub(crate) struct FormBody<T, const LEN_MAX: usize>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::try_from_uri(&parts.uri);
        let Query(query) =
            query.map_err(|rejection| Problem::new(Kind::BadRequest, query_fault(&rejection)))?;
        Ok(Self(query))
    }
}

/// What is wrong with a query, in words for whoever wrote it.
fn query_fault(rejection: &QueryRejection) -> String {
    let text = rejection.body_text();
    let fault = text.strip_prefix("Failed to deserialize query string: ");
    let fault = fault
        .unwrap_or(&text)
        .replace("invalid digit found in string", "it must be a whole number")
        .replace(
            "number too large to fit in target type",
            "the number is too large",
        )
        .replace(
            "cannot parse integer from empty string",
            "it must be a whole number",
        )
        .replace("provided string was not", "it must be");
    format!("the query does not fit: {fault}")
}

impl<T: DeserializeOwned> FromRequest<Shared> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, Problem> {
        if !is_of_type(request.headers(), "application/json") {
            return Err(Problem::new(
                Kind::UnsupportedMediaType,
                "send it with Content-Type: application/json",
            ));
        }
        let body = whole(request.into_body(), JSON_LEN_MAX, state.patience).await?;
        let body = serde_json::from_slice(&body).map_err(|error| {
            let fault = proto::json::fault(&error);
            Problem::new(Kind::BadRequest, format!("the body does not fit: {fault}"))
        })?;
        Ok(Self(body))
    }
}

impl<T: DeserializeOwned, const LEN_MAX: usize> FromRequest<Shared> for FormBody<T, LEN_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, Problem> {
        let form = form(request, LEN_MAX, FIELDS_MAX, state.patience).await?;
        Ok(Self(form))
    }
}

/// The body, as a browser's form sends it, of at most so many bytes and fields, from a peer with this much patience.
pub(crate) async fn form<T: DeserializeOwned>(
    request: Request,
    len_max: usize,
    fields_max: usize,
    patience: Duration,
) -> Result<T, Problem> {
    if !is_of_type(request.headers(), "application/x-www-form-urlencoded") {
        return Err(Problem::new(
            Kind::UnsupportedMediaType,
            "send it with Content-Type: application/x-www-form-urlencoded",
        ));
    }
    let (parts, body) = request.into_parts();
    let body = whole(body, len_max, patience).await?;
    // Each takes far more memory than the two bytes that it can be.
    if body.split(|byte| *byte == b'&').count() > fields_max {
        let detail = format!("the form has more than {fields_max} fields: send fewer");
        return Err(Problem::new(Kind::RequestTooLarge, detail));
    }
    let mut request = Request::from_parts(parts, Body::from(body));
    // Its length was looked at, and axum's own limit is less.
    DefaultBodyLimit::disable().apply(&mut request);
    let Form(form) = Form::from_request(request, &())
        .await
        .map_err(|rejection| {
            Problem::new(
                Kind::BadRequest,
                format!("the form does not fit: {}", rejection.body_text()),
            )
        })?;
    Ok(form)
}

/// All of a body that has at most so many bytes, from a peer with this much patience.
pub(crate) async fn whole(
    body: Body,
    len_max: usize,
    patience: Duration,
) -> Result<Bytes, Problem> {
    let mut body = PacedBody::new(body.into_data_stream(), patience);
    let mut whole = BytesMut::new();
    while let Some(bytes) = body.try_next().await.map_err(|error| unread(&error))? {
        if whole.len() + bytes.len() > len_max {
            let detail = "the body is longer than anything that this address takes";
            return Err(Problem::new(Kind::RequestTooLarge, detail));
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}

fn unread(error: &io::Error) -> Problem {
    let kind = match error.kind() {
        io::ErrorKind::TimedOut => Kind::TooSlow,
        _ => Kind::BadRequest,
    };
    Problem::new(kind, error.to_string())
}

fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|text| text.to_str().ok());
    let mime = content_type.and_then(|text| text.split(';').next());
    mime.is_some_and(|mime| mime.trim().eq_ignore_ascii_case(wanted))
}

/// What stands between the fields of a form with files.
pub(crate) fn boundary_of(headers: &HeaderMap) -> Result<String, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|text| text.to_str().ok());
    let boundary = content_type.and_then(|text| multer::parse_boundary(text).ok());
    boundary.ok_or_else(|| {
        let detail = "files are sent as a form: Content-Type: multipart/form-data";
        Problem::new(Kind::UnsupportedMediaType, detail)
    })
}
