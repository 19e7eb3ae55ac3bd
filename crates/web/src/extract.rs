//! A request's query and JSON body, whose errors are answered like all others.

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::error::{Kind, Problem};

/// The query.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub(crate) T);

/// The body.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

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

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                Kind::UnsupportedMediaType,
                "send it with Content-Type: application/json",
            ));
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| {
            let kind = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    let detail = "the body is longer than anything that this address takes";
                    return Problem::new(Kind::RequestTooLarge, detail);
                }
                _ => Kind::BadRequest,
            };
            Problem::new(kind, rejection.body_text())
        })?;
        let body = serde_json::from_slice(&body).map_err(|error| {
            let fault = proto::json::fault(&error);
            Problem::new(Kind::BadRequest, format!("the body does not fit: {fault}"))
        })?;
        Ok(Self(body))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|text| text.to_str().ok());
    let mime = content_type.and_then(|text| text.split(';').next());
    mime.is_some_and(|mime| mime.trim().eq_ignore_ascii_case("application/json"))
}
