//! Numbers as sentences for people have them: those of errors and of the status are made where the facts are.

/// How many, with the noun in singular or plural: `1 copy`, `1,234 copies`.
pub fn count(count: impl Into<u64>, noun: &str) -> String {
    let count = count.into();
    let number = grouped(count);
    let stem = noun.strip_suffix('y');
    let stem = stem.filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match (count, stem) {
        (1, _) => format!("{number} {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// A whole number with commas between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_words() {
        assert_eq!(count(0_u64, "file"), "0 files");
        assert_eq!(count(1_u32, "copy"), "1 copy");
        assert_eq!(count(2_u32, "copy"), "2 copies");
        assert_eq!(count(123_456_u64, "entry"), "123,456 entries");
        assert_eq!(count(30_u32, "day"), "30 days");
        assert_eq!(count(1_234_567_u64, "chunk"), "1,234,567 chunks");
    }
}
