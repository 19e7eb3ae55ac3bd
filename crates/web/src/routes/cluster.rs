//! How the cluster does: `/api/v1/status`, `/api/v1/nodes`, and for those who start and watch it `/healthz`, `/readyz`.

use axum::Json;
use axum::extract::State;
use proto::id::NodeId;
use proto::master::{ClusterStatus, NodeSummary};
use serde::{Deserialize, Serialize};

use super::page_len;
use crate::Shared;
use crate::error::Problem;
use crate::extract::QueryOf;
use crate::readiness::{Known, Readiness};

/// The cluster's status, with whether it is ready.
#[derive(Debug, Serialize)]
pub(crate) struct StatusReply {
    #[serde(flatten)]
    readiness: Readiness,
    #[serde(flatten)]
    cluster: ClusterStatus,
}

/// `GET /api/v1/status`
pub(crate) async fn status(State(state): State<Shared>) -> Result<Json<StatusReply>, Problem> {
    let known = state.status.get(&*state.drive).await;
    let readiness = known.readiness();
    match known {
        Known::Status(status) => Ok(Json(StatusReply {
            readiness,
            cluster: ClusterStatus::clone(&status),
        })),
        Known::Unknown(_) => Err(readiness.problem()),
    }
}

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodesQuery {
    after: Option<NodeId>,
    limit: Option<u32>,
}

/// A page of nodes, by id.
#[derive(Debug, Serialize)]
pub(crate) struct NodesPage {
    nodes: Vec<NodeSummary>,
    more: bool,
    /// What to send as `after` for the next page.
    next: Option<NodeId>,
}

/// `GET /api/v1/nodes`
pub(crate) async fn nodes(
    State(state): State<Shared>,
    QueryOf(query): QueryOf<NodesQuery>,
) -> Result<Json<NodesPage>, Problem> {
    let limit = page_len(query.limit)?;
    let listed = state.drive.nodes(query.after, limit).await?;
    let last = listed.nodes.last().filter(|_| listed.more);
    Ok(Json(NodesPage {
        next: last.map(|node| node.node),
        nodes: listed.nodes,
        more: listed.more,
    }))
}

/// That this process lives.
#[derive(Debug, Serialize)]
pub(crate) struct Alive {
    alive: bool,
}

/// `GET /healthz`
pub(crate) async fn healthz() -> Json<Alive> {
    Json(Alive { alive: true })
}

/// `GET /readyz`
pub(crate) async fn readyz(State(state): State<Shared>) -> Result<Json<Readiness>, Problem> {
    let readiness = state.status.get(&*state.drive).await.readiness();
    if readiness.ready {
        Ok(Json(readiness))
    } else {
        Err(readiness.problem())
    }
}
