//! Share links: a secret token in an address, for whoever has it.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proto::id::TokenHash;
use proto::master::{
    CountDownload, CreateShare, FindShare, ListShares, RevokeShare, ShareFound, ShareId,
    SharesListed,
};
use proto::name::EntryPath;
use rand::Rng;

use super::passwords::Password;
use super::{Cluster, Error};

/// The secret in a share's link: 192 bits of chance. It is never shown in a log, and nobody keeps it: the master has its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareToken(String);

impl ShareToken {
    /// Bytes of chance.
    pub const LEN: usize = 24;

    /// The token of these bytes.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The token that this text is, if it looks like one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = text.len() == Self::LEN / 3 * 4 && text.bytes().all(is_plain);
        fits.then(|| Self(text.to_owned()))
    }

    /// Its text, which stands in the link.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for ShareToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareToken(..)")
    }
}

/// How something is shared.
#[derive(Debug, Clone, Default)]
pub struct ShareOptions {
    /// When it ends, in milliseconds since 1970, UTC.
    pub expires_ms: Option<u64>,
    /// Who comes has to know it.
    pub password: Option<Password>,
    /// How often it may be downloaded.
    pub downloads_max: Option<u64>,
    /// Files may be added to the folder, and nothing in it be seen.
    pub upload_only: bool,
}

/// A share that was made: only now is its token known.
#[derive(Debug, Clone)]
pub struct NewShare {
    /// Its number.
    pub share: ShareId,
    /// For its link.
    pub token: ShareToken,
}

impl Cluster {
    /// Shares a file or a folder with whoever has the token that it gives. The share follows its entry wherever that is moved.
    pub async fn share(&self, path: &EntryPath, options: ShareOptions) -> Result<NewShare, Error> {
        let mut token = [0; ShareToken::LEN];
        self.shared.random.lock().fill_bytes(&mut token);
        let token = ShareToken::from_bytes(token);
        let password = match options.password {
            Some(password) => Some(password.hash().await?),
            None => None,
        };
        let request = self.new_request();
        let created = self
            .ask(|| CreateShare {
                request,
                path: path.clone(),
                token: token.hash(),
                expires_ms: options.expires_ms,
                password: password.clone(),
                downloads_max: options.downloads_max,
                upload_only: options.upload_only,
            })
            .await?;
        Ok(NewShare {
            share: created.share,
            token,
        })
    }

    /// All shares, newest first, a page at a time: those older than `before`, at most `limit`.
    pub async fn shares(&self, before: Option<ShareId>, limit: u32) -> Result<SharesListed, Error> {
        self.ask(|| ListShares { before, limit }).await
    }

    /// The share of a token, which may have ended, and where that which it shares is now.
    pub async fn find_share(&self, token: &ShareToken) -> Result<ShareFound, Error> {
        let token = token.hash();
        self.ask(|| FindShare { token }).await
    }

    /// Lets a download of a share begin, which is counted; fails with [`Error::PreconditionFailed`] if there are none left, or
    /// it has ended.
    pub async fn count_download(&self, share: ShareId) -> Result<u64, Error> {
        let request = self.new_request();
        let counted = self.ask(|| CountDownload { request, share }).await?;
        Ok(counted.downloads)
    }

    /// Ends a share.
    pub async fn revoke_share(&self, share: ShareId) -> Result<(), Error> {
        let request = self.new_request();
        self.ask(|| RevokeShare { request, share }).await?;
        Ok(())
    }
}
