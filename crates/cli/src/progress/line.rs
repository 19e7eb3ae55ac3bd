//! The line that says how far a transfer is, as wide as there is room for.

use console::{measure_text_width, truncate_str};

use client::people::{count, grouped, size};

/// Columns of a bar, at most and at least.
const BAR_LEN_MAX: usize = 24;
const BAR_LEN_MIN: usize = 8;
/// Columns of a name: what is longer is cut, and for what is shorter than the least nothing else is left out.
const NAME_LEN_MAX: usize = 28;
const NAME_LEN_MIN: usize = 12;
/// What is left of a name that is cut shorter than this says nothing.
const NAME_CUT_LEN_MIN: usize = 4;

/// How far a transfer is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct HowFar {
    /// Bytes that are where they should be.
    pub(super) bytes: u64,
    /// How many there will be, once that is known.
    pub(super) total: Option<u64>,
    /// Files that are done, where there may be several.
    pub(super) files: Option<u64>,
    /// How many there will be, once that is known.
    pub(super) files_total: Option<u64>,
    /// Bytes a second, once that is known.
    pub(super) rate: Option<u64>,
}

impl HowFar {
    /// In words: `35 % of 5.0 GB, 80.0 MB/s, 40 s left`.
    pub(super) fn sentence(&self) -> String {
        self.words().join(", ")
    }

    /// With the name before, and a bar between where there is room. What matters less is left out where there is little.
    pub(super) fn line(&self, name: &str, columns: usize) -> String {
        let words = self.words();
        let name_len = measure_text_width(name).min(NAME_LEN_MAX);
        // The last column stays free: some terminals break the line there.
        let room = columns.saturating_sub(1);
        let needed = name_len.min(NAME_LEN_MIN) + 1;
        let text = (1..=words.len())
            .rev()
            .map(|number| words[..number].join(", "))
            .find(|text| measure_text_width(text) + needed <= room)
            .unwrap_or_else(|| words[0].clone());
        let left = room.saturating_sub(measure_text_width(&text) + 1);
        let name = match left.min(NAME_LEN_MAX) {
            0..NAME_CUT_LEN_MIN => String::new(),
            len => truncate_str(name, len, "…").into_owned(),
        };
        let bar = self.bar(left.saturating_sub(measure_text_width(&name) + 1));
        let line = [name, bar, text].map(|part| part.trim().to_owned());
        let parts: Vec<_> = line.into_iter().filter(|part| !part.is_empty()).collect();
        truncate_str(&parts.join(" "), room, "").into_owned()
    }

    /// What is known, what matters most first.
    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        match self.percent() {
            Some(percent) => words.push(format!(
                "{percent} % of {}",
                size(self.total.unwrap_or_default())
            )),
            None => words.push(size(self.bytes)),
        }
        if let Some(rate) = self.rate {
            words.push(format!("{}/s", size(rate)));
        }
        words.extend(self.time_left());
        match (self.files, self.files_total) {
            (Some(files), Some(total)) => {
                words.push(format!("{} of {}", grouped(files), count(total, "file")));
            }
            (Some(files), None) => words.push(count(files, "file")),
            (None, _) => {}
        }
        words
    }

    fn percent(&self) -> Option<u128> {
        let total = self.total.filter(|total| *total > 0)?;
        let percent = u128::from(self.bytes) * 100 / u128::from(total);
        Some(percent.min(100))
    }

    fn time_left(&self) -> Option<String> {
        let left = self.total?.checked_sub(self.bytes)?;
        let secs = left.div_ceil(self.rate.filter(|rate| *rate > 0)?);
        let text = match secs {
            0 => return None,
            1..60 => format!("{secs} s left"),
            60..3600 => format!("{} min {} s left", secs / 60, secs % 60),
            _ => format!("{} h {} min left", grouped(secs / 3600), secs / 60 % 60),
        };
        Some(text)
    }

    /// Nothing where there is no room, or no end in sight.
    fn bar(&self, room: usize) -> String {
        let len = room.min(BAR_LEN_MAX);
        match self.percent() {
            Some(percent) if len >= BAR_LEN_MIN => {
                let done = usize::try_from(percent).unwrap_or(0) * len / 100;
                format!("{}{}", "█".repeat(done), "░".repeat(len - done))
            }
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_folder() -> HowFar {
        HowFar {
            bytes: 420_000_000,
            total: Some(1_200_000_000),
            files: Some(1_012),
            files_total: Some(3_400),
            rate: Some(2_500_000),
        }
    }

    fn of_file(bytes: u64, total: u64, rate: u64) -> String {
        let how_far = HowFar {
            bytes,
            total: Some(total),
            rate: Some(rate).filter(|rate| *rate > 0),
            ..HowFar::default()
        };
        how_far.sentence()
    }

    #[test]
    fn how_far_a_transfer_is_comes_in_words() {
        assert_eq!(
            of_folder().sentence(),
            "35 % of 1.2 GB, 2.5 MB/s, 5 min 12 s left, 1,012 of 3,400 files"
        );
        assert_eq!(
            of_file(60_000_000, 100_000_000, 10_000_000),
            "60 % of 100 MB, 10.0 MB/s, 4 s left"
        );
        assert_eq!(
            of_file(0, 100_000_000_000, 10_000_000),
            "0 % of 100 GB, 10.0 MB/s, 2 h 46 min left"
        );
        assert_eq!(of_file(10, 10, 5), "100 % of 10 bytes, 5 bytes/s");
        assert_eq!(of_file(12, 10, 5), "100 % of 10 bytes, 5 bytes/s");
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        assert_eq!(of_file(0, 10, 0), "0 % of 10 bytes");
        assert_eq!(of_file(0, 0, 0), "0 bytes");
        let walking = HowFar {
            total: None,
            files_total: None,
            ..of_folder()
        };
        assert_eq!(walking.sentence(), "420 MB, 2.5 MB/s, 1,012 files");
    }

    /// A line of 95 columns broke at 80, and each redrawing of it left another behind.
    #[test]
    fn the_line_is_as_wide_as_the_terminal_at_most() {
        let name = "a name that is quite long, with wide letters: 日本.mp4";
        for columns in 0..200 {
            let line = of_folder().line(name, columns);
            assert!(
                measure_text_width(&line) < columns.max(1),
                "{columns}: {line}"
            );
        }
    }

    #[test]
    fn what_matters_least_goes_first() {
        for (columns, expected) in [
            (
                120,
                "photos ████████░░░░░░░░░░░░░░░░ 35 % of 1.2 GB, 2.5 MB/s, 5 min 12 s left, 1,012 of 3,400 files",
            ),
            (
                80,
                "photos ██░░░░░░ 35 % of 1.2 GB, 2.5 MB/s, 5 min 12 s left, 1,012 of 3,400 files",
            ),
            (
                60,
                "photos ███░░░░░░░ 35 % of 1.2 GB, 2.5 MB/s, 5 min 12 s left",
            ),
            (40, "photos 35 % of 1.2 GB, 2.5 MB/s"),
            (20, "pho… 35 % of 1.2 GB"),
            (10, "35 % of 1"),
        ] {
            assert_eq!(of_folder().line("photos", columns), expected, "{columns}");
        }
    }
}
