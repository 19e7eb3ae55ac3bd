//! Share links: a file or a folder for whoever has a secret token, of which the master knows only the hash.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::Entry;
use crate::id::{RequestId, TokenHash};
use crate::name::{EntryName, EntryPath};
use crate::table::without_body;

without_body!(
    CreateShare,
    ShareCreated,
    ListShares,
    SharesListed,
    FindShare,
    ShareFound,
    CountDownload,
    DownloadCounted,
    RevokeShare,
    ShareRevoked
);

/// Bytes of the longest [`PasswordHash`].
pub const PASSWORD_HASH_LEN_MAX: usize = 256;
/// Shares that a cluster keeps at most.
pub const SHARES_MAX: u64 = 100_000;

/// One share. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShareId(pub u64);

/// What is kept of a share's password: argon2id's string with its parameters and salt. The master never sees the password, and
/// no log sees this.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash, if it looks like one.
    pub fn new(text: impl Into<String>) -> Result<Self, &'static str> {
        let text = text.into();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !text.starts_with("$argon2id$") || text.len() > PASSWORD_HASH_LEN_MAX || !is_plain {
            return Err("a hash of a password begins with $argon2id$");
        }
        Ok(Self(text))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> Self {
        hash.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// See [`create_share`](super::MasterHandlers::create_share). Fails with `not_found`, `invalid_argument` (the root, a file that
/// is upload-only, a download limit of 0 or of an upload-only folder), `precondition_failed` (there are as many as may be).
#[derive(Debug, Serialize, Deserialize)]
pub struct CreateShare {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// What is shared, now and wherever it is moved.
    pub path: EntryPath,
    /// Of a token that nobody can guess.
    pub token: TokenHash,
    /// When it ends, in milliseconds since 1970, UTC: a date that a person chose, so by the clock on the wall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Who comes has to know this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// How often it may be downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloads_max: Option<u64>,
    /// Files may be added to the folder, and nothing in it be seen.
    #[serde(default)]
    pub upload_only: bool,
}

/// It is there.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShareCreated {
    /// Its number.
    pub share: ShareId,
}

/// See [`list_shares`](super::MasterHandlers::list_shares).
#[derive(Debug, Serialize, Deserialize)]
pub struct ListShares {
    /// Only shares older than this one: the last of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<ShareId>,
    /// At most [`PAGE_LEN_MAX`](super::PAGE_LEN_MAX); fewer may come.
    pub limit: u32,
}

/// A page of the shares.
#[derive(Debug, Serialize, Deserialize)]
pub struct SharesListed {
    /// Newest first.
    pub shares: Vec<Share>,
    /// Whether more follow.
    pub more: bool,
}

/// What is known of a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its number.
    pub share: ShareId,
    /// The name of what is shared, or the last one that it had.
    pub name: EntryName,
    /// What is shared, and where it is now; nothing while it is in the trash, or if it was removed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedEntry>,
    /// When it was made.
    pub created_ms: u64,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Whether a password is asked for.
    #[serde(default)]
    pub has_password: bool,
    /// How often it was downloaded.
    pub downloads: u64,
    /// How often it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloads_max: Option<u64>,
    /// Whether files may be added, and nothing be seen.
    #[serde(default)]
    pub upload_only: bool,
}

impl Share {
    /// Whether it has ended by then.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at| at <= now_ms)
    }

    /// Whether all its downloads were begun.
    pub fn is_used_up(&self) -> bool {
        self.downloads_max.is_some_and(|max| self.downloads >= max)
    }
}

/// What is shared, where it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedEntry {
    /// Where.
    pub path: EntryPath,
    /// What.
    pub entry: Entry,
}

/// See [`find_share`](super::MasterHandlers::find_share). Fails with `not_found`.
#[derive(Debug, Serialize, Deserialize)]
pub struct FindShare {
    /// Of the token that somebody came with.
    pub token: TokenHash,
}

/// It is there, which does not say that it has not ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShareFound {
    /// What is known of it.
    pub share: Share,
    /// What the password is checked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
}

/// See [`count_download`](super::MasterHandlers::count_download). Fails with `not_found`, `precondition_failed` (it has ended, or
/// all its downloads were begun), `invalid_argument` (it is upload-only).
#[derive(Debug, Serialize, Deserialize)]
pub struct CountDownload {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// Of which share.
    pub share: ShareId,
}

/// The download may begin.
#[derive(Debug, Serialize, Deserialize)]
pub struct DownloadCounted {
    /// How many there were, with this one.
    pub downloads: u64,
}

/// See [`revoke_share`](super::MasterHandlers::revoke_share). Fails with `not_found`.
#[derive(Debug, Serialize, Deserialize)]
pub struct RevokeShare {
    /// Repeated with the same id, it is done once.
    pub request: RequestId,
    /// Which.
    pub share: ShareId,
}

/// Its link leads nowhere from now on.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShareRevoked {}
