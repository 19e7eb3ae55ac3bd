//! What whoever has a share link sees: a page of its own, without the rest of the drive. It works without a script.

use std::time::Duration;

use askama::Template;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use client::people;
use proto::master::{Entry, FolderListed};
use proto::name::{EntryName, EntryPath};

use super::answer;
use crate::error::{Kind, Problem};
use crate::guard::page_policy;
use crate::location;
use crate::present::{self, NamePart};
use crate::routes::receiver::Visit;

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
    title: Vec<NamePart>,
    title_text: String,
    content: Content,
}

/// What there is to see.
enum Content {
    /// Why there is nothing.
    Closed { text: String },
    /// A password is asked for.
    Locked {
        address: String,
        wrong: Option<String>,
    },
    /// One file.
    File {
        about: String,
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
    NotAdded(Kind, String),
}

impl Closed {
    fn parts(&self) -> (StatusCode, &str, &str) {
        match self {
            Self::Unknown => (
                StatusCode::NOT_FOUND,
                "This link leads nowhere",
                "It may be incomplete, or whoever shared it has ended it. Ask them for a new one.",
            ),
            Self::Expired => (
                StatusCode::GONE,
                "This link has expired",
                "Ask whoever shared it for a new one.",
            ),
            Self::Gone => (
                StatusCode::GONE,
                "What was shared is no longer there",
                "It was deleted. If it is restored, this link works again.",
            ),
            Self::UsedUp => (
                StatusCode::GONE,
                "This link was used up",
                "It was downloaded as often as it may be. Ask whoever shared it for a new one.",
            ),
            Self::Locked(_) => (
                StatusCode::FORBIDDEN,
                "This link asks for a password",
                "Open it and give the password first.",
            ),
            Self::Missing => (
                StatusCode::NOT_FOUND,
                "There is nothing at this address",
                "It may have been moved, renamed or deleted since.",
            ),
            Self::Trouble(kind) => (
                kind.status(),
                "This cannot be shown right now",
                "The storage behind it does not answer as it should. Try again in a while.",
            ),
            Self::NotAdded(kind, detail) => (kind.status(), "Not everything was stored", detail),
        }
    }

    /// As a page.
    pub(crate) fn view(self) -> View {
        if let Self::Locked(visit) = self {
            return locked(&visit, StatusCode::OK, None);
        }
        let (status, title, text) = self.parts();
        View::new(
            status,
            present::name_parts(title),
            Content::Closed { text: text.into() },
        )
    }

    /// For a script.
    pub(crate) fn problem(&self) -> Problem {
        let (_, title, text) = self.parts();
        let kind = match self {
            Self::Trouble(kind) | Self::NotAdded(kind, _) => *kind,
            Self::Locked(_) => Kind::PasswordNeeded,
            _ => Kind::NotFound,
        };
        Problem::new(kind, format!("{title}. {text}"))
    }
}

impl View {
    fn new(status: StatusCode, title: Vec<NamePart>, content: Content) -> Self {
        let template = ReceiverView {
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
    pub(crate) fn answer(self, uri: &Uri, headers: &HeaderMap) -> Response {
        let mut response = answer(&self.template, self.status, page_policy(uri, headers));
        if let Some(seconds) = self.retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn locked(visit: &Visit, status: StatusCode, wrong: Option<String>) -> View {
    View::new(
        status,
        present::name_parts("A password, please"),
        Content::Locked {
            address: visit.address(),
            wrong,
        },
    )
}

/// The form again.
pub(crate) fn wrong_password(visit: &Visit) -> View {
    let text = "That is not the password. Check how it is written, and try again.";
    locked(visit, StatusCode::FORBIDDEN, Some(text.into()))
}

/// The form, for later.
pub(crate) fn too_many_guesses(visit: &Visit, wait: Duration) -> View {
    let seconds = wait.as_secs().max(1);
    let text = format!(
        "Too many wrong passwords were tried on this link. Try again in {}.",
        present::span(seconds * 1000)
    );
    let mut view = locked(visit, StatusCode::TOO_MANY_REQUESTS, Some(text));
    view.retry_after = Some(seconds);
    view
}

/// One file.
pub(crate) fn file(visit: &Visit, size: u64, modified_ms: u64) -> View {
    let (time, time_text) = present::time(modified_ms);
    View::new(
        StatusCode::OK,
        present::name_parts(visit.found.share.name.as_str()),
        Content::File {
            about: people::size(size),
            time,
            time_text,
            address: format!("{}/file", visit.address()),
        },
    )
}

/// A folder, or one below it.
pub(crate) fn folder(
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
        .filter_map(|entry| Row::new(visit, below, &entry))
        .collect();
    rows.sort_by_cached_key(|row| (row.kind == "file", row.name.to_lowercase()));
    let name = below.name().unwrap_or(&visit.found.share.name);
    View::new(
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
pub(crate) fn adding(visit: &Visit, received: Option<u32>) -> View {
    let received = received.filter(|count| *count > 0);
    View::new(
        StatusCode::OK,
        present::name_parts(visit.found.share.name.as_str()),
        Content::Adding {
            address: format!("{}/files", visit.address()),
            received: received.map(|files| people::count(files, "file")),
        },
    )
}

impl Row {
    fn new(visit: &Visit, below: &EntryPath, entry: &Entry) -> Option<Self> {
        let name: &EntryName = entry.name()?;
        let path = below.join(name.clone()).ok()?;
        let (kind, size, modified_ms) = match entry {
            Entry::Folder { modified_ms, .. } => ("folder", None, *modified_ms),
            Entry::File {
                size, modified_ms, ..
            } => ("file", Some(*size), *modified_ms),
        };
        let (time, time_text) = present::time(modified_ms);
        Some(Self {
            kind,
            parts: present::name_parts(name.as_str()),
            name: name.as_str().to_owned(),
            address: match kind {
                "folder" => page_address(visit, &path),
                _ => format!("{}/file{}", visit.address(), location::encode(&path)),
            },
            size: size.map(people::size).unwrap_or_default(),
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
