//! Copies: uploads whose chunks come out of another file.

use std::sync::Arc;

use proto::name::EntryPath;
use tokio::io::Empty;

use super::source::{Fetcher, Source};
use super::{UploadOptions, Uploaded, begin};
use crate::{Cluster, Error, File};

/// Gives the content of a file another name as well.
pub(crate) async fn copy(
    cluster: &Cluster,
    file: File,
    path: &EntryPath,
    options: UploadOptions,
) -> Result<Uploaded, Error> {
    let options = UploadOptions {
        modified_ms: options.modified_ms.or(Some(file.modified_ms)),
        size_hint: Some(file.size),
        ..options
    };
    let upload = begin(cluster, path, options).await?;
    if file.chunk_size() != u64::from(upload.rules.chunk_size) {
        return Err(upload.other_chunk_size());
    }
    let fetcher = Arc::new(Fetcher::new(cluster.shared.clone(), file.origin()));
    let size = file.size;
    let chunks: Source<Empty> = Source::File(file.places(0..size), fetcher);
    upload.run(chunks).await
}
