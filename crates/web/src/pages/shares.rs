//! The page of share links: what is shared, where it is, what is left of each link, and how to end one.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use client::people::count;
use proto::master::{Entry, Share};
use proto::name::{EntryName, EntryPath};

use super::{ROOT_NAME, ROWS, StatusView, Trouble, answer, page_address};
use crate::Shared;
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::guard::page_policy;
use crate::present::{self, NamePart};
use crate::readiness::Known;
use crate::receivers::now_ms;
use crate::routes::shares::{SharesQuery, next};

/// The links, or why they cannot be shown.
#[derive(Template)]
#[template(path = "shares.html")]
struct SharesView {
    status: StatusView,
    /// Why the list is not there.
    trouble: Option<Trouble>,
    rows: Vec<Row>,
    /// Whether the page begins in the middle of the list.
    continued: bool,
    own_address: &'static str,
    next_address: Option<String>,
}

struct Row {
    share: u64,
    kind: &'static str,
    name: String,
    parts: Vec<NamePart>,
    /// The folder that it is in; nothing while it is not there.
    place: Option<Place>,
    /// What the link is for, besides looking and downloading.
    about: String,
    downloads: String,
    /// When it ends; nothing if never.
    ends: Option<(String, String)>,
    has_ended: bool,
}

struct Place {
    name: Vec<NamePart>,
    address: String,
}

/// `GET /shares`
pub(crate) async fn shares(
    State(state): State<Shared>,
    query: Result<QueryOf<SharesQuery>, Problem>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let known = state.status.get(&*state.drive).await;
    let before = query.map(|QueryOf(query)| query.before);
    let mut view = SharesView {
        status: StatusView::new(&known),
        trouble: None,
        rows: Vec::new(),
        continued: matches!(before, Ok(Some(_))),
        own_address: "/shares",
        next_address: None,
    };
    let listed = match (before, &known) {
        (Err(problem), _) => Err(problem),
        (Ok(_), Known::Unknown(_)) => Err(known.readiness().problem()),
        (Ok(before), Known::Status(_)) => {
            let listed = state.drive.shares(before, ROWS).await;
            listed.map_err(Problem::from)
        }
    };
    let status = match listed {
        Ok(listed) => {
            let next = next(&listed.shares, listed.more);
            let now = now_ms();
            view.next_address = next.map(|share| format!("/shares?before={}", share.0));
            view.rows = listed.shares.iter().map(|row| Row::new(row, now)).collect();
            StatusCode::OK
        }
        Err(problem) => {
            let status = problem.kind.status();
            view.trouble = Some(trouble(problem));
            status
        }
    };
    answer(&view, status, page_policy(&uri, &headers))
}

fn trouble(problem: Problem) -> Trouble {
    let may_pass = problem.kind != Kind::BadRequest;
    Trouble {
        title: if may_pass {
            "The links cannot be listed right now".into()
        } else {
            "This address cannot be right".into()
        },
        detail: match problem.kind {
            Kind::NotReady => "As soon as the master answers, the list is here again.".into(),
            _ => problem.detail,
        },
        may_pass,
    }
}

impl Row {
    fn new(share: &Share, now_ms: u64) -> Self {
        let shared = share.shared.as_ref();
        let folder = shared.and_then(|shared| shared.path.split_last());
        let is_file = shared.is_some_and(|shared| matches!(shared.entry, Entry::File { .. }));
        Self {
            share: share.share.0,
            kind: if is_file || shared.is_none() && !share.upload_only {
                "file"
            } else {
                "folder"
            },
            name: share.name.as_str().to_owned(),
            parts: present::name_parts(share.name.as_str()),
            place: folder.map(|(folder, _)| Place::new(&folder)),
            about: about(share),
            downloads: downloads(share),
            ends: share.expires_ms.map(present::time),
            has_ended: share.is_expired(now_ms) || share.is_used_up(),
        }
    }
}

impl Place {
    fn new(folder: &EntryPath) -> Self {
        let text = if folder.is_root() {
            ROOT_NAME.to_owned()
        } else {
            let names = folder.names().iter().map(EntryName::as_str);
            names.collect::<Vec<_>>().join(" / ")
        };
        Self {
            name: present::name_parts(&text),
            address: page_address(folder),
        }
    }
}

fn about(share: &Share) -> String {
    let marks = [
        (share.upload_only, "others can add files"),
        (share.has_password, "asks for a password"),
    ];
    let marks: Vec<_> = marks.iter().filter(|(holds, _)| *holds).collect();
    marks
        .iter()
        .map(|(_, text)| *text)
        .collect::<Vec<_>>()
        .join(", ")
}

fn downloads(share: &Share) -> String {
    match share.downloads_max {
        _ if share.upload_only => String::new(),
        Some(max) => format!("{} of {}", share.downloads, count(max, "download")),
        None => count(share.downloads, "download"),
    }
}
