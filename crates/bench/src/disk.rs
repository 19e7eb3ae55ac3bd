//! What the disk alone takes: the limit of everything that is durable when it is answered.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::content::Content;

/// Bytes between two fsyncs.
const SYNC_EVERY: u64 = 4 << 20;

/// The rate, in MB/s, at which so many files at once take `len` bytes each, in all, with an fsync each four MiB. They stay in the
/// folder, so that blocks are new each time.
pub(crate) fn append_rate(folder: &Path, name: &str, files: usize, len: u64) -> Result<f64> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..files)
            .map(|number| {
                let path = folder.join(format!("{name}-{number}"));
                scope.spawn(move || append(&path, number as u64, len))
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("it does not panic"))
    })
    .with_context(|| format!("write into {}", folder.display()))?;
    Ok(files as f64 * len as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

fn append(path: &Path, number: u64, len: u64) -> Result<()> {
    let mut file = File::create_new(path)?;
    let mut content = Content::new(number, len);
    let mut unsynced = 0;
    while !content.is_over() {
        let piece = content.piece();
        let len = piece.len();
        file.write_all(piece)?;
        content.advance(len);
        unsynced += len as u64;
        if unsynced >= SYNC_EVERY || content.is_over() {
            file.sync_data()?;
            unsynced = 0;
        }
    }
    Ok(())
}

/// Has the system write all that it holds back, so that nobody pays for what another one left.
pub(crate) fn settle() {
    #[cfg(unix)]
    rustix::fs::sync();
}
