//! Text from bytes of which nobody says how they are written.

/// How the bytes were understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As nearly everything is written today.
    Utf8,
    /// As its first two bytes say.
    Utf16,
    /// Taken for Latin-1, since it is nothing else: every byte is a character there.
    Latin1,
}

/// A text, or its beginning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// The text, with `\n` at the ends of lines.
    pub(crate) text: String,
    /// How it was understood.
    pub(crate) encoding: Encoding,
}

/// Reads bytes as text; nothing if they are none. Where the bytes are cut off, so may their last character be.
pub(crate) fn decode(bytes: &[u8], is_cut: bool) -> Option<Text> {
    let (text, encoding) = if let [0xff, 0xfe, rest @ ..] = bytes {
        (utf16(rest, u16::from_le_bytes), Encoding::Utf16)
    } else if let [0xfe, 0xff, rest @ ..] = bytes {
        (utf16(rest, u16::from_be_bytes), Encoding::Utf16)
    } else if let Some(text) = utf8(bytes, is_cut) {
        (text, Encoding::Utf8)
    } else {
        let text = bytes.iter().copied().map(char::from).collect();
        (text, Encoding::Latin1)
    };
    if !is_text(&text, encoding) {
        return None;
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    Some(Text { text, encoding })
}

fn utf8(bytes: &[u8], is_cut: bool) -> Option<String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    Some(valid.to_owned())
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    char::decode_utf16(units)
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Text has next to no control characters, and none at all where any byte would be a character.
fn is_text(text: &str, encoding: Encoding) -> bool {
    let is_odd = |character: &char| {
        character.is_control() && !matches!(character, '\n' | '\r' | '\t' | '\x0c' | '\x1b')
    };
    let odd = text.chars().filter(is_odd).count();
    let nul = text.contains('\0');
    match encoding {
        // In Windows' variant of it, quotes and dashes stand where Latin-1 has control characters.
        Encoding::Latin1 => !nul && odd * 20 <= text.len(),
        Encoding::Utf8 | Encoding::Utf16 => !nul && odd * 100 <= text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], is_cut: bool, expected: Option<(&str, Encoding)>) {
        let text = decode(bytes, is_cut);
        let text = text
            .as_ref()
            .map(|text| (text.text.as_str(), text.encoding));
        assert_eq!(text, expected, "{bytes:?}");
    }

    #[test]
    fn text_is_read_in_whatever_way_it_is_written() {
        check(b"", false, Some(("", Encoding::Utf8)));
        check("für\r\n".as_bytes(), false, Some(("für\n", Encoding::Utf8)));
        check(b"\xef\xbb\xbfa\rb", false, Some(("a\nb", Encoding::Utf8)));
        check(b"f\xfcr", false, Some(("für", Encoding::Latin1)));
        check(b"\xff\xfea\0\xfc\0", false, Some(("aü", Encoding::Utf16)));
        check(
            b"\xfe\xff\0a\xd8\0",
            false,
            Some(("a\u{fffd}", Encoding::Utf16)),
        );
        // The end of a character is behind the cut; without a cut it is no such character.
        check(b"f\xc3", true, Some(("f", Encoding::Utf8)));
        check(b"f\xc3", false, Some(("fÃ", Encoding::Latin1)));
    }

    #[test]
    fn bytes_that_are_no_text_are_none() {
        check(b"PK\x03\x04\0\0\x08\0", false, None);
        check(b"a\0b", false, None);
        check(b"\x01\x02\x03\x04", false, None);
        check(&[0x80, 0x81, 0x82, 0x83], false, None);
    }
}
