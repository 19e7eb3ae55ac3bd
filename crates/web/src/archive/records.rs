//! The records of a zip's entries, which are sent at its end: a few are kept in memory, many in a temporary file that goes
//! with this or the process (on Windows it has a name until then).
//!
//! **Invariant:** however many there are, less than 1 MiB is in memory. A small zip touches no disk.

use std::io;
use std::path::PathBuf;

use bytes::{Buf, Bytes, BytesMut};
use client::people;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::runtime::Handle;

use super::format::Item;
use crate::error::{Kind, Problem};

/// Bytes that are kept in memory; of more, so many are written at once. While they are, the file has a copy of them.
const KEPT_LEN: usize = 256 << 10;
/// Bytes that are read at once, and sent.
const PIECE_LEN: usize = 64 << 10;

/// Records, in the order in which they came.
#[derive(Debug)]
pub(super) struct Records {
    /// Where the file is made.
    folder: PathBuf,
    /// Those behind what is in the file.
    kept: BytesMut,
    file: Option<File>,
    /// Bytes of the file that are still to be read.
    unread: u64,
    count: u64,
    len: u64,
}

impl Records {
    /// None yet. Many of them go to a file in this folder.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            kept: BytesMut::new(),
            file: None,
            unread: 0,
            count: 0,
            len: 0,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of all of them.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Adds the one of an entry, with the checksum of what is in it. An error says that the file cannot be made or written.
    pub(super) async fn add(&mut self, item: &Item, checksum: u32) -> Result<(), Problem> {
        let before = self.kept.len();
        item.record(checksum, &mut self.kept);
        self.len += (self.kept.len() - before) as u64;
        self.count += 1;
        if self.kept.len() < KEPT_LEN {
            return Ok(());
        }
        let written = self.write().await;
        written.map_err(|error| self.problem("written", &error))
    }

    /// When all were added: they are read from the first one on.
    pub(super) async fn rewind(&mut self) -> Result<(), Problem> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let rewound = async {
            // Only here is it known that the last of them were written.
            file.flush().await?;
            file.rewind().await
        };
        match rewound.await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.problem("written", &error)),
        }
    }

    /// The next piece of them; nothing at the end.
    pub(super) async fn next_piece(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.unread > 0 {
            let piece = self.read().await;
            let piece = piece.map_err(|error| self.problem("read", &error))?;
            return Ok(Some(piece));
        }
        let piece_len = PIECE_LEN.min(self.kept.len());
        Ok((piece_len > 0).then(|| self.kept.split_to(piece_len).freeze()))
    }

    /// The first of those that are kept, of which there are enough.
    async fn write(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(unnamed_file(self.folder.clone()).await?),
        };
        file.write_all(&self.kept[..KEPT_LEN]).await?;
        self.kept.advance(KEPT_LEN);
        self.unread += KEPT_LEN as u64;
        Ok(())
    }

    async fn read(&mut self) -> io::Result<Bytes> {
        let mut piece = BytesMut::with_capacity(PIECE_LEN);
        let read_len = match &mut self.file {
            Some(file) => file.read_buf(&mut piece).await?,
            None => 0,
        };
        let left = self.unread.checked_sub(read_len as u64);
        match left.filter(|_| read_len > 0) {
            Some(left) => self.unread = left,
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(piece.freeze())
    }

    fn problem(&self, done: &str, error: &io::Error) -> Problem {
        let (folder, reason) = (self.folder.display(), people::reason(error));
        let detail = format!(
            "the list of a zip's entries cannot be {done} in a temporary file in {folder}: {reason}; make room there, or start the \
             server with TMPDIR (on Windows: TMP) set to another folder"
        );
        Problem::new(Kind::Internal, detail)
    }
}

/// Giving back the space of a large file takes the system a while.
impl Drop for Records {
    fn drop(&mut self) {
        if let (Some(file), Ok(runtime)) = (self.file.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

async fn unnamed_file(folder: PathBuf) -> io::Result<File> {
    let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(folder));
    Ok(File::from_std(made.await??))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::format::Time;
    use super::*;

    fn item(number: u64) -> Item {
        Item {
            name: format!("photo {number:09}.jpg"),
            time: Time::of(0),
            size: number,
            at: 100 * number,
        }
    }

    async fn add(records: &mut Records, numbers: std::ops::Range<u64>) -> Result<(), Problem> {
        for number in numbers {
            records.add(&item(number), 7).await?;
        }
        Ok(())
    }

    async fn all(records: &mut Records) -> Vec<u8> {
        records.rewind().await.unwrap();
        let mut all = Vec::new();
        while let Some(piece) = records.next_piece().await.unwrap() {
            assert!(!piece.is_empty() && piece.len() <= PIECE_LEN);
            all.extend_from_slice(&piece);
        }
        all
    }

    /// All of them were in memory: a zip of millions of entries took gigabytes, or was refused.
    #[tokio::test]
    async fn however_many_they_are_few_are_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        for count in [0, 1, 1000, 100_000] {
            let mut records = Records::new(folder.path().to_owned());
            let mut expected = BytesMut::new();
            for number in 0..count {
                item(number).record(7, &mut expected);
                add(&mut records, number..number + 1).await.unwrap();
                assert!(records.kept.capacity() <= 2 * KEPT_LEN);
            }
            assert_eq!(records.count(), count);
            assert_eq!(records.len(), expected.len() as u64);
            let is_large = expected.len() >= KEPT_LEN;
            assert_eq!(records.file.is_some(), is_large, "{count}");
            assert!(all(&mut records).await == expected);
            // It has no name by which it could stay behind.
            #[cfg(unix)]
            assert!(fs::read_dir(&folder).unwrap().next().is_none());
        }
    }

    #[tokio::test]
    async fn a_small_zip_needs_no_disk() {
        let nowhere = Path::new("/there/is/none");
        let mut records = Records::new(nowhere.to_owned());
        add(&mut records, 0..1000).await.unwrap();
        assert!(!all(&mut records).await.is_empty());
        let refused = add(&mut records, 0..100_000).await.unwrap_err();
        for part in ["cannot be written", "/there/is/none", "TMPDIR"] {
            assert!(refused.detail.contains(part), "{}", refused.detail);
        }
    }

    /// A write ends before the bytes are on the disk: that they are not is found out later.
    #[tokio::test]
    async fn what_was_not_written_is_an_error_before_anything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        fs::write(&path, "").unwrap();
        let cannot_be_written = fs::File::open(&path).unwrap();
        let mut records = Records::new(folder.path().to_owned());
        records.file = Some(File::from_std(cannot_be_written));
        // Written once.
        add(&mut records, 0..5000).await.unwrap();
        let refused = records.rewind().await.unwrap_err();
        assert!(
            refused.detail.contains("cannot be written"),
            "{}",
            refused.detail
        );
    }

    #[tokio::test]
    async fn what_is_missing_in_the_file_is_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut records = Records::new(folder.path().to_owned());
        add(&mut records, 0..50_000).await.unwrap();
        records.rewind().await.unwrap();
        let file = records.file.as_mut().unwrap();
        file.set_len(PIECE_LEN as u64).await.unwrap();
        assert!(records.next_piece().await.unwrap().is_some());
        let refused = records.next_piece().await.unwrap_err();
        assert!(
            refused.detail.contains("cannot be read"),
            "{}",
            refused.detail
        );
    }
}
