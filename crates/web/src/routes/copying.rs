//! `POST /api/v1/copy`: gives the content of a file another name as well.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use client::{Error, UploadOptions};
use proto::master::{Entry, Precondition};
use proto::name::EntryPath;
use serde::Deserialize;

use super::files::FileStored;
use crate::error::{Kind, Problem};
use crate::extract::JsonBody;
use crate::{AppState, Shared};

/// What is copied where.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copy {
    from: EntryPath,
    /// With the new name.
    to: EntryPath,
    /// A file that is there gets a new version.
    #[serde(default)]
    replace: bool,
    /// Folders that are missing are made.
    #[serde(default = "yes")]
    parents: bool,
}

fn yes() -> bool {
    true
}

/// `POST /api/v1/copy`
pub(crate) async fn post(
    State(state): State<Shared>,
    JsonBody(request): JsonBody<Copy>,
) -> Result<Response, Problem> {
    let Copy {
        from,
        to,
        replace,
        parents,
    } = request;
    if let Entry::Folder { .. } = state.drive.entry(&from).await? {
        let message = format!("{from} is a folder: copy the files in it one by one");
        return Err(Problem::new(Kind::IsAFolder, message));
    }
    let precondition = if replace {
        Precondition::Any
    } else {
        Precondition::Absent
    };
    let options = UploadOptions {
        precondition,
        parents,
        ..UploadOptions::default()
    };
    let _turn = state.transfers.uploads.turn(1).await?;
    let copied = state.drive.copy(&from, &to, options).await;
    match copied {
        Ok(copied) => Ok(FileStored::new(to, copied).into_response()),
        Err(Error::PreconditionFailed { .. }) => Err(taken(&state, &to).await),
        Err(error) => Err(error.into()),
    }
}

/// What stands where the copy should.
async fn taken(state: &AppState, to: &EntryPath) -> Problem {
    match state.drive.entry(to).await {
        Ok(Entry::Folder { .. }) => Problem::new(Kind::IsAFolder, format!("{to} is a folder")),
        _ => Problem::new(Kind::AlreadyExists, format!("{to} is there already")),
    }
}
