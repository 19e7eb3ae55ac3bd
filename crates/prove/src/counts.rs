//! The counts that harnesses print, a line each: a number, and of what.

use std::collections::BTreeMap;

/// What happened, and how often.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Reads the lines that are counts; leaves all others.
pub(crate) fn counts_in(said: &str) -> Counts {
    let mut counts = Counts::new();
    for line in said.lines() {
        // A count stands to the right of at least one space.
        if let Some((number, what)) = line.strip_prefix(' ').and_then(split) {
            *counts.entry(what.to_owned()).or_default() += number;
        }
    }
    counts
}

/// The sum of the tests' own counts: passed, failed.
pub(crate) fn tests_in(said: &str) -> (u64, u64) {
    let results = said
        .lines()
        .filter_map(|line| line.strip_prefix("test result: "));
    let (mut passed, mut failed) = (0, 0);
    for result in results {
        for part in result.split([';', '.']).filter_map(split) {
            match part {
                (number, "passed") => passed += number,
                (number, "failed") => failed += number,
                _ => {}
            }
        }
    }
    (passed, failed)
}

/// How many targets counted `what` they tried, and how many of these in all.
pub(crate) fn tried_in(said: &str, what: &str) -> (usize, u64) {
    let (counts, begin) = (counts_in(said), format!("{what} of "));
    let tried = counts.iter().filter(|(what, _)| what.starts_with(&begin));
    tried.fold((0, 0), |(targets, sum), (_, count)| {
        (targets + 1, sum + count)
    })
}

fn split(text: &str) -> Option<(u64, &str)> {
    let (number, what) = text.trim_start().split_once(' ')?;
    Some((number.parse().ok()?, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_from_the_rest() {
        let said = "20 seeds, 1.2 seeds/s, 0 failed\n        12 kills\n         3 power cuts of all\nseed 4 failed\n";
        let counts = counts_in(said);
        assert_eq!(counts["kills"], 12);
        assert_eq!(counts["power cuts of all"], 3);
        assert_eq!(counts.len(), 2);
    }

    #[test]
    fn cases_of_all_targets_are_added() {
        let said = "test result: ok. 3 passed\n  200 cases of frames::one\n   30 cases of names::two\n  4 kills\n";
        assert_eq!(tried_in(said, "cases"), (2, 230));
    }

    #[test]
    fn results_of_several_test_programs_are_added() {
        let said = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.03s\n\
                    test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        assert_eq!(tests_in(said), (7, 2));
    }
}
