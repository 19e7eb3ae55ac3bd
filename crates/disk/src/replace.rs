//! A small file that is replaced as a whole.

use std::io;

use planted::{Point, reach};

use crate::Disk;

/// Writes a file anew so that a crash leaves the old content or the new one, and makes it durable: beside, synced,
/// renamed, with the folder's sync, and the file's once more, since some file systems report a folder's sync as done
/// after they have shut down, but not a file's. Beside it is `PATH.new` meanwhile.
///
/// # Errors
/// What the disk says. The file has the old content then or the new one.
pub fn replace_file(disk: &dyn Disk, path: &str, content: &[u8]) -> io::Result<()> {
    let beside = format!("{path}.new");
    match disk.remove(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&beside)?;
    file.write_all_at(content, 0)?;
    file.sync()?;
    reach(Point::FileBeside);
    disk.rename(&beside, path)?;
    reach(Point::FileRenamed);
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    disk.sync_folder(folder)?;
    file.sync()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::MemoryDisk;

    #[test]
    fn a_crash_leaves_the_old_content_or_the_new_one() {
        for changes in 0..8 {
            let disk = MemoryDisk::new();
            replace_file(&*disk.shared(), "a.json", b"old").unwrap();
            disk.put("a.json.new", b"left over");
            disk.stop_after(changes);
            let replaced = replace_file(&*disk.shared(), "a.json", b"new and longer");
            disk.crash(&mut StdRng::seed_from_u64(changes));
            let content = disk.content("a.json").unwrap();
            if replaced.is_ok() {
                assert_eq!(content, b"new and longer");
            } else {
                assert!(content == b"old" || content == b"new and longer");
            }
        }
    }

    #[test]
    fn it_ends_with_a_sync_of_the_file() {
        let disk = MemoryDisk::new();
        disk.fail_syncs_after(1);
        replace_file(&*disk.shared(), "a.json", b"new").unwrap_err();
    }
}
