//! Names through addresses, JSON and headers: any text is refused, or is the same name everywhere.

use axum::http::Uri;
use bolero::TypeGenerator;
use fuzz::text::{Piece, text};
use percent_encoding::percent_decode_str;
use proto::name::{EntryName, EntryPath};

use super::{Site, block_on};
use crate::headers::disposition::{Disposition, content_disposition};
use crate::location::{encode, encode_text};

#[derive(Debug, Clone, TypeGenerator)]
struct Text {
    #[generator(bolero::produce_with::<Vec<_>>().len(1..8_usize))]
    pieces: Vec<Piece>,
}

/// Only what RFC 3986 leaves alone, and `%` with two digits.
fn is_plain_address(text: &str) -> bool {
    text.split('%').enumerate().all(|(place, part)| {
        let digits = if place > 0 { part.get(..2) } else { Some("") };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            && part.bytes().all(is_plain)
    })
}

/// Reads the header as RFC 6266 has it: the two names, and nothing behind.
fn names_in(header: &str) -> (String, String) {
    let rest = header.strip_prefix("attachment; filename=\"").unwrap();
    let (plain, rest) = rest.split_once('"').unwrap();
    let exact = rest.strip_prefix("; filename*=UTF-8''").unwrap();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~%".contains(&byte);
    assert!(exact.bytes().all(is_token), "{exact}");
    let exact = percent_decode_str(exact).decode_utf8().unwrap();
    (plain.to_owned(), exact.into_owned())
}

fn check_headers(name: &EntryName) {
    let header = content_disposition(Disposition::Attachment, name.as_str());
    let (plain, exact) = names_in(header.to_str().unwrap());
    assert_eq!(exact, name.as_str());
    assert_eq!(plain.chars().count(), name.as_str().chars().count());
    assert!(
        !plain.contains(['\\', '%', '/']) && plain.is_ascii(),
        "{plain}"
    );
    let query = encode_text(name.as_str());
    assert!(is_plain_address(&query) && !query.contains('/'), "{query}");
}

async fn check_name(text: &str) {
    let Ok(name) = EntryName::new(text) else {
        return;
    };
    check_headers(&name);
    let path = EntryPath::ROOT.join(name).unwrap();
    let address = format!("/api/v1/files{}", encode(&path));
    assert!(is_plain_address(&address), "{address}");
    let site = Site::new();
    let put = site.send(&format!("PUT {address}"), &[], "content").await;
    assert_eq!(put.status, 201, "{}", put.text());
    assert_eq!(put.header("location"), address);
    assert_eq!(put.json()["path"], path.to_string());
    let listed = site.get("/api/v1/folders").await.json();
    assert_eq!(listed["entries"][0]["name"], text);
    let got = site.get(&format!("{address}?download=1")).await;
    assert_eq!(got.text(), "content");
    assert_eq!(names_in(got.header("content-disposition")).1, text);
    let page = site.get("/").await;
    assert_eq!(page.status, 200);
    let as_it_is = format!(">{text}<");
    assert!(
        !text.contains('<') || !page.text().contains(&as_it_is),
        "{text:?}"
    );
}

/// Whatever stands in an address is decoded once: it is refused, or a name that is one.
async fn check_address(text: &str) {
    let address = format!("/api/v1/files/{text}");
    let Ok(uri) = address.parse::<Uri>() else {
        return;
    };
    let asked = uri
        .path()
        .strip_prefix("/api/v1/files/")
        .unwrap_or("")
        .to_owned();
    let site = Site::new();
    let put = site.send(&format!("PUT {address}"), &[], "content").await;
    assert!(put.status < 500, "{address}: {}", put.text());
    if put.status != 201 {
        return;
    }
    let meant: Option<Vec<String>> = asked
        .split('/')
        .map(|segment| {
            percent_decode_str(segment)
                .decode_utf8()
                .ok()
                .map(Into::into)
        })
        .collect();
    let meant = meant.expect("what is no text is refused");
    let is_name = |name: &String| EntryName::new(name.as_str()).is_ok();
    assert!(meant.iter().all(is_name), "{meant:?}");
    assert_eq!(put.json()["path"], format!("/{}", meant.join("/")));
}

#[test]
fn a_name_is_the_same_in_addresses_json_and_headers() {
    fuzz::check!(Text, 2_000, |input| block_on(check_name(&text(
        &input.pieces
    ))));
}

#[test]
fn any_address_is_refused_or_is_the_name_that_it_says() {
    fuzz::check!(Text, 4_000, |input| block_on(check_address(&text(
        &input.pieces
    ))));
}
