//! Uploads that others may go on with.

use std::time::Duration;

use client::{Appended, Cluster, Error, OpenUpload};
use proto::id::{ChunkId, UploadId};
use proto::master::{UploadFound, UploadPlan};
use proto::net::{ByteSource, Pending};

/// Keeps what is not a file yet.
pub trait Drafts: Send + Sync {
    /// Opens an upload that others may go on with; says its id, and how long it is kept.
    fn begin_upload<'a>(
        &'a self,
        plan: &'a UploadPlan,
    ) -> Pending<'a, Result<(UploadId, Duration), Error>>;

    /// How far such an upload is, or what became of it.
    fn find_upload(&self, upload: UploadId) -> Pending<'_, Result<UploadFound, Error>>;

    /// Stores all that `reader` gives behind what is recorded of it, and commits the file if that was its end.
    fn append(&self, open: OpenUpload, reader: ByteSource) -> Pending<'_, Result<Appended, Error>>;

    /// Adds the chunks with these ids, up to the first that is not here, and commits the file if that was its end.
    fn append_stored(
        &self,
        open: OpenUpload,
        chunks: Vec<ChunkId>,
    ) -> Pending<'_, Result<Appended, Error>>;

    /// Gives such an upload up.
    fn end_upload(&self, upload: UploadId) -> Pending<'_, Result<(), Error>>;
}

impl Drafts for Cluster {
    fn begin_upload<'a>(
        &'a self,
        plan: &'a UploadPlan,
    ) -> Pending<'a, Result<(UploadId, Duration), Error>> {
        Box::pin(self.begin_upload(plan))
    }

    fn find_upload(&self, upload: UploadId) -> Pending<'_, Result<UploadFound, Error>> {
        Box::pin(self.find_upload(upload))
    }

    fn append(&self, open: OpenUpload, reader: ByteSource) -> Pending<'_, Result<Appended, Error>> {
        Box::pin(self.append(open, reader))
    }

    fn append_stored(
        &self,
        open: OpenUpload,
        chunks: Vec<ChunkId>,
    ) -> Pending<'_, Result<Appended, Error>> {
        Box::pin(async move { self.append_stored(open, &chunks).await })
    }

    fn end_upload(&self, upload: UploadId) -> Pending<'_, Result<(), Error>> {
        Box::pin(self.end_upload(upload))
    }
}
