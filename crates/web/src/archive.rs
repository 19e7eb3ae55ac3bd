//! A zip of files and folders, made while it is sent. Nothing of it is kept but the records of its entries, which a zip has at its
//! end: few of them in memory, many in a temporary file ([`Records`]). So it may be of any size, and have any number of entries.
//!
//! The bytes are stored as they are. Checksums come behind each file, since a file is read only once.
//!
//! **Invariant:** a file that cannot be read to its end ends the stream with an error, and so does a record that cannot be kept: a
//! zip that comes to its end is whole.

mod format;
mod names;
mod records;
mod walk;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use client::Error;
use futures::StreamExt;
use futures::stream::{Stream, try_unfold};
use proto::master::Entry;
use proto::name::EntryPath;

use crate::drive::{Content, Drive};
use crate::error::{Kind, Problem};
use crate::turns::{DownloadTurn, Turn};
use format::{Item, Time};
use records::Records;
use walk::Member;
pub(crate) use walk::Walk;

/// A zip that is being made.
pub(crate) struct Archive {
    drive: Arc<dyn Drive>,
    walk: Walk,
    reading: Option<Reading>,
    /// Bytes that were sent.
    sent: u64,
    records: Records,
    /// What stands behind the records; nothing before all entries were sent, nor once it was sent itself.
    end: Option<Bytes>,
    is_walked: bool,
    turn: DownloadTurn,
    _place: Turn,
}

/// The file whose bytes are being sent.
struct Reading {
    path: EntryPath,
    item: Item,
    content: Content,
    left: u64,
    checksum: crc32fast::Hasher,
}

impl Archive {
    /// A zip of all that the walk comes to. It holds its turn until its last bytes are sent, and its place among those that
    /// are made. The records of many entries are kept in a file in this folder.
    pub(crate) fn new(
        drive: Arc<dyn Drive>,
        walk: Walk,
        turn: DownloadTurn,
        place: Turn,
        folder: PathBuf,
    ) -> Self {
        Self {
            drive,
            walk,
            reading: None,
            sent: 0,
            records: Records::new(folder),
            end: None,
            is_walked: false,
            turn,
            _place: place,
        }
    }

    /// Its bytes. The first of them are awaited, so that what cannot be read at all is an honest error.
    pub(crate) async fn bytes(
        mut self,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send, Problem> {
        let first = self.next().await?.map(Ok);
        let rest = try_unfold(self, |mut archive| async move {
            match archive.next().await {
                Ok(next) => Ok(next.map(|bytes| (bytes, archive))),
                Err(problem) => {
                    let reason = problem.detail;
                    // Here, or in the cluster, somebody has to do something: as where there is no room for the list.
                    if problem.kind == Kind::Internal {
                        tracing::error!("a zip is broken off: {reason}");
                    } else {
                        tracing::warn!("a zip is broken off: {reason}");
                    }
                    Err(io::Error::other(reason))
                }
            }
        });
        Ok(futures::stream::iter(first).chain(rest))
    }

    /// The next piece; nothing at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let next = match self.next_of_entries().await? {
            None => self.next_of_end().await?,
            entries => entries,
        };
        self.sent += next.as_ref().map_or(0, Bytes::len) as u64;
        Ok(next)
    }

    /// More of the entries; nothing once all were sent.
    async fn next_of_entries(&mut self) -> Result<Option<Bytes>, Problem> {
        let mut made = BytesMut::new();
        if let Some(reading) = &mut self.reading {
            if let Some(bytes) = reading.next().await? {
                return Ok(Some(self.turn.held_by(bytes)));
            }
            self.end_file(&mut made).await?;
        }
        while made.is_empty() && !self.is_walked {
            if let Some(member) = self.walk.next(&*self.drive).await? {
                self.begin(member, &mut made).await?;
            } else {
                self.walk.check(&*self.drive).await?;
                self.finish().await?;
            }
        }
        Ok((!made.is_empty()).then(|| made.freeze()))
    }

    /// More of what stands behind them.
    async fn next_of_end(&mut self) -> Result<Option<Bytes>, Problem> {
        match self.records.next_piece().await? {
            Some(piece) => Ok(Some(self.turn.held_by(piece))),
            None => Ok(self.end.take()),
        }
    }

    async fn begin(&mut self, member: Member, made: &mut BytesMut) -> Result<(), Problem> {
        let Member { path, name, entry } = member;
        match entry {
            Entry::Folder { modified_ms, .. } => {
                self.walk.check(&*self.drive).await?;
                let item = self.item(format!("{name}/"), modified_ms, 0)?;
                item.begin(made);
                self.records.add(&item, 0).await?;
            }
            Entry::File { .. } => {
                let file = match self.drive.open(&path, None).await {
                    // It went away since it was seen.
                    Err(Error::NotFound { .. } | Error::IsAFolder { .. }) => {
                        return self.walk.pass_over(&path, &*self.drive).await;
                    }
                    file => file?,
                };
                self.walk.check(&*self.drive).await?;
                let item = self.item(name, file.modified_ms, file.size)?;
                item.begin(made);
                self.reading = Some(Reading {
                    path,
                    item,
                    left: file.size,
                    content: (file.read)(0..file.size, self.turn.ahead()),
                    checksum: crc32fast::Hasher::new(),
                });
            }
        }
        Ok(())
    }

    /// What the zip tells of an entry that begins here.
    fn item(&self, name: String, modified_ms: u64, size: u64) -> Result<Item, Problem> {
        if name.len() > format::NAME_LEN_MAX {
            let detail = format!("{name} is longer than any name in a zip can be");
            return Err(Problem::new(Kind::Internal, detail));
        }
        Ok(Item {
            name,
            time: Time::of(modified_ms),
            size,
            at: self.sent,
        })
    }

    async fn end_file(&mut self, made: &mut BytesMut) -> Result<(), Problem> {
        if let Some(Reading { item, checksum, .. }) = self.reading.take() {
            let checksum = checksum.finalize();
            item.end(checksum, made);
            self.records.add(&item, checksum).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Problem> {
        self.is_walked = true;
        self.records.rewind().await?;
        let (count, len) = (self.records.count(), self.records.len());
        self.end = Some(format::end(count, len, self.sent));
        Ok(())
    }
}

impl Reading {
    /// More of the file; nothing when all of it came.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let path = &self.path;
        match self.content.next().await {
            Some(Ok(bytes)) if bytes.len() as u64 <= self.left => {
                self.left -= bytes.len() as u64;
                self.checksum.update(&bytes);
                Ok(Some(bytes))
            }
            Some(Err(error)) => Err(error.into()),
            None if self.left == 0 => Ok(None),
            Some(Ok(_)) | None => Err(Problem::new(
                Kind::Internal,
                format!("{path} does not have as many bytes as it should"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures::TryStreamExt;

    use super::*;
    use crate::memory::MemoryDrive;
    use crate::turns::{Downloads, Turns};

    /// How it ended: with so many bytes, or a sentence.
    async fn zip_of(files: u32, folder: &Path) -> Result<usize, String> {
        let drive = MemoryDrive::default();
        for number in 0..files {
            let path = format!("/a/{number:0250}").parse().unwrap();
            drive.put(&path, Bytes::new(), 0);
        }
        let downloads = Downloads::new(1 << 30);
        let turn = downloads.turn(&(0..u64::MAX / 2), 1 << 20, 1 << 20).await;
        let place = Turns::new(1).turn(1).await;
        let archive = Archive::new(
            Arc::new(drive),
            Walk::of_all(),
            turn.unwrap(),
            place.unwrap(),
            folder.to_owned(),
        );
        let bytes = archive.bytes().await.unwrap();
        let all = bytes.try_fold(0, async |len, bytes| Ok(len + bytes.len()));
        all.await.map_err(|error| error.to_string())
    }

    /// A zip without some of its records would look as if it were whole.
    #[tokio::test]
    async fn a_list_that_cannot_be_kept_breaks_the_zip_off() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(zip_of(100, &missing).await.is_ok(), "it needs no disk");
        let reason = zip_of(5000, &missing).await.unwrap_err();
        assert!(reason.contains("cannot be written"), "{reason}");
        assert!(reason.contains("missing: "), "{reason}");
        assert!(zip_of(5000, folder.path()).await.is_ok());
    }
}
