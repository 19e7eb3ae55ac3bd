//! `POST /api/v1/move`: renames or moves a file, or a folder with all that is in it.

use axum::Json;
use axum::extract::State;
use proto::master::Entry;
use proto::name::EntryPath;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::error::Problem;
use crate::extract::JsonBody;

/// What is moved where.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    from: EntryPath,
    /// With the new name.
    to: EntryPath,
    /// A file that is there goes to the trash.
    #[serde(default)]
    replace: bool,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Moved {
    path: EntryPath,
    entry: Entry,
}

/// `POST /api/v1/move`
pub(crate) async fn post(
    State(state): State<Shared>,
    JsonBody(request): JsonBody<Move>,
) -> Result<Json<Moved>, Problem> {
    let Move { from, to, replace } = request;
    let entry = state.drive.move_entry(&from, &to, replace).await?;
    Ok(Json(Moved { path: to, entry }))
}
