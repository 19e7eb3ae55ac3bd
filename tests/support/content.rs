//! Bytes that are the same in every run and unlike each other, and ways to get them back.

use client::Cluster;
use futures::StreamExt;
use proto::name::EntryPath;

/// `len` bytes that only this seed makes, without repetition.
pub(crate) fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The whole file.
pub(crate) async fn download(cluster: &Cluster, path: &str) -> Result<Vec<u8>, client::Error> {
    let path: EntryPath = path.parse().unwrap();
    let file = cluster.open(&path, None).await?;
    let size = file.size;
    collect(file.read(0..size)).await
}

/// All that a stream gives, unless it fails.
pub(crate) async fn collect(
    stream: impl futures::Stream<Item = Result<bytes::Bytes, client::Error>>,
) -> Result<Vec<u8>, client::Error> {
    let mut all = Vec::new();
    let mut stream = std::pin::pin!(stream);
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}
