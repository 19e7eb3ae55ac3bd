//! `/api/v1/shares`: makes share links, lists and ends them.

use std::fmt;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use client::{Password, ShareOptions, ShareToken};
use proto::master::{Share, ShareId};
use proto::name::EntryPath;
use serde::{Deserialize, Serialize};

use super::page_len;
use super::uploads::finished;
use crate::error::{Kind, Problem};
use crate::extract::{JsonBody, QueryOf};
use crate::guard::asked_host;
use crate::receivers::now_ms;
use crate::{AppState, Shared, resumable};

/// Where the rows are.
const SHARES: &str = "/api/v1/shares/";
/// Where the pages of receivers begin.
pub(crate) const RECEIVERS: &str = "/s/";

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SharesQuery {
    pub(crate) before: Option<ShareId>,
    limit: Option<u32>,
}

/// A page of the shares, newest first.
#[derive(Debug, Serialize)]
pub(crate) struct SharesPage {
    shares: Vec<Share>,
    /// Whether more follow.
    more: bool,
    /// What to send as `before` for the next page.
    next: Option<ShareId>,
}

/// `GET /api/v1/shares`
pub(crate) async fn list(
    State(state): State<Shared>,
    QueryOf(query): QueryOf<SharesQuery>,
) -> Result<Json<SharesPage>, Problem> {
    let limit = page_len(query.limit)?;
    let listed = state.drive.shares(query.before, limit).await?;
    Ok(Json(SharesPage {
        next: next(&listed.shares, listed.more),
        shares: listed.shares,
        more: listed.more,
    }))
}

/// The last one, if more follow.
pub(crate) fn next(shares: &[Share], more: bool) -> Option<ShareId> {
    let last = shares.last().filter(|_| more)?;
    Some(last.share)
}

/// What is shared, and how.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewShare {
    path: EntryPath,
    expires_ms: Option<u64>,
    password: Option<String>,
    downloads_max: Option<u64>,
    #[serde(default)]
    upload_only: bool,
}

/// Without the password.
impl fmt::Debug for NewShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewShare({})", self.path)
    }
}

/// The answer: only here does the link stand.
#[derive(Serialize)]
pub(crate) struct ShareMade {
    share: ShareId,
    link: String,
}

/// `POST /api/v1/shares`
pub(crate) async fn create(
    State(state): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(request): JsonBody<NewShare>,
) -> Result<(StatusCode, Json<ShareMade>), Problem> {
    if request.expires_ms.is_some_and(|ends| ends <= now_ms()) {
        let detail = "the link would have ended already: choose a time that is yet to come";
        return Err(Problem::new(Kind::InvalidArgument, detail));
    }
    let password = request.password.map(Password::new).transpose()?;
    let options = ShareOptions {
        expires_ms: request.expires_ms,
        password,
        downloads_max: request.downloads_max,
        upload_only: request.upload_only,
    };
    let made = state.drive.share(&request.path, options).await?;
    let link = link(&state, &uri, &headers, &made.token);
    let share = made.share;
    Ok((StatusCode::CREATED, Json(ShareMade { share, link })))
}

/// `DELETE /api/v1/shares/{id}`: what was begun by it and has not arrived ends with it.
pub(crate) async fn revoke(
    State(state): State<Shared>,
    Row(share): Row,
) -> Result<StatusCode, Problem> {
    let appends = state.appends();
    // To its end, also if nobody waits for it: a link that has ended is not found again.
    let revoking = async move {
        state.drive.revoke_share(share).await?;
        resumable::end_all(&state, share).await;
        Ok(())
    };
    finished(appends.spawn(revoking).await)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The address that receivers get: below the one that the settings say, else below the one that was asked.
fn link(state: &AppState, uri: &Uri, headers: &HeaderMap, token: &ShareToken) -> String {
    let base = state.public_url.clone().unwrap_or_else(|| {
        let host = asked_host(uri, headers).unwrap_or_default();
        let scheme = if is_https(state, headers) {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{host}")
    });
    format!("{base}{RECEIVERS}{}", token.as_str())
}

/// Whether browsers reach this server by `https`, as far as is known: the proxy in front of it, or the settings, say so.
pub(crate) fn is_https(state: &AppState, headers: &HeaderMap) -> bool {
    let is_public = |url: &String| url.starts_with("https://");
    let forwarded = headers.get("x-forwarded-proto");
    state.public_url.as_ref().is_some_and(is_public)
        || forwarded.is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// The share that an address names.
#[derive(Debug)]
pub(crate) struct Row(ShareId);

impl<S: Sync> FromRequestParts<S> for Row {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let number = parts.uri.path().strip_prefix(SHARES).unwrap_or_default();
        number.parse().map(|row| Self(ShareId(row))).map_err(|_| {
            let shown: String = number.chars().take(40).collect();
            let detail =
                format!("{shown:?} is no share: take a number that GET /api/v1/shares lists");
            Problem::new(Kind::InvalidArgument, detail)
        })
    }
}
