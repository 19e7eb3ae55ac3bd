//! A request's query and JSON body, whose errors are answered like all others.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
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
            query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
        Ok(Self(query))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(body) =
            Json::from_request(request, state)
                .await
                .map_err(|rejection: JsonRejection| {
                    let kind = match rejection.status() {
                        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
                        StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::UnsupportedMediaType,
                        _ => Kind::BadRequest,
                    };
                    Problem::new(kind, rejection.body_text())
                })?;
        Ok(Self(body))
    }
}
