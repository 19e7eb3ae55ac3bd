//! `dfs list`: what is in a folder, a page at a time, so that a folder of any size is listed in little memory.

use jiff::tz::TimeZone;
use proto::id::VersionId;
use proto::master::Entry;
use proto::name::EntryPath;
use serde::Serialize;

use super::walk::{Depth, each_entry};
use crate::args::List;
use crate::context::Context;
use crate::output::{Output, time};
use client::people::{count, size};

/// An entry as `--json` shows it.
#[derive(Debug, Serialize)]
pub(super) struct Listed<'a> {
    path: &'a EntryPath,
    kind: &'static str,
    modified_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<VersionId>,
}

/// How a row is written.
#[derive(Debug, Clone)]
pub(super) struct Style {
    names_only: bool,
    in_bytes: bool,
    zone: TimeZone,
}

#[derive(Debug, Default)]
struct Sums {
    files: u64,
    folders: u64,
    bytes: u64,
}

pub(super) async fn run(context: &Context, arguments: &List) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    let depth = if arguments.recursive {
        Depth::All
    } else {
        Depth::One
    };
    if arguments.json {
        let mut array = output.json_array();
        each_entry(context, &arguments.path, depth, async |path, entry| {
            Ok(array.item(&Listed::new(path, entry))?)
        })
        .await?;
        array.end()?;
        return Ok(());
    }
    let style = Style {
        names_only: arguments.names,
        in_bytes: arguments.bytes,
        zone: context.zone.clone(),
    };
    let mut sums = Sums::default();
    each_entry(context, &arguments.path, depth, async |path, entry| {
        sums.add(entry);
        let name = match (arguments.recursive, path.name()) {
            (false, Some(name)) => output.name(name.as_str()),
            _ => output.name(&path.to_string()),
        };
        Ok(output.line(&row(&style, &name, entry))?)
    })
    .await?;
    if output.is_terminal() && !arguments.names {
        output.line(&sums.sentence())?;
    }
    output.flush()?;
    Ok(())
}

impl<'a> Listed<'a> {
    pub(super) fn new(path: &'a EntryPath, entry: &Entry) -> Self {
        match entry {
            Entry::Folder { modified_ms, .. } => Self {
                path,
                kind: "folder",
                modified_ms: *modified_ms,
                size: None,
                version: None,
            },
            Entry::File {
                size,
                modified_ms,
                version,
                ..
            } => Self {
                path,
                kind: "file",
                modified_ms: *modified_ms,
                size: Some(*size),
                version: Some(*version),
            },
        }
    }
}

impl Style {
    /// Sizes and times as people read them.
    pub(super) fn plain(zone: TimeZone) -> Self {
        Self {
            names_only: false,
            in_bytes: false,
            zone,
        }
    }
}

pub(super) fn row(style: &Style, name: &str, entry: &Entry) -> String {
    let (shown_size, modified_ms, ending) = match entry {
        Entry::Folder { modified_ms, .. } => ("-".to_owned(), *modified_ms, "/"),
        Entry::File {
            size: bytes,
            modified_ms,
            ..
        } => {
            let shown_size = if style.in_bytes {
                bytes.to_string()
            } else {
                size(*bytes)
            };
            (shown_size, *modified_ms, "")
        }
    };
    if style.names_only {
        return format!("{name}{ending}");
    }
    let width = if style.in_bytes { 15 } else { 10 };
    let modified = time(modified_ms, &style.zone);
    format!("{shown_size:>width$}  {modified}  {name}{ending}")
}

impl Sums {
    fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Folder { .. } => self.folders += 1,
            Entry::File { size, .. } => {
                self.files += 1;
                self.bytes += size;
            }
        }
    }

    fn sentence(&self) -> String {
        if self.files + self.folders == 0 {
            return "nothing is here yet".to_owned();
        }
        let mut sentence = count(self.files, "file");
        if self.folders > 0 {
            sentence = format!("{sentence}, {}", count(self.folders, "folder"));
        }
        format!("{sentence}, {}", size(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use proto::name::EntryName;

    use super::*;

    fn file(size: u64) -> Entry {
        Entry::File {
            name: EntryName::new("a.txt").unwrap(),
            size,
            modified_ms: 1_700_000_000_000,
            version: VersionId(7),
        }
    }

    fn check(names_only: bool, in_bytes: bool, expected: &str) {
        let zone = TimeZone::UTC;
        let style = Style {
            names_only,
            in_bytes,
            zone,
        };
        assert_eq!(row(&style, "a.txt", &file(1 << 20)), expected);
    }

    #[test]
    fn rows_are_size_time_and_name() {
        check(false, false, "    1.0 MB  2023-11-14 22:13  a.txt");
        check(false, true, "        1048576  2023-11-14 22:13  a.txt");
        check(true, false, "a.txt");
    }

    #[test]
    fn json_has_the_whole_path_and_plain_numbers() {
        let path = "/x/a.txt".parse().unwrap();
        let json = serde_json::to_string(&Listed::new(&path, &file(5))).unwrap();
        assert_eq!(
            json,
            r#"{"path":"/x/a.txt","kind":"file","modified_ms":1700000000000,"size":5,"version":7}"#
        );
    }

    #[test]
    fn sums_are_a_sentence() {
        let mut sums = Sums::default();
        assert_eq!(sums.sentence(), "nothing is here yet");
        sums.add(&file(1024));
        assert_eq!(sums.sentence(), "1 file, 1.0 kB");
        sums.add(&Entry::Folder {
            name: None,
            modified_ms: 0,
        });
        assert_eq!(sums.sentence(), "1 file, 1 folder, 1.0 kB");
    }
}
