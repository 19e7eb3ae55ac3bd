//! Uploads that others may go on with: in another process, days later, from what is recorded.
//!
//! The master keeps what such an upload is to become, and every piece that is stored is recorded soon. Each [`append`]
//! stores whole chunks only: what is left of its bytes it gives back, to be put in front of what comes next.
//!
//! **Invariant:** what was given back as recorded is durable, as a committed file is: it is never sent again.

use bytes::Bytes;
use proto::id::UploadId;
use proto::master::UploadPlan;
use tokio::io::AsyncRead;

use super::{Ledger, Session, Source, Upload, UploadOptions, Uploaded, check_size};
use crate::{Cluster, Error};

/// An upload that is open, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// Its id.
    pub upload: UploadId,
    /// What it is to become.
    pub plan: UploadPlan,
    /// Chunks that are recorded.
    pub chunks: u64,
    /// Bytes that are recorded.
    pub bytes: u64,
}

/// What became of the bytes that were appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// There is more to come.
    Open {
        /// How far it is now.
        open: OpenUpload,
        /// What was left over: less than a chunk, to be put in front of what comes next.
        rest: Bytes,
    },
    /// That was the end of the file, which is committed.
    Committed(Uploaded),
}

/// Stores what `reader` gives behind what is recorded, and commits the file if that was its end.
pub(crate) async fn append<R: AsyncRead + Send + Unpin>(
    cluster: &Cluster,
    open: OpenUpload,
    reader: R,
) -> Result<Appended, Error> {
    let rules = cluster.shared.rules().await?;
    check_size(&rules, Some(open.plan.size))?;
    let options = UploadOptions {
        modified_ms: open.plan.modified_ms,
        precondition: open.plan.precondition,
        parents: open.plan.parents,
        size_hint: Some(open.plan.size),
        progress: None,
        still_wanted: None,
    };
    let mut upload = Upload::new(
        cluster.shared.clone(),
        open.plan.path.clone(),
        options,
        rules,
    );
    upload.session = Session::kept(cluster.shared.clone(), open.upload);
    upload.ledger = Ledger::resumed(open.chunks, open.bytes);
    upload.store_all(Source::reader(reader)).await?;
    if upload.stops_short() {
        let open = OpenUpload {
            chunks: upload.ledger.recorded_count(),
            bytes: upload.ledger.begun_bytes(),
            ..open
        };
        let rest = upload.rest;
        return Ok(Appended::Open { open, rest });
    }
    upload.commit().await.map(Appended::Committed)
}
