//! The page of the trash: what was deleted, for how long it is kept, and how much space it takes.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use proto::master::{ClusterStatus, Entry, TrashEntry};
use proto::name::EntryName;

use super::{Page, ROWS, StatusView, Trouble, answer};
use crate::Shared;
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::present::{self, NamePart};
use crate::readiness::Known;
use crate::routes::trash::{TrashQuery, next};
use crate::said::Said;
use crate::texts::Texts;

/// The trash, or why it cannot be shown.
#[derive(Template)]
#[template(path = "trash.html")]
struct TrashView {
    page: Page,
    texts: &'static Texts,
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
    about: String,
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
    page: Page,
) -> Response {
    let known = state.status.get(&*state.drive).await;
    let before = query.map(|QueryOf(query)| query.before);
    let texts = page.texts;
    let mut view = TrashView {
        page,
        texts,
        status: StatusView::new(texts, &known),
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
            view.kept = Some(Kept::new(texts, status));
            let listed = state.drive.list_trash(before, ROWS).await;
            listed.map_err(Problem::from)
        }
    };
    let status = match listed {
        Ok(listed) => {
            let next = next(&listed.entries, listed.more);
            view.next_address = next.map(|trash| format!("/trash?before={}", trash.0));
            let rows = listed.entries.iter();
            view.rows = rows.map(|row| Row::new(texts, row)).collect();
            StatusCode::OK
        }
        Err(problem) => {
            let status = problem.kind.status();
            view.trouble = Some(trouble(texts, &problem));
            status
        }
    };
    answer(&view, status, &view.page)
}

fn trouble(texts: &Texts, problem: &Problem) -> Trouble {
    let may_pass = problem.kind != Kind::BadRequest;
    Trouble {
        title: texts
            .say(if may_pass {
                "trash.cannotList"
            } else {
                "page.notRight"
            })
            .into(),
        detail: match problem.kind {
            Kind::NotReady => Said::own(texts.say("page.listComes")),
            _ => Said::problem(texts, problem),
        },
        may_pass,
    }
}

impl Kept {
    fn new(texts: &Texts, status: &ClusterStatus) -> Self {
        let (trash, former) = (&status.trash, &status.former_versions);
        let mut space = Vec::new();
        if trash.files + trash.folders > 0 {
            let files = texts.count("units.files", trash.files);
            let folders = texts.count("units.folders", trash.folders);
            let size = texts.size(trash.bytes);
            let values = [("files", &*files), ("folders", &folders), ("size", &size)];
            space.push(texts.fill("trash.here", &values));
        }
        let versions_for = texts.span(former.kept_ms);
        if former.versions > 0 {
            let size = texts.size(former.bytes);
            let values = [("size", &*size), ("span", &versions_for)];
            space.push(texts.fill("trash.former", &values));
        }
        Self {
            about: texts.fill("trash.about", &[("span", &texts.span(trash.kept_ms))]),
            versions_for,
            space: space.join(" "),
        }
    }
}

impl Row {
    fn new(texts: &Texts, row: &TrashEntry) -> Self {
        let (kind, size) = match &row.entry {
            Entry::Folder { .. } => ("folder", String::new()),
            Entry::File { size, .. } => ("file", texts.size(*size)),
        };
        let name = row.path.name().map_or("", EntryName::as_str).to_owned();
        let place = match row.path.split_last() {
            Some((folder, _)) if !folder.is_root() => folder.to_string(),
            _ => texts.say("files.root").to_owned(),
        };
        let (time, time_text) = present::time(texts, row.deleted_ms);
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
