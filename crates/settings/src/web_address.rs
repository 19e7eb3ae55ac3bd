//! The address under which people reach the page from elsewhere, which share links begin with.

use std::fmt;
use std::str::FromStr;

/// Bytes of the longest one.
const LEN_MAX: usize = 512;

/// `http://` or `https://`, a host, and perhaps a port; without a closing `/`. It has no path, since the page's own addresses begin
/// at the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAddress(String);

impl WebAddress {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host and the port.
    pub fn authority(&self) -> &str {
        let (_, authority) = self.0.split_once("://").unwrap_or_default();
        authority
    }
}

impl FromStr for WebAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (scheme, rest) = text.split_once("://").ok_or(())?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte);
        let begins_with_host = rest
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'[');
        let fits = text.len() <= LEN_MAX && rest.bytes().all(is_plain) && begins_with_host;
        if !fits || !["http", "https"].contains(&scheme) {
            return Err(());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_scheme_and_a_host() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let read = text.parse::<WebAddress>().ok();
            let read = read.as_ref().map(|url| (url.as_str(), url.authority()));
            assert_eq!(read, expected, "{text}");
        };
        let plain = "https://files.example";
        check(plain, Some((plain, "files.example")));
        check("https://files.example/", Some((plain, "files.example")));
        let long = "http://[::1]:5000";
        check(long, Some((long, "[::1]:5000")));
        for wrong in [
            "",
            "files.example",
            "ftp://files.example",
            "https://",
            "https:///x",
            "https://files.example/drive",
            "https://files.example/drive/",
            "https://a b",
            "https://a?b",
            "https://user@host",
            "javascript://x",
            "https://a\n",
        ] {
            check(wrong, None);
        }
    }
}
