//! What whoever comes with a share link has shown already, and how often they may guess at its password.
//!
//! Both proofs are cookies, signed with a key that this process draws when it starts and never tells: that the password was
//! given, and that a download was begun. So nothing is kept for a receiver, and a restart asks for the password again.
//!
//! **Invariant:** a password is compared only after a guess was taken from its share, and from whoever guesses: both have few and
//! get them back slowly. Whoever guesses has fewer, so that one stranger does not lock out those who know the password.

mod unfinished;

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use client::ShareToken;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use proto::master::{ShareFound, ShareId};
use sha2::Sha256;
use tokio::time::Instant;

use crate::error::Problem;
use crate::places::Place;
use crate::resumable::Resumables;
use crate::turns::{Halves, Transfers, Turn};
use unfinished::Unfinished;

/// Guesses that one place has at a share when it has not guessed wrong lately.
const OF_ONE: Allowance = Allowance {
    guesses_max: 10,
    one_after: Duration::from_secs(300),
};
/// Guesses at a share from everywhere.
const OF_ALL: Allowance = Allowance {
    guesses_max: 100,
    one_after: Duration::from_secs(60),
};
/// Shares and places of which wrong guesses are remembered. A share is asked before its places are, so that its own allowance
/// bounds how many it adds here.
const REMEMBERED_MAX: usize = 1 << 17;

/// What a cookie proves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Proof {
    /// The password of the share was given.
    Password,
    /// A download of this version was begun, and may go on.
    Download {
        /// The version.
        version: u64,
    },
}

impl Proof {
    /// How long it holds, in seconds.
    pub(crate) const fn seconds(self) -> u64 {
        match self {
            Self::Password => 2 * 60 * 60,
            Self::Download { .. } => 24 * 60 * 60,
        }
    }

    /// The cookie's name.
    pub(crate) const fn cookie(self) -> &'static str {
        match self {
            Self::Password => "dfs-share",
            Self::Download { .. } => "dfs-download",
        }
    }
}

/// See the module.
pub(crate) struct Receivers {
    /// What goes on at once for all of them.
    pub(crate) transfers: Transfers,
    /// What each share has of the uploads.
    uploads: Halves<ShareId>,
    /// What is held of files that come by links.
    pub(crate) resumables: Resumables,
    /// How many of them are begun.
    pub(crate) unfinished: Unfinished,
    key: [u8; 32],
    guesses: Mutex<HashMap<Guesser, Guesses>>,
}

/// How many wrong guesses there may be at once, and how soon they are forgotten.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    guesses_max: u32,
    /// One more comes back after each of these.
    one_after: Duration,
}

/// Whose guesses are counted: those at a share from one place, or from everywhere.
type Guesser = (ShareId, Option<Place>);

/// Wrong guesses that are remembered.
#[derive(Debug, Clone, Copy)]
struct Guesses {
    wrong: u32,
    /// When one of them is forgotten.
    since: Instant,
}

impl Guesses {
    /// As they are now, after some were forgotten.
    fn at(self, now: Instant, allowance: Allowance) -> Self {
        let passed = now.saturating_duration_since(self.since).as_secs();
        let back = passed / allowance.one_after.as_secs();
        let back = u32::try_from(back).unwrap_or(u32::MAX).min(self.wrong);
        Self {
            wrong: self.wrong - back,
            since: self.since + allowance.one_after * back,
        }
    }
}

const fn allowance((_, place): &Guesser) -> Allowance {
    match place {
        Some(_) => OF_ONE,
        None => OF_ALL,
    }
}

impl Receivers {
    /// With a key that nobody knows.
    pub(crate) fn new(key: [u8; 32], transfers: Transfers) -> Self {
        Self {
            uploads: Halves::of(&transfers.uploads),
            transfers,
            resumables: Resumables::of_receivers(),
            unfinished: Unfinished::default(),
            key,
            guesses: Mutex::default(),
        }
    }

    /// Waits for a turn to add files by a share: one of its own, and then one of all.
    pub(crate) async fn upload_turn(&self, share: ShareId) -> Result<[Turn; 2], Problem> {
        let own = self.uploads.turns(share).turn(1).await?;
        Ok([own, self.transfers.uploads.turn(1).await?])
    }

    /// The value of a cookie that proves something of a share from now on.
    pub(crate) fn prove(
        &self,
        proof: Proof,
        token: &ShareToken,
        found: &ShareFound,
        now_secs: u64,
    ) -> String {
        let ends = now_secs + proof.seconds();
        let mac = self.mac(proof, token, found, ends).finalize().into_bytes();
        format!("{ends}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac))
    }

    /// Whether a cookie's value is such a proof.
    pub(crate) fn is_proof(
        &self,
        value: &str,
        proof: Proof,
        token: &ShareToken,
        found: &ShareFound,
        now_secs: u64,
    ) -> bool {
        let Some((ends, mac)) = value.split_once('.') else {
            return false;
        };
        let (Ok(ends), Ok(mac)) = (ends.parse::<u64>(), BASE64_URL_SAFE_NO_PAD.decode(mac)) else {
            return false;
        };
        let expected = self.mac(proof, token, found, ends);
        ends > now_secs && expected.verify_slice(&mac).is_ok()
    }

    fn mac(&self, proof: Proof, token: &ShareToken, found: &ShareFound, ends: u64) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length will do");
        let (kind, version) = match proof {
            Proof::Password => (0, 0),
            Proof::Download { version } => (1, version),
        };
        mac.update(&[kind]);
        mac.update(token.hash().as_bytes());
        for number in [found.share.share.0, version, ends] {
            mac.update(&number.to_be_bytes());
        }
        // Another password needs another proof.
        if let Some(hash) = &found.password {
            mac.update(hash.as_str().as_bytes());
        }
        mac
    }

    /// Takes a guess at a share's password from a place; where none is left, how long until the next one.
    pub(crate) fn take_guess(&self, share: ShareId, place: Place) -> Result<(), Duration> {
        let now = Instant::now();
        let mut all = self.guesses.lock();
        if all.len() + 2 > REMEMBERED_MAX {
            all.retain(|guesser, guesses| guesses.at(now, allowance(guesser)).wrong > 0);
        }
        let mut taken = Vec::with_capacity(2);
        for guesser in [(share, None), (share, Some(place))] {
            let allowance = allowance(&guesser);
            let mut guesses = match all.get(&guesser) {
                Some(before) => before.at(now, allowance),
                None if all.len() + 2 > REMEMBERED_MAX => return Err(allowance.one_after),
                None => Guesses {
                    wrong: 0,
                    since: now,
                },
            };
            if guesses.wrong >= allowance.guesses_max {
                let passed = now.saturating_duration_since(guesses.since);
                return Err(allowance.one_after.saturating_sub(passed));
            }
            if guesses.wrong == 0 {
                guesses.since = now;
            }
            guesses.wrong += 1;
            taken.push((guesser, guesses));
        }
        all.extend(taken);
        Ok(())
    }

    /// The guess that was taken was right.
    pub(crate) fn guessed_right(&self, share: ShareId, place: Place) {
        let mut all = self.guesses.lock();
        for guesser in [(share, None), (share, Some(place))] {
            if let Some(guesses) = all.get_mut(&guesser) {
                guesses.wrong = guesses.wrong.saturating_sub(1);
                if guesses.wrong == 0 {
                    all.remove(&guesser);
                }
            }
        }
    }
}

/// The clock on the wall, in milliseconds since 1970, UTC.
pub(crate) fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TransferLimits;
    use proto::master::{PasswordHash, Share};

    fn with_key(key: u8) -> Receivers {
        let transfers = Transfers::of_receivers(&TransferLimits::default());
        Receivers::new([key; 32], transfers)
    }

    fn found(share: u64, salt: &str) -> ShareFound {
        let hash = format!("$argon2id$v=19$m=8,t=1,p=1${salt}$aGFzaA");
        ShareFound {
            share: Share {
                share: ShareId(share),
                name: "a".to_owned().try_into().unwrap(),
                shared: None,
                created_ms: 0,
                expires_ms: None,
                has_password: true,
                downloads: 0,
                downloads_max: None,
                upload_only: false,
            },
            password: Some(PasswordHash::new(hash).unwrap()),
        }
    }

    #[test]
    fn a_proof_is_of_one_thing_and_for_a_while() {
        fn check(
            receivers: &Receivers,
            value: &str,
            proof: Proof,
            token: &ShareToken,
            share: &ShareFound,
            now: u64,
        ) -> bool {
            receivers.is_proof(value, proof, token, share, now)
        }
        let receivers = with_key(1);
        let (token, other) = (
            ShareToken::from_bytes([1; ShareToken::LEN]),
            ShareToken::from_bytes([2; ShareToken::LEN]),
        );
        let share = found(1, "c2FsdA");
        let value = receivers.prove(Proof::Password, &token, &share, 100);
        let password = Proof::Password;
        assert!(check(&receivers, &value, password, &token, &share, 100));
        let ends = 100 + password.seconds();
        assert!(!check(&receivers, &value, password, &token, &share, ends));
        assert!(!check(&receivers, &value, password, &other, &share, 100));
        assert!(!check(
            &receivers,
            &value,
            password,
            &token,
            &found(2, "c2FsdA"),
            100
        ));
        assert!(!check(
            &receivers,
            &value,
            password,
            &token,
            &found(1, "b3RoZXI"),
            100
        ));
        let download = Proof::Download { version: 0 };
        assert!(!check(&receivers, &value, download, &token, &share, 100));
        let restarted = with_key(2);
        assert!(!check(&restarted, &value, password, &token, &share, 100));
        let longer = value.replacen(&ends.to_string(), &(ends + 1).to_string(), 1);
        for wrong in ["", ".", "x.y", &value[1..], &longer] {
            assert!(
                !check(&receivers, wrong, password, &token, &share, 100),
                "{wrong}"
            );
        }
    }

    fn place(address: &str) -> Place {
        Place::of(address.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_run_out_and_come_back_slowly() {
        let receivers = with_key(1);
        let (share, here) = (ShareId(1), place("192.0.2.1"));
        for _ in 0..OF_ONE.guesses_max {
            receivers.take_guess(share, here).unwrap();
        }
        assert_eq!(receivers.take_guess(share, here), Err(OF_ONE.one_after));
        receivers.take_guess(ShareId(2), here).unwrap();
        tokio::time::advance(OF_ONE.one_after).await;
        receivers.take_guess(share, here).unwrap();
        assert!(receivers.take_guess(share, here).is_err());
        // Whoever knows it takes no guess from others.
        tokio::time::advance(OF_ONE.one_after).await;
        for _ in 0..1000 {
            receivers.take_guess(share, here).unwrap();
            receivers.guessed_right(share, here);
        }
    }

    /// A stranger who guesses wrong all day kept those out who know the password.
    #[tokio::test(start_paused = true)]
    async fn one_place_locks_no_other_out_and_all_places_together_have_a_bound() {
        let receivers = with_key(1);
        let share = ShareId(1);
        let stranger = place("192.0.2.1");
        while receivers.take_guess(share, stranger).is_ok() {}
        receivers.take_guess(share, place("192.0.2.2")).unwrap();
        let guessed = OF_ONE.guesses_max + 1;
        let mut places = (0..=u8::MAX).map(|last| place(&format!("198.51.100.{last}")));
        for place in places
            .by_ref()
            .take((OF_ALL.guesses_max - guessed) as usize)
        {
            receivers.take_guess(share, place).unwrap();
        }
        let next = places.next().unwrap();
        assert_eq!(receivers.take_guess(share, next), Err(OF_ALL.one_after));
        tokio::time::advance(OF_ALL.one_after).await;
        receivers.take_guess(share, next).unwrap();
    }
}
