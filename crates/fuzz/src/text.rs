//! Text as people, programs and attackers write it: pieces that have broken parsers before.

use bolero::TypeGenerator;

/// A piece of a text.
#[derive(Debug, Clone, TypeGenerator)]
pub enum Piece {
    /// Any letter or sign.
    Char(char),
    /// A lower-case letter.
    Plain(u8),
    /// One of [`SCRAPS`].
    Scrap(u8),
    /// One of them so often that limits are met.
    Many {
        /// Which.
        scrap: u8,
        /// How often.
        times: u8,
    },
}

/// Pieces with a meaning to somebody: to paths, addresses, headers, terminals, Windows.
pub const SCRAPS: &[&str] = &[
    "/",
    "//",
    "\\",
    ".",
    "..",
    "../",
    "/..",
    "./",
    "...",
    "%",
    "%2f",
    "%2F",
    "%2e",
    "%252e",
    "%00",
    "%ff",
    "%c0%af",
    "\0",
    "\n",
    "\r\n",
    "\t",
    "\u{7f}",
    "\u{80}",
    "\u{85}",
    " ",
    "+",
    "\"",
    "'",
    "\";",
    "; filename=\"",
    "filename*=UTF-8''",
    "&",
    "=",
    "?",
    "#",
    "*",
    ":",
    "|",
    "<",
    ">",
    "<script>",
    "CON",
    "nul",
    "COM1",
    "lpt9.txt",
    "aux.",
    "C:",
    "~",
    "$HOME",
    "é",
    "e\u{301}",
    "İ",
    "ß",
    "ﬁ",
    "Σ",
    "ς",
    "\u{212b}",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{feff}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{1f600}",
    "\u{10ffff}",
    "\u{0301}",
    "א",
    "日本",
    ".part",
    ".extent",
    "aaaaaaaaaaaaaaaa",
    "-",
    "--",
];

impl Piece {
    fn write_to(&self, text: &mut String) {
        let scrap = |number: &u8| SCRAPS[usize::from(*number) % SCRAPS.len()];
        match self {
            Self::Char(character) => text.push(*character),
            Self::Plain(number) => text.push(char::from(b'a' + number % 26)),
            Self::Scrap(number) => text.push_str(scrap(number)),
            Self::Many {
                scrap: number,
                times,
            } => {
                text.push_str(&scrap(number).repeat(usize::from(*times)));
            }
        }
    }
}

/// The pieces as one text.
pub fn text(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for piece in pieces {
        piece.write_to(&mut text);
    }
    text
}
