//! What stands before every route: who may ask, and the headers that every answer carries.
//!
//! - A `Host` that is not one of this server's names is refused, so that another site cannot reach it by pointing
//!   its own name here (DNS rebinding).
//! - By the name that only receivers of share links use, links are answered and nothing else.
//! - A change asked for by another site's page is refused, by `Sec-Fetch-Site` or `Origin`; programs send neither.
//! - No answer is ever shown in another page's frame, taken for another type, or allowed to load anything but what a
//!   page's own policy names.

use std::collections::HashSet;
use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use proto::net::Address;

use crate::Shared;
use crate::assets;
use crate::error::{Kind, Problem};
use crate::headers::tus;
use crate::routes::shares::RECEIVERS;
use crate::routes::uploads;

/// The names under which this server is asked.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    names: HashSet<String>,
    any_address: bool,
    /// Good for links only, if it is no other name too.
    public: Option<String>,
}

impl Hosts {
    /// The loopback names, the address listened on, and these further names. Listening on all of the machine's
    /// addresses, any address will do: it is names that another site can point here.
    pub fn new(listen: &Address, names: &[String]) -> Self {
        let own = listen.host();
        let ip = own.parse::<IpAddr>();
        let names = names.iter().map(|name| host_of(name));
        Self {
            names: names.chain([host_of(own)]).collect(),
            any_address: ip.is_ok_and(|ip| ip.is_unspecified()),
            public: None,
        }
    }

    /// The same, and a name by which receivers of share links come.
    #[must_use]
    pub fn with_public(mut self, authority: Option<&str>) -> Self {
        self.public = authority.map(host_of);
        self
    }

    /// Why a request by this name is not answered, if it is not.
    fn refusal(&self, authority: &str, path: &str) -> Option<String> {
        let is_public = self.public.as_ref() == Some(&host_of(authority));
        let is_for_receivers = path.starts_with(RECEIVERS) || path.starts_with("/static/");
        if self.has(authority) || is_public && (is_for_receivers || path == "/favicon.ico") {
            return None;
        }
        let shown: String = authority.chars().take(80).collect();
        Some(if is_public {
            format!(
                "only share links are answered by {shown:?}; if the whole page should be, add it to `hosts` in section \
                 [web] of config.toml"
            )
        } else {
            format!(
                "{shown:?} is not a name of this server; if it should be, add it to `hosts` in section [web] of \
                 config.toml"
            )
        })
    }

    fn has(&self, authority: &str) -> bool {
        let host = host_of(authority);
        match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || self.any_address || self.names.contains(&host),
            Err(_) => {
                host == "localhost" || host.ends_with(".localhost") || self.names.contains(&host)
            }
        }
    }
}

/// The host without port, brackets and a closing dot, in lower case.
fn host_of(authority: &str) -> String {
    let host = if let Some(inner) = authority.strip_prefix('[') {
        inner.split(']').next().unwrap_or(inner)
    } else if authority.matches(':').count() == 1 {
        authority.split(':').next().unwrap_or(authority)
    } else {
        authority
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Checks a request, and adds to its answer the headers that all have.
pub(crate) async fn guard(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let speaks_tus = speaks_tus(request.uri().path());
    let mut response = match check(&state.hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) if speaks_tus => tus::stamp(problem.into_response()).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in SECURITY_HEADERS {
        let entry = response.headers_mut().entry(name);
        entry.or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Whether uploads that can go on in the middle are here, the owner's or those by a link.
fn speaks_tus(path: &str) -> bool {
    let below_link = path
        .strip_prefix(RECEIVERS)
        .and_then(|rest| rest.split_once('/'));
    path.starts_with(uploads::UPLOADS)
        || below_link.is_some_and(|(_, rest)| rest == "uploads" || rest.starts_with("uploads/"))
}

const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// What a page of ours may load: our own static files. Scripts by their folder too, and the one style by its hash, so that an
/// uploaded file is never one, whatever else goes wrong.
pub(crate) fn page_policy(uri: &Uri, headers: &HeaderMap) -> HeaderValue {
    let host = asked_host(uri, headers).ok();
    let plain = |host: &&str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
        !host.is_empty() && host.bytes().all(is_plain)
    };
    // A policy has no way to write an IPv6 address.
    let files = host
        .filter(plain)
        .map_or_else(|| String::from("'self'"), |host| format!("{host}/static/"));
    let style = assets::style_source();
    let policy = format!(
        "default-src 'none'; script-src {files}; style-src {style}; img-src 'self'; media-src 'self'; \
         object-src 'self'; frame-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HeaderValue::try_from(policy).expect("only plain characters were put in")
}

/// Which host is asked: the one in an absolute address, else that of the only `Host` header (RFC 9112, section 3.2).
pub(crate) fn asked_host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    let mut named = headers.get_all(header::HOST).iter();
    match (uri.authority(), named.next(), named.next()) {
        (_, _, Some(_)) => Err(Problem::new(
            Kind::BadRequest,
            "the request has more than one Host",
        )),
        (Some(authority), _, None) => Ok(authority.as_str()),
        (None, Some(host), None) => Ok(host.to_str().unwrap_or("")),
        (None, None, None) => Err(Problem::new(Kind::BadRequest, "the request has no Host")),
    }
}

fn check(hosts: &Hosts, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let host = asked_host(request.uri(), headers)?;
    if let Some(refusal) = hosts.refusal(host, request.uri().path()) {
        return Err(Problem::new(Kind::UnknownHost, refusal));
    }
    let is_change = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if is_change && !is_own(headers, host) && !is_from_share_page(request) {
        return Err(Problem::new(
            Kind::CrossSite,
            "changes are taken from this server's own page and from programs, not from another site's page",
        ));
    }
    Ok(())
}

/// Whether our page, a person or a program asks. Browsers send `Sec-Fetch-Site` to safe places only, else `Origin`.
fn is_own(headers: &HeaderMap, host: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let origin = origin.to_str().unwrap_or("");
    let authority = origin.split_once("://").map_or("", |(_, rest)| rest);
    authority.eq_ignore_ascii_case(host)
}

/// Whether a form or a script of a share's page may have sent it. Such a page tells nobody where it is, and so a browser that sends no
/// `Sec-Fetch-Site`, since it talks over plain HTTP, says `Origin: null`. Another site's page could say the same, and wins nothing
/// by it: all that may be done there is done by knowing the address, and its cookies are never sent along with another site's request.
fn is_from_share_page(request: &Request) -> bool {
    let headers = request.headers();
    request.uri().path().starts_with(RECEIVERS)
        && !headers.contains_key("sec-fetch-site")
        && headers
            .get(header::ORIGIN)
            .is_some_and(|origin| origin == "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_hosts() {
        let listen = "192.168.1.5:5000".parse().unwrap();
        let hosts = Hosts::new(&listen, &["Drive.lan".into(), "files.example:8443".into()]);
        for own in [
            "localhost",
            "localhost:5000",
            "LOCALHOST.:5000",
            "127.0.0.1:5000",
            "127.1.2.3",
            "[::1]:5000",
            "192.168.1.5:5000",
            "drive.lan",
            "drive.lan:80",
            "files.example",
            "dfs.localhost:5000",
        ] {
            assert!(hosts.has(own), "{own}");
        }
        for other in [
            "",
            "evil",
            "evil.example:5000",
            "localhost.evil.example",
            "evillocalhost",
            "192.168.1.6",
            "drive.lan.evil.example",
            "[::2]",
        ] {
            assert!(!hosts.has(other), "{other}");
        }
        let all = Hosts::new(&"0.0.0.0:5000".parse().unwrap(), &[]);
        assert!(all.has("10.1.2.3:5000"));
        assert!(!all.has("evil.example"));
    }

    /// A receiver who cut the address after the host had the whole drive, if the proxy did not refuse it.
    #[test]
    fn by_the_public_name_links_are_answered_only() {
        let listen = "127.0.0.1:5000".parse().unwrap();
        let hosts =
            |names: &[String]| Hosts::new(&listen, names).with_public(Some("files.example:8443"));
        let apart = hosts(&[]);
        for path in ["/s/x", "/s/x/file/a", "/static/app.js", "/favicon.ico"] {
            assert_eq!(apart.refusal("Files.Example", path), None, "{path}");
        }
        for path in ["/", "/shares", "/s", "/api/v1/files/a", "/folder/s/x"] {
            let refusal = apart.refusal("files.example:8443", path).unwrap();
            assert!(refusal.starts_with("only share links"), "{path}");
            assert_eq!(apart.refusal("localhost:5000", path), None, "{path}");
        }
        assert!(apart.refusal("evil.example", "/s/x").is_some());
        let both = hosts(&["files.example".into()]);
        assert_eq!(both.refusal("files.example", "/"), None);
    }

    #[test]
    fn changes_come_from_our_page_or_from_programs() {
        for (fields, expected) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("origin", "http://localhost:5000")], true),
            (&[("origin", "http://localhost:5001")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://localhost:5000"),
                ],
                false,
            ),
        ] {
            let headers: HeaderMap = fields
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect();
            assert_eq!(is_own(&headers, "localhost:5000"), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_page_loads_static_files_only() {
        for (address, host, expected) in [
            ("/", "drive.lan:5000", "drive.lan:5000/static/"),
            ("/", "[::1]:5000", "'self'"),
            // The one that was checked, not the one that an absolute address overrules.
            ("http://drive.lan/", "evil.example", "drive.lan/static/"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            let policy = page_policy(&Uri::from_static(address), &headers);
            let scripts = format!("script-src {expected};");
            assert!(policy.to_str().unwrap().contains(&scripts), "{policy:?}");
        }
    }
}
