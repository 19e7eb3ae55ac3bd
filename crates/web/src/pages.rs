//! The page, rendered here so that the list and downloads work without a script; scripts do the rest by the API.

pub(crate) mod cluster;
mod heads;
mod page;
pub(crate) mod receiver;
pub(crate) mod search;
mod shares;
mod trash;
pub(crate) mod view;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use proto::master::{
    BrowseCursor, BrowseOrder, ClusterStatus, Entry, FolderBrowsed, Health, SortedBy,
};
use proto::name::{EntryName, EntryPath};
use serde::Deserialize;

use crate::error::{Kind, Problem, Reason};
use crate::extract::QueryOf;
use crate::location::{self, FolderPath};
use crate::present::{self, NamePart};
use crate::preview;
use crate::readiness::Known;
use crate::routes::batch::CONTENT_LEN_MAX;
use crate::routes::zip::NAMES_MAX;
use crate::said::Said;
use crate::texts::Texts;
use crate::{AppState, Shared};

use heads::{Head, order_of, with_order};
pub(crate) use page::Page;
pub(crate) use shares::shares;
pub(crate) use trash::trash;

/// Rows of one page.
const ROWS: u32 = 200;

/// How often the master is asked for one page: each time it looks at a bounded number of names.
const CALLS_MAX: usize = 20;

/// Which part of a folder, and in which order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    after: Option<BrowseCursor>,
    /// Without `after`: from this name on.
    from: Option<EntryName>,
    /// See `heads.rs`.
    sort: Option<String>,
}

/// A folder, what a search found, or why neither can be shown.
#[derive(Template)]
#[template(path = "folder.html")]
struct FolderView {
    page: Page,
    texts: &'static Texts,
    path: String,
    title: Vec<NamePart>,
    /// The same as text, where no element can stand.
    title_text: String,
    crumbs: Vec<Crumb>,
    status: StatusView,
    /// Why the list is not there.
    trouble: Option<Trouble>,
    heads: Vec<Head>,
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
    /// The longest file that goes together with others.
    small_file_max: u64,
    /// Entries that can be chosen for one zip.
    zip_names_max: usize,
    upload_request_max: Option<u64>,
}

struct Crumb {
    name: Vec<NamePart>,
    address: String,
}

struct Trouble {
    title: String,
    detail: Said,
    /// Whether it may be gone if one tries again.
    may_pass: bool,
}

/// The dot, and what it means.
struct StatusView {
    colour: &'static str,
    /// Whether uploads would succeed.
    is_ready: bool,
    /// The key of a text.
    word: &'static str,
    sentences: Vec<Said>,
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
    page: Page,
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
    let (after, from, order) = query.map_or_else(Default::default, |query| {
        (query.after, query.from, order_of(query.sort.as_deref()))
    });
    let continued = after.is_some() || from.is_some();
    let listed = match (problem, &known) {
        (Some(problem), _) => Err(problem),
        // It would take as long again to find out that there is no list either.
        (None, Known::Unknown(_)) => Err(known.readiness().problem()),
        (None, Known::Status(_)) => browse(&state, &path, order, after, from).await,
    };
    let mut view = FolderView::new(page, &path, &known, continued);
    view.upload_request_max = state.upload_request_max;
    view.heads = heads::of_folder(view.texts, &page_address(&path), order);
    view.own_address = with_order(&page_address(&path), None, order);
    let status = match listed {
        Ok(listed) => {
            view.next_address = listed.next.map(|next| {
                let next = location::encode_text(&next.to_string());
                with_order(&page_address(&path), Some(&next), order)
            });
            view.rows = rows(view.texts, &path, listed.entries, order);
            StatusCode::OK
        }
        Err(problem) => {
            let status = problem.kind.status();
            view.trouble = Some(Trouble::new(view.texts, &path, &problem));
            status
        }
    };
    answer(&view, status, &view.page)
}

/// Goes on until there is a page of entries, all were looked at, or it takes too long.
async fn browse(
    state: &AppState,
    path: &EntryPath,
    order: BrowseOrder,
    mut after: Option<BrowseCursor>,
    mut from: Option<EntryName>,
) -> Result<FolderBrowsed, Problem> {
    let mut entries = Vec::new();
    for _ in 0..CALLS_MAX {
        let wanted = ROWS - u32::try_from(entries.len()).expect("a page is small");
        let page = state.drive.browse(path, order, after, from.take(), wanted);
        let page = page.await?;
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
pub(crate) async fn nothing_there(state: Shared, page: Page) -> Response {
    let known = state.status.get(&*state.drive).await;
    let mut view = FolderView::new(page, &EntryPath::ROOT, &known, false);
    view.title_text = view.texts.say("page.notFound").to_owned();
    view.title = present::name_parts(&view.title_text);
    view.crumbs = vec![crumb(view.texts, &EntryPath::ROOT)];
    view.trouble = Some(Trouble {
        title: view.texts.say("page.nothingThere").to_owned(),
        detail: Said::own(view.texts.say("page.nothingThereText")),
        may_pass: false,
    });
    answer(&view, StatusCode::NOT_FOUND, &view.page)
}

fn answer(view: &impl Template, status: StatusCode, page: &Page) -> Response {
    match view.render() {
        Ok(html) => {
            let fields = [
                (header::CONTENT_SECURITY_POLICY, page.policy.clone()),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (
                    header::CONTENT_LANGUAGE,
                    HeaderValue::from_static(page.texts.code),
                ),
                (
                    header::VARY,
                    HeaderValue::from_static("Accept-Language, Cookie"),
                ),
            ];
            (status, fields, Html(html)).into_response()
        }
        Err(error) => {
            Problem::new(Kind::Internal, format!("render the page: {error}")).into_response()
        }
    }
}

impl FolderView {
    fn new(page: Page, path: &EntryPath, known: &Known, continued: bool) -> Self {
        let texts = page.texts;
        let title = present::name_parts(folder_name(texts, path));
        Self {
            page,
            texts,
            path: path.to_string(),
            title_text: title.iter().map(NamePart::as_str).collect(),
            title,
            crumbs: crumbs(texts, path),
            status: StatusView::new(texts, known),
            trouble: None,
            heads: heads::plain(texts),
            rows: Vec::new(),
            search: None,
            found_text: String::new(),
            continued,
            own_address: page_address(path),
            zip_address: zip_address(path),
            next_address: None,
            rows_max: ROWS,
            small_file_max: CONTENT_LEN_MAX,
            zip_names_max: NAMES_MAX,
            upload_request_max: None,
        }
    }
}

impl Trouble {
    fn new(texts: &Texts, path: &EntryPath, problem: &Problem) -> Self {
        let title = match problem.kind {
            Kind::NotFound => "files.noFolder",
            Kind::NotAFolder => "files.isFile",
            Kind::InvalidArgument | Kind::BadRequest => "page.notRight",
            _ => "files.cannotList",
        };
        let title = texts.fill(title, &[("path", &path.to_string())]);
        let detail = match problem.kind {
            Kind::NotFound => Said::own(texts.say("page.mayBeGone")),
            Kind::NotReady => Said::own(texts.say("page.listComes")),
            Kind::NotAFolder => Said::own(texts.say("files.isFileText")),
            _ => Said::problem(texts, problem),
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
    fn new(texts: &Texts, known: &Known) -> Self {
        let (colour, word) = match known {
            Known::Unknown(_) => ("red", "status.notReady"),
            Known::Status(status) if !status.uploads_possible => ("red", "status.notReady"),
            Known::Status(status) => match status.health {
                Health::Green => ("green", "status.ready"),
                Health::Yellow => ("yellow", "status.warning"),
                Health::Red => ("red", "status.attention"),
            },
        };
        let (reasons, status) = match known {
            Known::Status(status) if status.uploads_possible => {
                let problems = status.problems.iter().map(Reason::from);
                (problems.collect(), Some(&**status))
            }
            Known::Status(status) => (known.readiness().reasons, Some(&**status)),
            Known::Unknown(_) => (known.readiness().reasons, None),
        };
        let sentences = reasons.iter();
        let sentences = sentences.map(|reason| Said::reason(texts, reason, status));
        let sentences = sentences.collect();
        let storage = status.map(|status| storage(texts, status));
        Self {
            colour,
            is_ready: status.is_some_and(|status| status.uploads_possible),
            word,
            sentences,
            storage,
        }
    }
}

/// What lies in the trash and former versions are used, too: they can be had back.
fn storage(texts: &Texts, status: &ClusterStatus) -> String {
    let used = status.file_bytes + status.trash.bytes + status.former_versions.bytes;
    let (used, free) = (texts.size(used), texts.size(status.room_bytes));
    texts.fill("page.storage", &[("used", &used), ("free", &free)])
}

impl Row {
    fn new(texts: &Texts, folder: &EntryPath, entry: Entry) -> Option<Self> {
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
        let (time, time_text) = present::time(texts, modified_ms);
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
            size: size.map(|size| texts.size(size)).unwrap_or_default(),
            bytes: size.unwrap_or_default(),
            modified_ms,
            version,
            time,
            time_text,
        })
    }
}

/// Folders first. In an order by name, each by name as people read it: the cluster's order is that of bytes.
fn rows(texts: &Texts, folder: &EntryPath, entries: Vec<Entry>, order: BrowseOrder) -> Vec<Row> {
    let mut rows: Vec<Row> = entries
        .into_iter()
        .filter_map(|entry| Row::new(texts, folder, entry))
        .collect();
    if order.by == SortedBy::Name {
        rows.sort_by_cached_key(|row| (row.name.to_lowercase(), row.name.clone()));
        if order.is_descending {
            rows.reverse();
        }
        rows.sort_by_key(|row| row.kind == "file");
    }
    rows
}

/// The folders above, from the root down.
fn crumbs(texts: &Texts, path: &EntryPath) -> Vec<Crumb> {
    let mut crumbs = Vec::new();
    let mut at = path.clone();
    while let Some((parent, _)) = at.split_last() {
        crumbs.push(crumb(texts, &parent));
        at = parent;
    }
    crumbs.reverse();
    crumbs
}

/// What people call a folder.
fn folder_name<'a>(texts: &'a Texts, folder: &'a EntryPath) -> &'a str {
    let name = folder.name().map(EntryName::as_str);
    name.unwrap_or_else(|| texts.say("files.root"))
}

/// Where a folder is, with those above it.
fn folder_text(texts: &Texts, folder: &EntryPath) -> String {
    if folder.is_root() {
        return texts.say("files.root").to_owned();
    }
    let names: Vec<_> = folder.names().iter().map(EntryName::as_str).collect();
    names.join(" / ")
}

fn crumb(texts: &Texts, folder: &EntryPath) -> Crumb {
    Crumb {
        name: present::name_parts(folder_name(texts, folder)),
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
