//! A disk of its own for a server: a file system in a file, mounted, whose power can be cut.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tokio::time::{Duration, Instant, sleep};

use crate::system;

/// A process that was killed lets go of its files within this.
const UMOUNT_WITHIN: Duration = Duration::from_secs(5);

/// Takes room.
const FILLER: &str = "somebody-elses-film";
/// The file system below has room for so much more than the image.
const BELOW_MORE_MIB: u64 = 4;

/// Which file system is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
}

/// A mounted image. It is unmounted and removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Image {
    /// The file system, of limited size, that the image is in.
    below: PathBuf,
    file: PathBuf,
    kind: FileSystem,
    /// In bytes.
    size: u64,
    mount: PathBuf,
}

impl Image {
    /// A new one of so many MiB, mounted in a folder that is made for it.
    pub(crate) fn new(name: &str, kind: FileSystem, mib: u64, mount: &Path) -> io::Result<Self> {
        // XFS has none smaller.
        let mib = if kind == FileSystem::Xfs {
            mib.max(300)
        } else {
            mib
        };
        let below = system::image_folder().join(format!("chaos-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&below)?;
        let size = format!("size={}m", mib + BELOW_MORE_MIB);
        let arguments = ["-t", "tmpfs", "-o", &size, "tmpfs"].map(OsStr::new);
        system::run("mount", arguments.into_iter().chain([below.as_os_str()]))?;
        let file = below.join("image");
        std::fs::create_dir_all(mount)?;
        let image = Self {
            below,
            file,
            kind,
            size: mib << 20,
            mount: mount.to_owned(),
        };
        File::create(&image.file)?.set_len(image.size)?;
        match kind {
            FileSystem::Ext4 => {
                let arguments = ["-q", "-F", "-m", "0"].map(AsRef::as_ref);
                system::run(
                    "mkfs.ext4",
                    arguments.into_iter().chain([image.file.as_os_str()]),
                )?;
            }
            FileSystem::Xfs => {
                let arguments = ["-q", "-f"].map(AsRef::as_ref);
                system::run(
                    "mkfs.xfs",
                    arguments.into_iter().chain([image.file.as_os_str()]),
                )?;
            }
        }
        image.mount()?;
        Ok(image)
    }

    /// Which file system it has.
    pub(crate) fn kind(&self) -> FileSystem {
        self.kind
    }

    /// What was not synced is gone from now on, and nothing can be written any more.
    pub(crate) fn cut_power(&self) -> io::Result<()> {
        system::shut_down(&self.mount)
    }

    /// Mounts it anew, as after a power cut. Nobody may use it.
    pub(crate) async fn power_on(&self) -> io::Result<()> {
        let began = Instant::now();
        while let Err(error) = system::run("umount", [&self.mount]) {
            if began.elapsed() > UMOUNT_WITHIN {
                return Err(error);
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.mount()
    }

    /// Takes it to the last byte, as somebody else's files do.
    pub(crate) fn fill(&self) -> io::Result<()> {
        fill(&self.mount, self.size)
    }

    /// Gives that back, also if power is cut then.
    pub(crate) fn make_room(&self) -> io::Result<()> {
        match std::fs::remove_file(self.filler()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.mount)?.sync_all(),
        }
    }

    /// From now on nothing more fits below: what is written to new places cannot be written back.
    pub(crate) fn starve(&self) -> io::Result<()> {
        fill(&self.below, self.size + (BELOW_MORE_MIB << 20))
    }

    /// All fits again. What the file system lost meanwhile it only knows when it is mounted anew.
    pub(crate) fn feed(&self) -> io::Result<()> {
        std::fs::remove_file(self.below.join(FILLER))
    }

    fn filler(&self) -> PathBuf {
        self.mount.join(FILLER)
    }

    fn mount(&self) -> io::Result<()> {
        let arguments = ["-o".as_ref(), "loop".as_ref(), self.file.as_os_str()];
        system::run(
            "mount",
            arguments.into_iter().chain([self.mount.as_os_str()]),
        )
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // A process that has just been killed may hold it a moment longer: it goes when that lets go.
        drop(system::run(
            "umount",
            ["--lazy".as_ref(), self.mount.as_os_str()],
        ));
        drop(system::run(
            "umount",
            ["--lazy".as_ref(), self.below.as_os_str()],
        ));
        drop(std::fs::remove_dir(&self.below));
    }
}

/// Takes all room of what is mounted here, which has so much of it at most.
fn fill(mounted: &Path, most: u64) -> io::Result<()> {
    // Else the machine's own disk would be filled.
    drop(system::open_mounted(mounted)?);
    let path = mounted.join(FILLER);
    let mut file = File::options().create(true).append(true).open(path)?;
    let mut left = most.saturating_sub(file.metadata()?.len());
    for piece in [1_u32 << 20, 64 << 10, 1 << 10] {
        let bytes = vec![0x55; piece as usize];
        loop {
            if left < u64::from(piece) {
                return Err(io::Error::other("it takes more than it has room for"));
            }
            match file.write_all(&bytes) {
                Ok(()) => left -= u64::from(piece),
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// The disk of a server was only mounted again if its file system let it. Where it did not, the next fault filled, or shut
    /// down, the file system of the folder that it should have been mounted in: the machine's own.
    #[test]
    fn what_is_not_mounted_is_not_harmed() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("node");
        std::fs::create_dir(&place).expect("a folder");
        fill(&place, 1 << 20).expect_err("it is the machine's own");
        assert!(!place.join(FILLER).exists());
        system::open_mounted(&place).expect_err("it is the machine's own");
    }
}
