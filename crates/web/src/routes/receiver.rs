//! `/s/{token}`: what whoever has a share link can do, and nothing more.
//!
//! What counts as a download, where the owner set a limit: each request for bytes but one that goes on with a download that was
//! counted. Such a one does not begin at the first byte, and shows a cookie that the counted one was given, for this file in this
//! version: it may read all but the first byte as often as it likes, so a limit is of beginnings and not of copies. Without a
//! limit, what begins at the first byte is counted, for the owner to see. A zip counts once.
//!
//! **Invariant:** no answer says anything of what is above or beside what is shared: paths are relative to it, each name in them
//! is checked, and the cluster's own sentences, which have whole paths in them, are never passed on. What is found by a path counts
//! only if the link leads there afterwards, too: what was shared may have been moved, and something else have taken its place.

use axum::body::Body;
use axum::extract::{Form, FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use client::{Error, Password, ShareToken};
use proto::master::{Entry, ShareFound};
use proto::name::{EntryName, EntryPath};
use serde::Deserialize;

use super::download::{self, ReadQuery, Ready};
use super::shares::{RECEIVERS, is_https};
use crate::archive::Walk;
use crate::drive::Drive;
use crate::error::{Kind, Problem};
use crate::extract::{self, QueryOf};
use crate::location;
use crate::pages::Page;
use crate::pages::receiver::{self as view, Closed, View};
use crate::receivers::{Proof, now_ms};
use crate::serve::Peer;
use crate::{AppState, Shared};

mod adding;
pub(crate) mod sending;

pub(crate) use adding::add;

/// What an address below [`RECEIVERS`] names.
#[derive(Debug)]
pub(crate) struct Link {
    /// Nothing if it cannot be one.
    token: Option<ShareToken>,
    /// Below what is shared; nothing if it is no path.
    below: Option<EntryPath>,
}

impl<S: Sync> FromRequestParts<S> for Link {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let rest = parts.uri.path().strip_prefix(RECEIVERS).unwrap_or_default();
        let mut segments = rest.splitn(3, '/');
        let token = segments.next().and_then(ShareToken::parse);
        // Between the token and the path it says what is wanted.
        let below = segments.nth(1).unwrap_or_default();
        let below = location::decode(below.strip_suffix('/').unwrap_or(below));
        Ok(Self {
            token,
            below: below.ok(),
        })
    }
}

/// A link that leads somewhere, and who has it.
pub(crate) struct Visit {
    pub(crate) token: ShareToken,
    pub(crate) found: ShareFound,
    /// What is shared, and where it is.
    pub(crate) path: EntryPath,
    pub(crate) entry: Entry,
}

impl Visit {
    /// Where its page is.
    pub(crate) fn address(&self) -> String {
        format!("{RECEIVERS}{}", self.token.as_str())
    }

    /// What lies at a path below what is shared.
    pub(crate) fn at(&self, below: Option<&EntryPath>) -> Result<EntryPath, Closed> {
        let below = below.ok_or(Closed::Missing)?;
        let mut names = below.names().iter();
        let path = names.try_fold(self.path.clone(), |path, name| path.join(name.clone()));
        path.map_err(|_| Closed::Missing)
    }

    fn is_file(&self) -> bool {
        matches!(self.entry, Entry::File { .. })
    }

    fn cookie(
        &self,
        state: &AppState,
        headers: &HeaderMap,
        proof: Proof,
        path: &str,
    ) -> HeaderValue {
        let seconds = now_ms() / 1000;
        let value = state
            .receivers
            .prove(proof, &self.token, &self.found, seconds);
        let secure = if is_https(state, headers) {
            "; Secure"
        } else {
            ""
        };
        let cookie = format!(
            "{}={value}; HttpOnly; SameSite=Lax; Path={path}; Max-Age={}{secure}",
            proof.cookie(),
            proof.seconds()
        );
        HeaderValue::try_from(cookie).expect("made of printable ASCII")
    }

    fn has_shown(&self, state: &AppState, headers: &HeaderMap, proof: Proof) -> bool {
        let seconds = now_ms() / 1000;
        cookies(headers, proof.cookie()).any(|value| {
            state
                .receivers
                .is_proof(value, proof, &self.token, &self.found, seconds)
        })
    }

    /// Whether a download may begin, as far as is known: so that nothing is read for one that may not.
    fn may_count(&self) -> Result<(), Closed> {
        if self.found.share.is_used_up() {
            return Err(Closed::UsedUp);
        }
        Ok(())
    }

    /// Lets a download begin whose first bytes are there: one that failed before is none.
    async fn count(&self, state: &AppState) -> Result<(), Closed> {
        let counted = state.drive.count_download(self.found.share.share).await;
        match counted {
            Ok(_) => Ok(()),
            Err(Error::PreconditionFailed { .. }) => Err(Closed::UsedUp),
            Err(error) => Err(closed(error)),
        }
    }
}

fn cookies<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(move |cookie| cookie.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Finds what a link leads to now.
async fn find(drive: &dyn Drive, token: ShareToken) -> Result<Visit, Closed> {
    let found = match drive.find_share(&token).await {
        Err(Error::NotFound { .. }) => return Err(Closed::Unknown),
        found => found.map_err(closed)?,
    };
    if found.share.is_expired(now_ms()) {
        return Err(Closed::Expired);
    }
    let shared = found.share.shared.clone().ok_or(Closed::Gone)?;
    Ok(Visit {
        token,
        found,
        path: shared.path,
        entry: shared.entry,
    })
}

/// The same, for whoever may see that it is there.
async fn open(state: &AppState, link: &Link, headers: &HeaderMap) -> Result<Visit, Closed> {
    let token = link.token.clone().ok_or(Closed::Unknown)?;
    let visit = find(&*state.drive, token).await?;
    if visit.found.password.is_some() && !visit.has_shown(state, headers, Proof::Password) {
        return Err(Closed::Locked(Box::new(visit)));
    }
    Ok(visit)
}

/// How often what a link leads to is looked at, where it is moved meanwhile.
const LOOKS_MAX: u32 = 3;

/// What is found by the path of what a link shares, if that is still there afterwards: another may have taken its place before it
/// was looked at. Else it is looked for where it is by then, a few times.
async fn look<T, S>(
    state: &AppState,
    link: &Link,
    headers: &HeaderMap,
    at: impl Fn(Visit) -> S,
) -> Result<(Visit, T), Closed>
where
    S: Future<Output = (Visit, Result<T, Closed>)>,
{
    for _ in 0..LOOKS_MAX {
        let visit = open(state, link, headers).await?;
        let (visit, seen) = at(visit).await;
        let now = find(&*state.drive, visit.token.clone()).await?;
        if now.path == visit.path {
            return Ok((visit, seen?));
        }
    }
    Err(Closed::Missing)
}

/// An error without what the cluster says of it.
fn closed(error: Error) -> Closed {
    let problem = Problem::from(error);
    match problem.kind {
        Kind::NotFound | Kind::IsAFolder | Kind::NotAFolder | Kind::InvalidArgument => {
            Closed::Missing
        }
        kind => {
            tracing::debug!(code = kind.code(), "a share cannot be shown");
            Closed::Trouble(kind)
        }
    }
}

/// Which part of a long folder, or what was just done. What mail programs and the like add to a link is passed over.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PageQuery {
    pub(crate) after: Option<EntryName>,
    pub(crate) received: Option<u32>,
}

/// `GET /s/{token}` and `GET /s/{token}/folder/{path}`
pub(crate) async fn page(
    State(state): State<Shared>,
    link: Link,
    query: Result<QueryOf<PageQuery>, Problem>,
    page: Page,
    headers: HeaderMap,
) -> Response {
    let query = query.map(|QueryOf(query)| query).unwrap_or_default();
    let shown = look(&state, &link, &headers, async |visit: Visit| {
        let shown = show(&state, &visit, &link, &query, &page).await;
        (visit, shown)
    });
    let shown = shown.await.map(|(_, shown)| shown);
    let shown = shown.unwrap_or_else(|closed| closed.view(&page));
    shown.answer()
}

async fn show(
    state: &AppState,
    visit: &Visit,
    link: &Link,
    query: &PageQuery,
    page: &Page,
) -> Result<View, Closed> {
    if visit.found.share.upload_only {
        let request_max = state.upload_request_max;
        return Ok(view::adding(page, visit, request_max, query.received));
    }
    visit.may_count()?;
    let below = link.below.as_ref().ok_or(Closed::Missing)?;
    match &visit.entry {
        Entry::File {
            size, modified_ms, ..
        } if below.is_root() => Ok(view::file(page, visit, *size, *modified_ms)),
        Entry::File { .. } => Err(Closed::Missing),
        Entry::Folder { .. } => {
            let path = visit.at(Some(below))?;
            let listed = state.drive.list(&path, query.after.clone(), view::ROWS);
            let listed = listed.await.map_err(closed)?;
            let continued = query.after.is_some();
            Ok(view::folder(page, visit, below, continued, listed))
        }
    }
}

/// The form in which a password comes.
#[derive(Deserialize)]
pub(crate) struct Unlocking {
    password: String,
}

/// The longest such form: the longest password, every byte escaped, has room twice.
const UNLOCKING_LEN_MAX: usize = 8 << 10;

/// The password that a form has in it. Only whoever has a link that asks for one is heard out.
async fn password(state: &AppState, request: Request) -> Option<Password> {
    let (parts, body) = request.into_parts();
    let body = extract::whole(body, UNLOCKING_LEN_MAX, state.patience);
    let request = Request::from_parts(parts, Body::from(body.await.ok()?));
    let Form(form) = Form::<Unlocking>::from_request(request, &()).await.ok()?;
    Password::new(form.password).ok()
}

/// `POST /s/{token}`
pub(crate) async fn unlock(
    State(state): State<Shared>,
    link: Link,
    page: Page,
    headers: HeaderMap,
    peer: Peer,
    request: Request,
) -> Response {
    let visit = match open(&state, &link, &headers).await {
        Ok(visit) => return see(&visit.address()),
        Err(Closed::Locked(visit)) => visit,
        Err(closed) => return closed.view(&page).answer(),
    };
    let Some(password) = password(&state, request).await else {
        return view::wrong_password(&page, &visit).answer();
    };
    let share = visit.found.share.share;
    let place = state.proxies.origin(peer.0, &headers);
    if let Err(wait) = state.receivers.take_guess(share, place) {
        return view::too_many_guesses(&page, &visit, wait).answer();
    }
    let is_right = match &visit.found.password {
        Some(hash) => password.is(hash).await,
        None => false,
    };
    if !is_right {
        return view::wrong_password(&page, &visit).answer();
    }
    state.receivers.guessed_right(share, place);
    let cookie = visit.cookie(&state, &headers, Proof::Password, &visit.address());
    let mut response = see(&visit.address());
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

/// Sends a browser to look at another page.
pub(super) fn see(address: &str) -> Response {
    let location = HeaderValue::try_from(address).expect("a token is printable ASCII");
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// `GET /s/{token}/file` and `GET /s/{token}/file/{path}`
pub(crate) async fn file(
    State(state): State<Shared>,
    method: Method,
    link: Link,
    page: Page,
    headers: HeaderMap,
) -> Response {
    let sent = send_file(&state, &method, &link, &headers).await;
    sent.unwrap_or_else(|closed| closed.view(&page).answer())
}

/// Finds the file at a place of what is shared, whose bytes are then those of one version, wherever that is moved.
async fn prepare(
    state: &AppState,
    method: &Method,
    visit: &Visit,
    link: &Link,
    headers: &HeaderMap,
) -> Result<Ready, Closed> {
    let is_top = link.below.as_ref().is_some_and(EntryPath::is_root);
    if visit.found.share.upload_only || visit.is_file() != is_top {
        return Err(Closed::Missing);
    }
    let path = visit.at(link.below.as_ref())?;
    let query = ReadQuery::to_save();
    match download::prepare(state, method, path, &query, headers).await {
        // They say how long the file is, and nothing else.
        Err(problem) if problem.kind == Kind::RangeNotSatisfiable => {
            Ok(Ready::Done(problem.into_response()))
        }
        ready => ready.map_err(|problem| closed_by(&problem)),
    }
}

async fn send_file(
    state: &AppState,
    method: &Method,
    link: &Link,
    headers: &HeaderMap,
) -> Result<Response, Closed> {
    let found = look(state, link, headers, async |visit: Visit| {
        let ready = prepare(state, method, &visit, link, headers).await;
        (visit, ready)
    });
    let (visit, prepared) = match found.await? {
        (_, Ready::Done(response)) => return Ok(response),
        (visit, Ready::Body(prepared)) => (visit, prepared),
    };
    let proof = Proof::Download {
        version: prepared.version().0,
    };
    let is_limited = visit.found.share.downloads_max.is_some();
    let goes_on =
        !prepared.is_from_begin() && (!is_limited || visit.has_shown(state, headers, proof));
    if !goes_on {
        visit.may_count()?;
    }
    let sent = prepared.send(&state.receivers.transfers).await;
    let mut response = sent.map_err(|problem| closed_by(&problem))?;
    if !goes_on {
        visit.count(state).await?;
    }
    if is_limited && !goes_on {
        let below = link.below.as_ref().map(location::encode);
        let place = format!("{}/file{}", visit.address(), below.unwrap_or_default());
        let cookie = visit.cookie(state, headers, proof, &place);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn closed_by(problem: &Problem) -> Closed {
    match problem.kind {
        Kind::NotFound | Kind::IsAFolder | Kind::NotAFolder => Closed::Missing,
        kind => Closed::Trouble(kind),
    }
}

/// `GET /s/{token}/zip` and `GET /s/{token}/zip/{path}`
pub(crate) async fn zip(
    State(state): State<Shared>,
    method: Method,
    link: Link,
    page: Page,
    headers: HeaderMap,
) -> Response {
    let sent = send_zip(&state, &method, &link, &headers).await;
    sent.unwrap_or_else(|closed| closed.view(&page).answer())
}

/// Finds the file or folder at a place of what is shared.
async fn entry(state: &AppState, visit: &Visit, link: &Link) -> Result<(EntryPath, Entry), Closed> {
    if visit.found.share.upload_only {
        return Err(Closed::Missing);
    }
    let path = visit.at(link.below.as_ref())?;
    let entry = state.drive.entry(&path).await.map_err(closed)?;
    Ok((path, entry))
}

async fn send_zip(
    state: &AppState,
    method: &Method,
    link: &Link,
    headers: &HeaderMap,
) -> Result<Response, Closed> {
    let found = look(state, link, headers, async |visit: Visit| {
        let seen = entry(state, &visit, link).await;
        (visit, seen)
    });
    // From here on the walk itself sees to it.
    let (visit, (path, entry)) = found.await?;
    let (
        Entry::Folder {
            name: Some(name), ..
        },
        Some((above, _)),
    ) = (&entry, path.split_last())
    else {
        return Err(Closed::Missing);
    };
    let title = format!("{name}.zip");
    let counts = *method == Method::GET;
    if counts {
        visit.may_count()?;
    }
    let walk = Walk::of(above, vec![entry]).by_link(visit.token.clone(), visit.path.clone());
    let transfers = &state.receivers.transfers;
    let sent = async {
        let place = transfers.zips.turn(1).await?;
        super::zip::send(state, transfers, place, method, &title, walk).await
    };
    let response = sent.await.map_err(|problem| closed_by(&problem))?;
    if counts {
        visit.count(state).await?;
    }
    Ok(response)
}

/// What every answer to a receiver says to browsers, and to whatever is between.
pub(crate) async fn hide(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "private, no-store"),
        (
            header::HeaderName::from_static("x-robots-tag"),
            "noindex, nofollow",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
