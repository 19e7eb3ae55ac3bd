//! The page of the trash: what was deleted, for how long it is kept, and how much space it takes.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use client::people::{self, count};
use proto::master::{ClusterStatus, Entry, TrashEntry};
use proto::name::EntryName;

use super::{ROWS, StatusView, Trouble, answer};
use crate::Shared;
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::guard::page_policy;
use crate::present::{self, NamePart};
use crate::readiness::Known;
use crate::routes::trash::{TrashQuery, next};

/// The trash, or why it cannot be shown.
#[derive(Template)]
#[template(path = "trash.html")]
struct TrashView {
    status: StatusView,
    kept: Option<Kept>,
    /// Why the list is not there.
    trouble: Option<Trouble>,
    rows: Vec<Row>,
    /// Whether the page begins in the middle of the trash.
    continued: bool,
    own_address: &'static str,
    next_address: Option<String>,
    rows_max: u32,
}

/// How long things are kept, and what they take.
struct Kept {
    trash_for: String,
    versions_for: String,
    /// trash.js says the same after a change.
    space: String,
}

struct Row {
    trash: u64,
    kind: &'static str,
    path: String,
    parts: Vec<NamePart>,
    name: String,
    /// The folder that it was in.
    place: Vec<NamePart>,
    size: String,
    time: String,
    time_text: String,
}

/// `GET /trash`
pub(crate) async fn trash(
    State(state): State<Shared>,
    query: Result<QueryOf<TrashQuery>, Problem>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let known = state.status.get(&*state.drive).await;
    let before = query.map(|QueryOf(query)| query.before);
    let mut view = TrashView {
        status: StatusView::new(&known),
        kept: None,
        trouble: None,
        rows: Vec::new(),
        continued: matches!(before, Ok(Some(_))),
        own_address: "/trash",
        next_address: None,
        rows_max: ROWS,
    };
    let listed = match (before, &known) {
        (Err(problem), _) => Err(problem),
        (Ok(_), Known::Unknown(_)) => Err(known.readiness().problem()),
        (Ok(before), Known::Status(status)) => {
            view.kept = Some(Kept::new(status));
            let listed = state.drive.list_trash(before, ROWS).await;
            listed.map_err(Problem::from)
        }
    };
    let status = match listed {
        Ok(listed) => {
            let next = next(&listed.entries, listed.more);
            view.next_address = next.map(|trash| format!("/trash?before={}", trash.0));
            view.rows = listed.entries.iter().map(Row::new).collect();
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
            "The trash cannot be listed right now".into()
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

impl Kept {
    fn new(status: &ClusterStatus) -> Self {
        let (trash, former) = (&status.trash, &status.former_versions);
        let mut space = Vec::new();
        if trash.files + trash.folders > 0 {
            space.push(format!(
                "Here: {} and {}, {}.",
                count(trash.files, "file"),
                count(trash.folders, "folder"),
                people::size(trash.bytes)
            ));
        }
        let versions_for = present::span(former.kept_ms);
        if former.versions > 0 {
            space.push(format!(
                "Former versions of files take {} besides; they are kept for {versions_for}.",
                people::size(former.bytes)
            ));
        }
        Self {
            trash_for: present::span(trash.kept_ms),
            versions_for,
            space: space.join(" "),
        }
    }
}

impl Row {
    fn new(row: &TrashEntry) -> Self {
        let (kind, size) = match &row.entry {
            Entry::Folder { .. } => ("folder", String::new()),
            Entry::File { size, .. } => ("file", people::size(*size)),
        };
        let name = row.path.name().map_or("", EntryName::as_str).to_owned();
        let place = match row.path.split_last() {
            Some((folder, _)) if !folder.is_root() => folder.to_string(),
            _ => "All files".into(),
        };
        let (time, time_text) = present::time(row.deleted_ms);
        Self {
            trash: row.trash.0,
            kind,
            path: row.path.to_string(),
            parts: present::name_parts(&name),
            name,
            place: present::name_parts(&place),
            size,
            time,
            time_text,
        }
    }
}
