//! Passwords of share links: hashed here with argon2id, so that the master never sees one.
//!
//! Hashing takes memory and time on purpose. So it is done off the async threads, and only a few at once in a process, however
//! many ask.

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use proto::master::PasswordHash;
use rand::Rng;
use tokio::sync::Semaphore;

use crate::Error;

/// Bytes of the longest password.
pub const PASSWORD_LEN_MAX: usize = 1024;
/// How many are hashed at once: each takes about 20 MB for about 20 ms.
const AT_ONCE: usize = 2;
/// Bytes of salt.
const SALT_LEN: usize = 16;
/// Memory that a hash may ask for, in KiB: one that somebody else made cannot take all there is.
const MEMORY_KIB_MAX: u32 = 64 << 10;
/// Passes over it, and lanes, that it may ask for.
const PASSES_MAX: u32 = 16;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// A password, which is never shown in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password, if it is neither empty nor overlong.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        if (1..=PASSWORD_LEN_MAX).contains(&text.len()) {
            return Ok(Self(text));
        }
        Err(Error::InvalidArgument {
            message: format!("a password has 1 to {PASSWORD_LEN_MAX} bytes"),
        })
    }

    /// What is kept of it: another one each time.
    pub async fn hash(self) -> Result<PasswordHash, Error> {
        let mut salt = [0; SALT_LEN];
        rand::rng().fill_bytes(&mut salt);
        let hashed = off_thread(&TURNS, move || {
            let hash = Argon2::default().hash_password_with_salt(self.0.as_bytes(), &salt);
            hash.ok().map(|hash| hash.to_string())
        });
        let hash = hashed.await.flatten().map(PasswordHash::new);
        match hash {
            Some(Ok(hash)) => Ok(hash),
            _ => Err(Error::Unavailable {
                what: "the password could not be hashed".into(),
                source: None,
            }),
        }
    }

    /// Whether it is the one that this was made of.
    pub async fn is(self, hash: &PasswordHash) -> bool {
        let hash = hash.as_str().to_owned();
        let verified = off_thread(&TURNS, move || verify(&self.0, &hash));
        verified.await.unwrap_or(false)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

fn verify(password: &str, hash: &str) -> bool {
    let Ok(hash) = phc::PasswordHash::new(hash) else {
        return false;
    };
    let is_bounded = Params::try_from(&hash).is_ok_and(|params| {
        params.m_cost() <= MEMORY_KIB_MAX
            && params.t_cost() <= PASSES_MAX
            && params.p_cost() <= PASSES_MAX
    });
    let argon2 = Argon2::default();
    is_bounded && argon2.verify_password(password.as_bytes(), &hash).is_ok()
}

/// Work that was begun keeps its turn until it is done, also when nobody waits for it any more.
async fn off_thread<T: Send + 'static>(
    turns: &'static Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let turn = turns.acquire().await.ok()?;
    let work = move || {
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_is_it() {
        let password = |text: &str| Password::new(text).unwrap();
        let hash = password("Grüße 🎉").hash().await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(password("Grüße 🎉").is(&hash).await);
        for other in ["grüße 🎉", "Grüße 🎉 ", "x"] {
            assert!(!password(other).is(&hash).await, "{other}");
        }
        assert_eq!(
            format!("{:?}{hash:?}", password("secret")),
            "Password(..)PasswordHash(..)"
        );
    }

    /// Whoever hung up gave the turn back while the work went on, and so any number went on at once.
    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_its_turn() {
        static TURNS: Semaphore = Semaphore::const_new(1);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut work = Box::pin(off_thread(&TURNS, move || held.recv()));
        assert!(futures::poll!(&mut work).is_pending());
        drop(work);
        assert_eq!(TURNS.available_permits(), 0);
        drop(release);
        drop(TURNS.acquire().await);
    }

    #[tokio::test]
    async fn a_hash_that_would_take_all_memory_fits_no_password() {
        for parameters in ["m=4194304,t=1,p=1", "m=8,t=4000000,p=1", "m=nonsense"] {
            let hash = format!("$argon2id$v=19${parameters}$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA");
            let hash = PasswordHash::new(hash).unwrap();
            assert!(!Password::new("x").unwrap().is(&hash).await, "{parameters}");
        }
    }

    #[test]
    fn passwords_are_neither_empty_nor_overlong() {
        assert!(Password::new("").is_err());
        assert!(Password::new("a".repeat(PASSWORD_LEN_MAX)).is_ok());
        assert!(Password::new("a".repeat(PASSWORD_LEN_MAX + 1)).is_err());
    }
}
