//! A file's `Content-Type`, from its name, and whether a browser may show it in this origin.
//!
//! **Invariant:** what can carry a script (HTML, SVG, XML and whatever is not known to be harmless) is never shown, only
//! saved: an uploaded page must not act as this one. So the types that are shown are listed, not those that are not.

use super::disposition::Disposition;

/// The one type of documents that a browser shows in a viewer of its own, apart from any page.
pub(crate) const DOCUMENT: &str = "application/pdf";

/// The type for a file of this name.
pub(crate) fn content_type(name: &str) -> String {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    // The common meaning today, where the table has an older one, or none.
    let known = match extension.to_ascii_lowercase().as_str() {
        "ts" | "mts" | "cts" | "tsx" | "toml" | "lock" | "log" | "conf" | "ini" => {
            Some("text/plain")
        }
        "m2ts" => Some("video/mp2t"),
        "heic" => Some("image/heic"),
        "avif" => Some("image/avif"),
        _ => mime_guess::from_ext(extension).first_raw(),
    };
    let known = known.unwrap_or("application/octet-stream");
    if known.starts_with("text/") || known == "application/json" {
        // A guess, but without it browsers take something older.
        return format!("{known}; charset=utf-8");
    }
    known.to_owned()
}

/// Whether a browser shows a file of this type, or saves it.
pub(crate) fn disposition(content_type: &str) -> Disposition {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    let harmless = match essence.split_once('/') {
        Some(("image", kind)) => matches!(
            kind,
            "png" | "jpeg" | "gif" | "webp" | "avif" | "bmp" | "x-icon" | "heic"
        ),
        Some(("audio" | "video", kind)) => !kind.contains("xml"),
        Some(("text", "plain")) => true,
        _ if essence == DOCUMENT => true,
        _ => false,
    };
    if harmless {
        Disposition::Inline
    } else {
        Disposition::Attachment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected_type: &str, expected: Disposition) {
        let content_type = content_type(name);
        assert_eq!(content_type, expected_type, "{name}");
        assert_eq!(disposition(&content_type), expected, "{name}");
    }

    #[test]
    fn harmless_types_are_shown() {
        for (name, expected) in [
            ("a.txt", "text/plain; charset=utf-8"),
            ("main.ts", "text/plain; charset=utf-8"),
            ("a.JPG", "image/jpeg"),
            ("a.tar.png", "image/png"),
            ("film.mp4", "video/mp4"),
            ("song.mp3", "audio/mpeg"),
            ("a.pdf", "application/pdf"),
        ] {
            check(name, expected, Disposition::Inline);
        }
    }

    #[test]
    fn what_can_carry_a_script_is_saved() {
        for (name, expected) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.HTM", "text/html; charset=utf-8"),
            ("a.xhtml", "application/xhtml+xml"),
            ("a.svg", "image/svg+xml"),
            ("a.xml", "text/xml; charset=utf-8"),
            ("a.md", "text/markdown; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.json", "application/json; charset=utf-8"),
            ("a.mht", "message/rfc822"),
            ("a", "application/octet-stream"),
            ("a.", "application/octet-stream"),
            (".html", "text/html; charset=utf-8"),
            ("a.unknown-thing", "application/octet-stream"),
        ] {
            check(name, expected, Disposition::Attachment);
        }
    }
}
