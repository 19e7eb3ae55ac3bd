//! The model of share links: where what they share is, wherever it was moved.

use proto::ErrorCode;
use proto::id::TokenHash;
use proto::master::ShareId;

use super::World;
use super::names::Item;
use crate::command::Command;
use crate::state::tests::bench::path;

/// How often a link of the model may be downloaded, where that is limited.
const DOWNLOADS_MAX: u64 = 2;

/// A link that was made.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    token: TokenHash,
    /// Nothing when it was purged.
    place: Option<Place>,
    downloads: u64,
    is_limited: bool,
    is_revoked: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// Under this path.
    Named(String),
    /// In this row of the trash, with this path below it.
    Trashed(u64, String),
}

impl World {
    pub(super) fn share(&mut self, at: &str, is_limited: bool, upload_only: bool) {
        let request = self.bench.request();
        let number = self.shares.len() as u64 + 1;
        let token = TokenHash::of(&request.to_string());
        let outcome = self.bench.apply(Command::CreateShare {
            request,
            path: path(at),
            token,
            expires_ms: None,
            password: None,
            downloads_max: is_limited.then_some(DOWNLOADS_MAX),
            upload_only,
        });
        let expected = match self.names.get(at) {
            None => Err(ErrorCode::NotFound),
            Some(Item::File(_)) if upload_only => Err(ErrorCode::InvalidArgument),
            Some(_) if upload_only && is_limited => Err(ErrorCode::InvalidArgument),
            Some(_) => Ok(()),
        };
        assert_eq!(outcome.map(drop).map_err(|e| e.code), expected, "{at}");
        if expected.is_ok() {
            let shared = Shared {
                token,
                place: Some(Place::Named(at.to_owned())),
                downloads: 0,
                is_limited,
                is_revoked: false,
            };
            self.shares.insert(number, shared);
        }
    }

    pub(super) fn fetch(&mut self, share: u64) {
        let Some(shared) = self.shares.get_mut(&share) else {
            return;
        };
        let request = self.bench.request();
        let share = ShareId(share);
        let outcome = self.bench.apply(Command::CountDownload { request, share });
        let is_used_up = shared.is_limited && shared.downloads == DOWNLOADS_MAX;
        match outcome.map(drop).map_err(|error| error.code) {
            Ok(()) => {
                assert!(!shared.is_revoked && !is_used_up, "{shared:?}");
                shared.downloads += 1;
            }
            Err(ErrorCode::PreconditionFailed) => assert!(is_used_up, "{shared:?}"),
            // Upload-only.
            Err(ErrorCode::InvalidArgument) => assert_eq!(shared.downloads, 0),
            // One that was purged may have been swept or not.
            Err(ErrorCode::NotFound) => assert!(shared.is_revoked || shared.place.is_none()),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn revoke(&mut self, share: u64) {
        let Some(shared) = self.shares.get_mut(&share) else {
            return;
        };
        let request = self.bench.request();
        let share = ShareId(share);
        let outcome = self.bench.apply(Command::RevokeShare { request, share });
        if outcome.is_err() {
            assert!(shared.is_revoked || shared.place.is_none(), "{shared:?}");
        }
        shared.is_revoked = true;
    }

    /// What was at a path, and below it, is elsewhere.
    pub(super) fn shares_moved(&mut self, from: &str, to: &str) {
        self.change_named(from, |below| Some(Place::Named(format!("{to}{below}"))));
    }

    pub(super) fn shares_trashed(&mut self, at: &str, trash: u64) {
        self.change_named(at, |below| Some(Place::Trashed(trash, below.to_owned())));
    }

    pub(super) fn shares_purged(&mut self, at: &str) {
        self.change_named(at, |_| None);
    }

    pub(super) fn shares_restored(&mut self, trash: u64, to: &str) {
        for shared in self.shares.values_mut() {
            if let Some(Place::Trashed(row, below)) = &shared.place
                && *row == trash
            {
                shared.place = Some(Place::Named(format!("{to}{below}")));
            }
        }
    }

    /// A row of the trash, or all of it, is gone for good.
    pub(super) fn shares_emptied(&mut self, trash: Option<u64>) {
        for shared in self.shares.values_mut() {
            if let Some(Place::Trashed(row, _)) = &shared.place
                && trash.is_none_or(|trash| trash == *row)
            {
                shared.place = None;
            }
        }
    }

    fn change_named(&mut self, at: &str, change: impl Fn(&str) -> Option<Place>) {
        for shared in self.shares.values_mut() {
            let Some(Place::Named(path)) = &shared.place else {
                continue;
            };
            let below = path.strip_prefix(at);
            if let Some(below) = below.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                shared.place = change(below);
            }
        }
    }

    pub(super) fn check_shares(&self) {
        let snapshot = self.bench.read();
        for (number, shared) in &self.shares {
            let found = snapshot.share_of(shared.token).ok();
            let Some(found) = found else {
                assert!(shared.is_revoked || shared.place.is_none(), "{shared:?}");
                continue;
            };
            assert!(!shared.is_revoked, "{shared:?}");
            assert_eq!(found.share.share, ShareId(*number));
            assert_eq!(found.share.downloads, shared.downloads);
            let expected = match &shared.place {
                Some(Place::Named(at)) => Some(path(at)),
                _ => None,
            };
            let place = found.share.shared.map(|shared| shared.path);
            assert_eq!(place, expected, "share {number}");
        }
        let listed = snapshot.shares_page(None, 1000).unwrap().shares.len();
        assert!(listed <= self.shares.len());
    }
}
