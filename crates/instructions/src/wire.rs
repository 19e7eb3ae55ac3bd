//! What each message costs: its line, its body, and the hash of what is in it.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use proto::Body;
use proto::frame::{FrameLimits, FrameReader, FrameWriter, RequestHead, request_line};
use proto::id::ChunkId;

/// What a connection in memory holds.
const IN_FLIGHT: usize = 256 << 10;
const BODY_LEN: usize = 1 << 20;
const FIELDS: &[u8] =
    br#"{"chunk":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#;

pub(crate) fn line(turns: u64) -> Result<()> {
    for id in 0..turns {
        let line = black_box(request_line(id, "get_chunk", black_box(FIELDS), 0));
        let head: RequestHead<'_> = serde_json::from_slice(&line)?;
        ensure!(black_box(head).id == id);
    }
    Ok(())
}

pub(crate) fn body(turns: u64) -> Result<()> {
    let body = Bytes::from(vec![7; BODY_LEN]);
    let line = request_line(7, "put_chunk", FIELDS, BODY_LEN);
    let (here, there) = tokio::io::duplex(IN_FLIGHT);
    let (_, sink) = tokio::io::split(here);
    let (source, _) = tokio::io::split(there);
    let mut writer = FrameWriter::new(Box::new(sink));
    let mut reader = FrameReader::new(Box::new(source), FrameLimits::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for _ in 0..turns {
        let write = writer.write(line.clone(), Body::Bytes(body.clone()));
        let read = async {
            reader.line().await?.context("a line comes")?;
            anyhow::Ok(reader.body(BODY_LEN).await?.len())
        };
        let (written, read) = runtime.block_on(async { tokio::join!(write, read) });
        written?;
        ensure!(read? == BODY_LEN);
    }
    Ok(())
}

pub(crate) fn hash(turns: u64) -> Result<()> {
    let bytes = vec![7; 64 << 10];
    let expected = ChunkId::of(&bytes);
    for _ in 0..turns {
        ensure!(ChunkId::of(black_box(&bytes)) == expected);
    }
    Ok(())
}
