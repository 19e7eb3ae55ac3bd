//! The page, rendered here so that the list and downloads work without a script; scripts do the rest by the API.

pub(crate) mod cluster;
pub(crate) mod receiver;
pub(crate) mod search;
mod shares;
mod trash;
pub(crate) mod view;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use client::people;
use proto::master::{BrowseCursor, ClusterStatus, Entry, FolderBrowsed, Health};
use proto::name::{EntryName, EntryPath};
use serde::Deserialize;

use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::guard::page_policy;
use crate::location::{self, FolderPath};
use crate::present::{self, NamePart};
use crate::preview;
use crate::readiness::Known;
use crate::{AppState, Shared};

pub(crate) use shares::shares;
pub(crate) use trash::trash;

/// Rows of one page.
const ROWS: u32 = 200;
/// What people call the root.
const ROOT_NAME: &str = "All files";

/// How often the master is asked for one page: each time it looks at a bounded number of names.
const CALLS_MAX: usize = 20;

/// Which part of a folder, and in which order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    after: Option<BrowseCursor>,
    /// Without `after`: from this name on.
    from: Option<EntryName>,
    /// What the page's script sorts by; without it, all is in the cluster's order.
    #[serde(rename = "sort")]
    _sort: Option<String>,
}

/// A folder, what a search found, or why neither can be shown.
#[derive(Template)]
#[template(path = "folder.html")]
struct FolderView {
    path: String,
    title: Vec<NamePart>,
    /// The same as text, where no element can stand.
    title_text: String,
    crumbs: Vec<Crumb>,
    status: StatusView,
    /// Why the list is not there.
    trouble: Option<Trouble>,
    rows: Vec<Row>,
    /// What is looked for, where it is no folder.
    search: Option<String>,
    /// How much was found.
    found_text: String,
    /// Whether the page begins in the middle of the folder.
    continued: bool,
    own_address: String,
    /// Of the folder with all that is in it.
    zip_address: String,
    next_address: Option<String>,
    rows_max: u32,
    upload_request_max: Option<u64>,
}

struct Crumb {
    name: Vec<NamePart>,
    address: String,
}

struct Trouble {
    title: String,
    detail: String,
    /// Whether it may be gone if one tries again.
    may_pass: bool,
}

/// The dot, and what it means.
struct StatusView {
    colour: &'static str,
    word: &'static str,
    sentences: Vec<String>,
    /// How much is stored, and how much more could be; status.js says the same.
    storage: Option<String>,
}

struct Row {
    kind: &'static str,
    name: String,
    parts: Vec<NamePart>,
    /// In which folder it is, where that is not the one that is shown.
    whereabouts: Option<Whereabouts>,
    /// What a click on the name opens.
    address: String,
    /// Present for images.
    thumbnail_address: Option<String>,
    /// Present for files.
    download_address: Option<String>,
    /// Present for folders.
    zip_address: Option<String>,
    size: String,
    /// For the script: the size, 0 of a folder; when it was changed; the version, 0 of a folder.
    bytes: u64,
    modified_ms: u64,
    version: u64,
    time: String,
    time_text: String,
}

struct Whereabouts {
    /// Of the entry itself.
    path: String,
    folder: Vec<NamePart>,
    address: String,
}

/// `GET /` and `GET /folder/{path}`
pub(crate) async fn folder(
    State(state): State<Shared>,
    path: Result<FolderPath, Problem>,
    query: Result<QueryOf<PageQuery>, Problem>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let known = state.status.get(&*state.drive).await;
    let (path, problem) = match path {
        Ok(FolderPath(path)) => (path, None),
        Err(problem) => (EntryPath::ROOT, Some(problem)),
    };
    let (query, problem) = match query {
        Ok(QueryOf(query)) => (Some(query), problem),
        Err(wrong) => (None, problem.or(Some(wrong))),
    };
    let (after, from) = query.map_or((None, None), |query| (query.after, query.from));
    let continued = after.is_some() || from.is_some();
    let listed = match (problem, &known) {
        (Some(problem), _) => Err(problem),
        // It would take as long again to find out that there is no list either.
        (None, Known::Unknown(_)) => Err(known.readiness().problem()),
        (None, Known::Status(_)) => browse(&state, &path, after, from).await,
    };
    let mut view = FolderView::new(&path, StatusView::new(&known), continued);
    view.upload_request_max = state.upload_request_max;
    let status = match listed {
        Ok(listed) => {
            view.next_address = listed.next.map(|next| {
                let next = location::encode_text(&next.to_string());
                format!("{}?after={next}", view.own_address)
            });
            view.rows = rows(&path, listed.entries);
            StatusCode::OK
        }
        Err(problem) => {
            let status = problem.kind.status();
            view.trouble = Some(Trouble::new(&path, problem));
            status
        }
    };
    answer(&view, status, page_policy(&uri, &headers))
}

/// Goes on until there is a page of entries, all were looked at, or it takes too long.
async fn browse(
    state: &AppState,
    path: &EntryPath,
    mut after: Option<BrowseCursor>,
    mut from: Option<EntryName>,
) -> Result<FolderBrowsed, Problem> {
    let mut entries = Vec::new();
    for _ in 0..CALLS_MAX {
        let wanted = ROWS - u32::try_from(entries.len()).expect("a page is small");
        let page = state.drive.browse(path, after, from.take(), wanted).await?;
        entries.extend(page.entries);
        after = page.next;
        if after.is_none() || entries.len() >= ROWS as usize {
            break;
        }
    }
    Ok(FolderBrowsed {
        entries,
        next: after,
    })
}

/// Any other address, for somebody who looks at it in a browser.
pub(crate) async fn nothing_there(state: Shared, uri: &Uri, headers: &HeaderMap) -> Response {
    let known = state.status.get(&*state.drive).await;
    let mut view = FolderView::new(&EntryPath::ROOT, StatusView::new(&known), false);
    view.trouble = Some(Trouble {
        title: "There is no page at this address".into(),
        detail: "It may be mistyped: the pages of folders begin with /folder/, and that of the trash is /trash.".into(),
        may_pass: false,
    });
    answer(&view, StatusCode::NOT_FOUND, page_policy(uri, headers))
}

fn answer(view: &impl Template, status: StatusCode, policy: HeaderValue) -> Response {
    match view.render() {
        Ok(html) => {
            let fields = [
                (header::CONTENT_SECURITY_POLICY, policy),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (status, fields, Html(html)).into_response()
        }
        Err(error) => {
            Problem::new(Kind::Internal, format!("render the page: {error}")).into_response()
        }
    }
}

impl FolderView {
    fn new(path: &EntryPath, status: StatusView, continued: bool) -> Self {
        let title = present::name_parts(path.name().map_or(ROOT_NAME, EntryName::as_str));
        Self {
            path: path.to_string(),
            title_text: title.iter().map(NamePart::as_str).collect(),
            title,
            crumbs: crumbs(path),
            status,
            trouble: None,
            rows: Vec::new(),
            search: None,
            found_text: String::new(),
            continued,
            own_address: page_address(path),
            zip_address: zip_address(path),
            next_address: None,
            rows_max: ROWS,
            upload_request_max: None,
        }
    }
}

impl Trouble {
    fn new(path: &EntryPath, problem: Problem) -> Self {
        let title = match problem.kind {
            Kind::NotFound => format!("There is no folder {path}"),
            Kind::NotAFolder => format!("{path} is a file"),
            Kind::InvalidArgument | Kind::BadRequest => "This address cannot be right".into(),
            _ => "The files cannot be listed right now".into(),
        };
        let detail = match problem.kind {
            Kind::NotFound => "It may have been moved, renamed or deleted.".into(),
            Kind::NotReady => "As soon as the master answers, the list is here again.".into(),
            Kind::NotAFolder => "A file has no page; it can be downloaded from its folder.".into(),
            _ => problem.detail,
        };
        let may_pass = !matches!(
            problem.kind,
            Kind::NotFound | Kind::NotAFolder | Kind::InvalidArgument | Kind::BadRequest
        );
        Self {
            title,
            detail,
            may_pass,
        }
    }
}

impl StatusView {
    fn new(known: &Known) -> Self {
        let reasons = || {
            let reasons = known.readiness().reasons;
            reasons.into_iter().map(|reason| reason.message).collect()
        };
        let (colour, word, sentences) = match known {
            Known::Unknown(_) => ("red", "Not ready", reasons()),
            Known::Status(status) if !status.uploads_possible => ("red", "Not ready", reasons()),
            Known::Status(status) => {
                let problems = status.problems.iter();
                let sentences = problems.map(|problem| problem.message.clone()).collect();
                match status.health {
                    Health::Green => ("green", "Ready", sentences),
                    Health::Yellow => ("yellow", "Ready, with a warning", sentences),
                    Health::Red => ("red", "Needs attention", sentences),
                }
            }
        };
        let storage = match known {
            Known::Unknown(_) => None,
            Known::Status(status) => Some(storage(status)),
        };
        Self {
            colour,
            word,
            sentences,
            storage,
        }
    }
}

/// What lies in the trash and former versions are used, too: they can be had back.
fn storage(status: &ClusterStatus) -> String {
    let used = status.file_bytes + status.trash.bytes + status.former_versions.bytes;
    format!(
        "{} used, room for about {} more.",
        people::size(used),
        people::size(status.room_bytes)
    )
}

impl Row {
    fn new(folder: &EntryPath, entry: Entry) -> Option<Self> {
        let (kind, name, size, modified_ms, version) = match entry {
            Entry::Folder { name, modified_ms } => ("folder", name?, None, modified_ms, 0),
            Entry::File {
                name,
                size,
                modified_ms,
                version,
            } => ("file", name, Some(size), modified_ms, version.0),
        };
        let path = folder.join(name.clone()).ok()?;
        let file_address = format!("/api/v1/files{}", location::encode(&path));
        let (time, time_text) = present::time(modified_ms);
        let has_thumbnail = size.is_some() && preview::has_thumbnail(name.as_str());
        let thumbnail_address = has_thumbnail.then(|| {
            let thumbnails = location::THUMBNAILS.trim_end_matches('/');
            format!("{thumbnails}{}?version={version}", location::encode(&path))
        });
        Some(Self {
            kind,
            thumbnail_address,
            parts: present::name_parts(name.as_str()),
            name: name.as_str().to_owned(),
            whereabouts: None,
            address: size.map_or_else(|| page_address(&path), |_| view::view_address(&path, None)),
            zip_address: size.is_none().then(|| zip_address(&path)),
            download_address: size.map(|_| format!("{file_address}?download=1")),
            size: size.map(people::size).unwrap_or_default(),
            bytes: size.unwrap_or_default(),
            modified_ms,
            version,
            time,
            time_text,
        })
    }
}

/// Folders first, each by name as people read it: the cluster's order is that of bytes.
fn rows(folder: &EntryPath, entries: Vec<Entry>) -> Vec<Row> {
    let mut rows: Vec<Row> = entries
        .into_iter()
        .filter_map(|entry| Row::new(folder, entry))
        .collect();
    rows.sort_by_cached_key(|row| {
        (
            row.kind == "file",
            row.name.to_lowercase(),
            row.name.clone(),
        )
    });
    rows
}

/// The folders above, from the root down.
fn crumbs(path: &EntryPath) -> Vec<Crumb> {
    let mut crumbs = Vec::new();
    let mut at = path.clone();
    while let Some((parent, _)) = at.split_last() {
        crumbs.push(crumb(&parent));
        at = parent;
    }
    crumbs.reverse();
    crumbs
}

fn crumb(folder: &EntryPath) -> Crumb {
    Crumb {
        name: present::name_parts(folder.name().map_or(ROOT_NAME, EntryName::as_str)),
        address: page_address(folder),
    }
}

fn page_address(folder: &EntryPath) -> String {
    if folder.is_root() {
        "/".into()
    } else {
        format!("{}{}", location::PAGES, location::encode(folder))
    }
}

fn zip_address(folder: &EntryPath) -> String {
    format!("{}{}", location::ZIPS, location::encode(folder))
}
