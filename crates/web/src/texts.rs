//! What pages say, in each language: `static/texts/*.json`, which scripts read as well (texts.js).
//!
//! A text is found by its section and key, `trash.title`. `{name}` in it stands for what is filled in; of a counted text there is one
//! form for each plural category of the language, as CLDR names them: `{"one": …, "other": …}`. A new language is one more file, one
//! line in assets.rs, and a line in [`Texts::category`] if it counts in another way than English.
//!
//! **Invariant:** every catalogue has the same keys with the same `{…}`, and no page asks for another: tests see to both.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use askama::filters::{Escaper, Html, HtmlSafe};
use axum::http::{HeaderMap, header};
use client::people;
use serde::Deserialize;

use crate::assets;

/// Where the choice of a person is kept.
pub(crate) const COOKIE: &str = "dfs-language";

/// All that is said in one language.
#[derive(Debug)]
pub(crate) struct Texts {
    /// As in `<html lang>`.
    pub(crate) code: &'static str,
    sections: Sections,
}

type Sections = HashMap<String, HashMap<String, Text>>;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Counted(HashMap<String, String>),
}

/// The catalogues, in the order of their assets: what is chosen if nothing else is, first.
static ALL: LazyLock<Vec<Texts>> = LazyLock::new(|| {
    assets::texts()
        .map(|(code, json)| Texts {
            code,
            sections: serde_json::from_slice(json).expect("a test reads each catalogue"),
        })
        .collect()
});

/// Every language.
pub(crate) fn all() -> &'static [Texts] {
    &ALL
}

/// The one with this code.
pub(crate) fn of(code: &str) -> Option<&'static Texts> {
    ALL.iter().find(|texts| texts.code == code)
}

/// The one in which the server speaks to programs.
pub(crate) fn servers() -> &'static Texts {
    &ALL[0]
}

/// What somebody reads: the language that was chosen here, else the one that the browser likes most, else the first.
pub(crate) fn chosen(headers: &HeaderMap) -> &'static Texts {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookie = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    let accepted = headers.get_all(header::ACCEPT_LANGUAGE).iter();
    let accepted: Vec<_> = accepted.filter_map(|text| text.to_str().ok()).collect();
    cookie
        .and_then(of)
        .or_else(|| preferred(&accepted.join(",")))
        .unwrap_or_else(servers)
}

/// The language that `Accept-Language` wants most of those that are here; `de-AT` is German (RFC 9110, section 12.5.4).
fn preferred(accepted: &str) -> Option<&'static Texts> {
    let mut best: Option<(f32, &Texts)> = None;
    for range in accepted.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let tag = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let weight = weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        let language = tag.split('-').next().unwrap_or_default();
        let found = match tag {
            "*" => ALL.first(),
            _ => of(&language.to_ascii_lowercase()),
        };
        let is_better = weight > best.map_or(0.0, |(weight, _)| weight);
        if let Some(texts) = found.filter(|_| is_better) {
            best = Some((weight, texts));
        }
    }
    best.map(|(_, texts)| texts)
}

impl Texts {
    /// Whether it is the one in which the server itself speaks.
    pub(crate) fn is_the_servers(&self) -> bool {
        self.code == servers().code
    }

    fn find(&self, key: &str) -> Option<&Text> {
        let (section, key) = key.split_once('.')?;
        self.sections.get(section)?.get(key)
    }

    /// The text with this key, if there is one.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        match self.find(key)? {
            Text::Plain(text) => Some(text),
            Text::Counted(forms) => forms.get("other").map(String::as_str),
        }
    }

    /// The text with this key.
    pub(crate) fn say<'a>(&'a self, key: &'a str) -> &'a str {
        self.get(key).unwrap_or(key)
    }

    /// The same, in which these values stand for their `{…}`.
    pub(crate) fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        fill(self.say(key), values)
    }

    /// The same, where only a name is to be filled in.
    pub(crate) fn named(&self, key: &str, name: &str) -> String {
        self.fill(key, &[("name", name)])
    }

    /// The form for this number, which stands for `{count}`.
    pub(crate) fn count(&self, key: &str, count: impl Into<u64>) -> String {
        self.count_with(key, count, &[])
    }

    /// The same, with further values.
    pub(crate) fn count_with(
        &self,
        key: &str,
        count: impl Into<u64>,
        values: &[(&str, &str)],
    ) -> String {
        let count = count.into();
        let form = match self.find(key) {
            Some(Text::Counted(forms)) => forms.get(self.category(count)),
            _ => None,
        };
        let number = self.number(count);
        let values = [&[("count", &*number)], values].concat();
        fill(form.map_or_else(|| self.say(key), String::as_str), &values)
    }

    /// The plural category of a whole number, as CLDR has it.
    fn category(&self, count: u64) -> &'static str {
        match (self.code, count) {
            // For example `("pl", 2..=4) => "few"`.
            (_, 1) => "one",
            _ => "other",
        }
    }

    /// A whole number with what stands between thousands.
    pub(crate) fn number(&self, number: u64) -> String {
        people::grouped(number).replace(',', self.say("numbers.group"))
    }

    /// A size as in [`people::size`].
    pub(crate) fn size(&self, bytes: u64) -> String {
        match bytes {
            0..1000 => self.count("units.bytes", bytes),
            _ => people::size(bytes).replace('.', self.say("numbers.decimal")),
        }
    }

    /// A share of a whole.
    pub(crate) fn percent(&self, percent: u64) -> String {
        self.fill("numbers.percent", &[("number", &percent.to_string())])
    }

    /// A span of time in its largest unit that says it roughly: `30 days`.
    pub(crate) fn span(&self, milliseconds: u64) -> String {
        let keys = [
            "spans.days",
            "spans.hours",
            "spans.minutes",
            "spans.seconds",
        ];
        self.in_units(milliseconds, keys)
    }

    /// How long ago that is: `30 days ago`.
    pub(crate) fn ago(&self, milliseconds: u64) -> String {
        let keys = ["ago.days", "ago.hours", "ago.minutes", "ago.seconds"];
        self.in_units(milliseconds, keys)
    }

    fn in_units(&self, milliseconds: u64, keys: [&str; 4]) -> String {
        const LENGTHS: [u64; 4] = [86_400, 3600, 60, 1];
        let seconds = milliseconds / 1000;
        let fits = LENGTHS.iter().position(|length| seconds >= 2 * length);
        let unit = fits.unwrap_or(3);
        self.count(keys[unit], seconds / LENGTHS[unit])
    }

    /// What stands before the first `{…}` of a text.
    pub(crate) fn before<'a>(&'a self, key: &'a str) -> Marked<'a> {
        let text = self.say(key);
        Marked(text.split('{').next().unwrap_or(text).into())
    }

    /// What stands behind the first `{…}` of a text, and before the second.
    pub(crate) fn after<'a>(&'a self, key: &'a str) -> Marked<'a> {
        self.after_nth(key, 1)
    }

    /// What stands behind so many `{…}` of a text, and before the next.
    pub(crate) fn after_nth<'a>(&'a self, key: &'a str, nth: usize) -> Marked<'a> {
        let part = self.say(key).split('{').nth(nth).unwrap_or_default();
        let text = part.split_once('}').map_or("", |(_, text)| text);
        Marked(text.into())
    }

    /// The text as HTML, with what is marked in it.
    pub(crate) fn marked<'a>(&'a self, key: &'a str) -> Marked<'a> {
        Marked(self.say(key).into())
    }
}

/// The text with what its `{…}` stand for; what is filled in is not looked at again.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut parts = text.split('{');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let known = part.split_once('}').and_then(|(name, rest)| {
            let (_, value) = values.iter().find(|(key, _)| *key == name)?;
            Some((value, rest))
        });
        match known {
            Some((value, rest)) => filled.extend([*value, rest]),
            None => filled.extend(["{", part]),
        }
    }
    filled
}

/// Text in which `` ` `` stands around what is typed; as HTML, with an element in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked<'a>(pub(crate) Cow<'a, str>);

impl HtmlSafe for Marked<'_> {}

impl fmt::Display for Marked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.0.split('`').enumerate() {
            let is_code = place % 2 == 1;
            if is_code {
                f.write_str("<code>")?;
            }
            Html.write_escaped_str(&mut *f, part)?;
            if is_code {
                f.write_str("</code>")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        let values = [("name", "{size} {"), ("size", "1 kB")];
        assert_eq!(
            fill("{name}: {size}, {other}", &values),
            "{size} {: 1 kB, {other}"
        );
        assert_eq!(fill("no end {name", &values), "no end {name");
    }

    #[test]
    fn what_is_typed_is_marked_and_nothing_is_html() {
        let marked = Marked("say `dfs <a>` & \"b\"".into());
        assert_eq!(
            marked.to_string(),
            "say <code>dfs &#60;a&#62;</code> &#38; &#34;b&#34;"
        );
        assert_eq!(Marked("`open".into()).to_string(), "<code>open</code>");
    }

    #[test]
    fn numbers_are_written_as_each_language_does() {
        let [english, german] = ["en", "de"].map(|code| of(code).unwrap());
        for (bytes, expected) in [
            (1, ["1 byte", "1 Byte"]),
            (812, ["812 bytes", "812 Byte"]),
            (1_234_567, ["1.2 MB", "1,2 MB"]),
        ] {
            assert_eq!([english, german].map(|texts| texts.size(bytes)), expected);
        }
        assert_eq!(english.count("units.files", 1_234_u32), "1,234 files");
        assert_eq!(german.count("units.files", 1_234_u32), "1.234 Dateien");
    }

    #[test]
    fn spans_are_in_their_largest_unit() {
        let [english, german] = ["en", "de"].map(|code| of(code).unwrap());
        for (seconds, expected) in [
            (30 * 86_400, "30 days"),
            (2 * 86_400, "2 days"),
            (86_400, "24 hours"),
            (90 * 60, "90 minutes"),
            (90, "90 seconds"),
            (1, "1 second"),
            (0, "0 seconds"),
        ] {
            assert_eq!(english.span(seconds * 1000), expected);
        }
        assert_eq!(german.span(2 * 86_400_000), "2 Tage");
        assert_eq!(german.ago(2 * 86_400_000), "vor 2 Tagen");
    }
}
