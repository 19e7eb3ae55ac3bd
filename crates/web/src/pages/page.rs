//! What a page is made for: in which language, at which address, and what it may load.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri};

use crate::guard::page_policy;
use crate::routes::language::{CHOICES, RECEIVERS_CHOICES};
use crate::routes::shares::RECEIVERS;
use crate::texts::{self, Texts};

/// One request for a page.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// In the language of whoever asks.
    pub(crate) texts: &'static Texts,
    /// Where it is on this server.
    pub(super) address: String,
    pub(super) policy: HeaderValue,
}

impl Page {
    /// What is asked for here.
    pub(crate) fn new(uri: &Uri, headers: &HeaderMap) -> Self {
        Self {
            texts: texts::chosen(headers),
            address: uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
            policy: page_policy(uri, headers),
        }
    }

    /// The same, at the first page of the share link to which it belongs: its own address may be that of a form, or of nothing.
    pub(super) fn at_link(&self) -> Self {
        let below = self.address.strip_prefix(RECEIVERS);
        let token = below.and_then(|below| below.split(['/', '?']).next());
        let address = token.map(|token| format!("{RECEIVERS}{token}"));
        Self {
            address: address.unwrap_or_else(|| self.address.clone()),
            ..self.clone()
        }
    }

    /// Where another language is chosen.
    pub(super) fn language_address(&self) -> &'static str {
        if self.address.starts_with(RECEIVERS) {
            RECEIVERS_CHOICES
        } else {
            CHOICES
        }
    }

    pub(super) fn other_languages(&self) -> impl Iterator<Item = &'static Texts> {
        let own = self.texts.code;
        texts::all().iter().filter(move |texts| texts.code != own)
    }
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::new(&parts.uri, &parts.headers))
    }
}
