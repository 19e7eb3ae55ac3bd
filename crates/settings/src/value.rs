//! Types of single values: each knows how it is read from text, how it is shown, and what to say when it is wrong.
//!
//! Flags and environment variables are text, and so is, by [`texts`], whatever stands in the configuration file: one
//! reader for all three.

use std::fmt;
use std::path::PathBuf;

use proto::hello::ClusterSecret;
use proto::name::NameRules;
use proto::net::Address;
use toml::de::DeValue;
use tracing_subscriber::EnvFilter;

use crate::{ByteSize, Network, TimeSpan, WebAddress};

/// A value that a setting can have.
pub(crate) trait SettingValue: Sized {
    /// What it must be, to follow "it must be".
    fn allowed() -> String;

    /// Reads it; a list may have several texts, everything else has one.
    fn read(texts: &[String]) -> Option<Self>;

    /// As it would be written, without quotes; a secret never.
    fn show(&self) -> String;
}

/// The texts of a value in the configuration file: one, or those of a list; nothing for what no setting can be.
pub(crate) fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    if let DeValue::Array(items) = value {
        return items.iter().map(|item| scalar(item.get_ref())).collect();
    }
    scalar(value).map(|text| vec![text])
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn only(texts: &[String]) -> Option<&str> {
    match texts {
        [text] => Some(text),
        _ => None,
    }
}

macro_rules! parsed_value {
    ($($name:ty: $allowed:literal;)*) => {$(
        impl SettingValue for $name {
            fn allowed() -> String {
                $allowed.to_owned()
            }

            fn read(texts: &[String]) -> Option<Self> {
                only(texts)?.parse().ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

parsed_value! {
    bool: "true or false";
    u8: "a whole number of at most 255, for example 3";
    u32: "a whole number of at most 4,294,967,295, for example 32";
    ByteSize: "a size, for example 64KiB, 1MiB or 10GB";
    TimeSpan: "a time with its unit, for example 250ms, 5s, 15m, 1h or 30d";
    Address: "an address HOST:PORT, for example 127.0.0.1:9000";
    Network: "an address or a network, for example 10.0.0.2 or 10.0.0.0/8";
    Share: "a number from 0 to 1, for example 0.5";
    WebAddress: "an address as browsers have it, without a path, for example https://files.example";
    LogFilter: "error, warn, info, debug, trace or off, or such levels for parts, for example info,master=debug";
    LogFormat: "text or json";
}

impl SettingValue for String {
    fn allowed() -> String {
        "a text".to_owned()
    }

    fn read(texts: &[String]) -> Option<Self> {
        only(texts).map(str::to_owned)
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl SettingValue for PathBuf {
    fn allowed() -> String {
        "a path".to_owned()
    }

    fn read(texts: &[String]) -> Option<Self> {
        only(texts)
            .filter(|text| !text.is_empty() && !text.contains('\0'))
            .map(Self::from)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl SettingValue for NameRules {
    fn allowed() -> String {
        "any or portable".to_owned()
    }

    fn read(texts: &[String]) -> Option<Self> {
        match only(texts)? {
            "any" => Some(Self::Any),
            "portable" => Some(Self::Portable),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Any => "any".to_owned(),
            Self::Portable => "portable".to_owned(),
        }
    }
}

/// Written `none`, or left empty, where there is no value.
impl<T: SettingValue> SettingValue for Option<T> {
    fn allowed() -> String {
        format!("{}, or none", T::allowed())
    }

    fn read(texts: &[String]) -> Option<Self> {
        match only(texts)? {
            "" | "none" => Some(None),
            _ => T::read(texts).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref()
            .map_or_else(|| "none".to_owned(), SettingValue::show)
    }
}

/// A list in the file; elsewhere its values stand between commas.
impl<T: SettingValue> SettingValue for Vec<T> {
    fn allowed() -> String {
        format!("a list of which each is {}", T::allowed())
    }

    fn read(texts: &[String]) -> Option<Self> {
        texts
            .iter()
            .map(|text| T::read(std::slice::from_ref(text)))
            .collect()
    }

    fn show(&self) -> String {
        let shown: Vec<_> = self.iter().map(SettingValue::show).collect();
        shown.join(",")
    }
}

/// A share of a whole, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// Half of it.
    pub const HALF: Self = Self(0.5);

    /// 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl std::str::FromStr for Share {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the processes of a cluster share. Neither shown nor logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Characters without which it could be guessed.
    pub const LEN_MIN: usize = 16;

    /// As what proves it to a peer.
    pub fn cluster_secret(&self) -> ClusterSecret {
        ClusterSecret::new(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl SettingValue for Secret {
    fn allowed() -> String {
        format!("a secret of at least {} characters", Self::LEN_MIN)
    }

    fn read(texts: &[String]) -> Option<Self> {
        only(texts)
            .filter(|text| text.chars().count() >= Self::LEN_MIN)
            .map(|text| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        "(hidden)".to_owned()
    }
}

/// Which events are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// Cluster events, and whatever is worse.
    pub fn info() -> Self {
        Self("info".to_owned())
    }

    /// As what the subscriber takes.
    pub(crate) fn to_filter(&self) -> EnvFilter {
        EnvFilter::try_new(&self.0).expect("checked when the setting was read")
    }
}

impl std::str::FromStr for LogFilter {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        let is_directive = |part: &str| {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            LEVELS.contains(&level.trim())
        };
        // EnvFilter takes any word for a part's name: `inof` would silence everything.
        if text.split(',').all(is_directive) && EnvFilter::try_new(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(())
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: SettingValue>(text: &str) -> Option<String> {
        T::read(&[text.to_owned()]).map(|value| value.show())
    }

    #[test]
    fn values_are_read_and_shown() {
        assert_eq!(read::<u8>("3").as_deref(), Some("3"));
        assert_eq!(read::<u8>("256"), None);
        assert_eq!(read::<Option<ByteSize>>("none").as_deref(), Some("none"));
        assert_eq!(read::<Option<ByteSize>>("").as_deref(), Some("none"));
        assert_eq!(read::<Option<ByteSize>>("1MiB").as_deref(), Some("1MiB"));
        assert_eq!(read::<Share>("0.5").as_deref(), Some("0.5"));
        assert_eq!(read::<Share>("1.1"), None);
        assert_eq!(read::<Share>("NaN"), None);
        assert_eq!(read::<PathBuf>(""), None);
        assert_eq!(read::<NameRules>("portable").as_deref(), Some("portable"));
        assert_eq!(
            read::<LogFilter>("info,master=debug").as_deref(),
            Some("info,master=debug")
        );
        assert_eq!(read::<LogFilter>("inof"), None);
        assert_eq!(read::<LogFilter>(""), None);
    }

    #[test]
    fn a_secret_is_long_and_never_shown() {
        assert_eq!(read::<Secret>("short"), None);
        let secret = Secret::read(&["correct horse battery".to_owned()]).unwrap();
        assert!(!format!("{secret:?} {}", secret.show()).contains("horse"));
    }
}
