//! What a search found, as a page of its own: the same list as a folder's, and each row says in which folder it is.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use client::Error;
use proto::master::{FoundEntry, NamesFound, SearchCursor};
use proto::name::EntryPath;
use serde::Deserialize;

use super::{FolderView, Page, Row, Trouble, Whereabouts, answer, folder_text, page_address};
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::present::{self, NamePart};
use crate::readiness::Known;
use crate::said::Said;
use crate::texts::Texts;
use crate::{AppState, Shared, location};

/// Rows of one page, as in search.js.
const ROWS: usize = 50;
/// How often the master is asked for one page: each time it looks at a bounded number of names.
const CALLS_MAX: usize = 20;
/// Where the page of a search is.
const SEARCH: &str = "/search";

/// What is looked for, and from where on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchQuery {
    #[serde(default)]
    text: String,
    after: Option<SearchCursor>,
}

/// `GET /search`
pub(crate) async fn search(
    State(state): State<Shared>,
    query: Result<QueryOf<SearchQuery>, Problem>,
    page: Page,
) -> Response {
    let known = state.status.get(&*state.drive).await;
    let (query, problem) = match query {
        Ok(QueryOf(query)) => (query, None),
        Err(problem) => (
            SearchQuery {
                text: String::new(),
                after: None,
            },
            Some(problem),
        ),
    };
    let continued = query.after.is_some();
    let mut view = FolderView::new(page, &EntryPath::ROOT, &known, continued);
    view.upload_request_max = state.upload_request_max;
    view.become_search(&query.text);
    let found = match (problem, &known) {
        (Some(problem), _) => Err(problem),
        (None, Known::Unknown(_)) => Err(known.readiness().problem()),
        // Nothing was asked yet.
        (None, Known::Status(_)) if query.text.trim().is_empty() => Ok(NamesFound {
            found: Vec::new(),
            next: None,
        }),
        (None, Known::Status(_)) => find(&state, &query.text, query.after)
            .await
            .map_err(Problem::from),
    };
    let status = match found {
        Ok(page) => {
            view.show_found(page);
            StatusCode::OK
        }
        Err(problem) => {
            let status = problem.kind.status();
            view.trouble = Some(trouble(view.texts, &problem));
            status
        }
    };
    answer(&view, status, &view.page)
}

/// Goes on until there is a page of them, all was looked at, or it takes too long.
async fn find(
    state: &AppState,
    text: &str,
    mut after: Option<SearchCursor>,
) -> Result<NamesFound, Error> {
    let mut found = Vec::new();
    for _ in 0..CALLS_MAX {
        let wanted = u32::try_from(ROWS - found.len()).expect("a page is small");
        let page = state
            .drive
            .search(text, &EntryPath::ROOT, after, wanted)
            .await?;
        found.extend(page.found);
        after = page.next;
        if after.is_none() || found.len() >= ROWS {
            break;
        }
    }
    Ok(NamesFound { found, next: after })
}

fn trouble(texts: &Texts, problem: &Problem) -> Trouble {
    let may_pass = !matches!(problem.kind, Kind::InvalidArgument | Kind::BadRequest);
    Trouble {
        title: texts
            .say(if may_pass {
                "search.cannotLook"
            } else {
                "search.cannotBe"
            })
            .into(),
        detail: Said::problem(texts, problem),
        may_pass,
    }
}

/// The address of a search, or of what follows in it.
fn address(text: &str, after: Option<&SearchCursor>) -> String {
    let text = location::encode_text(text);
    match after {
        Some(after) => {
            let after = location::encode_text(&after.to_string());
            format!("{SEARCH}?text={text}&after={after}")
        }
        None => format!("{SEARCH}?text={text}"),
    }
}

impl FolderView {
    fn become_search(&mut self, text: &str) {
        self.title = if text.trim().is_empty() {
            present::name_parts(self.texts.say("search.title"))
        } else {
            let quoted = [("text", text.trim())];
            present::name_parts(&self.texts.fill("search.quoted", &quoted))
        };
        self.title_text = self.title.iter().map(NamePart::as_str).collect();
        self.crumbs = vec![super::crumb(self.texts, &EntryPath::ROOT)];
        self.own_address = address(text, None);
        self.search = Some(text.to_owned());
    }

    fn show_found(&mut self, page: NamesFound) {
        let texts = self.texts;
        let text = self.search.as_deref().unwrap_or_default();
        self.next_address = page.next.map(|next| address(text, Some(&next)));
        self.rows = page
            .found
            .into_iter()
            .filter_map(|found| Row::found(texts, found))
            .collect();
        let key = match (&self.next_address, self.rows.len()) {
            _ if text.trim().is_empty() => "search.hint",
            (Some(_), _) => "search.foundSoFar",
            (None, 0) if !self.continued => "search.none",
            (None, _) if self.continued => "search.foundMore",
            (None, _) => "search.found",
        };
        self.found_text = texts.count(key, self.rows.len() as u64);
    }
}

impl Row {
    /// With the folder that it is in.
    fn found(texts: &Texts, found: FoundEntry) -> Option<Self> {
        let (folder, _) = found.path.split_last()?;
        let mut row = Self::new(texts, &folder, found.entry)?;
        row.whereabouts = Some(Whereabouts {
            path: found.path.to_string(),
            folder: present::name_parts(&folder_text(texts, &folder)),
            address: page_address(&folder),
        });
        Some(row)
    }
}
