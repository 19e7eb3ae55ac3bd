//! Conditional requests (RFC 9110, section 13): what a caller's headers say about a file's version.
//!
//! A version's `ETag` is `"v<number>"`: numbers are never used twice in a cluster, so it is a strong validator. A time
//! is not: the uploader says it, and it may go backwards. So `If-Modified-Since` holds only for exactly the same
//! time, and a time in `If-Range` never holds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, header};
use proto::id::VersionId;
use proto::master::Precondition;

/// What a file is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validators {
    /// Its version.
    pub(crate) version: VersionId,
    /// When its content was last changed, in milliseconds since 1970.
    pub(crate) modified_ms: u64,
}

/// What a read is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// The content.
    Send,
    /// 304: the caller has it.
    NotModified,
    /// 412: it is not what the caller wants.
    PreconditionFailed,
}

/// A condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

/// The version as an `ETag`.
pub(crate) fn etag(version: VersionId) -> String {
    format!("\"v{version}\"")
}

/// A time as HTTP writes it, to the second; nothing for a time that HTTP cannot write.
pub(crate) fn http_date(modified_ms: u64) -> Option<String> {
    const YEAR_9999_MS: u64 = 253_402_300_799_000;
    // Only then added: the clock of Windows ends before `u64` does.
    (modified_ms <= YEAR_9999_MS)
        .then(|| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(modified_ms)))
}

/// Milliseconds since 1970 of a time as HTTP writes it.
pub(crate) fn parse_http_date(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text).ok()?;
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since_1970.as_millis()).ok()
}

/// What `GET` and `HEAD` of this file are answered with.
pub(crate) fn read(headers: &HeaderMap, file: Validators) -> Read {
    if let Some(wanted) = list(headers, &header::IF_MATCH) {
        if !names(&wanted, Some(file.version), Comparison::Strong) {
            return Read::PreconditionFailed;
        }
    } else if let Some(limit) = date(headers, &header::IF_UNMODIFIED_SINCE)
        && seconds(file.modified_ms) > seconds(limit)
    {
        return Read::PreconditionFailed;
    }
    if let Some(known) = list(headers, &header::IF_NONE_MATCH) {
        if names(&known, Some(file.version), Comparison::Weak) {
            return Read::NotModified;
        }
    } else if let Some(known) = date(headers, &header::IF_MODIFIED_SINCE)
        && seconds(file.modified_ms) == seconds(known)
    {
        return Read::NotModified;
    }
    Read::Send
}

/// Whether a `Range` is to be looked at: `If-Range` asks for the whole file if it has changed.
pub(crate) fn range_holds(headers: &HeaderMap, file: Validators) -> bool {
    headers
        .get(header::IF_RANGE)
        .is_none_or(|known| known.as_bytes() == etag(file.version).as_bytes())
}

/// Whether [`change`] needs to know the file: `*` alone needs nothing, since the master decides it in one step.
pub(crate) fn needs_current(headers: &HeaderMap) -> bool {
    [header::IF_MATCH, header::IF_NONE_MATCH]
        .iter()
        .any(|name| list(headers, name).is_some_and(|list| list != "*"))
        || date(headers, &header::IF_UNMODIFIED_SINCE).is_some()
}

/// What must hold at the master when the file is replaced or deleted, where `current` is the file as it is now, if
/// one is there. What the headers say of `current` is checked here; that it is still the same then, by the master.
pub(crate) fn change(
    headers: &HeaderMap,
    current: Option<Validators>,
) -> Result<Precondition, Failed> {
    let version = current.map(|file| file.version);
    let unchanged = version.map_or(Precondition::Absent, Precondition::Version);
    let mut precondition = Precondition::Any;
    match list(headers, &header::IF_MATCH).as_deref() {
        Some("*") => precondition = Precondition::Present,
        Some(wanted) if !names(wanted, version, Comparison::Strong) => return Err(Failed),
        Some(_) => precondition = unchanged,
        None => {
            if let Some(limit) = date(headers, &header::IF_UNMODIFIED_SINCE) {
                if current.is_some_and(|file| seconds(file.modified_ms) > seconds(limit)) {
                    return Err(Failed);
                }
                precondition = unchanged;
            }
        }
    }
    match list(headers, &header::IF_NONE_MATCH).as_deref() {
        Some("*") if matches!(precondition, Precondition::Any | Precondition::Absent) => {
            Ok(Precondition::Absent)
        }
        Some("*") => Err(Failed),
        // The file is known here, since this is a list.
        Some(_) if precondition == Precondition::Present && version.is_none() => Err(Failed),
        Some(unwanted) if names(unwanted, version, Comparison::Weak) => Err(Failed),
        Some(_) => Ok(unchanged),
        None => Ok(precondition),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// All values of a header as one list, as HTTP has it.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap_or("?").trim())
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn names(list: &str, version: Option<VersionId>, comparison: Comparison) -> bool {
    let Some(version) = version else {
        return false;
    };
    let own = etag(version);
    list == "*"
        || list.split(',').map(str::trim).any(|tag| {
            let weak = tag.strip_prefix("W/");
            match comparison {
                Comparison::Strong => tag == own,
                Comparison::Weak => weak.unwrap_or(tag) == own,
            }
        })
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    parse_http_date(headers.get(name)?.to_str().ok()?)
}

/// HTTP's times have no milliseconds.
fn seconds(milliseconds: u64) -> u64 {
    milliseconds / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const FILE: Validators = Validators {
        version: VersionId(7),
        modified_ms: 784_111_777_123,
    };
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn reads() {
        for (fields, expected) in [
            (&[][..], Read::Send),
            (&[("if-match", "\"v7\"")], Read::Send),
            (&[("if-match", "*")], Read::Send),
            (&[("if-match", "\"v1\", \"v7\"")], Read::Send),
            (&[("if-match", "\"v8\"")], Read::PreconditionFailed),
            (&[("if-match", "W/\"v7\"")], Read::PreconditionFailed),
            (&[("if-none-match", "\"v7\"")], Read::NotModified),
            (&[("if-none-match", "W/\"v7\"")], Read::NotModified),
            (&[("if-none-match", "*")], Read::NotModified),
            (&[("if-none-match", "\"v6\"")], Read::Send),
            (&[("if-none-match", "v7")], Read::Send),
            (&[("if-modified-since", SAME)], Read::NotModified),
            (&[("if-modified-since", EARLIER)], Read::Send),
            (&[("if-modified-since", LATER)], Read::Send),
            (&[("if-modified-since", "yesterday")], Read::Send),
            (&[("if-unmodified-since", SAME)], Read::Send),
            (
                &[("if-unmodified-since", EARLIER)],
                Read::PreconditionFailed,
            ),
            (
                &[("if-none-match", "\"v6\""), ("if-modified-since", SAME)],
                Read::Send,
            ),
            (
                &[("if-match", "\"v7\""), ("if-unmodified-since", EARLIER)],
                Read::Send,
            ),
        ] {
            assert_eq!(read(&headers(fields), FILE), expected, "{fields:?}");
        }
    }

    #[test]
    fn changes() {
        let at_seven = Precondition::Version(VersionId(7));
        for (fields, current, expected) in [
            (&[][..], Some(FILE), Ok(Precondition::Any)),
            (
                &[("if-none-match", "*")],
                Some(FILE),
                Ok(Precondition::Absent),
            ),
            (&[("if-none-match", "*")], None, Ok(Precondition::Absent)),
            (&[("if-match", "*")], None, Ok(Precondition::Present)),
            (&[("if-match", "\"v7\"")], Some(FILE), Ok(at_seven)),
            (&[("if-match", "\"v6\"")], Some(FILE), Err(Failed)),
            (&[("if-match", "\"v7\"")], None, Err(Failed)),
            (&[("if-none-match", "\"v7\"")], Some(FILE), Err(Failed)),
            (&[("if-none-match", "\"v6\"")], Some(FILE), Ok(at_seven)),
            (
                &[("if-none-match", "\"v6\"")],
                None,
                Ok(Precondition::Absent),
            ),
            (&[("if-unmodified-since", SAME)], Some(FILE), Ok(at_seven)),
            (&[("if-unmodified-since", EARLIER)], Some(FILE), Err(Failed)),
            (
                &[("if-match", "*"), ("if-none-match", "*")],
                Some(FILE),
                Err(Failed),
            ),
        ] {
            assert_eq!(
                change(&headers(fields), current),
                expected,
                "{fields:?} {current:?}"
            );
        }
    }

    /// A file that was only to be replaced was made, and one that was only to be made was not, where a second condition that
    /// held was named beside the first.
    #[test]
    fn a_condition_that_holds_takes_nothing_from_another() {
        let replaced = headers(&[("if-match", "*"), ("if-none-match", "\"v6\"")]);
        assert_eq!(change(&replaced, None), Err(Failed));
        let at_seven = Precondition::Version(VersionId(7));
        assert_eq!(change(&replaced, Some(FILE)), Ok(at_seven));
        let made = headers(&[("if-unmodified-since", SAME), ("if-none-match", "*")]);
        assert_eq!(change(&made, None), Ok(Precondition::Absent));
        assert_eq!(change(&made, Some(FILE)), Err(Failed));
    }

    #[test]
    fn only_a_list_or_a_time_needs_the_file() {
        assert!(!needs_current(&headers(&[("if-none-match", "*")])));
        assert!(needs_current(&headers(&[("if-match", "\"v7\"")])));
    }

    #[test]
    fn a_range_holds_for_the_same_version_only() {
        assert!(range_holds(&headers(&[]), FILE));
        assert!(range_holds(&headers(&[("if-range", "\"v7\"")]), FILE));
        for value in ["\"v6\"", "W/\"v7\"", SAME] {
            assert!(
                !range_holds(&headers(&[("if-range", value)]), FILE),
                "{value}"
            );
        }
    }

    #[test]
    fn times_are_written_to_the_second() {
        assert_eq!(http_date(FILE.modified_ms).as_deref(), Some(SAME));
        assert_eq!(parse_http_date(SAME), Some(784_111_777_000));
        assert_eq!(http_date(u64::MAX), None);
    }
}
