//! One file, looked at: `/view/{path}`. The same page without a script, and what viewer.js shows over a list.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::BytesMut;
use futures::StreamExt;
use proto::id::VersionId;
use proto::name::{EntryName, EntryPath};
use serde::Deserialize;

use super::{Page, StatusView, Trouble, answer, folder_name, page_address};
use crate::drive::OpenFile;
use crate::error::{Kind, Problem};
use crate::extract::QueryOf;
use crate::headers::content_type;
use crate::headers::disposition::Disposition;
use crate::location::{self, ViewPath};
use crate::present::{self, NamePart};
use crate::preview::{self, Encoding, Shape};
use crate::readiness::Known;
use crate::said::Said;
use crate::texts::Texts;
use crate::{AppState, Shared};

/// A file, or why it cannot be shown.
#[derive(Template)]
#[template(path = "view.html")]
struct ViewView {
    page: Page,
    texts: &'static Texts,
    status: StatusView,
    title: Vec<NamePart>,
    title_text: String,
    name: String,
    close_text: String,
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
    Nothing { reason: String },
}

impl Body {
    fn nothing(texts: &Texts, reason: &str) -> Self {
        let reason = texts.fill("viewer.canDownload", &[("reason", texts.say(reason))]);
        Self::Nothing { reason }
    }
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
    page: Page,
) -> Response {
    let known = state.status.get(&*state.drive).await;
    let (path, version, asked) = match (path, query) {
        (Ok(ViewPath(path)), Ok(QueryOf(query))) => (path, query.version, Ok(())),
        (Ok(ViewPath(path)), Err(problem)) => (path, None, Err(problem)),
        (Err(problem), _) => (EntryPath::ROOT, None, Err(problem)),
    };
    let mut view = ViewView::new(page, &path, version, &known);
    let file = match (asked, &known) {
        (Err(problem), _) => Err(problem),
        (Ok(()), Known::Unknown(_)) => Err(known.readiness().problem()),
        (Ok(()), Known::Status(_)) => file(&state, view.texts, &path, version).await,
    };
    let status = match file {
        Ok(file) => {
            view.file = Some(file);
            StatusCode::OK
        }
        Err(problem) => {
            let status = problem.kind.status();
            view.trouble = Some(trouble(view.texts, &path, &problem));
            status
        }
    };
    answer(&view, status, &view.page)
}

impl ViewView {
    fn new(page: Page, path: &EntryPath, version: Option<VersionId>, known: &Known) -> Self {
        let texts = page.texts;
        let name = path.name().map(EntryName::as_str);
        let name = name.unwrap_or_else(|| texts.say("viewer.noName"));
        let title = present::name_parts(name);
        let folder = path
            .split_last()
            .map_or(EntryPath::ROOT, |(folder, _)| folder);
        let folder_shown = present::name_parts(folder_name(texts, &folder));
        let folder_shown: String = folder_shown.iter().map(NamePart::as_str).collect();
        Self {
            page,
            texts,
            status: StatusView::new(texts, known),
            title_text: title.iter().map(NamePart::as_str).collect(),
            title,
            name: name.to_owned(),
            close_text: texts.fill("viewer.closeTo", &[("folder", &folder_shown)]),
            folder_address: page_address(&folder),
            own_address: view_address(path, version),
            is_former: version.is_some(),
            trouble: None,
            file: None,
        }
    }
}

fn trouble(texts: &Texts, path: &EntryPath, problem: &Problem) -> Trouble {
    let cannot_pass = [
        Kind::NotFound,
        Kind::IsAFolder,
        Kind::InvalidArgument,
        Kind::BadRequest,
    ];
    let (title, detail) = match problem.kind {
        Kind::NotFound => ("viewer.noFile", Said::own(texts.say("page.mayBeGone"))),
        Kind::IsAFolder => (
            "viewer.isFolder",
            Said::own(texts.say("viewer.isFolderText")),
        ),
        Kind::InvalidArgument | Kind::BadRequest => {
            ("page.notRight", Said::problem(texts, problem))
        }
        Kind::NotReady => ("viewer.notNow", Said::own(texts.say("viewer.comes"))),
        _ => ("viewer.notNow", Said::problem(texts, problem)),
    };
    Trouble {
        title: texts.fill(title, &[("path", &path.to_string())]),
        detail,
        may_pass: !cannot_pass.contains(&problem.kind),
    }
}

async fn file(
    state: &AppState,
    texts: &Texts,
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
    let (time, time_text) = present::time(texts, file.modified_ms);
    Ok(FileView {
        size: texts.size(file.size),
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
            Shape::Markdown | Shape::Text => text(state, texts, file, path, shape).await?,
        },
    })
}

async fn text(
    state: &AppState,
    texts: &Texts,
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
        return Ok(Body::nothing(texts, "viewer.noPreview"));
    };
    if text.text.is_empty() {
        return Ok(Body::nothing(texts, "viewer.isEmpty"));
    }
    let mut notes = Vec::new();
    if is_cut {
        let (shown, size) = (texts.size(preview::TEXT_LEN_MAX), texts.size(size));
        notes.push(texts.fill("viewer.onlyFirst", &[("shown", &shown), ("size", &size)]));
    }
    if text.encoding == Encoding::Latin1 {
        notes.push(texts.say("viewer.latin1").to_owned());
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
