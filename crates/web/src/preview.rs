//! What is shown of a file, and how, so that nothing of it acts in this origin: pictures and sound as what they are, documents
//! in the browser's own viewer, and text as text that was escaped.

mod markdown;
mod text;

use crate::headers::content_type;

pub(crate) use markdown::render;
pub(crate) use text::{Encoding, decode};

/// As much of a text as is shown.
pub(crate) const TEXT_LEN_MAX: u64 = 256_000;

/// How a file is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As a picture, in which nothing can run.
    Image,
    /// With a player.
    Video,
    /// With a player.
    Audio,
    /// In the browser's viewer of documents.
    Pdf,
    /// As formatted text.
    Markdown,
    /// As text, if that is what it is.
    Text,
}

/// How a file of this name is shown.
pub(crate) fn shape(name: &str) -> Shape {
    let content_type = content_type::content_type(name);
    let essence = content_type.split(';').next().unwrap_or("");
    match essence.split_once('/') {
        Some(("image", _)) => Shape::Image,
        Some(("video", _)) => Shape::Video,
        Some(("audio", _)) => Shape::Audio,
        Some(("application", "pdf")) => Shape::Pdf,
        Some(("text", "markdown" | "x-markdown")) => Shape::Markdown,
        // Its first bytes will tell.
        _ => Shape::Text,
    }
}

/// Whether there is a small picture of a file of this name, in all likelihood.
pub(crate) fn has_thumbnail(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let extension = extension.to_ascii_lowercase();
    ["jpg", "jpeg", "png", "gif", "webp", "bmp"].contains(&extension.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_how_a_file_is_shown() {
        for (name, expected) in [
            ("a.JPG", Shape::Image),
            ("a.svg", Shape::Image),
            ("a.mp4", Shape::Video),
            ("a.flac", Shape::Audio),
            ("a.wav", Shape::Audio),
            ("a.pdf", Shape::Pdf),
            ("README.md", Shape::Markdown),
            ("a.html", Shape::Text),
            ("main.rs", Shape::Text),
            ("main.ts", Shape::Text),
            ("Makefile", Shape::Text),
            ("a.zip", Shape::Text),
        ] {
            assert_eq!(shape(name), expected, "{name}");
        }
    }

    /// The page's script draws rows as well.
    #[test]
    fn the_pages_script_knows_the_same_pictures() {
        let script = include_str!("../../../static/thumbnails.js");
        let (_, names) = script.split_once("const PICTURE = /\\.(").unwrap();
        let (names, _) = names.split_once(")$/i;").unwrap();
        assert_eq!(names.split('|').count(), 6);
        assert!(
            names
                .split('|')
                .all(|name| has_thumbnail(&format!("a.{name}")))
        );
    }
}
