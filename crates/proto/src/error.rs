//! Errors that cross the wire: a code on which a caller can branch, and a sentence for a person.

use serde::{Deserialize, Serialize};

/// What a server answers instead of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct WireError {
    /// What kind of thing went wrong: the decision that the caller can take.
    pub code: ErrorCode,
    /// What happened, to what, and what to do.
    pub message: String,
}

impl WireError {
    /// An error with this code and sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The codes, written in `snake_case` on the wire. A code that this version does not know is
        /// read as [`ErrorCode::Internal`]: a newer server may have more.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// All codes, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it is written on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            fn from_text(text: &str) -> Self {
                match text {
                    $($text => Self::$name,)*
                    _ => Self::Internal,
                }
            }
        }
    };
}

error_codes! {
    /// The message is not what the protocol says: the connection is closed after it.
    BadMessage = "bad_message",
    /// A line or an announced body is over its limit: the connection is closed after it.
    TooLarge = "too_large",
    /// There is no operation of this name here.
    UnknownOperation = "unknown_operation",
    /// The first message must be `hello`.
    HelloRequired = "hello_required",
    /// The peer's protocol version is neither this one nor the one before.
    UnsupportedProtocol = "unsupported_protocol",
    /// The cluster has a secret, and the peer has not shown that it knows it.
    Unauthenticated = "unauthenticated",
    /// The peer belongs to another cluster.
    WrongCluster = "wrong_cluster",
    /// The node at this address is not the one that was meant.
    WrongNode = "wrong_node",
    /// This role may not ask for this.
    Forbidden = "forbidden",
    /// More connections or requests than this server takes at once: try again soon.
    Busy = "busy",
    /// The server cannot do this now: try again, there or elsewhere.
    Unavailable = "unavailable",
    /// The server stops: try again elsewhere, or there soon.
    Stopping = "stopping",
    /// It was not done within its time.
    TimedOut = "timed_out",
    /// An argument breaks a rule: the same request will never succeed.
    InvalidArgument = "invalid_argument",
    /// No such entry, version, chunk, upload or node.
    NotFound = "not_found",
    /// The name is taken.
    AlreadyExists = "already_exists",
    /// A folder stands where a file is meant.
    IsAFolder = "is_a_folder",
    /// A file stands where a folder is meant.
    NotAFolder = "not_a_folder",
    /// The folder has entries, and the request was not recursive.
    FolderNotEmpty = "folder_not_empty",
    /// The entry is not in the version, or the state, that the request asks for.
    PreconditionFailed = "precondition_failed",
    /// The upload's lease ran out or was never here: begin again; chunks already stored are not sent again.
    UploadUnknown = "upload_unknown",
    /// Fewer copies could be made than a write needs.
    NotEnoughReplicas = "not_enough_replicas",
    /// The disk is full, or its reserve is reached.
    NoSpace = "no_space",
    /// None of the nodes that were named as sources gave the chunk.
    NoSource = "no_source",
    /// Bytes do not have the hash that they should have.
    Corrupt = "corrupt",
    /// An order of a master that has since been superseded, or a change asked of one: another master may take it.
    StaleEpoch = "stale_epoch",
    /// An order of the right master that is not above its last one: it came late, or twice.
    StaleOrder = "stale_order",
    /// A node with this id is already here.
    DuplicateNode = "duplicate_node",
    /// The disk failed.
    Disk = "disk",
    /// A defect in the server: its log says more.
    Internal = "internal",
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(Self::from_text(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_their_text_and_unknown_ones_are_internal() {
        for code in ErrorCode::ALL {
            let text = serde_json::to_string(code).unwrap();
            assert_eq!(text, format!("{:?}", code.as_str()));
            assert_eq!(serde_json::from_str::<ErrorCode>(&text).unwrap(), *code);
        }
        assert_eq!(
            serde_json::from_str::<ErrorCode>("\"from_the_future\"").unwrap(),
            ErrorCode::Internal
        );
    }
}
