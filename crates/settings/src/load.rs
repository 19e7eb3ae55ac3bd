//! Reads settings: flags over environment over file over defaults.
//!
//! The file is `--config FILE`, or `DFS_CONFIG`, which must exist, or else `config.toml` in the current folder if there
//! is one. Its values keep their line and column, so that an error found much later can still point at them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::args::ConfigArgs;
use crate::check;
use crate::error::{Origin, SettingsError};
use crate::sections::Settings;
use crate::value::texts;

/// The file that is read when none is named.
const FILE_DEFAULT: &str = "config.toml";
/// Characters that an error shows of what was given.
const SHOWN_MAX: usize = 80;
/// The setting whose value no error shows.
const SECRET_KEY: &str = "secret";
const VARIABLE_PREFIX: &str = "DFS_";
const FILE_VARIABLE: &str = "DFS_CONFIG";

/// Collects where settings come from, then reads them.
#[derive(Debug)]
pub struct Loader {
    file: Option<PathBuf>,
    flags: Vec<Given>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
}

/// One setting as somebody gave it.
#[derive(Debug)]
struct Given {
    origin: Origin,
    /// Section and key, between them a dot.
    key: String,
    texts: Vec<String>,
}

impl Loader {
    /// Reads the file that `args` names, and its `--set` flags; the process' environment and current folder.
    pub fn new(args: &ConfigArgs) -> Self {
        let mut loader = Self {
            file: args.config.clone(),
            flags: Vec::new(),
            environment: std::env::vars_os().collect(),
            folder: PathBuf::from("."),
        };
        for set in &args.set {
            let (key, text) = set.split_once('=').unwrap_or((set, ""));
            let texts = split_list(key, text);
            loader.flags.push(Given::by_flag("--set", key, texts));
        }
        loader
    }

    /// A flag of its own for a setting, named as `section.key`; beats `--set`.
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, text: Option<&str>) -> Self {
        let texts = text.map(|text| split_list(key, text));
        self.flags
            .extend(texts.map(|texts| Given::by_flag(flag, key, texts)));
        self
    }

    /// A flag, or arguments, that give a list; none given means that the setting stays as it is.
    #[must_use]
    pub fn flag_list(mut self, flag: &str, key: &str, texts: &[String]) -> Self {
        if !texts.is_empty() {
            self.flags.push(Given::by_flag(flag, key, texts.to_vec()));
        }
        self
    }

    /// These variables in place of the process' environment.
    #[must_use]
    pub fn environment(mut self, variables: &[(&str, &str)]) -> Self {
        let owned = |(name, text): &(&str, &str)| (OsString::from(name), OsString::from(text));
        self.environment = variables.iter().map(owned).collect();
        self
    }

    /// This folder in place of the current one, to look for `config.toml`.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    /// The configuration file that would be read, if any.
    pub fn config_file(&self) -> Option<PathBuf> {
        let variable = self
            .environment
            .iter()
            .find(|(name, _)| name == FILE_VARIABLE);
        self.file
            .clone()
            .or_else(|| variable.map(|(_, file)| PathBuf::from(file)))
            .or_else(|| Some(self.folder.join(FILE_DEFAULT)).filter(|file| file.exists()))
    }

    /// Reads and checks everything.
    pub fn load(self) -> Result<Settings, SettingsError> {
        let mut given = match self.config_file() {
            Some(file) => from_file(&file)?,
            None => Vec::new(),
        };
        given.extend(from_environment(&self.environment)?);
        given.extend(self.flags);
        let mut settings = Settings::default();
        let mut origins = HashMap::new();
        for given in given {
            apply(&mut settings, &given)?;
            origins.insert(given.key, given.origin);
        }
        if !origins.contains_key("client.master") {
            look_for_the_master_where_it_listens(&mut settings);
        }
        check::all(&settings, &origins)?;
        Ok(settings)
    }
}

impl Given {
    fn by_flag(flag: &str, key: &str, texts: Vec<String>) -> Self {
        Self {
            origin: Origin::Flag(flag.to_owned()),
            key: key.to_owned(),
            texts,
        }
    }
}

/// What one file or environment says of the master's place holds for those who look for it there.
fn look_for_the_master_where_it_listens(settings: &mut Settings) {
    let listen = &settings.master.listen;
    let is_everywhere = matches!(listen.host(), "0.0.0.0" | "::" | "[::]");
    let reached_at = if is_everywhere {
        format!("127.0.0.1:{}", listen.port()).parse().ok()
    } else {
        Some(listen.clone())
    };
    if let Some(master) = reached_at.filter(|master| master.port() != 0) {
        settings.client.master = vec![master];
    }
}

fn apply(settings: &mut Settings, given: &Given) -> Result<(), SettingsError> {
    let Given { origin, key, texts } = given;
    let (section, name) = key.split_once('.').unwrap_or((key, ""));
    if !Settings::has(section, name) {
        return Err(unknown(origin.clone(), section, name));
    }
    let bad_value = |allowed| SettingsError::BadValue {
        origin: origin.clone(),
        key: key.clone(),
        text: match key.as_str() {
            "cluster.secret" => "(hidden)".to_owned(),
            _ => shown(&texts.join(",")),
        },
        allowed,
    };
    settings.set(section, name, texts).map_err(bad_value)
}

/// Says what could have been meant: the section's keys, or the sections.
fn unknown(origin: Origin, section: &str, key: &str) -> SettingsError {
    let keys = Settings::keys_of(section);
    let (section, key) = (shown(section), shown(key));
    let (key, allowed) = match (keys.is_empty(), key.is_empty()) {
        (false, _) => (format!("{section}.{key}"), keys),
        (true, true) => (section, Settings::sections()),
        (true, false) => (format!("{section}.{key}"), Settings::sections()),
    };
    SettingsError::UnknownKey {
        origin,
        key,
        allowed: allowed.into_iter().map(str::to_owned).collect(),
    }
}

/// The text as far as a sentence has room for it.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// A list's values stand between commas; an empty text is an empty list.
fn split_list(key: &str, text: &str) -> Vec<String> {
    let (section, name) = key.split_once('.').unwrap_or((key, ""));
    if !Settings::is_list(section, name) {
        return vec![text.to_owned()];
    }
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Variables of known sections; others that begin with `DFS_` are somebody else's.
fn from_environment(variables: &[(OsString, OsString)]) -> Result<Vec<Given>, SettingsError> {
    let mut given = Vec::new();
    for (name, text) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some((section, key)) = setting_of(name) else {
            continue;
        };
        let origin = Origin::Environment(name.to_owned());
        let Some(text) = text.to_str() else {
            return Err(SettingsError::BadValue {
                origin,
                key: format!("{section}.{key}"),
                text: text.to_string_lossy().into_owned(),
                allowed: "valid Unicode".to_owned(),
            });
        };
        let key = format!("{section}.{key}");
        let texts = split_list(&key, text);
        given.push(Given { origin, key, texts });
    }
    Ok(given)
}

/// `DFS_STORAGE_NODE_LISTEN` is `storage_node`, `listen`.
fn setting_of(variable: &str) -> Option<(&'static str, String)> {
    let name = variable.strip_prefix(VARIABLE_PREFIX)?.to_lowercase();
    Settings::sections().into_iter().find_map(|section| {
        let key = name.strip_prefix(section)?.strip_prefix('_')?;
        Some((section, key.to_owned()))
    })
}

fn not_utf_8(file: &Path, error: &std::string::FromUtf8Error) -> SettingsError {
    let good = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(&error.as_bytes()[..good]);
    SettingsError::Syntax {
        origin: origin_at(file, &text, good),
        message: "there is a byte that is no text in UTF-8; save it as UTF-8".to_owned(),
    }
}

fn from_file(file: &Path) -> Result<Vec<Given>, SettingsError> {
    let bytes = std::fs::read(file).map_err(|source| SettingsError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    let text = String::from_utf8(bytes).map_err(|error| not_utf_8(file, &error))?;
    let at = |offset| origin_at(file, &text, offset);
    let document = DeTable::parse(&text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let message = error.message().replace('\n', "; ");
        SettingsError::Syntax {
            origin: at(offset),
            message: mistake(&text, offset, message),
        }
    })?;
    let mut given = Vec::new();
    for (section, value) in document.get_ref() {
        let section_name = section.get_ref().as_ref();
        let DeValue::Table(keys) = value.get_ref() else {
            return Err(unknown(at(section.span().start), section_name, ""));
        };
        if Settings::keys_of(section_name).is_empty() {
            return Err(unknown(at(section.span().start), section_name, ""));
        }
        for (key, value) in keys {
            given.push(Given {
                origin: at(key.span().start),
                key: format!("{section_name}.{}", key.get_ref()),
                // What no setting can be has no text, and is refused by the setting's own rule.
                texts: texts(value.get_ref())
                    .unwrap_or_else(|| vec![value_text(&text, value.span())]),
            });
        }
    }
    given.sort_by_key(|given| match &given.origin {
        Origin::File { line, column, .. } => (*line, *column),
        _ => (0, 0),
    });
    Ok(given)
}

/// What is wrong with the key's value, and what to do where the mistake is a likely one.
fn mistake(text: &str, offset: usize, message: String) -> String {
    let Some((key, value)) = setting_at(text, offset) else {
        return message;
    };
    let is_secret = key.trim().trim_matches(['"', '\'']).ends_with(SECRET_KEY);
    let key = shown(key);
    let is_bare = !value.is_empty() && !value.contains(['"', '\'', '[', ']', '{', '}', '#']);
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    match value.to_lowercase().as_str() {
        "yes" | "on" | "true" | "no" | "off" | "false" => {
            format!("{key} is not understood: write true or false, or text in quotes")
        }
        _ if is_secret => {
            format!("{key} is not understood: it is text, which stands in quotes")
        }
        _ if is_bare && !is_number => {
            // Between these, backslashes are what they are.
            format!(
                "{key} is text, which stands in quotes: write {key} = '{}'",
                shown(value)
            )
        }
        _ => format!("{key}: {message}"),
    }
}

/// The key and the value of the line, if this place is in its value.
fn setting_at(text: &str, offset: usize) -> Option<(&str, &str)> {
    let (before, after) = text.split_at_checked(offset)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = offset + after.find('\n').unwrap_or(after.len());
    let (key, value) = text[line_start..line_end].split_once('=')?;
    let is_in_value = offset > line_start + key.len();
    let value = value.split(" #").next().unwrap_or(value);
    is_in_value.then_some((key.trim(), value.trim()))
}

fn value_text(text: &str, span: std::ops::Range<usize>) -> String {
    shown(text.get(span).unwrap_or(""))
}

fn origin_at(file: &Path, text: &str, offset: usize) -> Origin {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Origin::File {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests;
