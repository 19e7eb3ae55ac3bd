//! `POST /language` and `POST /s/language`: in which language somebody wants to read, kept in a cookie.
//!
//! A form of each page sends it, with or without a script. What comes of it is the page from which it came: the form says which that
//! is.
//!
//! **Invariant:** the answer leads to a page of this server, whatever the form says.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;

use super::receiver::see;
use super::shares::is_https;
use crate::Shared;
use crate::error::{Kind, Problem};
use crate::extract::FormBody;
use crate::texts;

/// Where the form of the drive's pages goes to.
pub(crate) const CHOICES: &str = "/language";
/// The same for receivers of share links, who reach nothing else.
pub(crate) const RECEIVERS_CHOICES: &str = "/s/language";
/// The longest such form: the longest path, every byte escaped twice, has room.
const FORM_LEN_MAX: usize = 64 << 10;
const YEAR_SECONDS: u32 = 365 * 24 * 60 * 60;

#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    language: String,
    back: String,
}

/// `POST /language` and `POST /s/language`
pub(crate) async fn post(
    State(state): State<Shared>,
    headers: HeaderMap,
    FormBody(choice): FormBody<Choice, FORM_LEN_MAX>,
) -> Result<Response, Problem> {
    let chosen = texts::of(&choice.language).ok_or_else(|| {
        let shown: String = choice.language.chars().take(40).collect();
        let detail = format!("there is no language {shown:?} here");
        Problem::new(Kind::InvalidArgument, detail)
    })?;
    let secure = if is_https(&state, &headers) {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!(
        "{}={}; HttpOnly; SameSite=Lax; Path=/; Max-Age={YEAR_SECONDS}{secure}",
        texts::COOKIE,
        chosen.code
    );
    let cookie = HeaderValue::try_from(cookie).expect("made of printable ASCII");
    let mut response = see(own_address(&choice.back));
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// The address, if it is a path of this server; else its first page. `//host` would be another server, and for browsers `\` is `/`.
fn own_address(back: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    let is_own = back.starts_with('/') && !back.starts_with("//") && back.bytes().all(is_plain);
    if is_own { back } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::own_address;

    #[test]
    fn one_goes_back_to_this_server_only() {
        for own in [
            "/",
            "/folder/a%20b?sort=size",
            "/s/token?after=x",
            "/search?text=%2F%2F",
            "/folder//evil.example",
        ] {
            assert_eq!(own_address(own), own);
        }
        for other in [
            "",
            "folder",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "\t//evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: b=c",
            "/ü",
        ] {
            assert_eq!(own_address(other), "/", "{other:?}");
        }
    }
}
