//! A zip of files and folders, made while it is sent: nothing of it is kept but the list at its end, some 250 bytes and
//! twice the path for each entry, in memory that all zips share ([`ListShare`]).
//!
//! The bytes are stored as they are. Sizes and checksums come behind each file, since a file is read only once.
//!
//! **Invariant:** a file that cannot be read to its end ends the stream with an error: a zip that comes to its end is
//! whole.

mod walk;

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cerniera::{CompressionMethod, FileTimes, MsDosDateTime, ZipArchive, ZipPath};
use client::Error;
use futures::StreamExt;
use futures::stream::{Stream, try_unfold};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proto::master::Entry;
use proto::name::EntryPath;

use crate::drive::{Content, Drive};
use crate::error::{Kind, Problem};
use crate::turns::{DownloadTurn, ListShare};
use walk::Member;
pub(crate) use walk::Walk;

/// What the list takes for an entry, but for its path: a place among as many that are free, and the allocator's part.
const LISTED_LEN: u64 = 2 * 72 + 16;
/// The longest record of an entry at the end of a zip, but for its path: with sizes of 64 bits, and the exact time.
const RECORD_LEN: usize = 46 + 28 + 9;
/// What stands behind the records.
const TRAILER_LEN: usize = 56 + 20 + 22;
/// Bytes of the end that are sent at once.
const PIECE_LEN: usize = 64 << 10;

/// A zip that is being made.
pub(crate) struct Archive {
    drive: Arc<dyn Drive>,
    walk: Walk,
    zip: ZipArchive,
    reading: Option<Reading>,
    turn: DownloadTurn,
    /// Nothing once all entries were sent.
    list: Option<ListShare>,
    /// Bytes of the end.
    end_len: usize,
    /// What is left of it to send.
    end: Bytes,
}

/// The file whose bytes are being sent.
struct Reading {
    path: EntryPath,
    content: Content,
    left: u64,
}

impl Archive {
    /// A zip of all that the walk comes to. It holds its turn until its last bytes are sent, and its place among those that
    /// are made, with the memory for its list.
    pub(crate) fn new(
        drive: Arc<dyn Drive>,
        walk: Walk,
        turn: DownloadTurn,
        list: ListShare,
    ) -> Self {
        Self {
            drive,
            walk,
            zip: ZipArchive::new(),
            reading: None,
            turn,
            list: Some(list),
            end_len: TRAILER_LEN,
            end: Bytes::new(),
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
                    tracing::warn!("a zip is broken off: {reason}");
                    Err(io::Error::other(reason))
                }
            }
        });
        Ok(futures::stream::iter(first).chain(rest))
    }

    /// The next piece; nothing at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let mut made = BytesMut::new();
        if let Some(reading) = &mut self.reading {
            if let Some(bytes) = reading.next().await? {
                self.zip.file_data(&bytes);
                return Ok(Some(self.turn.held_by(bytes)));
            }
            self.zip.end_file(&mut made);
            self.reading = None;
        }
        while made.is_empty() && self.list.is_some() {
            if let Some(member) = self.walk.next(&*self.drive).await? {
                self.remember(&member).await?;
                self.begin(member, &mut made).await?;
            } else {
                self.walk.check(&*self.drive).await?;
                self.finish();
            }
        }
        if made.is_empty() {
            let piece_len = PIECE_LEN.min(self.end.len());
            return Ok((piece_len > 0).then(|| self.end.split_to(piece_len)));
        }
        Ok(Some(made.freeze()))
    }

    /// Takes memory for what is kept of an entry until the end: its path and numbers, and its record, before the former is gone.
    async fn remember(&mut self, member: &Member) -> Result<(), Problem> {
        // A folder's path ends with a `/` there.
        let path_len = member.name.len() + 1;
        let record_len = RECORD_LEN + path_len;
        self.end_len += record_len;
        let len = LISTED_LEN + (path_len + record_len) as u64;
        match &mut self.list {
            Some(list) => list.take(len + member.kept_len as u64).await,
            None => Ok(()),
        }
    }

    fn finish(&mut self) {
        let mut end = BytesMut::with_capacity(self.end_len);
        self.zip.finish(&mut end);
        self.zip = ZipArchive::new();
        self.end = match self.list.take() {
            Some(list) => list.held_by(end.freeze()),
            None => Bytes::new(),
        };
    }

    async fn begin(&mut self, member: Member, made: &mut BytesMut) -> Result<(), Problem> {
        let Member {
            path, name, entry, ..
        } = member;
        match entry {
            Entry::Folder { modified_ms, .. } => {
                self.walk.check(&*self.drive).await?;
                let name = zip_path(format!("{name}/"))?;
                self.zip.add_directory(name, times(modified_ms), made);
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
                let (name, times) = (zip_path(name)?, times(file.modified_ms));
                let stored = CompressionMethod::Stored;
                self.zip.start_file(name, times, stored, made);
                self.reading = Some(Reading {
                    path,
                    left: file.size,
                    content: (file.read)(0..file.size, self.turn.ahead()),
                });
            }
        }
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

/// What the walk gives is never refused: its names have nothing in them that leads anywhere.
fn zip_path(mut name: String) -> Result<ZipPath, Problem> {
    name.shrink_to_fit();
    ZipPath::try_from(name).map_err(|error| Problem::new(Kind::Internal, error.to_string()))
}

/// When an entry was changed, as a zip says it: by the clock without a zone, for which UTC is taken, and exactly. A time
/// that a zip cannot say is its first one.
fn times(modified_ms: u64) -> FileTimes {
    let first = || MsDosDateTime::new(1980, 1, 1, 0, 0, 0).unwrap_or_default();
    i64::try_from(modified_ms)
        .ok()
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
        .and_then(|time| FileTimes::try_from(time.to_zoned(TimeZone::UTC)).ok())
        .unwrap_or_else(|| first().into())
}
