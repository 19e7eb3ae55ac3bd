//! One file, looked at: `/view/{path}`. The same page without a script, and what viewer.js shows over a list.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use bytes::BytesMut;
use client::people;
use futures::StreamExt;
use proto::id::VersionId;
use proto::name::{EntryName, EntryPath};
use serde::Deserialize;

use super::{StatusView, Trouble, answer, page_address};
use crate::drive::OpenFile;
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::guard::page_policy;
use crate::headers::content_type;
use crate::headers::disposition::Disposition;
use crate::location::{self, ViewPath};
use crate::present::{self, NamePart};
use crate::preview::{self, Encoding, Shape};
use crate::readiness::Known;
use crate::{AppState, Shared};

/// A file, or why it cannot be shown.
#[derive(Template)]
#[template(path = "view.html")]
struct ViewView {
    status: StatusView,
    title: Vec<NamePart>,
    title_text: String,
    name: String,
    folder: Vec<NamePart>,
    folder_address: String,
    own_address: String,
    is_former: bool,
    trouble: Option<Trouble>,
    file: Option<FileView>,
}

struct FileView {
    size: String,
    time: String,
    time_text: String,
    content_address: String,
    download_address: String,
    /// What opens in a tab of its own.
    tab_address: String,
    body: Body,
}

/// What is shown.
enum Body {
    Image,
    Video,
    Audio,
    Pdf,
    Markdown { html: String, notes: Vec<String> },
    Text { text: String, notes: Vec<String> },
    Nothing { reason: &'static str },
}

/// Which version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewQuery {
    version: Option<VersionId>,
}

/// `GET /view/{path}`
pub(crate) async fn view(
    State(state): State<Shared>,
    path: Result<ViewPath, Problem>,
    query: Result<QueryOf<ViewQuery>, Problem>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let known = state.status.get(&*state.drive).await;
    let (path, version, asked) = match (path, query) {
        (Ok(ViewPath(path)), Ok(QueryOf(query))) => (path, query.version, Ok(())),
        (Ok(ViewPath(path)), Err(problem)) => (path, None, Err(problem)),
        (Err(problem), _) => (EntryPath::ROOT, None, Err(problem)),
    };
    let mut view = ViewView::new(&path, version, StatusView::new(&known));
    let file = match (asked, &known) {
        (Err(problem), _) => Err(problem),
        (Ok(()), Known::Unknown(_)) => Err(known.readiness().problem()),
        (Ok(()), Known::Status(_)) => file(&state, &path, version).await,
    };
    let status = match file {
        Ok(file) => {
            view.file = Some(file);
            StatusCode::OK
        }
        Err(problem) => {
            let status = problem.kind.status();
            view.trouble = Some(trouble(&path, problem));
            status
        }
    };
    answer(&view, status, page_policy(&uri, &headers))
}

impl ViewView {
    fn new(path: &EntryPath, version: Option<VersionId>, status: StatusView) -> Self {
        let name = path.name().map_or("A file", EntryName::as_str);
        let title = present::name_parts(name);
        let folder = path
            .split_last()
            .map_or(EntryPath::ROOT, |(folder, _)| folder);
        let folder_name = folder.name().map_or(super::ROOT_NAME, EntryName::as_str);
        Self {
            status,
            title_text: title.iter().map(NamePart::as_str).collect(),
            title,
            name: name.to_owned(),
            folder: present::name_parts(folder_name),
            folder_address: page_address(&folder),
            own_address: view_address(path, version),
            is_former: version.is_some(),
            trouble: None,
            file: None,
        }
    }
}

fn trouble(path: &EntryPath, problem: Problem) -> Trouble {
    let cannot_pass = [
        Kind::NotFound,
        Kind::IsAFolder,
        Kind::InvalidArgument,
        Kind::BadRequest,
    ];
    let (title, detail) = match problem.kind {
        Kind::NotFound => (
            format!("There is no file {path}"),
            "It may have been moved, renamed or deleted.".into(),
        ),
        Kind::IsAFolder => (
            format!("{path} is a folder"),
            "Its page shows what is in it.".into(),
        ),
        Kind::InvalidArgument | Kind::BadRequest => {
            ("This address cannot be right".into(), problem.detail)
        }
        Kind::NotReady => (
            "The file cannot be shown right now".into(),
            "As soon as the master answers, it can.".into(),
        ),
        _ => ("The file cannot be shown right now".into(), problem.detail),
    };
    Trouble {
        title,
        detail,
        may_pass: !cannot_pass.contains(&problem.kind),
    }
}

async fn file(
    state: &AppState,
    path: &EntryPath,
    version: Option<VersionId>,
) -> Result<FileView, Problem> {
    let file = state.drive.open(path, version).await?;
    let name = path.name().map_or("", EntryName::as_str);
    let shape = preview::shape(name);
    let files = location::FILES.trim_end_matches('/');
    // What is shown is what the page says, even if the file is replaced meanwhile.
    let content_address = format!("{files}{}?version={}", location::encode(path), file.version);
    let is_shown_alone = content_type::disposition(&content_type::content_type(name))
        == Disposition::Inline
        && shape != Shape::Text;
    let tab_address = if is_shown_alone {
        content_address.clone()
    } else {
        view_address(path, version)
    };
    let (time, time_text) = present::time(file.modified_ms);
    Ok(FileView {
        size: people::size(file.size),
        time,
        time_text,
        download_address: format!("{content_address}&download=1"),
        content_address,
        tab_address,
        body: match shape {
            Shape::Image => Body::Image,
            Shape::Video => Body::Video,
            Shape::Audio => Body::Audio,
            Shape::Pdf => Body::Pdf,
            Shape::Markdown | Shape::Text => text(state, file, path, shape).await?,
        },
    })
}

async fn text(
    state: &AppState,
    file: OpenFile,
    path: &EntryPath,
    shape: Shape,
) -> Result<Body, Problem> {
    let size = file.size;
    let range = 0..size.min(preview::TEXT_LEN_MAX);
    let turn = state
        .transfers
        .downloads
        .turn(&range, file.chunk_size, file.chunk_size)
        .await?;
    let mut content = (file.read)(range, turn.ahead());
    let mut bytes = BytesMut::new();
    while let Some(more) = content.next().await {
        bytes.extend_from_slice(&more?);
    }
    drop((content, turn));
    let is_cut = bytes.len() as u64 != size;
    let Some(text) = preview::decode(&bytes, is_cut) else {
        return Ok(Body::Nothing {
            reason: "There is no preview of this kind of file.",
        });
    };
    if text.text.is_empty() {
        return Ok(Body::Nothing {
            reason: "The file is empty.",
        });
    }
    let mut notes = Vec::new();
    if is_cut {
        let shown = people::size(preview::TEXT_LEN_MAX);
        notes.push(format!(
            "Only the first {shown} of {} are shown here.",
            people::size(size)
        ));
    }
    if text.encoding == Encoding::Latin1 {
        notes.push(
            "It is not written in UTF-8, and is shown as Latin-1: some characters may be wrong."
                .into(),
        );
    }
    if shape == Shape::Text {
        return Ok(Body::Text {
            text: text.text,
            notes,
        });
    }
    let path = path.clone();
    let drawn = tokio::task::spawn_blocking(move || preview::render(&text.text, &path));
    let html = drawn
        .await
        .map_err(|error| Problem::new(Kind::Internal, format!("draw Markdown: {error}")))?;
    Ok(Body::Markdown { html, notes })
}

/// Where a file, or a version of it, can be looked at.
pub(super) fn view_address(path: &EntryPath, version: Option<VersionId>) -> String {
    let views = location::VIEWS.trim_end_matches('/');
    let version = version.map_or_else(String::new, |version| format!("?version={version}"));
    format!("{views}{}{version}", location::encode(path))
}
