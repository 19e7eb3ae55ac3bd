//! Whether a name is one that somebody looks for: words that occur in it, without regard to case and normal form.

use unicode_normalization::UnicodeNormalization;

/// The words of a text, which are looked for in names.
#[derive(Debug, Clone)]
pub struct Words {
    words: Vec<String>,
    /// The name that is looked at, folded; kept, so that most names need no memory of their own.
    folded: String,
}

impl Words {
    /// The words of this text; nothing if there is none.
    pub fn of(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().map(folded).collect();
        (!words.is_empty()).then(|| Self {
            words,
            folded: String::new(),
        })
    }

    /// Whether each of them occurs in this name.
    pub fn occur_in(&mut self, name: &str) -> bool {
        self.folded.clear();
        if name.is_ascii() {
            self.folded.push_str(name);
            self.folded.make_ascii_lowercase();
        } else {
            fold_into(&mut self.folded, name);
        }
        let folded = self.folded.as_str();
        self.words.iter().all(|word| folded.contains(word.as_str()))
    }
}

/// What texts that differ in case and normal form only have in common: NFC, then lower case.
pub(crate) fn folded(text: &str) -> String {
    let mut folded = String::new();
    fold_into(&mut folded, text);
    folded
}

fn fold_into(folded: &mut String, text: &str) {
    folded.extend(text.nfc().flat_map(char::to_lowercase).nfc());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, name: &str, expected: bool) {
        let mut words = Words::of(text).unwrap();
        assert_eq!(words.occur_in(name), expected, "{text:?} in {name:?}");
    }

    #[test]
    fn every_word_has_to_occur_in_any_order() {
        check("bank letter", "Letter to the bank.odt", true);
        check("  BANK\tletter ", "letter to the Bank.odt", true);
        check("bank letters", "Letter to the bank.odt", false);
        check("ter to", "Letter to the bank.odt", true);
        check("a", "b", false);
        check(".odt", "x.ODT", true);
    }

    #[test]
    fn case_and_normal_form_make_no_difference() {
        check("RÉSUMÉ", "re\u{301}sume\u{301}.pdf", true);
        check("re\u{301}sume\u{301}", "R\u{c9}SUM\u{c9}.pdf", true);
        check("straße", "STRAßE 7", true);
        check("привет", "ПРИВЕТ.txt", true);
        // The sign for kelvin is a K.
        check("\u{212a}elvin", "kelvin.txt", true);
        check("é", "resume.pdf", false);
        check("写真", "写真 2026.jpg", true);
    }

    #[test]
    fn blanks_are_no_words() {
        for text in ["", " ", "\t\u{3000}\n"] {
            assert!(Words::of(text).is_none(), "{text:?}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(fuzz::cases(256)))]

        /// The quick way of ASCII names finds what the other one finds, and any part of a name finds the name.
        #[test]
        fn a_part_of_a_name_finds_it(name in "[a-cA-C é\u{301}É]{1,8}", first in 0..8_usize, len in 1..8_usize) {
            let part: String = name.chars().skip(first).take(len).collect();
            let all = folded(&name);
            if let Some(mut words) = Words::of(&part) {
                let expected = part.split_whitespace().all(|word| all.contains(&folded(word)));
                assert_eq!(words.occur_in(&name), expected, "{part:?} in {name:?}");
                assert!(expected || !name.is_ascii(), "{part:?} in {name:?}");
            }
        }
    }
}
