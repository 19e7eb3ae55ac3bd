//! What a search found, as a page of its own: the same list as a folder's, and each row says in which folder it is.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use client::Error;
use client::people::grouped;
use proto::master::{FoundEntry, NamesFound, SearchCursor};
use proto::name::{EntryName, EntryPath};
use serde::Deserialize;

use super::{FolderView, Row, StatusView, Trouble, Whereabouts, answer, page_address};
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::guard::page_policy;
use crate::present::{self, NamePart};
use crate::readiness::Known;
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
    uri: Uri,
    headers: HeaderMap,
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
    let mut view = FolderView::new(&EntryPath::ROOT, StatusView::new(&known), continued);
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
            view.trouble = Some(trouble(problem));
            status
        }
    };
    answer(&view, status, page_policy(&uri, &headers))
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

fn trouble(problem: Problem) -> Trouble {
    let may_pass = !matches!(problem.kind, Kind::InvalidArgument | Kind::BadRequest);
    Trouble {
        title: if may_pass {
            "Nothing can be looked for right now".into()
        } else {
            "This cannot be looked for".into()
        },
        detail: problem.detail,
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
            present::name_parts("Search")
        } else {
            present::name_parts(&format!("“{}”", text.trim()))
        };
        self.title_text = self.title.iter().map(NamePart::as_str).collect();
        self.crumbs = vec![super::crumb(&EntryPath::ROOT)];
        self.own_address = address(text, None);
        self.search = Some(text.to_owned());
    }

    fn show_found(&mut self, page: NamesFound) {
        let text = self.search.as_deref().unwrap_or_default();
        self.next_address = page.next.map(|next| address(text, Some(&next)));
        self.rows = page.found.into_iter().filter_map(Row::found).collect();
        let many = grouped(self.rows.len() as u64);
        self.found_text = match (&self.next_address, self.rows.len()) {
            _ if text.trim().is_empty() => "Type a part of a name in the field above.".into(),
            (Some(_), _) => format!("{many} found so far; there may be more."),
            (None, 0) if !self.continued => "No name has all these words.".into(),
            (None, _) if self.continued => format!("{many} more found; that is all."),
            (None, _) => format!("{many} found."),
        };
    }
}

impl Row {
    /// With the folder that it is in.
    fn found(found: FoundEntry) -> Option<Self> {
        let (folder, _) = found.path.split_last()?;
        let mut row = Self::new(&folder, found.entry)?;
        row.whereabouts = Some(Whereabouts {
            path: found.path.to_string(),
            folder: present::name_parts(&folder_text(&folder)),
            address: page_address(&folder),
        });
        Some(row)
    }
}

fn folder_text(folder: &EntryPath) -> String {
    if folder.is_root() {
        return super::ROOT_NAME.into();
    }
    let names: Vec<_> = folder.names().iter().map(EntryName::as_str).collect();
    names.join(" / ")
}
