//! What whoever has a share link sees: a page of its own, without the rest of the drive. It works without a script.

use std::time::Duration;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use proto::master::{Entry, FolderListed};
use proto::name::{EntryName, EntryPath};

use super::{Page, answer};
use crate::error::{Kind, Problem};
use crate::location;
use crate::present::{self, NamePart};
use crate::routes::receiver::Visit;
use crate::said::Said;
use crate::texts::{self, Texts};

/// Rows of one page.
pub(crate) const ROWS: u32 = 500;

/// The page, and with which status it is answered.
pub(crate) struct View {
    status: StatusCode,
    retry_after: Option<u64>,
    template: ReceiverView,
}

#[derive(Template)]
#[template(path = "receiver.html")]
struct ReceiverView {
    page: Page,
    texts: &'static Texts,
    title: Vec<NamePart>,
    title_text: String,
    content: Content,
}

/// What there is to see.
enum Content {
    /// Why there is nothing.
    Closed { text: Said },
    /// A password is asked for.
    Locked {
        address: String,
        wrong: Option<String>,
    },
    /// One file.
    File {
        /// What stands before the time and behind it.
        about: (String, String),
        time: String,
        time_text: String,
        address: String,
    },
    /// A folder.
    Folder {
        crumbs: Vec<Crumb>,
        zip: String,
        rows: Vec<Row>,
        first: Option<String>,
        next: Option<String>,
    },
    /// A folder to which files can be added.
    Adding {
        address: String,
        /// The same, where files go on in the middle, and the longest body that is sent there.
        uploads: String,
        upload_request_max: Option<u64>,
        /// Whoever sends may be asked for the password again.
        has_password: bool,
        received: Option<String>,
    },
}

struct Crumb {
    name: Vec<NamePart>,
    address: String,
}

struct Row {
    kind: &'static str,
    name: String,
    parts: Vec<NamePart>,
    address: String,
    size: String,
    time: String,
    time_text: String,
}

/// Why a link shows nothing.
pub(crate) enum Closed {
    /// There is no such link.
    Unknown,
    /// Its time is over.
    Expired,
    /// What it shares is in the trash, or gone.
    Gone,
    /// All downloads were begun.
    UsedUp,
    /// A password is asked for.
    Locked(Box<Visit>),
    /// There is nothing at this place of it.
    Missing,
    /// The cluster has a problem.
    Trouble(Kind),
    /// Files were not taken.
    NotAdded(Problem),
}

impl Closed {
    /// Its status, and the texts that say so.
    fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unknown => (
                StatusCode::NOT_FOUND,
                "receiver.unknown",
                "receiver.unknownText",
            ),
            Self::Expired => (StatusCode::GONE, "receiver.expired", "receiver.expiredText"),
            Self::Gone => (StatusCode::GONE, "receiver.gone", "receiver.goneText"),
            Self::UsedUp => (StatusCode::GONE, "receiver.usedUp", "receiver.usedUpText"),
            Self::Locked(_) => (
                StatusCode::FORBIDDEN,
                "receiver.locked",
                "receiver.lockedText",
            ),
            Self::Missing => (
                StatusCode::NOT_FOUND,
                "receiver.missing",
                "receiver.missingText",
            ),
            Self::Trouble(kind) => (kind.status(), "receiver.trouble", "receiver.troubleText"),
            Self::NotAdded(problem) => (problem.kind.status(), "receiver.notAdded", ""),
        }
    }

    /// As a page.
    pub(crate) fn view(self, page: &Page) -> View {
        let page = &page.at_link();
        if let Self::Locked(visit) = self {
            return locked(page, &visit, StatusCode::OK, None);
        }
        let (status, title, text) = self.parts();
        let text = match &self {
            Self::NotAdded(problem) => Said::problem(page.texts, problem),
            _ => Said::own(page.texts.say(text)),
        };
        let title = present::name_parts(page.texts.say(title));
        View::new(page, status, title, Content::Closed { text })
    }

    /// For a script.
    pub(crate) fn problem(self) -> Problem {
        let (_, title, text) = self.parts();
        let kind = match self {
            Self::NotAdded(problem) => return problem,
            Self::Trouble(kind) => kind,
            Self::Locked(_) => Kind::PasswordNeeded,
            _ => Kind::NotFound,
        };
        let texts = texts::servers();
        let (title, text) = (texts.say(title), texts.say(text));
        Problem::new(kind, format!("{title}. {text}"))
    }
}

impl View {
    fn new(page: &Page, status: StatusCode, title: Vec<NamePart>, content: Content) -> Self {
        let template = ReceiverView {
            page: page.clone(),
            texts: page.texts,
            title_text: title.iter().map(NamePart::as_str).collect(),
            title,
            content,
        };
        Self {
            status,
            retry_after: None,
            template,
        }
    }

    /// The answer.
    pub(crate) fn answer(self) -> Response {
        let mut response = answer(&self.template, self.status, &self.template.page);
        if let Some(seconds) = self.retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn locked(page: &Page, visit: &Visit, status: StatusCode, wrong: Option<String>) -> View {
    View::new(
        page,
        status,
        present::name_parts(page.texts.say("receiver.passwordTitle")),
        Content::Locked {
            address: visit.address(),
            wrong,
        },
    )
}

/// The form again.
pub(crate) fn wrong_password(page: &Page, visit: &Visit) -> View {
    let text = page.texts.say("receiver.wrong");
    locked(page, visit, StatusCode::FORBIDDEN, Some(text.into()))
}

/// The form, for later.
pub(crate) fn too_many_guesses(page: &Page, visit: &Visit, wait: Duration) -> View {
    let seconds = wait.as_secs().max(1);
    let span = page.texts.span(seconds * 1000);
    let text = page.texts.fill("receiver.tooMany", &[("span", &span)]);
    let mut view = locked(page, visit, StatusCode::TOO_MANY_REQUESTS, Some(text));
    view.retry_after = Some(seconds);
    view
}

/// One file.
pub(crate) fn file(page: &Page, visit: &Visit, size: u64, modified_ms: u64) -> View {
    let texts = page.texts;
    let (time, time_text) = present::time(texts, modified_ms);
    let size = texts.size(size);
    let about = texts.fill("receiver.changed", &[("size", &size)]);
    let (before, after) = about.split_once("{time}").unwrap_or((&about, ""));
    View::new(
        page,
        StatusCode::OK,
        present::name_parts(visit.found.share.name.as_str()),
        Content::File {
            about: (before.to_owned(), after.to_owned()),
            time,
            time_text,
            address: format!("{}/file", visit.address()),
        },
    )
}

/// A folder, or one below it.
pub(crate) fn folder(
    page: &Page,
    visit: &Visit,
    below: &EntryPath,
    continued: bool,
    listed: FolderListed,
) -> View {
    let own = page_address(visit, below);
    let last = listed.entries.last().and_then(Entry::name).cloned();
    let next = last
        .filter(|_| listed.more)
        .map(|name| format!("{own}?after={}", location::encode_text(name.as_str())));
    let mut rows: Vec<Row> = listed
        .entries
        .into_iter()
        .filter_map(|entry| Row::new(page.texts, visit, below, &entry))
        .collect();
    rows.sort_by_cached_key(|row| (row.kind == "file", row.name.to_lowercase()));
    let name = below.name().unwrap_or(&visit.found.share.name);
    View::new(
        page,
        StatusCode::OK,
        present::name_parts(name.as_str()),
        Content::Folder {
            crumbs: crumbs(visit, below),
            zip: format!("{}/zip{}", visit.address(), location::encode(below)),
            rows,
            first: continued.then_some(own),
            next,
        },
    )
}

/// A folder to which files can be added.
pub(crate) fn adding(
    page: &Page,
    visit: &Visit,
    upload_request_max: Option<u64>,
    received: Option<u32>,
) -> View {
    let received = received.filter(|count| *count > 0);
    let thanks = |files: u32| {
        let files = page.texts.count("units.files", files);
        page.texts.fill("receiver.thanks", &[("files", &files)])
    };
    View::new(
        page,
        StatusCode::OK,
        present::name_parts(visit.found.share.name.as_str()),
        Content::Adding {
            address: format!("{}/files", visit.address()),
            uploads: format!("{}/uploads", visit.address()),
            upload_request_max,
            has_password: visit.found.password.is_some(),
            received: received.map(thanks),
        },
    )
}

impl Row {
    fn new(texts: &Texts, visit: &Visit, below: &EntryPath, entry: &Entry) -> Option<Self> {
        let name: &EntryName = entry.name()?;
        let path = below.join(name.clone()).ok()?;
        let (kind, size, modified_ms) = match entry {
            Entry::Folder { modified_ms, .. } => ("folder", None, *modified_ms),
            Entry::File {
                size, modified_ms, ..
            } => ("file", Some(*size), *modified_ms),
        };
        let (time, time_text) = present::time(texts, modified_ms);
        Some(Self {
            kind,
            parts: present::name_parts(name.as_str()),
            name: name.as_str().to_owned(),
            address: match kind {
                "folder" => page_address(visit, &path),
                _ => format!("{}/file{}", visit.address(), location::encode(&path)),
            },
            size: size.map(|size| texts.size(size)).unwrap_or_default(),
            time,
            time_text,
        })
    }
}

fn page_address(visit: &Visit, below: &EntryPath) -> String {
    if below.is_root() {
        return visit.address();
    }
    format!("{}/folder{}", visit.address(), location::encode(below))
}

/// The folders above, from what is shared down.
fn crumbs(visit: &Visit, below: &EntryPath) -> Vec<Crumb> {
    let mut crumbs = Vec::new();
    let mut at = below.clone();
    while let Some((parent, _)) = at.split_last() {
        let name = parent.name().unwrap_or(&visit.found.share.name);
        crumbs.push(Crumb {
            name: present::name_parts(name.as_str()),
            address: page_address(visit, &parent),
        });
        at = parent;
    }
    crumbs.reverse();
    crumbs
}
