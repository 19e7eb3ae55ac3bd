//! The names that machines give to things: newtypes, so that a chunk id is never taken for a node id.
//!
//! On the wire and in logs every id is text: a chunk id is 64 hex digits, a node, cluster, boot, upload,
//! promise or request id is a UUID, a version is a decimal number. In the stores the same types are their bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The SHA-256 of a chunk's bytes: equal bytes have equal ids, whoever stores them, wherever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId([u8; ChunkId::LEN]);

impl ChunkId {
    /// Bytes in an id.
    pub const LEN: usize = 32;

    /// The id of these bytes: reads them all, about 2 GB/s on a processor with SHA instructions.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The id whose digest this already is.
    pub const fn from_bytes(digest: [u8; Self::LEN]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Which of the 256 buckets of an inventory this chunk falls into: its first byte.
    pub const fn bucket(&self) -> u8 {
        self.0[0]
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&hex_digits(&self.0)).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An id that is not written as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

impl ParseIdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self {
            text: text.chars().take(80).collect(),
            expected,
        }
    }
}

impl FromStr for ChunkId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        from_hex(text)
            .map(Self)
            .ok_or_else(|| ParseIdError::new(text, "a chunk id of 64 lower-case hex digits"))
    }
}

impl Serialize for ChunkId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let digits = hex_digits(&self.0);
            serializer.serialize_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ChunkId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(TextVisitor::<Self>(std::marker::PhantomData))
        } else {
            <[u8; Self::LEN]>::deserialize(deserializer).map(Self)
        }
    }
}

/// A proof that a node holds a chunk durably, as it was promised: the first 16 bytes of
/// HMAC-SHA-256(receipt key, promise id || chunk id || length as u64 big-endian).
///
/// Only the node and the master know the key (it goes to the master when the node registers), so the
/// client can carry a receipt but cannot make one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiptMac([u8; ReceiptMac::LEN]);

impl ReceiptMac {
    /// Bytes in a receipt: 128 bits.
    pub const LEN: usize = 16;

    /// The receipt with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for ReceiptMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiptMac(..)")
    }
}

impl FromStr for ReceiptMac {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        from_hex(text)
            .map(Self)
            .ok_or_else(|| ParseIdError::new(text, "a receipt of 32 lower-case hex digits"))
    }
}

impl Serialize for ReceiptMac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let digits = hex_digits(&self.0);
            serializer.serialize_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ReceiptMac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(TextVisitor::<Self>(std::marker::PhantomData))
        } else {
            <[u8; Self::LEN]>::deserialize(deserializer).map(Self)
        }
    }
}

/// The SHA-256 of a share's token: all that anybody keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(ChunkId);

impl TokenHash {
    /// The hash of this token.
    pub fn of(token: &str) -> Self {
        Self(ChunkId::of(token.as_bytes()))
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; ChunkId::LEN] {
        self.0.as_bytes()
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with these bits.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Its bits.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| ParseIdError::new(text, "a UUID"))
            }
        }
    };
}

uuid_id! {
    /// A storage node: made once, kept in its `node.json`, whatever its address becomes.
    NodeId
}
uuid_id! {
    /// A cluster: made by the master when its store is new.
    ClusterId
}
uuid_id! {
    /// One start of a process: tells a restarted node from a second one with the same `node.json`.
    BootId
}
uuid_id! {
    /// One start of a master: tells two masters apart that started as often, on copies of one folder.
    RunId
}
uuid_id! {
    /// An upload session, named by the caller, so that a repeated request finds the first.
    UploadId
}
uuid_id! {
    /// The master's promise to an upload that a chunk may be stored on some nodes: drawn at random by the master, and
    /// never used again, so that a receipt is worth nothing once the promise behind it has ended or was lost.
    PromiseId
}
uuid_id! {
    /// A change asked for, named by the caller: repeated with the same id it is done once.
    RequestId
}

/// One version of one file. Numbers are never used twice in a cluster, so this is also the ETag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionId(pub u64);

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VersionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse()
            .map(Self)
            .map_err(|_| ParseIdError::new(text, "a version number"))
    }
}

/// How often the master has started: raised and made durable at each start, so that orders of an
/// earlier life, or of a master restored from an old copy, can be told and refused.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Text of an id, read without a copy.
struct TextVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = ParseIdError>> serde::de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id in hex digits")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// 64 bytes hold the longest id; a shorter one uses its part of them.
fn hex_digits<const N: usize>(bytes: &[u8; N]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .collect()
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_id_is_the_sha256_in_hex() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(ChunkId::of(b"abc").to_string(), text);
        assert_eq!(text.parse(), Ok(ChunkId::of(b"abc")));
        assert_eq!(
            serde_json::to_string(&ChunkId::of(b"abc")).unwrap(),
            format!("{text:?}")
        );
    }

    #[test]
    fn what_is_not_an_id_is_refused_with_its_text() {
        for text in ["", "ab", &"g".repeat(64), &"A".repeat(64), &"é".repeat(32)] {
            let error = text.parse::<ChunkId>().unwrap_err().to_string();
            assert!(error.contains("64 lower-case hex digits"), "{error}");
        }
        assert!("1-2".parse::<NodeId>().is_err());
        assert!("-1".parse::<VersionId>().is_err());
    }
}
