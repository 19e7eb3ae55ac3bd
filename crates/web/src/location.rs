//! Between an entry's path and the address that a browser or a script has for it.
//!
//! **Invariant:** an address' path is cut at its `/` first, and each segment is percent-decoded once and then has to be a
//! valid name. So `..%2f` is an error and never a way up, and `%252e` is a name with a percent sign.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use proto::name::{EntryName, EntryPath};

use crate::error::{Kind, Problem};

/// Where the routes of files begin.
pub(crate) const FILES: &str = "/api/v1/files/";
/// Where the routes of folders begin.
pub(crate) const FOLDERS: &str = "/api/v1/folders";
/// Where the routes of versions begin.
const VERSIONS: &str = "/api/v1/versions/";
/// Where the routes of small pictures begin.
pub(crate) const THUMBNAILS: &str = "/api/v1/thumbnails/";
/// Where the routes of zips begin.
pub(crate) const ZIPS: &str = "/api/v1/zip";
/// Where the pages of files begin.
pub(crate) const VIEWS: &str = "/view/";
/// Where the pages of folders begin.
pub(crate) const PAGES: &str = "/folder";

/// What stays as it is in a segment, beside letters and digits: RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The file that a request's address names.
#[derive(Debug)]
pub(crate) struct FilePath(pub(crate) EntryPath);

/// The file whose versions a request's address names.
#[derive(Debug)]
pub(crate) struct VersionsPath(pub(crate) EntryPath);

/// The file that is to be looked at.
#[derive(Debug)]
pub(crate) struct ViewPath(pub(crate) EntryPath);

/// The file of which a small picture is meant.
#[derive(Debug)]
pub(crate) struct ThumbnailPath(pub(crate) EntryPath);

/// The folder that a request's address names, be it of the API or of a page.
#[derive(Debug)]
pub(crate) struct FolderPath(pub(crate) EntryPath);

impl<S: Sync> FromRequestParts<S> for FilePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        file(&parts.uri, FILES).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for VersionsPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        file(&parts.uri, VERSIONS).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for ViewPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        file(&parts.uri, VIEWS).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for ThumbnailPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        file(&parts.uri, THUMBNAILS).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for FolderPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if parts.uri.path() == "/" {
            return Ok(Self(EntryPath::ROOT));
        }
        let prefixes = [FOLDERS, ZIPS].into_iter();
        let mut prefixes = prefixes.filter(|prefix| parts.uri.path().starts_with(prefix));
        let prefix = prefixes.next().unwrap_or(PAGES);
        let rest = below(&parts.uri, prefix)?;
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        decode(rest.strip_suffix('/').unwrap_or(rest)).map(Self)
    }
}

/// The path as part of an address: `/a%20b/c`, and nothing for the root.
pub(crate) fn encode(path: &EntryPath) -> String {
    path.names().iter().fold(String::new(), |mut text, name| {
        text.push('/');
        text.extend(utf8_percent_encode(name.as_str(), SEGMENT));
        text
    })
}

/// Text as one segment, or as a value in a query.
pub(crate) fn encode_text(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn file(uri: &Uri, prefix: &str) -> Result<EntryPath, Problem> {
    let rest = below(uri, prefix)?;
    if rest.ends_with('/') {
        return Err(Problem::new(
            Kind::InvalidArgument,
            "a file's address does not end with `/`",
        ));
    }
    decode(rest)
}

fn below<'a>(uri: &'a Uri, prefix: &str) -> Result<&'a str, Problem> {
    uri.path()
        .strip_prefix(prefix)
        .ok_or_else(|| Problem::new(Kind::NoSuchRoute, "the address is not one of this server's"))
}

pub(crate) fn decode(text: &str) -> Result<EntryPath, Problem> {
    if text.is_empty() {
        return Ok(EntryPath::ROOT);
    }
    text.split('/').try_fold(EntryPath::ROOT, |path, segment| {
        let name = percent_decode_str(segment)
            .decode_utf8()
            .map_err(|_| Problem::new(Kind::InvalidArgument, "the address is not UTF-8"))?;
        Ok(path.join(EntryName::new(name)?)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let path = decode(text).ok().map(|path| path.to_string());
        assert_eq!(path.as_deref(), expected, "{text}");
    }

    #[test]
    fn segments_are_decoded_once_and_checked() {
        check("", Some("/"));
        check("a/b%20c", Some("/a/b c"));
        check("%252e%252e", Some("/%2e%2e"));
        check("%E2%80%AEgpj.exe", Some("/\u{202e}gpj.exe"));
        check("a+b", Some("/a+b"));
        check("100%", Some("/100%"));
        for refused in [
            "..",
            "%2e%2e/etc/passwd",
            "..%2fetc%2fpasswd",
            "..%2F",
            "a%2fb",
            "a//b",
            "a/./b",
            "%00",
            "a%0d%0ab",
            "%ff",
            &"a".repeat(256),
        ] {
            check(refused, None);
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for text in [
            "/",
            "/a b/ü?#%/\"'<>&",
            "/\u{1f600}",
            "/%2e%2e",
            "/;,:@=+$!*()",
        ] {
            let path: EntryPath = text.parse().unwrap();
            let encoded = encode(&path);
            let rest = encoded.strip_prefix('/').unwrap_or(&encoded);
            assert_eq!(decode(rest).unwrap(), path, "{encoded}");
        }
    }
}
