//! Small pictures of the images that are kept: made when they are first asked for, remembered for a while.
//!
//! **Invariant:** memory is bounded, whatever an image claims to be. At most [`AT_ONCE`] are read at a time, each of at most
//! [`FILE_LEN_MAX`] bytes, of which a decoder makes one copy when it reads the head; what decoding takes is known from the head
//! before it begins, and all together take no more than [`DECODE_MEMORY`]; what is remembered takes no more than [`CACHE_LEN`].
//! In all that is 336 MiB at the very most, and some 50 MiB for photographs of 12 megapixels. The room for a file is taken
//! when its first bytes show that it is an image.
//!
//! A version never changes, so what is remembered under its id is never stale.

mod cache;
mod picture;

use bytes::{Bytes, BytesMut};
use client::people;
use futures::StreamExt;
use parking_lot::Mutex;

use crate::drive::OpenFile;
use crate::error::{Kind, Problem};
use crate::turns::{Turn, Turns};
use cache::Cache;
use picture::Picture;

pub(crate) use picture::Drawn;

/// Pictures that are read and drawn at the same time.
const AT_ONCE: u32 = 2;
/// The longest file that is looked at.
const FILE_LEN_MAX: u64 = 32 << 20;
/// Bytes that all that are being drawn may take together, beside their files.
const DECODE_MEMORY: u32 = 192 << 20;
/// Bytes of small pictures that are remembered.
const CACHE_LEN: usize = 16 << 20;
/// As much of a file as tells what it is.
const MAGIC_LEN: usize = 16;

/// Makes small pictures, and remembers them.
#[derive(Debug)]
pub(crate) struct Thumbnails {
    cache: Mutex<Cache>,
    places: Turns,
    memory: Turns,
}

impl Default for Thumbnails {
    fn default() -> Self {
        Self {
            cache: Mutex::new(Cache::new(CACHE_LEN)),
            places: Turns::new(AT_ONCE),
            memory: Turns::new(DECODE_MEMORY),
        }
    }
}

impl Thumbnails {
    /// The small picture of a file.
    pub(crate) async fn of(&self, file: OpenFile) -> Result<Drawn, Problem> {
        let version = file.version;
        if let Some(known) = self.cache.lock().get(version) {
            return known.map_err(no_thumbnail);
        }
        let place = self.places.turn(1).await?;
        // While this one waited, another may have asked for the same.
        if let Some(known) = self.cache.lock().get(version) {
            return known.map_err(no_thumbnail);
        }
        let drawn = match read(file).await? {
            Ok(bytes) => self.draw(bytes, place).await?,
            Err(reason) => Err(reason),
        };
        self.cache.lock().put(version, drawn.clone());
        drawn.map_err(no_thumbnail)
    }

    /// Work that has begun goes on if nobody waits for it any more, and so do its claims on memory.
    async fn draw(&self, bytes: Bytes, place: Turn) -> Result<Result<Drawn, String>, Problem> {
        let (place, picture) = off_loop(move || (place, Picture::new(bytes))).await?;
        let picture = match picture {
            Ok(picture) if picture.memory() > DECODE_MEMORY.into() => {
                let (width, height) = picture.dimensions();
                return Ok(Err(format!(
                    "an image of {width} × {height} pixels is too large for a small picture of it"
                )));
            }
            Ok(picture) => picture,
            Err(reason) => return Ok(Err(reason)),
        };
        let memory = self.memory.turn(picture.memory()).await?;
        off_loop(move || {
            let _held = (place, memory);
            picture.draw()
        })
        .await
    }
}

/// Off the async threads. What decoders do to hostile input may be to panic.
async fn off_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| no_thumbnail("the image is damaged".to_owned()))
}

/// All bytes of a file that is an image by its first ones, or why they are not worth reading.
async fn read(file: OpenFile) -> Result<Result<Bytes, String>, Problem> {
    let (size, chunk_size) = (file.size, file.chunk_size);
    let mut content = (file.read)(0..size, chunk_size);
    let mut bytes = BytesMut::new();
    let mut is_image = false;
    while let Some(more) = content.next().await {
        bytes.extend_from_slice(&more?);
        if is_image || (bytes.len() < MAGIC_LEN && (bytes.len() as u64) < size) {
            continue;
        }
        if !picture::is_image(&bytes) {
            return Ok(Err("it is no JPEG, PNG, GIF, WebP or BMP image".to_owned()));
        }
        if size > FILE_LEN_MAX {
            return Ok(Err(format!(
                "an image of {} is too large for a small picture of it",
                people::size(size)
            )));
        }
        is_image = true;
        bytes.reserve(usize::try_from(size).unwrap_or(0) - bytes.len());
    }
    if bytes.is_empty() {
        return Ok(Err("it is empty".to_owned()));
    }
    Ok(Ok(bytes.freeze()))
}

fn no_thumbnail(reason: String) -> Problem {
    Problem::new(Kind::NoThumbnail, reason)
}

/// As it is drawn, without a file.
#[cfg(test)]
pub(crate) fn draw_for_tests(bytes: Vec<u8>) -> Result<Drawn, String> {
    let picture = Picture::new(bytes.into())?;
    if picture.memory() > DECODE_MEMORY.into() {
        return Err("too large".to_owned());
    }
    picture.draw()
}
