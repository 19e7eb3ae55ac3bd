//! Ranges and conditions, any of them together, against what RFC 9110 says, written down once more in the simplest way.

use std::fmt::Write;

use bolero::TypeGenerator;
use fuzz::text::{Piece, text};

use super::{Site, block_on};

const ADDRESS: &str = "/api/v1/files/a.txt";
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// A tag in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, TypeGenerator)]
enum Tag {
    Own,
    WeakOwn,
    Other(u8),
    Unquoted,
}

impl Tag {
    fn text(self, version: u64) -> String {
        match self {
            Self::Own => format!("\"v{version}\""),
            Self::WeakOwn => format!("W/\"v{version}\""),
            Self::Other(number) => format!("\"v1{number}\""),
            Self::Unquoted => format!("v{version}"),
        }
    }
}

/// A header with tags.
#[derive(Debug, Clone, TypeGenerator)]
enum Tags {
    None,
    Star,
    List {
        #[generator(bolero::produce_with::<Vec<_>>().len(1..4_usize))]
        tags: Vec<Tag>,
        in_lines: bool,
        spaces: bool,
    },
}

impl Tags {
    fn headers(&self, name: &'static str, version: u64, headers: &mut Vec<(&'static str, String)>) {
        match self {
            Self::None => {}
            Self::Star => headers.push((name, "*".to_owned())),
            Self::List {
                tags,
                in_lines: true,
                ..
            } => {
                headers.extend(tags.iter().map(|tag| (name, tag.text(version))));
            }
            Self::List { tags, spaces, .. } => {
                let texts: Vec<_> = tags.iter().map(|tag| tag.text(version)).collect();
                headers.push((name, texts.join(if *spaces { " ,  " } else { "," })));
            }
        }
    }

    /// Whether it names a file that is there.
    fn names(&self, is_match: impl Fn(&Tag) -> bool) -> bool {
        match self {
            Self::None => false,
            Self::Star => true,
            Self::List { tags, .. } => tags.iter().any(is_match),
        }
    }

    fn is_there(&self) -> bool {
        !matches!(self, Self::None)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, TypeGenerator)]
enum Date {
    None,
    Same,
    Earlier,
    Later,
    Wrong,
}

impl Date {
    fn headers(self, name: &'static str, headers: &mut Vec<(&'static str, String)>) {
        let text = match self {
            Self::None => return,
            Self::Same => SAME,
            Self::Earlier => EARLIER,
            Self::Later => LATER,
            Self::Wrong => "Sun, 06 Nov 1994 25:99:37 GMT",
        };
        headers.push((name, text.to_owned()));
    }
}

#[derive(Debug, Clone, TypeGenerator)]
struct Conditions {
    matches: Tags,
    none_match: Tags,
    unmodified: Date,
    modified: Date,
}

impl Conditions {
    fn headers(&self, version: u64) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        self.matches.headers("if-match", version, &mut headers);
        self.none_match
            .headers("if-none-match", version, &mut headers);
        self.unmodified.headers("if-unmodified-since", &mut headers);
        self.modified.headers("if-modified-since", &mut headers);
        headers
    }

    /// Section 13.2.2 for a file that is there: 200, 304 or 412.
    fn read(&self) -> u16 {
        if self.fails(true) {
            return 412;
        }
        let is_known = if self.none_match.is_there() {
            self.none_match
                .names(|tag| matches!(tag, Tag::Own | Tag::WeakOwn))
        } else {
            self.modified == Date::Same
        };
        if is_known { 304 } else { 200 }
    }

    fn fails(&self, is_there: bool) -> bool {
        if self.matches.is_there() {
            return !(is_there && self.matches.names(|tag| *tag == Tag::Own));
        }
        is_there && self.unmodified == Date::Earlier
    }

    /// The same for a change: whether it is made.
    fn lets_change(&self, is_there: bool) -> bool {
        let is_unwanted = is_there
            && self
                .none_match
                .names(|tag| matches!(tag, Tag::Own | Tag::WeakOwn));
        !self.fails(is_there) && !is_unwanted
    }
}

/// A number in a range.
#[derive(Debug, Clone, TypeGenerator)]
enum Number {
    Small(u8),
    Huge(u64),
    Larger,
}

impl Number {
    fn value(&self) -> u128 {
        match self {
            Self::Small(number) => u128::from(number % 40),
            Self::Huge(number) => u128::from(*number),
            Self::Larger => u128::MAX,
        }
    }
}

#[derive(Debug, Clone, TypeGenerator)]
enum Asked {
    None,
    FromTo(Number, Number),
    From(Number),
    Last(Number),
    Several(Number, Number, u8),
    OtherUnit(Number),
    Junk(#[generator(bolero::produce_with::<Vec<_>>().len(0..6_usize))] Vec<Piece>),
}

impl Asked {
    fn header(&self) -> Option<String> {
        Some(match self {
            Self::None => return None,
            Self::FromTo(from, to) => format!("bytes={}-{}", from.value(), to.value()),
            Self::From(from) => format!("bytes={}-", from.value()),
            Self::Last(len) => format!("bytes=-{}", len.value()),
            Self::Several(from, to, more) => {
                let mut ranges = format!("bytes={}-{}", from.value(), to.value());
                for number in 0..=*more {
                    write!(ranges, ",{number}-").unwrap();
                }
                ranges
            }
            Self::OtherUnit(from) => format!("lines={}-", from.value()),
            Self::Junk(pieces) => {
                let junk = text(pieces);
                format!(
                    "bytes={}",
                    junk.replace(|character: char| !matches!(character, ' '..='~'), "")
                )
            }
        })
    }

    /// The bytes of a file of this length that are asked for: all places that are meant. `None`: any answer that fits.
    fn wanted(&self, size: usize) -> Option<Vec<usize>> {
        let places = |is_wanted: &dyn Fn(u128) -> bool| {
            let all = (0..size).filter(|place| is_wanted(*place as u128));
            Some(all.collect())
        };
        match self {
            Self::FromTo(from, to) => places(&|place| from.value() <= place && place <= to.value()),
            Self::From(from) => places(&|place| from.value() <= place),
            Self::Last(len) => places(&|place| place + len.value().min(1 << 64) >= size as u128),
            Self::None | Self::Several(..) | Self::OtherUnit(_) | Self::Junk(_) => None,
        }
    }
}

#[derive(Debug, Clone, TypeGenerator)]
struct Reading {
    size: u8,
    conditions: Conditions,
    range: Asked,
    if_range: Option<Tag>,
    is_head: bool,
}

fn site(len: u8) -> (Site, Vec<u8>) {
    let site = Site::new();
    let bytes: Vec<u8> = (0..len % 33).collect();
    site.keep("/a.txt", &bytes);
    (site, bytes)
}

async fn check_read(reading: &Reading) {
    let (site, bytes) = site(reading.size);
    let mut headers = reading.conditions.headers(1);
    headers.extend(reading.range.header().map(|range| ("range", range)));
    headers.extend(reading.if_range.map(|tag| ("if-range", tag.text(1))));
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let method = if reading.is_head { "HEAD" } else { "GET" };
    let answer = site
        .send(&format!("{method} {ADDRESS}"), &headers, "")
        .await;
    let body = answer.body.as_ref().unwrap();
    match reading.conditions.read() {
        200 => {}
        other => return assert_eq!(answer.status, other),
    }
    let range_counts = !reading.is_head && reading.if_range.is_none_or(|tag| tag == Tag::Own);
    let any_answer_fits = matches!(reading.range, Asked::Junk(_));
    let wanted = reading.range.wanted(bytes.len()).filter(|_| range_counts);
    match wanted {
        Some(places) if places.is_empty() => {
            assert_eq!(answer.status, 416);
            assert_eq!(
                answer.header("content-range"),
                format!("bytes */{}", bytes.len())
            );
        }
        Some(places) => {
            let (first, last) = (places[0], places[places.len() - 1]);
            assert_eq!(answer.status, 206);
            assert_eq!(
                answer.header("content-range"),
                format!("bytes {first}-{last}/{}", bytes.len())
            );
            assert_eq!(body[..], bytes[first..=last]);
        }
        None if any_answer_fits && range_counts && answer.status != 200 => {
            assert!([206, 416].contains(&answer.status), "{}", answer.status);
        }
        None if reading.is_head => assert_eq!((answer.status, body.len()), (200, 0)),
        None => assert_eq!((answer.status, &body[..]), (200, &bytes[..])),
    }
    if answer.status < 300 {
        let len = if reading.is_head {
            bytes.len()
        } else {
            body.len()
        };
        assert_eq!(answer.header("content-length"), len.to_string());
        assert_eq!(answer.header("etag"), "\"v1\"");
    }
}

#[derive(Debug, Clone, TypeGenerator)]
struct Changing {
    conditions: Conditions,
    is_there: bool,
    deletes: bool,
}

async fn check_change(changing: &Changing) {
    let (site, bytes) = site(9);
    let address = if changing.is_there {
        ADDRESS
    } else {
        "/api/v1/files/b.txt"
    };
    let headers = changing.conditions.headers(1);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let method = if changing.deletes { "DELETE" } else { "PUT" };
    let answer = site
        .send(&format!("{method} {address}"), &headers, "new")
        .await;
    let is_allowed = changing.conditions.lets_change(changing.is_there);
    let after = site.get(address).await;
    let missing = !changing.is_there && changing.deletes;
    match (is_allowed, changing.deletes) {
        (true, false) => {
            assert_eq!(answer.status, if changing.is_there { 200 } else { 201 });
            assert_eq!(after.text(), "new");
        }
        (true, true) if missing => assert_eq!(answer.status, 404),
        (true, true) => assert_eq!((answer.status / 100, after.status), (2, 404)),
        (false, _) => {
            assert!(
                answer.status == 412 || missing && answer.status == 404,
                "{}",
                answer.status
            );
            let left = changing.is_there.then_some(&bytes[..]);
            assert_eq!(after.body.as_deref().filter(|_| after.status == 200), left);
        }
    }
}

#[test]
fn reads_are_answered_as_the_standard_says() {
    fuzz::check!(Reading, 4_000, |reading| block_on(check_read(reading)));
}

#[test]
fn changes_are_made_when_the_standard_says() {
    fuzz::check!(Changing, 4_000, |changing| block_on(check_change(changing)));
}
