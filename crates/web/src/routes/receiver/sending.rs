//! `/s/{token}/uploads`: adds files to a folder that is shared for that, by the tus protocol, so that each can go on in the middle.
//!
//! It is what `uploads.rs` does for the owner, with a link in between: each request finds where the link leads by then, and the last
//! bytes of a file are stored only where it still leads there. So a file follows its folder, and none is added once the link has ended.
//! A name that is taken gets a number when the file ends. Nothing can be named that was not sent: that would tell what is stored.
//! It can be guessed at, though: chunks that the cluster has already are stored sooner, and so the answer may come sooner.
//!
//! **Invariant:** an upload is reached by the link that it was begun by, and by no other: its note says so while it goes on, and its
//! address, which nobody makes without the token, also when it has become a file.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::stream::{self, StreamExt, TryStreamExt};
use hmac::{Hmac, KeyInit, Mac};
use proto::id::UploadId;
use proto::master::{NOTE_LEN_MAX, Precondition, ShareId, UploadPlan};
use proto::name::EntryPath;
use proto::net::Pending;
use sha2::Sha256;

use super::adding::{check_file_size, free_path, reason, seen_again};
use super::{Link, Visit, open};
use crate::error::{Kind, Problem};
use crate::headers::tus::Metadata;
use crate::pages::receiver::Closed;
use crate::receivers::Proof;
use crate::resumable::{self, Progress, Sender};
use crate::routes::uploads::{self, Sending, patient};
use crate::{AppState, Shared};

/// Bytes of the part of an address that only those make who have the token.
const MARK_LEN: usize = 16;

/// Whoever has a link by which files are added.
struct Receiver {
    visit: Visit,
}

impl Receiver {
    /// What stands behind an upload's id in its address.
    fn mark(&self, upload: UploadId) -> Hmac<Sha256> {
        let token = self.visit.token.as_str().as_bytes();
        let mut mark = Hmac::<Sha256>::new_from_slice(token).expect("a key of any length will do");
        mark.update(upload.uuid().as_bytes());
        mark
    }

    fn id(&self) -> ShareId {
        self.visit.found.share.share
    }
}

impl Sender for Receiver {
    fn share(&self) -> Option<ShareId> {
        Some(self.id())
    }

    fn plan<'a>(
        &'a self,
        state: &'a AppState,
        headers: &'a HeaderMap,
        size: u64,
    ) -> Pending<'a, Result<UploadPlan, Problem>> {
        Box::pin(async move {
            let metadata = Metadata::read(headers)?;
            let name = metadata.file_name()?;
            check_file_size(state, &name, size)?;
            let modified_ms = metadata.modified_ms()?;
            let note = resumable::note(self.share(), metadata.into_text());
            if note.len() > NOTE_LEN_MAX {
                let detail =
                    "Upload-Metadata is too long: leave out all but `filename` and `modified_ms`";
                return Err(Problem::new(Kind::BadRequest, detail));
            }
            Ok(UploadPlan {
                path: free_path(state, &self.visit.path, &name).await?,
                size,
                modified_ms,
                parents: false,
                precondition: Precondition::Absent,
                note,
            })
        })
    }

    fn goal<'a>(
        &'a self,
        state: &'a AppState,
        plan: &'a UploadPlan,
    ) -> Pending<'a, Result<EntryPath, Problem>> {
        Box::pin(async move {
            let (_, metadata) = resumable::read_note(&plan.note).unwrap_or_default();
            let name = Metadata::parse(metadata)?.file_name()?;
            let free = free_path(state, &self.visit.path, &name).await;
            free.map_err(|problem| match problem.kind {
                // There are as many of this name as may be.
                Kind::AlreadyExists => Problem::new(Kind::InvalidArgument, problem.detail),
                _ => problem,
            })
        })
    }

    /// The last of them are kept back until it was seen that the link still leads to the same folder.
    fn watched(&self, state: &AppState, left: u64, body: resumable::Body) -> resumable::Body {
        let seen = seen_again(
            Arc::clone(&state.drive),
            self.visit.token.clone(),
            self.visit.path.clone(),
        );
        let start = (body, left, Some(seen));
        let pieces = stream::try_unfold(start, async |(mut body, left, mut seen)| {
            let Some(bytes) = body.try_next().await? else {
                return Ok::<_, io::Error>(None);
            };
            let left = left.saturating_sub(bytes.len() as u64);
            if left == 0
                && let Some(seen) = seen.take()
            {
                seen.await?;
            }
            Ok(Some((bytes, (body, left, seen))))
        });
        pieces.boxed()
    }

    fn address(&self, upload: UploadId) -> String {
        let mark = self.mark(upload).finalize().into_bytes();
        let mark = BASE64_URL_SAFE_NO_PAD.encode(&mark[..MARK_LEN]);
        format!("{}/uploads/{upload}.{mark}", self.visit.address())
    }

    fn upload(&self, text: &str) -> Option<UploadId> {
        let (upload, mark) = text.split_once('.')?;
        let upload = upload.parse().ok()?;
        let mark = BASE64_URL_SAFE_NO_PAD.decode(mark).ok()?;
        let is_own =
            mark.len() == MARK_LEN && self.mark(upload).verify_truncated_left(&mark).is_ok();
        is_own.then_some(upload)
    }

    fn told(&self, progress: &Progress) -> HeaderMap {
        uploads::told(progress)
    }

    fn saw(&self, state: &AppState, upload: UploadId, progress: Option<&Progress>) {
        let unfinished = &state.receivers.unfinished;
        match progress {
            Some(Progress::Open { kept, .. }) => unfinished.keep(self.id(), upload, *kept),
            Some(Progress::Committed(_)) | None => unfinished.end(self.id(), upload),
        }
    }

    /// Without what the cluster says, which has whole paths in it.
    fn refused(&self, problem: Problem, is_kept: bool) -> Problem {
        let (kind, detail) = match problem.kind {
            Kind::PreconditionFailed | Kind::IsAFolder if !is_kept => (
                Kind::Locked,
                String::from("it did not get its name: send it again"),
            ),
            // They say of the upload itself how to go on with it.
            Kind::Locked | Kind::OffsetMismatch | Kind::RequestTooLarge => return problem,
            Kind::NotFound => (
                Kind::NotFound,
                String::from("the upload is not here any more: send the file again"),
            ),
            Kind::AlreadyExists => (
                Kind::AlreadyExists,
                String::from("the file has arrived, and stays"),
            ),
            // It gets another name when it goes on.
            Kind::PreconditionFailed | Kind::IsAFolder => (
                Kind::Locked,
                String::from("it did not get its name; the end of it is sent again"),
            ),
            kind => (
                kind,
                format!("the file was not stored, since {}", reason(kind)),
            ),
        };
        let cause = format!(
            "a file by link {} was not stored: {}",
            self.id().0,
            problem.detail
        );
        Problem::new(kind, detail).with_cause(cause)
    }
}

async fn found(state: &AppState, link: &Link, headers: &HeaderMap) -> Result<Receiver, Closed> {
    let visit = open(state, link, headers).await?;
    if visit.found.share.upload_only {
        return Ok(Receiver { visit });
    }
    Err(Closed::Missing)
}

async fn sender(state: &Shared, link: &Link, headers: &HeaderMap) -> Result<Receiver, Problem> {
    let found = found(state, link, headers).await;
    found.map_err(Closed::problem)
}

/// Does something for whoever has the link. Those who gave its password need not again as long as they send.
async fn send<F>(
    state: &Shared,
    receiver: Receiver,
    headers: &HeaderMap,
    work: impl FnOnce(Sending) -> F,
) -> Result<Response, Problem>
where
    F: Future<Output = Result<Response, Problem>>,
{
    let visit = &receiver.visit;
    let place = visit.address();
    let has_password = visit.found.password.is_some();
    let cookie = has_password.then(|| visit.cookie(state, headers, Proof::Password, &place));
    let mut response = work(Sending::new(state, receiver)).await?;
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The same, with an upload that was begun: while the folder is in the trash it waits, and is not forgotten.
async fn send_again<F>(
    state: &Shared,
    link: &Link,
    headers: &HeaderMap,
    work: impl FnOnce(Sending) -> F,
) -> Result<Response, Problem>
where
    F: Future<Output = Result<Response, Problem>>,
{
    let found = found(state, link, headers).await;
    let receiver = found.map_err(|closed| match closed {
        Closed::Gone => Problem::new(Kind::Locked, closed.problem().detail),
        closed => closed.problem(),
    })?;
    send(state, receiver, headers, work).await
}

/// `OPTIONS` of both
pub(crate) async fn options(
    State(state): State<Shared>,
    link: Link,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    sender(&state, &link, &headers).await?;
    let by_links = state.request_file_max;
    Ok(uploads::options(&state, by_links).await)
}

/// `POST /s/{token}/uploads`
pub(crate) async fn create(
    State(state): State<Shared>,
    link: Link,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let receiver = sender(&state, &link, &headers).await?;
    let appends = state.appends();
    // To its end, also if nobody waits for it: else it would not be known that it was begun.
    let creating = async move {
        let _beginning = state.receivers.unfinished.begin(receiver.id())?;
        send(&state, receiver, &headers, async |sending| {
            sending.create(&headers, body).await
        })
        .await
    };
    uploads::finished(appends.spawn(creating).await)
}

/// `HEAD /s/{token}/uploads/{upload}`
pub(crate) async fn head(
    State(state): State<Shared>,
    link: Link,
    Path((_, upload)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let told = send_again(&state, &link, &headers, async |sending| {
        sending.head(&upload, &headers).await
    });
    told.await.map_err(patient)
}

/// `PATCH /s/{token}/uploads/{upload}`
pub(crate) async fn patch(
    State(state): State<Shared>,
    link: Link,
    Path((_, upload)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    send_again(&state, &link, &headers, async |sending| {
        sending.patch(&upload, &headers, body).await
    })
    .await
}

/// `DELETE /s/{token}/uploads/{upload}`
pub(crate) async fn delete(
    State(state): State<Shared>,
    link: Link,
    Path((_, upload)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    send_again(&state, &link, &headers, async |sending| {
        sending.delete(&upload, &headers).await
    })
    .await
}

/// `POST /s/{token}/uploads/{upload}`, from callers that cannot send other methods.
pub(crate) async fn post(
    State(state): State<Shared>,
    link: Link,
    Path((_, upload)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    send_again(&state, &link, &headers, async |sending| {
        sending.post(&upload, &headers, body).await
    })
    .await
}
