//! What whoever comes with a share link has shown already, and how often they may guess at its password.
//!
//! Both proofs are cookies, signed with a key that this process draws when it starts and never tells: that the password was
//! given, and that a download was begun. So nothing is kept for a receiver, and a restart asks for the password again.
//!
//! **Invariant:** a password is compared only after a guess was taken from its share, which has few and gets them back slowly.

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

use crate::turns::Transfers;

/// Guesses that a share has when nobody has guessed wrong lately.
const GUESSES_MAX: u32 = 10;
/// One more comes back after each of these.
const GUESS_AFTER: Duration = Duration::from_secs(300);
/// Shares of which wrong guesses are remembered: more than a cluster has.
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
    key: [u8; 32],
    guesses: Mutex<HashMap<ShareId, Guesses>>,
}

/// Wrong guesses at one share's password.
#[derive(Debug, Clone, Copy)]
struct Guesses {
    wrong: u32,
    /// When one of them is forgotten.
    since: Instant,
}

impl Guesses {
    /// As they are now, after some were forgotten.
    fn at(self, now: Instant) -> Self {
        let passed = now.saturating_duration_since(self.since).as_secs() / GUESS_AFTER.as_secs();
        let back = u32::try_from(passed).unwrap_or(u32::MAX).min(self.wrong);
        Self {
            wrong: self.wrong - back,
            since: self.since + GUESS_AFTER * back,
        }
    }
}

impl Receivers {
    /// With a key that nobody knows.
    pub(crate) fn new(key: [u8; 32], transfers: Transfers) -> Self {
        Self {
            transfers,
            key,
            guesses: Mutex::default(),
        }
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

    /// Takes a guess at a share's password; where none is left, how long until the next one.
    pub(crate) fn take_guess(&self, share: ShareId) -> Result<(), Duration> {
        let now = Instant::now();
        let mut all = self.guesses.lock();
        if all.len() >= REMEMBERED_MAX {
            all.retain(|_, guesses| guesses.at(now).wrong > 0);
        }
        let none = Guesses {
            wrong: 0,
            since: now,
        };
        let mut guesses = all.get(&share).map_or(none, |guesses| guesses.at(now));
        if guesses.wrong >= GUESSES_MAX || all.len() >= REMEMBERED_MAX {
            let passed = now.saturating_duration_since(guesses.since);
            return Err(GUESS_AFTER.saturating_sub(passed));
        }
        if guesses.wrong == 0 {
            guesses.since = now;
        }
        guesses.wrong += 1;
        all.insert(share, guesses);
        Ok(())
    }

    /// The guess that was taken was right.
    pub(crate) fn guessed_right(&self, share: ShareId) {
        let mut all = self.guesses.lock();
        if let Some(guesses) = all.get_mut(&share) {
            guesses.wrong = guesses.wrong.saturating_sub(1);
            if guesses.wrong == 0 {
                all.remove(&share);
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

    #[tokio::test(start_paused = true)]
    async fn guesses_run_out_and_come_back_slowly() {
        let receivers = with_key(1);
        let share = ShareId(1);
        for _ in 0..GUESSES_MAX {
            receivers.take_guess(share).unwrap();
        }
        assert_eq!(receivers.take_guess(share), Err(GUESS_AFTER));
        receivers.take_guess(ShareId(2)).unwrap();
        tokio::time::advance(GUESS_AFTER).await;
        receivers.take_guess(share).unwrap();
        assert!(receivers.take_guess(share).is_err());
        // Whoever knows it takes no guess from others.
        tokio::time::advance(GUESS_AFTER).await;
        for _ in 0..100 {
            receivers.take_guess(share).unwrap();
            receivers.guessed_right(share);
        }
    }
}
