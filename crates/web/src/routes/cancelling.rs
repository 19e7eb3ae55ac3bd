//! `POST /api/v1/cancel`: files that were sent in a form are not wanted any more.
//!
//! `not_stored` and `stored` are decisions, which hold; of a file that is getting its name nothing is decided yet (`tickets.rs`).

use axum::Json;
use axum::extract::State;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Shared;
use crate::error::{Kind, Problem};
use crate::extract::JsonBody;
use crate::tickets::Fate;

/// Files that one request may cancel.
const FILES_MAX: usize = 512;

/// What is not wanted any more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancel {
    /// As the form said them.
    ids: Vec<Uuid>,
}

/// The answer: of each file, in the order in which they were named.
#[derive(Debug, Serialize)]
pub(crate) struct Cancelled {
    files: Vec<CancelledFile>,
}

#[derive(Debug, Serialize)]
struct CancelledFile {
    id: Uuid,
    #[serde(flatten)]
    fate: Fate,
}

/// `POST /api/v1/cancel`
pub(crate) async fn post(
    State(state): State<Shared>,
    JsonBody(Cancel { ids }): JsonBody<Cancel>,
) -> Result<Json<Cancelled>, Problem> {
    if ids.len() > FILES_MAX {
        let detail = format!("{} files were named; name {FILES_MAX} at most", ids.len());
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let tickets = &state.tickets;
    let cancelling = ids.into_iter().map(async |id| {
        let fate = tickets.cancel(id).await?;
        Ok::<_, Problem>(CancelledFile { id, fate })
    });
    let files = try_join_all(cancelling).await?;
    Ok(Json(Cancelled { files }))
}
