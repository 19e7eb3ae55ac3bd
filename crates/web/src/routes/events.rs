//! `GET /api/v1/events`: how the cluster does, as server-sent events, whenever that changes.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::unfold;
use proto::master::{ClusterStatus, NodeSummary};
use serde::Serialize;

use crate::Shared;
use crate::error::Problem;
use crate::readiness::{Known, Readiness};
use crate::watch::{AGE_MAX, ClusterNow};

/// How often a word is sent while nothing changes, so that a connection that is gone is found out.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What an event says.
#[derive(Debug, Serialize)]
struct ClusterChanged<'a> {
    #[serde(flatten)]
    readiness: Readiness,
    /// Absent while the master does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a ClusterStatus>,
    nodes: &'a [NodeSummary],
}

/// `GET /api/v1/events`
pub(crate) async fn get(State(state): State<Shared>) -> Result<Response, Problem> {
    let place = state.watch.place()?;
    let stopping = state.stopping.clone().cancelled_owned();
    let changes = unfold((state, place, 0), |(state, place, shown)| async move {
        loop {
            let seen = state.watch.look(&*state.drive, &state.status).await;
            if seen.change != shown {
                let event = event(seen.change, &seen.now);
                return Some((event, (state, place, seen.change)));
            }
            tokio::time::sleep(AGE_MAX).await;
        }
    });
    let events = changes
        .take_until(Box::pin(stopping))
        .map(Ok::<_, Infallible>);
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // A proxy before this server shall not collect them.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, events).into_response())
}

fn event(change: u64, now: &ClusterNow) -> Event {
    let cluster = match &now.known {
        Known::Status(status) => Some(&**status),
        Known::Unknown(_) => None,
    };
    let changed = ClusterChanged {
        readiness: now.known.readiness(),
        cluster,
        nodes: &now.nodes,
    };
    let event = Event::default().event("cluster").id(change.to_string());
    let text = serde_json::to_string(&changed).expect("it is plain data");
    event.data(text)
}
