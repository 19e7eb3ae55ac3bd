//! The page of share links: what is shared, where it is, what is left of each link, and how to end one.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use proto::master::{Entry, Share};
use proto::name::EntryPath;

use super::{Page, ROWS, StatusView, Trouble, answer, folder_text, page_address};
use crate::Shared;
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::present::{self, NamePart};
use crate::readiness::Known;
use crate::receivers::now_ms;
use crate::routes::shares::{SharesQuery, next};
use crate::said::Said;
use crate::texts::Texts;

/// The links, or why they cannot be shown.
#[derive(Template)]
#[template(path = "shares.html")]
struct SharesView {
    page: Page,
    texts: &'static Texts,
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
    page: Page,
) -> Response {
    let known = state.status.get(&*state.drive).await;
    let before = query.map(|QueryOf(query)| query.before);
    let texts = page.texts;
    let mut view = SharesView {
        page,
        texts,
        status: StatusView::new(texts, &known),
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
            let rows = listed.shares.iter();
            view.rows = rows.map(|row| Row::new(texts, row, now)).collect();
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
                "shares.cannotList"
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

impl Row {
    fn new(texts: &Texts, share: &Share, now_ms: u64) -> Self {
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
            place: folder.map(|(folder, _)| Place::new(texts, &folder)),
            about: about(texts, share),
            downloads: downloads(texts, share),
            ends: share.expires_ms.map(|ends| present::time(texts, ends)),
            has_ended: share.is_expired(now_ms) || share.is_used_up(),
        }
    }

    /// The text that says when it ends, or did.
    fn until(&self) -> &'static str {
        if self.has_ended {
            "shares.ended"
        } else {
            "shares.until"
        }
    }
}

impl Place {
    fn new(texts: &Texts, folder: &EntryPath) -> Self {
        Self {
            name: present::name_parts(&folder_text(texts, folder)),
            address: page_address(folder),
        }
    }
}

fn about(texts: &Texts, share: &Share) -> String {
    let marks = [
        (share.upload_only, "shares.addsFiles"),
        (share.has_password, "shares.asksPassword"),
    ];
    let marks = marks.iter().filter(|(holds, _)| *holds);
    let marks: Vec<_> = marks.map(|(_, key)| texts.say(key)).collect();
    marks.join(", ")
}

fn downloads(texts: &Texts, share: &Share) -> String {
    match share.downloads_max {
        _ if share.upload_only => String::new(),
        Some(max) => {
            let begun = texts.number(share.downloads);
            let downloads = texts.count("units.downloads", max);
            let values = [("count", &*begun), ("downloads", &downloads)];
            texts.fill("shares.downloadsOf", &values)
        }
        None => texts.count("units.downloads", share.downloads),
    }
}
