//! What can be wrong with settings: each error is one sentence that names the place, the key and what is allowed.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In the configuration file.
    File {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// In this environment variable.
    Environment(String),
    /// By this flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File { file, line, column } => {
                write!(f, "{}, line {line}, column {column}", file.display())
            }
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::Flag(name) => write!(f, "the flag {name}"),
        }
    }
}

/// Settings that cannot be used. Every process ends with exit code 2 on it.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration file is not TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        message: String,
    },
    /// There is no such section or setting.
    #[error("{origin}: there is no setting {key:?}; there {}", listing(allowed))]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// As written.
        key: String,
        /// What may stand there.
        allowed: Vec<String>,
    },
    /// The value is not one for this setting.
    #[error("{origin}: {key} cannot be {text:?}; it must be {allowed}")]
    BadValue {
        /// Where.
        origin: Origin,
        /// Section and key.
        key: String,
        /// The value as written.
        text: String,
        /// What it may be.
        allowed: String,
    },
    /// Values that are good alone do not go together.
    #[error("{origin}: {key} cannot be {text:?}; {reason}")]
    Conflict {
        /// Where the value was given.
        origin: Origin,
        /// Section and key.
        key: String,
        /// The value.
        text: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Logging was started twice in a process.
    #[error("logging cannot be started: {0}")]
    Logging(String),
}

fn listing(allowed: &[String]) -> String {
    match allowed {
        [] => "are none".to_owned(),
        [only] => format!("is only {only}"),
        _ => format!("are {}", allowed.join(", ")),
    }
}
