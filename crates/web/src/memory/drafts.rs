//! The uploads of a drive in memory that others may go on with.

use std::io;
use std::time::Duration;

use client::{Appended, Error, OpenUpload, Uploaded};
use proto::id::{ChunkId, UploadId};
use proto::master::{UploadCommitted, UploadFound, UploadPlan};
use proto::net::{ByteSource, Pending};
use tokio::io::AsyncReadExt;

use super::{CHUNK_LEN, FileBytes, MemoryDrive, now, now_ms};
use crate::drive::Drafts;

const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// An upload that others may go on with: whole chunks of it, and once it is committed what it became.
#[derive(Debug)]
pub(super) enum Draft {
    Open(UploadPlan, Vec<u8>),
    Committed(Uploaded),
}

impl Drafts for MemoryDrive {
    fn begin_upload<'a>(
        &'a self,
        plan: &'a UploadPlan,
    ) -> Pending<'a, Result<(UploadId, Duration), Error>> {
        let begun = self.reached().and_then(|mut kept| {
            kept.check(&plan.path, plan.precondition)?;
            kept.last_draft += 1;
            let upload = UploadId::new(uuid::Uuid::from_u128(kept.last_draft));
            let draft = Draft::Open(plan.clone(), Vec::new());
            kept.drafts.insert(upload, draft);
            Ok((upload, KEPT_FOR))
        });
        now(begun)
    }

    fn find_upload(&self, upload: UploadId) -> Pending<'_, Result<UploadFound, Error>> {
        let found = self
            .reached()
            .and_then(|kept| match kept.drafts.get(&upload) {
                None => Err(no_upload(upload)),
                Some(Draft::Committed(uploaded)) => Ok(UploadFound::Committed {
                    size: uploaded.size,
                    committed: UploadCommitted {
                        version: uploaded.version,
                        created: uploaded.created,
                        copies: uploaded.copies,
                        copies_wanted: uploaded.copies_wanted,
                    },
                }),
                Some(Draft::Open(plan, bytes)) => Ok(UploadFound::Open {
                    plan: plan.clone(),
                    chunks: (bytes.len() / CHUNK_LEN) as u64,
                    bytes: bytes.len() as u64,
                    chunk_size: u32::try_from(CHUNK_LEN).expect("it is small"),
                    kept_ms: u64::try_from(KEPT_FOR.as_millis()).expect("it is days"),
                }),
            });
        now(found)
    }

    fn append(
        &self,
        open: OpenUpload,
        mut reader: ByteSource,
    ) -> Pending<'_, Result<Appended, Error>> {
        Box::pin(async move {
            let mut piece = Vec::new();
            let left = open.plan.size - open.bytes;
            let mut limited = (&mut reader).take(left + 1);
            limited.read_to_end(&mut piece).await.map_err(Error::Read)?;
            if piece.len() as u64 > left {
                return Err(Error::SizeMismatch {
                    expected: open.plan.size,
                    read: open.plan.size + 1,
                });
            }
            let mut kept = self.reached()?;
            // Where more follows the first chunk, the name is looked at before all of it is sent.
            if open.chunks == 0 && piece.len() >= CHUNK_LEN && open.plan.size > CHUNK_LEN as u64 {
                kept.check(&open.plan.path, open.plan.precondition)?;
            }
            let Some(Draft::Open(plan, mut bytes)) = kept.drafts.remove(&open.upload) else {
                return Err(no_upload(open.upload));
            };
            bytes.extend(piece);
            let size = plan.size;
            if (bytes.len() as u64) < size {
                let rest = bytes.split_off(bytes.len() - bytes.len() % CHUNK_LEN);
                let open = OpenUpload {
                    chunks: (bytes.len() / CHUNK_LEN) as u64,
                    bytes: bytes.len() as u64,
                    ..open
                };
                kept.drafts.insert(open.upload, Draft::Open(plan, bytes));
                let rest = rest.into();
                return Ok(Appended::Open { open, rest });
            }
            // Where it goes is said with its end, as the master has it.
            let (path, precondition) = (&open.plan.path, open.plan.precondition);
            let checked = match kept.faults.commits_refused {
                Some(reason) => Err(Error::InvalidArgument {
                    message: reason.to_owned(),
                }),
                None => kept.check(path, precondition),
            };
            if let Err(error) = checked {
                bytes.truncate(usize::try_from(open.bytes).expect("in memory"));
                kept.drafts.insert(open.upload, Draft::Open(plan, bytes));
                return Err(error);
            }
            let uploaded = Uploaded {
                created: !kept.entries.contains_key(path),
                version: kept.store(
                    path,
                    FileBytes::Given(bytes.into()),
                    plan.modified_ms.unwrap_or_else(now_ms),
                ),
                size,
                copies: if kept.faults.node_down { 2 } else { 3 },
                copies_wanted: 3,
            };
            let draft = Draft::Committed(uploaded);
            kept.drafts.insert(open.upload, draft);
            Ok(Appended::Committed(uploaded))
        })
    }

    fn append_stored(
        &self,
        open: OpenUpload,
        chunks: Vec<ChunkId>,
    ) -> Pending<'_, Result<Appended, Error>> {
        Box::pin(async move {
            let left = usize::try_from(open.plan.size - open.bytes).expect("in memory");
            if left.div_ceil(CHUNK_LEN) < chunks.len() {
                return Err(Error::InvalidArgument {
                    message: "more chunks were named than are to come".to_owned(),
                });
            }
            let kept = self.reached()?.chunks();
            let mut bytes = Vec::new();
            for chunk in chunks.iter().map_while(|chunk| kept.get(chunk)) {
                if chunk.len() != CHUNK_LEN.min(left - bytes.len()) {
                    break;
                }
                bytes.extend_from_slice(chunk);
            }
            self.append(open, Box::new(io::Cursor::new(bytes))).await
        })
    }

    fn end_upload(&self, upload: UploadId) -> Pending<'_, Result<(), Error>> {
        now(self.reached().map(|mut kept| {
            kept.drafts.remove(&upload);
        }))
    }
}

fn no_upload(upload: UploadId) -> Error {
    Error::NotFound {
        message: format!("the upload {upload} is not open"),
    }
}
