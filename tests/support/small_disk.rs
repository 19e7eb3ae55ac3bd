//! A small disk of its own: an image in a file, mounted for as long as a test needs it.
//!
//! Only Linux has it, and only for root; elsewhere the test says that it was skipped, and why.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system of a few MiB.
pub(crate) struct SmallDisk {
    /// Holds the image and the folder where it is mounted.
    folder: TempDir,
}

impl SmallDisk {
    /// A new, empty one; nothing, with a line that says so, where there can be none.
    pub(crate) fn mount(mib: u64) -> Option<Self> {
        let disk = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(disk.path()).unwrap();
        let image = disk.folder.path().join("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(mib << 20).unwrap();
        let mounted = cfg!(target_os = "linux")
            && run("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&image])
            && run("mount", &["-o", "loop"], &[&image, &disk.path()]);
        if !mounted {
            println!("skipped: no disk can be mounted here (it takes Linux, root and mkfs.ext4)");
        }
        mounted.then_some(disk)
    }

    /// Where its files are.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Takes it to the last byte, as somebody else's files do.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.filler())
            .unwrap();
        for piece in [1 << 20, 64 << 10, 1 << 10] {
            while file.write_all(&vec![0x55; piece]).is_ok() {}
        }
        file.sync_all().ok();
    }

    /// Gives that back.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("somebody-elses-film")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A process that has just been killed may hold it a moment longer: it goes when that lets go.
        if !run("umount", &["--lazy"], &[&self.path()]) && !std::thread::panicking() {
            println!("{} is still mounted", self.path().display());
        }
    }
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> bool {
    let output = Command::new(program).args(arguments).args(paths).output();
    output.is_ok_and(|output| output.status.success())
}
