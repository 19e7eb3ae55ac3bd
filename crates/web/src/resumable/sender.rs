//! For whom uploads go on: the owner, or whoever adds files by a link, for whom more has to be seen to.
//!
//! **Invariant:** nobody reaches an upload that somebody else began. Whose it is stands in its note, beside what they said of the file.

use std::io;

use axum::http::HeaderMap;
use bytes::Bytes;
use futures::stream::BoxStream;
use proto::id::UploadId;
use proto::master::{ShareId, UploadPlan};
use proto::name::EntryPath;
use proto::net::Pending;

use super::Progress;
use crate::AppState;
use crate::error::Problem;

/// The bytes of a request.
pub(crate) type Body = BoxStream<'static, io::Result<Bytes>>;

/// Who sends, and what holds for them.
pub(crate) trait Sender: Send + Sync {
    /// By which link they send; by none, if it is the owner.
    fn share(&self) -> Option<ShareId>;

    /// What is to become of a file with so many bytes, of which these headers tell.
    fn plan<'a>(
        &'a self,
        state: &'a AppState,
        headers: &'a HeaderMap,
        size: u64,
    ) -> Pending<'a, Result<UploadPlan, Problem>>;

    /// Where it goes by now: asked when its name is looked at, and again when it ends.
    fn goal<'a>(
        &'a self,
        state: &'a AppState,
        plan: &'a UploadPlan,
    ) -> Pending<'a, Result<EntryPath, Problem>>;

    /// The bytes as they are to be stored, of a file that has so many to come.
    fn watched(&self, state: &AppState, left: u64, body: Body) -> Body;

    /// Where such an upload is.
    fn address(&self, upload: UploadId) -> String;

    /// The upload whose address ends so.
    fn upload(&self, text: &str) -> Option<UploadId>;

    /// What an answer says of how far an upload is.
    fn told(&self, progress: &Progress) -> HeaderMap;

    /// An upload is so far now, or is no more.
    fn saw(&self, _state: &AppState, _upload: UploadId, _progress: Option<&Progress>) {}

    /// A problem as they may hear of it; `is_kept` says whether the upload is there still, to be gone on with.
    fn refused(&self, problem: Problem, is_kept: bool) -> Problem;
}

/// What is kept with an upload: by which link it comes, in a line of its own, which no header has, and what its sender said of it.
pub(crate) fn note(share: Option<ShareId>, metadata: String) -> String {
    match share {
        Some(ShareId(share)) => format!("{share}\n{metadata}"),
        None => metadata,
    }
}

/// By which link an upload comes, and what its sender said of it; nothing if that cannot be read, and so nobody's.
pub(crate) fn read_note(note: &str) -> Option<(Option<ShareId>, &str)> {
    match note.split_once('\n') {
        Some((share, metadata)) => Some((Some(ShareId(share.parse().ok()?)), metadata)),
        None => Some((None, note)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_whose_it_is() {
        for share in [None, Some(ShareId(7))] {
            for metadata in ["", "filename YQ==,7"] {
                let text = note(share, metadata.to_owned());
                assert_eq!(read_note(&text), Some((share, metadata)));
            }
        }
        // It was the owner's.
        for text in ["\nfilename YQ==", "x\nfilename YQ==", "-1\n", "7 \n"] {
            assert_eq!(read_note(text), None, "{text:?}");
        }
    }
}
