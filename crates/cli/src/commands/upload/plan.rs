//! What goes where: the words of `dfs upload` as a list of sources, each with its name in the cluster.
//!
//! The last of several words is the destination if it begins with `/` and is not on this machine. Where that could be
//! meant either way, nothing is guessed: the person is asked to say `--to`.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use client::{Cluster, Error};
use proto::master::Entry;
use proto::name::{EntryName, EntryPath};

use crate::args::Upload;
use crate::exit::{Exit, Stop};
use crate::local::System;

use super::wildcards;

/// What is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    Stdin,
    File(PathBuf),
    Folder(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::File(local) | Self::Folder(local) => local.display().fmt(f),
        }
    }
}

/// Each source with the name that it gets.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) items: Vec<(Source, EntryPath)>,
}

impl Plan {
    pub(super) async fn make(cluster: &Cluster, arguments: &Upload) -> anyhow::Result<Self> {
        let words = split(&arguments.sources, arguments.to.as_deref(), Path::exists)?;
        let (written, destination) = words;
        let mut sources = Vec::new();
        for source in &written {
            for path in wildcards::expand(source, System::HERE)? {
                sources.push(inspect(&path, arguments.to.is_none())?);
            }
        }
        let is_folder = match &destination {
            Some(text) if sources.len() == 1 && !text.ends_with('/') => {
                is_folder(cluster, text).await?
            }
            _ => true,
        };
        let destination = parse_destination(destination.as_deref().unwrap_or("/"))?;
        let items = sources.into_iter().map(|source| {
            if !is_folder {
                return Ok((source, destination.clone()));
            }
            let name = name(&source)?;
            Ok((source, destination.join(name)?))
        });
        let items = items.collect::<anyhow::Result<Vec<_>>>()?;
        refuse_names_that_meet(&items)?;
        Ok(Self { items })
    }
}

/// The second of two sources with one name would replace what the first has just stored.
fn refuse_names_that_meet(items: &[(Source, EntryPath)]) -> anyhow::Result<()> {
    let mut sources = HashMap::new();
    for (source, path) in items {
        if let Some(first) = sources.insert(path, source) {
            return Err(Stop::usage(format!(
                "{first} and {source} would both become {path}; upload one of them by itself, with `--to` and another name"
            )));
        }
    }
    Ok(())
}

fn parse_destination(text: &str) -> anyhow::Result<EntryPath> {
    text.parse()
        .map_err(|error| Stop::usage(format!("the destination {text:?}: {error}")))
}

/// Tells sources from the destination.
fn split(
    words: &[PathBuf],
    to: Option<&str>,
    exists: impl Fn(&Path) -> bool,
) -> anyhow::Result<(Vec<PathBuf>, Option<String>)> {
    let (sources, destination) = match (words, to) {
        (_, Some(to)) => (words, Some(to.to_owned())),
        // Standard input has no name by itself: what follows is one.
        ([stdin, name], None) if stdin.as_os_str() == "-" => {
            let name = name
                .to_str()
                .context("the destination is not valid Unicode")?;
            (&words[..1], Some(name.to_owned()))
        }
        ([sources @ .., last], None) if !sources.is_empty() => match last.to_str() {
            Some(text) if text == "/" || (text.starts_with('/') && !exists(last)) => {
                (sources, Some(text.to_owned()))
            }
            Some(text) if text.starts_with('/') => {
                return Err(Stop::usage(format!(
                    "{text} is on this machine too: write `--to {text}` to store something there, or `--to /` to store it as well"
                )));
            }
            _ => (words, None),
        },
        _ => (words, None),
    };
    Ok((sources.to_vec(), destination))
}

fn inspect(source: &Path, may_be_destination: bool) -> anyhow::Result<Source> {
    if source.as_os_str() == "-" {
        return Ok(Source::Stdin);
    }
    match std::fs::metadata(source) {
        Ok(metadata) if metadata.is_dir() => Ok(Source::Folder(source.to_owned())),
        Ok(_) => Ok(Source::File(source.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Stop::error(
            Exit::NotFound,
            match (source.display(), may_be_destination) {
                (source, true) => format!(
                    "there is no {source} on this machine; if it says where to, write `--to {source}`"
                ),
                (source, false) => format!("there is no {source} on this machine"),
            },
        )),
        Err(error) => Err(error).with_context(|| format!("read {}", source.display())),
    }
}

async fn is_folder(cluster: &Cluster, text: &str) -> anyhow::Result<bool> {
    let path = parse_destination(text)?;
    match cluster.entry(&path).await {
        Ok(Entry::Folder { .. }) => Ok(true),
        Ok(Entry::File { .. }) | Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("look up {path}")),
    }
}

/// The name that a source has by itself.
fn name(source: &Source) -> anyhow::Result<EntryName> {
    let local = match source {
        Source::Stdin => {
            return Err(Stop::usage(
                "standard input has no name: write `dfs upload - NAME`",
            ));
        }
        Source::File(local) | Source::Folder(local) => local,
    };
    // `.` and `photos/..` have a name only once it is known where they are.
    let found = match local.file_name() {
        Some(name) => name.to_owned(),
        None => std::fs::canonicalize(local)?
            .file_name()
            .unwrap_or_default()
            .to_owned(),
    };
    let text = found
        .to_str()
        .with_context(|| format!("{}: its name is not valid Unicode", local.display()))?;
    EntryName::new(text).map_err(|error| Stop::usage(format!("{error}; write `--to` with another")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/home/a` is the only absolute path on this machine, besides `/`.
    fn check(words: &str, to: Option<&str>, expected: Option<(&str, Option<&str>)>) {
        let words: Vec<PathBuf> = words.split_whitespace().map(PathBuf::from).collect();
        let exists = |path: &Path| path == Path::new("/home/a") || path == Path::new("/");
        let got = split(&words, to, exists)
            .ok()
            .map(|(sources, destination)| {
                let sources: Vec<_> = sources.iter().map(|path| path.to_str().unwrap()).collect();
                (sources.join(" "), destination)
            });
        let expected = expected.map(|(sources, to)| (sources.to_owned(), to.map(str::to_owned)));
        assert_eq!(got, expected, "{words:?}");
    }

    #[test]
    fn the_last_word_is_the_destination_only_where_it_cannot_be_a_source() {
        check("a.txt", None, Some(("a.txt", None)));
        check("/home/a", None, Some(("/home/a", None)));
        check("a b c", None, Some(("a b c", None)));
        check("a /docs/", None, Some(("a", Some("/docs/"))));
        check("a b /docs", None, Some(("a b", Some("/docs"))));
        check("a /", None, Some(("a", Some("/"))));
        check("a /home/a", None, None);
        check("a /home/a", Some("/"), Some(("a /home/a", Some("/"))));
        check("a", Some("b"), Some(("a", Some("b"))));
        check("- /all.tar", None, Some(("-", Some("/all.tar"))));
        check("- all.tar", None, Some(("-", Some("all.tar"))));
        check("- /home/a", None, Some(("-", Some("/home/a"))));
    }

    /// The second became a new version of the first, and the command ended well.
    #[test]
    fn two_sources_do_not_get_one_name() {
        let item = |local: &str, path: &str| (Source::File(local.into()), path.parse().unwrap());
        let mut items = vec![item("dd1/same", "/same"), item("dd2/other", "/other")];
        assert!(refuse_names_that_meet(&items).is_ok());
        items.push(item("dd2/same", "/same"));
        let error = refuse_names_that_meet(&items).unwrap_err();
        let both = "dd1/same and dd2/same would both become /same";
        assert!(error.to_string().starts_with(both), "{error}");
    }

    #[test]
    fn a_destination_that_is_no_path_is_wrong_usage() {
        let error = parse_destination("a/../b").unwrap_err();
        assert_eq!(crate::exit::exit_of(&error), Exit::Usage);
    }

    #[test]
    fn sources_have_names_by_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photos");
        std::fs::create_dir_all(path.join("x")).unwrap();
        let named = |path: PathBuf| name(&Source::Folder(path)).unwrap().to_string();
        assert_eq!(named(path.clone()), "photos");
        assert_eq!(named(path.join("x").join("..")), "photos");
        assert!(name(&Source::Stdin).is_err());
    }
}
