//! The HTTP API: a file for each of its subjects. All of them are three steps: read the request, call the drive,
//! write the answer.

pub(crate) mod batch;
pub(crate) mod cancelling;
pub(crate) mod cluster;
pub(crate) mod copying;
pub(crate) mod download;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod folders;
pub(crate) mod language;
pub(crate) mod moving;
pub(crate) mod receiver;
pub(crate) mod search;
pub(crate) mod shares;
pub(crate) mod thumbnails;
pub(crate) mod trash;
pub(crate) mod uploads;
pub(crate) mod versions;
pub(crate) mod zip;

use proto::master::PAGE_LEN_MAX;

use crate::error::{Kind, Problem};

/// Entries in a page when the caller does not say.
const PAGE_LEN: u32 = 200;

/// How many entries a page gets.
fn page_len(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(PAGE_LEN);
    if (1..=PAGE_LEN_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::new(
        Kind::InvalidArgument,
        format!("`limit` is {limit}, but must be from 1 to {PAGE_LEN_MAX}"),
    ))
}
