//! The headers of resumable uploads by tus 1.0.0 (<https://tus.io/protocols/resumable-upload>).

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::name::{EntryName, EntryPath};

use super::only;
use crate::error::{Kind, Problem};

/// The version of the protocol, and the only one.
pub(crate) const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
/// What of the protocol is here beyond its core.
pub(crate) const EXTENSIONS: HeaderValue =
    HeaderValue::from_static("creation,creation-with-upload,expiration,termination");
/// The type of every body that is a part of a file.
pub(crate) const CONTENT_TYPE: &str = "application/offset+octet-stream";

/// Which version an answer speaks.
pub(crate) const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
/// Which versions this server speaks.
pub(crate) const VERSIONS: HeaderName = HeaderName::from_static("tus-version");
/// What of the protocol this server has.
pub(crate) const EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
/// The largest file that is taken.
pub(crate) const MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
/// Bytes that are here.
pub(crate) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// Bytes of the whole file.
pub(crate) const LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// What the caller said of the file.
pub(crate) const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// Until when it can be gone on with.
pub(crate) const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// Which method is meant where only some pass.
pub(crate) const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// Says in an answer which version it speaks.
pub(crate) async fn stamp(mut response: Response) -> Response {
    response.headers_mut().insert(RESUMABLE, VERSION);
    response
}

/// Refuses a caller who speaks another version.
pub(crate) fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(RESUMABLE) == Some(&VERSION) {
        return Ok(());
    }
    let detail = "this address speaks tus 1.0.0: send `Tus-Resumable: 1.0.0`";
    Err(Problem::new(Kind::UnsupportedTusVersion, detail).with_header(VERSIONS, VERSION))
}

/// Whether the body is a part of a file.
pub(crate) fn has_bytes(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes() == CONTENT_TYPE.as_bytes())
}

/// The number in a header, if it is there.
pub(crate) fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let Some(value) = only(headers, name)? else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("");
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if is_number => Ok(Some(number)),
        _ => Err(Problem::new(
            Kind::BadRequest,
            format!("{name} must be a number of bytes"),
        )),
    }
}

/// What a caller says of a file: pairs of a key and a value.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    text: String,
    pairs: BTreeMap<String, Vec<u8>>,
}

impl Metadata {
    /// `Upload-Metadata`: `key base64, key base64`, where a value may be missing.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        match only(headers, &METADATA)? {
            Some(value) => Self::parse(value.to_str().map_err(|_| wrong("is not ASCII"))?),
            None => Ok(Self::default()),
        }
    }

    /// The same, as a caller sent it before.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let mut pairs = BTreeMap::new();
        for pair in text.split(',').map(str::trim) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if key.is_empty() {
                return Err(wrong("has an empty key"));
            }
            let value = STANDARD.decode(value.trim());
            let value = value.map_err(|_| wrong("has a value that is not base64"))?;
            if pairs.insert(key.to_owned(), value).is_some() {
                return Err(wrong("has a key twice"));
            }
        }
        let text = text.to_owned();
        Ok(Self { text, pairs })
    }

    /// As the caller sent it.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Where the file goes: `path`, or else as stock clients say it, `relativePath`, `filename` or `name`, below `folder`.
    pub(crate) fn place(&self) -> Result<EntryPath, Problem> {
        if let Some(path) = self.text("path")? {
            let path: EntryPath = path.parse()?;
            if path.is_root() {
                return Err(Problem::new(Kind::InvalidArgument, "a file needs a name"));
            }
            return Ok(path);
        }
        let folder = self.text("folder")?.unwrap_or("/").parse()?;
        for key in ["relativePath", "filename", "name"] {
            // What some clients send for a file that was not in a folder.
            if let Some(names) = self
                .text(key)?
                .filter(|names| !["", "null"].contains(names))
            {
                let names = names.trim_start_matches('/').split('/');
                return names.into_iter().try_fold(folder, |at: EntryPath, name| {
                    Ok(at.join(EntryName::new(name)?)?)
                });
            }
        }
        Err(Problem::new(
            Kind::InvalidArgument,
            "Upload-Metadata does not say where the file goes: it needs `path`, for example `/photos/a.jpg`",
        ))
    }

    /// When the content was last changed, in milliseconds since 1970, UTC, if the caller says it.
    pub(crate) fn modified_ms(&self) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text("modified_ms")? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            Problem::new(
                Kind::InvalidArgument,
                "`modified_ms` must be a number: milliseconds since 1970, UTC",
            )
        })
    }

    /// What the file is called, wherever it goes: `filename` or `name`, in which nothing leads to another folder.
    pub(crate) fn file_name(&self) -> Result<EntryName, Problem> {
        for key in ["filename", "name"] {
            if let Some(name) = self.text(key)?.filter(|name| !name.is_empty()) {
                return Ok(EntryName::new(name)?);
            }
        }
        Err(Problem::new(
            Kind::InvalidArgument,
            "Upload-Metadata does not say what the file is called: it needs `filename`, for example `a.jpg`",
        ))
    }

    fn text(&self, key: &str) -> Result<Option<&str>, Problem> {
        let value = self.pairs.get(key);
        let text = value.map(|value| std::str::from_utf8(value)).transpose();
        text.map_err(|_| Problem::new(Kind::InvalidArgument, format!("`{key}` is not UTF-8")))
    }
}

fn wrong(what: &str) -> Problem {
    let detail = format!("Upload-Metadata {what}: it has to be `key base64, key base64`");
    Problem::new(Kind::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> String {
        let pair = |(key, value): &(&str, &str)| format!("{key} {}", STANDARD.encode(value));
        pairs.iter().map(pair).collect::<Vec<_>>().join(",")
    }

    fn read(text: &str) -> Result<Metadata, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(METADATA, HeaderValue::from_str(text).unwrap());
        Metadata::read(&headers)
    }

    fn check_place(pairs: &[(&str, &str)], expected: Option<&str>) {
        let place = read(&metadata(pairs)).unwrap().place();
        let place = place.ok().map(|place| place.to_string());
        assert_eq!(place.as_deref(), expected, "{pairs:?}");
    }

    #[test]
    fn stock_clients_say_in_their_own_ways_where_a_file_goes() {
        check_place(&[("path", "/ü/a b.txt")], Some("/ü/a b.txt"));
        check_place(
            &[("filename", "a.txt"), ("filetype", "text/plain")],
            Some("/a.txt"),
        );
        check_place(
            &[("name", "a.txt"), ("relativePath", "null")],
            Some("/a.txt"),
        );
        check_place(
            &[
                ("folder", "/b"),
                ("relativePath", "c/a.txt"),
                ("name", "a.txt"),
            ],
            Some("/b/c/a.txt"),
        );
        check_place(&[("relativePath", "/c/a.txt")], Some("/c/a.txt"));
        check_place(&[("filetype", "text/plain")], None);
        check_place(&[("name", "../a")], None);
        check_place(&[("path", "/")], None);
        check_place(&[("path", "/a/../b")], None);
    }

    #[test]
    fn a_name_leads_nowhere() {
        fn check(pairs: &[(&str, &str)], expected: Option<&str>) {
            let name = read(&metadata(pairs)).unwrap().file_name();
            let name = name.ok();
            assert_eq!(name.as_ref().map(EntryName::as_str), expected, "{pairs:?}");
        }
        check(&[("filename", "a.txt")], Some("a.txt"));
        check(
            &[("relativePath", "b/a.txt"), ("name", "a.txt")],
            Some("a.txt"),
        );
        for wrong in ["", ".", "..", "../a", "/a", "b/a", "a\n"] {
            check(&[("filename", wrong)], None);
        }
        check(&[("path", "/a")], None);
    }

    #[test]
    fn metadata_is_pairs_with_keys_of_their_own() {
        assert_eq!(
            read("path L2E=").unwrap().place().unwrap().to_string(),
            "/a"
        );
        assert_eq!(
            read("is_new, path L2E=").unwrap().text("is_new").unwrap(),
            Some("")
        );
        for wrong in ["", "path ?", "path L2E=, path L2E=", "path L2E=,,"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        let text = metadata(&[("modified_ms", "1700000000000")]);
        assert_eq!(
            read(&text).unwrap().modified_ms().unwrap(),
            Some(1_700_000_000_000)
        );
        let text = metadata(&[("modified_ms", "yesterday")]);
        assert!(read(&text).unwrap().modified_ms().is_err());
    }

    #[test]
    fn numbers_are_digits_only() {
        let mut headers = HeaderMap::new();
        assert_eq!(number(&headers, &LENGTH).unwrap(), None);
        for (text, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("", None),
        ] {
            headers.insert(LENGTH, HeaderValue::from_str(text).unwrap());
            assert_eq!(
                number(&headers, &LENGTH).ok().flatten(),
                expected,
                "{text:?}"
            );
        }
        headers.insert(LENGTH, HeaderValue::from_static("1"));
        headers.append(LENGTH, HeaderValue::from_static("2"));
        assert!(number(&headers, &LENGTH).is_err());
    }
}
