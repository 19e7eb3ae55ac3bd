//! The static files, which are part of the binary: nothing is read from disk, nothing is fetched from elsewhere.
//!
//! Pages name them with the version of all of them, so that a browser asks for each once and then never again until there are
//! others. A script names the next one beside itself, and so by the same version. Each page has the style in itself: nothing is
//! drawn before it is there, and to ask for it takes longer than to read it.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::id::ChunkId;
use sha2::{Digest, Sha256};

use crate::error::{Kind, Problem};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXTS: &str = "application/json";

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal: $content_type:expr,)*) => {
        const ASSETS: &[Asset] = &[$(Asset {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../../../static/", $name)),
        },)*];
    };
}

assets! {
    "icon.svg": "image/svg+xml",
    // The languages; what is chosen if nothing else is, first.
    "texts/en.json": TEXTS,
    "texts/de.json": TEXTS,
    "actions.js": SCRIPT,
    "app.js": SCRIPT,
    "api.js": SCRIPT,
    "batch.js": SCRIPT,
    "bulk.js": SCRIPT,
    "cancelling.js": SCRIPT,
    "cluster.js": SCRIPT,
    "contextmenu.js": SCRIPT,
    "copying.js": SCRIPT,
    "copytree.js": SCRIPT,
    "cutoff.js": SCRIPT,
    "dialogs.js": SCRIPT,
    "dragging.js": SCRIPT,
    "drawing.js": SCRIPT,
    "dropping.js": SCRIPT,
    "entries.js": SCRIPT,
    "entryrow.js": SCRIPT,
    "folder.js": SCRIPT,
    "format.js": SCRIPT,
    "handles.js": SCRIPT,
    "hashing.js": SCRIPT,
    "keyboard.js": SCRIPT,
    "language.js": SCRIPT,
    "listing.js": SCRIPT,
    "menus.js": SCRIPT,
    "moving.js": SCRIPT,
    "naming.js": SCRIPT,
    "past.js": SCRIPT,
    "patience.js": SCRIPT,
    "picker.js": SCRIPT,
    "picking.js": SCRIPT,
    "problems.js": SCRIPT,
    "receiver.js": SCRIPT,
    "remains.js": SCRIPT,
    "renaming.js": SCRIPT,
    "restoring.js": SCRIPT,
    "resumable.js": SCRIPT,
    "rows.js": SCRIPT,
    "sampling.js": SCRIPT,
    "search.js": SCRIPT,
    "selection.js": SCRIPT,
    "sending.js": SCRIPT,
    "shares.js": SCRIPT,
    "sharing.js": SCRIPT,
    "sorting.js": SCRIPT,
    "status.js": SCRIPT,
    "stock.js": SCRIPT,
    "texts.js": SCRIPT,
    "thumbnails.js": SCRIPT,
    "tiles.js": SCRIPT,
    "toast.js": SCRIPT,
    "transfer.js": SCRIPT,
    "trash.js": SCRIPT,
    "upload.js": SCRIPT,
    "uploadrow.js": SCRIPT,
    "uploads.js": SCRIPT,
    "vendor/sha256.min.js": SCRIPT,
    "vendor/tus.min.js": SCRIPT,
    "versions.js": SCRIPT,
    "view.js": SCRIPT,
    "viewer.js": SCRIPT,
    "zipping.js": SCRIPT,
}

/// The style of all pages, with the ends of lines that a browser makes of all: it hashes what it has read.
static STYLE: LazyLock<String> =
    LazyLock::new(|| include_str!("../../../static/style.css").replace("\r\n", "\n"));

/// By what a page's policy lets this style in and no other, as Content Security Policy writes it.
static STYLE_SOURCE: LazyLock<String> =
    LazyLock::new(|| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(&*STYLE))));

/// One `ETag` an asset, in the same order: weak, since it may be sent compressed.
static ETAGS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    let etag = |asset: &Asset| {
        let hash = ChunkId::of(asset.bytes).to_string();
        HeaderValue::try_from(format!("W/\"{}\"", &hash[..32])).expect("hex digits in quotes")
    };
    ASSETS.iter().map(etag).collect()
});

/// Where all of these are and no others: below `/static/`, a folder whose name is of their bytes.
static FOLDER: LazyLock<String> = LazyLock::new(|| {
    let each = ASSETS
        .iter()
        .flat_map(|asset| [asset.name.as_bytes(), asset.bytes]);
    let hash = ChunkId::of(&each.collect::<Vec<_>>().concat()).to_string();
    format!("{VERSION_MARK}{}", &hash[..16])
});

/// How the folder of a version begins.
const VERSION_MARK: &str = "v-";

/// `GET /static/{name}`, with the folder of a version before it or without
pub(crate) async fn get(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    match name.split_once('/') {
        Some((folder, name)) if folder == *FOLDER => answer(name, &headers, Caching::Forever),
        // A page that was open when the server was replaced. What it gets may be of another version, and is not kept.
        Some((folder, name)) if folder.starts_with(VERSION_MARK) => {
            answer(name, &headers, Caching::Never)
        }
        _ => answer(&name, &headers, Caching::Asked),
    }
}

/// `GET /favicon.ico`, which browsers ask for by themselves.
pub(crate) async fn icon(headers: HeaderMap) -> Result<Response, Problem> {
    answer("icon.svg", &headers, Caching::Asked)
}

/// What a page has between `<style>` and `</style>`.
pub(crate) fn style() -> &'static str {
    &STYLE
}

/// What a page's policy names for it.
pub(crate) fn style_source() -> &'static str {
    &STYLE_SOURCE
}

/// Where pages find an asset.
pub(crate) fn address(name: &str) -> String {
    format!("/static/{}/{name}", *FOLDER)
}

/// Where pages find what is said in a language.
pub(crate) fn address_of_texts(code: &str) -> String {
    address(&format!("texts/{code}.json"))
}

/// What is said in each language: its code, and the catalogue as JSON.
pub(crate) fn texts() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    ASSETS.iter().filter_map(|asset| {
        let name = asset.name.strip_prefix("texts/")?;
        Some((name.strip_suffix(".json")?, asset.bytes))
    })
}

/// How long a browser may use what it has.
#[derive(Debug, Clone, Copy)]
enum Caching {
    /// What is at this address never changes.
    Forever,
    /// After it asked whether it is still the same: so a new version of this server shows at once.
    Asked,
    /// Not at all: it is not what the address says.
    Never,
}

impl Caching {
    const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Forever => "public, max-age=31536000, immutable",
            Self::Asked => "no-cache",
            Self::Never => "no-store",
        })
    }
}

fn answer(name: &str, headers: &HeaderMap, caching: Caching) -> Result<Response, Problem> {
    let (asset, etag) = ASSETS
        .iter()
        .zip(&*ETAGS)
        .find(|(asset, _)| asset.name == name)
        .ok_or_else(|| Problem::new(Kind::NotFound, "there is no such static file"))?;
    let caching = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, caching.header()),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(etag) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let content_type = [(header::CONTENT_TYPE, asset.content_type)];
    Ok((caching, content_type, asset.bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_weighs_little() {
        // Of the languages, a page loads one.
        let is_other =
            |asset: &&Asset| asset.content_type == TEXTS && asset.name != "texts/de.json";
        let loaded = ASSETS.iter().filter(|asset| !is_other(asset));
        let scripts: usize = loaded.map(|asset| asset.bytes.len()).sum();
        let total = scripts + STYLE.len();
        assert!(total < 460_000, "{total} bytes");
    }

    #[test]
    fn the_style_stays_between_its_tags() {
        assert!(!STYLE.contains('<') && !STYLE.contains('\r'));
    }

    #[test]
    fn scripts_import_only_what_is_here() {
        for asset in ASSETS.iter().filter(|asset| asset.content_type == SCRIPT) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for import in text.lines().filter(|line| line.starts_with("import ")) {
                let name = import.split("\"./").nth(1).unwrap().trim_end_matches("\";");
                assert!(ASSETS.iter().any(|other| other.name == name), "{import}");
            }
        }
    }
}
