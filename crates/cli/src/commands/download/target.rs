//! Where a download goes on this machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use proto::master::Entry;
use proto::name::EntryPath;

use crate::args::IfExists;
use crate::exit::{Exit, Stop};
use crate::local::{LocalNames, System, numbered};
use crate::part::is_part_name;

/// Where to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Stdout,
    Path(PathBuf),
}

/// A file goes into the destination if that is a folder or is written as one, else it gets that name. A folder goes into it
/// only if it is written as one, whatever is there: so the same words, said again, mean the same place. By itself, either
/// goes into this folder.
pub(super) fn choose(
    source: &EntryPath,
    entry: &Entry,
    destination: Option<&Path>,
) -> anyhow::Result<Target> {
    let own_name = || match source.name() {
        Some(name) => Ok(LocalNames::new(System::HERE).choose(name)),
        None => Err(Stop::usage(
            "/ has no name of its own: write `dfs download / FOLDER`",
        )),
    };
    let Some(destination) = destination else {
        return Ok(Target::Path(PathBuf::from(own_name()?)));
    };
    if destination.as_os_str() == "-" {
        return Ok(Target::Stdout);
    }
    let is_file = matches!(entry, Entry::File { .. });
    let is_folder = is_written_as_folder(destination) || (is_file && destination.is_dir());
    if is_folder && !source.is_root() {
        return Ok(Target::Path(destination.join(own_name()?)));
    }
    Ok(Target::Path(destination.to_owned()))
}

/// The path under which a file is kept, given what is there already; nothing if that stays.
///
/// A link is followed, so that it stays one. A name that a part could have is refused: it may be written to just now.
pub(super) fn settle(path: &Path, if_exists: IfExists) -> anyhow::Result<Option<PathBuf>> {
    let settled = settle_with_what_is_there(path, if_exists)?;
    let name = settled.as_deref().and_then(Path::file_name);
    if name.is_some_and(|name| is_part_name(&name.to_string_lossy())) {
        return Err(Stop::usage(format!(
            "{} is a name that downloads have until they are complete; choose another",
            path.display()
        )));
    }
    Ok(settled)
}

fn settle_with_what_is_there(path: &Path, if_exists: IfExists) -> anyhow::Result<Option<PathBuf>> {
    if !path.exists() {
        return Ok(Some(path.to_owned()));
    }
    if path.is_dir() {
        return Err(Stop::error(
            Exit::Conflict,
            format!("{} is a folder on this machine", path.display()),
        ));
    }
    match if_exists {
        IfExists::Replace if path.is_symlink() => Ok(Some(path.canonicalize()?)),
        IfExists::Replace => Ok(Some(path.to_owned())),
        IfExists::Skip => Ok(None),
        IfExists::Fail => Err(Stop::error(
            Exit::Conflict,
            format!("{} is there already", path.display()),
        )),
        IfExists::KeepBoth => {
            let free = names_beside(path).find(|candidate| !candidate.exists());
            free.map(Some).ok_or_else(|| {
                Stop::error(
                    Exit::Conflict,
                    format!("{} and all names like it are taken", path.display()),
                )
            })
        }
    }
}

/// Where an earlier download may have put the file: under its own name, or beside what was to be kept.
pub(super) fn earlier(path: &Path, if_exists: IfExists) -> Vec<PathBuf> {
    let own = std::iter::once(path.to_owned());
    match if_exists {
        IfExists::Skip => Vec::new(),
        IfExists::Replace | IfExists::Fail => own.collect(),
        IfExists::KeepBoth => own
            .chain(names_beside(path))
            .take_while(|taken| taken.exists())
            .collect(),
    }
}

/// `a (2).txt`, `a (3).txt` and so on.
fn names_beside(path: &Path) -> impl Iterator<Item = PathBuf> {
    let name = path.file_name().and_then(OsStr::to_str);
    name.into_iter().flat_map(move |name| {
        (2..1000).map(move |number| path.with_file_name(numbered(name, number)))
    })
}

/// Whether it is a device or a pipe, which is written to and not replaced.
pub(super) fn is_special(path: &Path) -> bool {
    let metadata = std::fs::metadata(path);
    metadata.is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// `photos/` is, and so are `.` and `..`, which are no names.
fn is_written_as_folder(path: &Path) -> bool {
    let text = path.as_os_str().to_string_lossy();
    let last = text.rsplit(std::path::is_separator).next();
    matches!(last, Some("" | "." | ".."))
}

/// Who writes `new/` wants that folder; who writes `new` may have mistyped the name of another.
pub(super) fn make_folder_if_written_as_one(destination: Option<&Path>) -> anyhow::Result<()> {
    match destination {
        Some(folder) if is_written_as_folder(folder) => make_folder(folder),
        _ => Ok(()),
    }
}

/// What the path's folder is not there for is as with `cp`: it is not made, since it may be mistyped.
pub(super) fn refuse_without_folder(path: &Path) -> anyhow::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => Err(Stop::error(
            Exit::Failure,
            format!(
                "there is no folder {0} on this machine; make it, or write `{0}{1}` to have it made",
                folder.display(),
                std::path::MAIN_SEPARATOR
            ),
        )),
        _ => Ok(()),
    }
}

/// Makes a folder, and those above it; one that is there is fine.
pub(super) fn make_folder(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("make the folder {}", path.display()))
}

#[cfg(test)]
mod tests {
    use proto::id::VersionId;
    use proto::name::EntryName;

    use super::*;
    use crate::exit::exit_of;

    fn file() -> Entry {
        Entry::File {
            name: EntryName::new("a.txt").unwrap(),
            size: 0,
            modified_ms: 0,
            version: VersionId(1),
        }
    }

    fn folder() -> Entry {
        Entry::Folder {
            name: None,
            modified_ms: 0,
        }
    }

    fn check(source: &str, entry: &Entry, destination: Option<&Path>, expected: &Path) {
        let chosen = choose(&source.parse().unwrap(), entry, destination).unwrap();
        assert_eq!(chosen, Target::Path(expected.to_owned()), "{source}");
    }

    #[test]
    fn the_destination_of_a_file_is_a_folder_or_a_name() {
        let here = tempfile::tempdir().unwrap();
        let here = here.path();
        for (destination, expected) in [
            (None, "a.txt".into()),
            (Some(Path::new("b.txt")), "b.txt".into()),
            (Some(here), here.join("a.txt")),
            (Some(Path::new("new/")), "new/a.txt".into()),
        ] {
            check("/x/a.txt", &file(), destination, &expected);
        }
        let source = "/x/a.txt".parse().unwrap();
        let stdout = choose(&source, &file(), Some(Path::new("-")));
        assert_eq!(stdout.unwrap(), Target::Stdout);
    }

    /// A folder that was downloaded in part went into what the first try had left: `out/big`, and began anew.
    #[test]
    fn the_destination_of_a_folder_does_not_depend_on_what_is_there() {
        let here = tempfile::tempdir().unwrap();
        let (there, new) = (here.path(), here.path().join("new"));
        let as_folder = there.join("");
        for (destination, expected) in [
            (None, "big".into()),
            (Some(there), there.to_owned()),
            (Some(&new), new.clone()),
            (Some(&as_folder), there.join("big")),
            (Some(Path::new(".")), "./big".into()),
            (Some(Path::new("a/..")), "a/../big".into()),
        ] {
            check("/x/big", &folder(), destination, &expected);
        }
    }

    #[test]
    fn a_file_is_not_put_into_a_folder_that_is_not_there() {
        let here = tempfile::tempdir().unwrap();
        let missing = here.path().join("nodir").join("x");
        let error = refuse_without_folder(&missing).unwrap_err();
        assert_eq!(crate::exit::exit_of(&error), Exit::Failure);
        assert!(error.to_string().contains("nodir on this"), "{error}");
        assert!(refuse_without_folder(&here.path().join("x")).is_ok());
        assert!(refuse_without_folder(Path::new("x")).is_ok());
    }

    #[test]
    fn the_root_has_no_name() {
        let here = Path::new("here/");
        check("/", &folder(), Some(here), here);
        assert!(choose(&EntryPath::ROOT, &folder(), None).is_err());
    }

    #[test]
    fn a_file_that_is_there_is_replaced_kept_or_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        let taken = here.join("a.txt");
        std::fs::write(&taken, "").unwrap();
        let settled = |what| settle(&taken, what).unwrap();
        assert_eq!(settled(IfExists::Replace), Some(taken.clone()));
        assert_eq!(settled(IfExists::Skip), None);
        assert_eq!(settled(IfExists::KeepBoth), Some(here.join("a (2).txt")));
        assert!(settle(&taken, IfExists::Fail).is_err());
        assert!(settle(&here, IfExists::Replace).is_err());
        let free = here.join("b.txt");
        assert_eq!(settle(&free, IfExists::Fail).unwrap(), Some(free));
    }

    /// A folder that was gone on with, keeping both, got one more copy of the same file each time.
    #[test]
    fn a_copy_of_an_earlier_download_is_looked_for_beside_what_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let earlier = |what| earlier(&path, what);
        assert!(earlier(IfExists::KeepBoth).is_empty());
        let mut taken = Vec::new();
        for name in ["a.txt", "a (2).txt", "a (3).txt"] {
            taken.push(folder.path().join(name));
            std::fs::write(folder.path().join(name), "").unwrap();
            assert_eq!(earlier(IfExists::KeepBoth), taken);
        }
        assert_eq!(earlier(IfExists::Replace), [path.as_path()]);
        assert!(earlier(IfExists::Skip).is_empty());
    }

    #[test]
    fn a_name_that_parts_have_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("a.txt.1-ee586cd2.part");
        let refused = || settle(&part, IfExists::Replace).unwrap_err();
        assert_eq!(exit_of(&refused()), Exit::Usage);
        std::fs::write(&part, "").unwrap();
        assert_eq!(exit_of(&refused()), Exit::Usage);
        let beside = settle(&part, IfExists::KeepBoth).unwrap();
        assert_eq!(
            beside,
            Some(folder.path().join("a.txt.1-ee586cd2 (2).part"))
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        std::fs::write(here.join("real"), "").unwrap();
        std::os::unix::fs::symlink("real", here.join("link")).unwrap();
        let settled = settle(&here.join("link"), IfExists::Replace).unwrap();
        assert_eq!(settled, Some(here.join("real")));
        assert!(is_special(Path::new("/dev/null")));
        assert!(!is_special(&here.join("real")));
    }
}
