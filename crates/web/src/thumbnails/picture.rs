//! One image: what it is by its head, how much memory it takes to decode, and the small picture of it.

use std::io::Cursor;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

/// Longest side of a small picture, in pixels.
const SIDE_MAX: u32 = 320;
/// Of JPEG, from 1 to 100.
const QUALITY: u8 = 80;
/// Longest side of an image: no format that is read here can have a longer one that means it well.
const IMAGE_SIDE_MAX: u32 = 65_535;

/// Bytes that a head may have once it is unpacked: descriptions of colours, mostly.
const HEAD_MAX: u64 = 8 << 20;

/// A small picture, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    /// The picture.
    pub(crate) bytes: Bytes,
    /// Its type.
    pub(crate) content_type: &'static str,
}

/// Whether these first bytes are those of an image that can be read here.
pub(super) fn is_image(bytes: &[u8]) -> bool {
    format(bytes).is_some()
}

fn format(bytes: &[u8]) -> Option<ImageFormat> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
    let format = image::guess_format(bytes).ok()?;
    matches!(format, Bmp | Gif | Jpeg | Png | WebP).then_some(format)
}

/// An image that is not decoded yet.
pub(super) struct Picture {
    bytes: Bytes,
    format: ImageFormat,
    dimensions: (u32, u32),
    memory: u64,
}

impl Picture {
    /// Reads the head.
    pub(super) fn new(bytes: Bytes) -> Result<Self, String> {
        let format = format(&bytes).ok_or("it is no image")?;
        let head = decoder(&bytes, format, HEAD_MAX)?;
        let (dimensions, decoded) = (head.dimensions(), head.total_bytes());
        drop(head);
        let memory = memory(format, &bytes, dimensions, decoded);
        Ok(Self {
            bytes,
            format,
            dimensions,
            memory,
        })
    }

    /// Width and height in pixels.
    pub(super) fn dimensions(&self) -> (u32, u32) {
        self.dimensions
    }

    /// Bytes that drawing takes at most, beside the file.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }

    /// The small picture, upright. Takes a while.
    pub(super) fn draw(self) -> Result<Drawn, String> {
        let mut decoder = decoder(&self.bytes, self.format, self.memory)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let image = DynamicImage::from_decoder(decoder).map_err(|error| damaged(&error))?;
        drop(self.bytes);
        let (width, height) = self.dimensions;
        let mut small = if width.max(height) > SIDE_MAX {
            image.thumbnail(SIDE_MAX, SIDE_MAX)
        } else {
            image
        };
        small.apply_orientation(orientation);
        encode(&small).map_err(|error| damaged(&error))
    }
}

/// The file's decoder, which asks for no more memory than this beside the image itself.
fn decoder(
    bytes: &Bytes,
    format: ImageFormat,
    memory_max: u64,
) -> Result<impl ImageDecoder + use<>, String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes.clone()), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(IMAGE_SIDE_MAX);
    limits.max_image_height = Some(IMAGE_SIDE_MAX);
    limits.max_alloc = Some(memory_max);
    reader.limits(limits);
    reader.into_decoder().map_err(|error| damaged(&error))
}

/// What the decoders of this version of `image` take, looked up in their sources: the image itself, what its head unpacks to,
/// and in between
///
/// - JPEG: a copy of the file, and where it comes in several scans, 16 bits for each of at most four values of a pixel;
/// - WebP: two frames of the whole image with transparency, and one in planes;
/// - GIF: a frame of the whole image;
/// - PNG, BMP: some rows.
fn memory(format: ImageFormat, bytes: &[u8], (width, height): (u32, u32), decoded: u64) -> u64 {
    let pixels = u64::from(width) * u64::from(height);
    let between = match format {
        ImageFormat::Jpeg if has_one_scan(bytes) => bytes.len() as u64,
        ImageFormat::Jpeg => bytes.len() as u64 + 8 * pixels,
        ImageFormat::WebP => 10 * pixels,
        ImageFormat::Gif => 4 * pixels,
        _ => 0,
    };
    decoded.saturating_add(between).saturating_add(HEAD_MAX)
}

/// Whether a JPEG file is one that is decoded row by row: not progressive, and with all its colours in one scan.
fn has_one_scan(bytes: &[u8]) -> bool {
    let mut colours = None;
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xff, marker, after @ ..] = rest {
        match marker {
            // Fill.
            0xff => {
                rest = &rest[1..];
                continue;
            }
            // Without content.
            0x01 | 0xd0..=0xd8 => {
                rest = after;
                continue;
            }
            _ => {}
        }
        let [high, low, content @ ..] = after else {
            return false;
        };
        match marker {
            0xc0 | 0xc1 => colours = content.get(5).copied(),
            0xc2..=0xcf if ![0xc4, 0xc8, 0xcc].contains(marker) => return false,
            0xda => return colours.is_some() && content.first().copied() == colours,
            _ => {}
        }
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        rest = after.get(len..).unwrap_or_default();
    }
    false
}

/// JPEG, which is small; WebP where something shines through.
fn encode(image: &DynamicImage) -> image::ImageResult<Drawn> {
    let rgba = image.color().has_alpha().then(|| image.to_rgba8());
    let transparent = rgba.filter(|rgba| rgba.pixels().any(|pixel| pixel.0[3] < 255));
    let mut bytes = Vec::new();
    let content_type = if let Some(rgba) = transparent {
        rgba.write_with_encoder(WebPEncoder::new_lossless(&mut bytes))?;
        "image/webp"
    } else {
        let rgb = image.to_rgb8();
        rgb.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
        "image/jpeg"
    };
    Ok(Drawn {
        bytes: bytes.into(),
        content_type,
    })
}

/// Said to people, who have no use for what a decoder has to say.
fn damaged(error: &image::ImageError) -> String {
    tracing::debug!(%error, "an image cannot be read: {error}");
    match error {
        image::ImageError::Limits(_) => "the image is too large for a small picture of it".into(),
        _ => "the image is damaged, or of a kind that cannot be read here".into(),
    }
}
