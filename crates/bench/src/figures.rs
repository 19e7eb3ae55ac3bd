//! What is measured, row by row, and what came of it: the median of all rounds, and how far they lie apart.

use std::collections::BTreeMap;

use serde::Serialize;

use Better::{Higher, Lower};

use crate::arguments::Sizes;
use crate::report::count;

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// One thing that is measured of each system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) key: &'static str,
    /// `{big}` and `{entries}` stand for what was asked for.
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// Whether the picture has it.
    pub(crate) is_drawn: bool,
    /// Whether one bad round is one too many.
    pub(crate) is_of_worst: bool,
}

const fn row(key: &'static str, title: &'static str, unit: &'static str, better: Better) -> Row {
    Row {
        key,
        title,
        unit,
        better,
        is_drawn: false,
        is_of_worst: false,
    }
}

const fn drawn(key: &'static str, title: &'static str, unit: &'static str, better: Better) -> Row {
    Row {
        is_drawn: true,
        ..row(key, title, unit, better)
    }
}

/// A failure, of which the worst round is shown.
const fn harm(key: &'static str, title: &'static str, unit: &'static str) -> Row {
    Row {
        is_of_worst: true,
        ..row(key, title, unit, Lower)
    }
}

/// All rows, in the order of the table.
pub(crate) const ROWS: [Row; 37] = [
    drawn("put_big", "PUT of one file of {big}", "MB/s", Higher),
    drawn("put_big_cpu", "processor time of a PUT", "s/GB", Lower),
    drawn("get_big", "GET of one file of {big}", "MB/s", Higher),
    row("get_big_cpu", "processor time of a GET", "s/GB", Lower),
    drawn("get_four", "GET of it, four at once", "MB/s", Higher),
    row(
        "put_page",
        "upload of {big} as the page does it (tus)",
        "MB/s",
        Higher,
    ),
    row(
        "first_byte",
        "first byte of a GET of it, over a new connection",
        "ms",
        Lower,
    ),
    row("put_4k_1", "PUT of 4 KiB, 1 connection", "/s", Higher),
    drawn("put_4k_16", "PUT of 4 KiB, 16 connections", "/s", Higher),
    row("put_4k_64", "PUT of 4 KiB, 64 connections", "/s", Higher),
    row(
        "put_4k_cpu",
        "processor time of each, 16 connections",
        "ms",
        Lower,
    ),
    row("get_4k_1", "GET of 4 KiB, 1 connection", "/s", Higher),
    drawn("get_4k_16", "GET of 4 KiB, 16 connections", "/s", Higher),
    row("get_4k_64", "GET of 4 KiB, 64 connections", "/s", Higher),
    row(
        "get_4k_cpu",
        "processor time of each, 16 connections",
        "ms",
        Lower,
    ),
    row("put_64k_1", "PUT of 64 KiB, 1 connection", "/s", Higher),
    drawn("put_64k_16", "PUT of 64 KiB, 16 connections", "/s", Higher),
    row("put_64k_64", "PUT of 64 KiB, 64 connections", "/s", Higher),
    row("get_64k_1", "GET of 64 KiB, 1 connection", "/s", Higher),
    drawn("get_64k_16", "GET of 64 KiB, 16 connections", "/s", Higher),
    row("get_64k_64", "GET of 64 KiB, 64 connections", "/s", Higher),
    row(
        "list",
        "listing of a folder of {entries} files",
        "ms",
        Lower,
    ),
    drawn(
        "delete",
        "deletion of {entries} files, 16 connections",
        "/s",
        Higher,
    ),
    row("memory_idle", "memory of all processes, idle", "MB", Lower),
    drawn(
        "memory_after",
        "memory of all processes, after all that",
        "MB",
        Lower,
    ),
    harm("killed_put_failed", "a node killed: PUTs that failed", ""),
    harm(
        "killed_put_stall",
        "a node killed: longest wait for a PUT",
        "s",
    ),
    harm(
        "killed_put_lost",
        "a node killed: acknowledged files that cannot be read",
        "",
    ),
    row(
        "killed_put_big",
        "a node killed: PUT of one file of {big}, 0 if it fails",
        "MB/s",
        Higher,
    ),
    harm("killed_get_failed", "a node killed: GETs that failed", ""),
    harm(
        "killed_get_stall",
        "a node killed: longest wait for a GET",
        "s",
    ),
    harm("frozen_put_failed", "a node frozen: PUTs that failed", ""),
    harm(
        "frozen_put_stall",
        "a node frozen: longest wait for a PUT",
        "s",
    ),
    harm("frozen_get_failed", "a node frozen: GETs that failed", ""),
    harm(
        "frozen_get_stall",
        "a node frozen: longest wait for a GET",
        "s",
    ),
    harm(
        "two_gone_get_failed",
        "two of three nodes killed: files that cannot be read",
        "",
    ),
    row("start", "start, until a file can be written", "s", Lower),
];

impl Row {
    /// What is shown of all rounds, of which there is one at least, in ascending order.
    fn shown(&self, values: &[f64], median: f64) -> f64 {
        let worst = match self.better {
            Better::Higher => values.first(),
            Better::Lower => values.last(),
        };
        worst
            .copied()
            .filter(|_| self.is_of_worst)
            .unwrap_or(median)
    }

    /// Its title with the sizes of this run.
    pub(crate) fn title(&self, sizes: &Sizes) -> String {
        let big = if sizes.big.is_multiple_of(1 << 30) {
            format!("{} GiB", sizes.big >> 30)
        } else {
            format!("{} MiB", sizes.big >> 20)
        };
        let title = self.title.replace("{big}", &big);
        title.replace("{entries}", &count(sizes.entries))
    }
}

/// One figure of one system, of all rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// What is shown and compared: the median, or the worst where a row is of that.
    pub(crate) shown: f64,
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

/// What one system reached, by the keys of rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    values: BTreeMap<&'static str, Vec<f64>>,
    remarks: Vec<String>,
}

impl Figures {
    /// One more round's.
    pub(crate) fn add(&mut self, key: &'static str, value: f64) {
        debug_assert!(
            key.starts_with("disk") || ROWS.iter().any(|row| row.key == key),
            "{key}"
        );
        self.values.entry(key).or_default().push(value);
    }

    /// The same, of what not every system tells of its processes.
    pub(crate) fn add_known(&mut self, key: &'static str, value: f64) {
        if value > 0.0 {
            self.add(key, value);
        }
    }

    /// Why some rows have nothing.
    pub(crate) fn remark(&mut self, sentence: String) {
        self.remarks.push(sentence);
    }

    /// All of these.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// What another one measured.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.remarks.extend_from_slice(&other.remarks);
        for (key, values) in &other.values {
            self.values.entry(key).or_default().extend(values);
        }
    }

    /// What came of it, if it was measured.
    pub(crate) fn get(&self, key: &str) -> Option<Figure> {
        let mut values = self.values.get(key)?.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(*values.get(middle.checked_sub(1)?)?, values[middle])
        };
        let row = ROWS.iter().find(|row| row.key == key);
        Some(Figure {
            shown: row.map_or(median, |row| row.shown(&values, median)),
            median,
            lowest: *values.first()?,
            highest: *values.last()?,
        })
    }

    /// All of it.
    pub(crate) fn all(&self) -> BTreeMap<&'static str, Figure> {
        let all = self.values.keys();
        all.filter_map(|key| Some((*key, self.get(key)?))).collect()
    }
}

/// How many times better ours is than theirs; none where that is no number.
pub(crate) fn advantage(better: Better, ours: f64, theirs: f64) -> Option<f64> {
    let (upper, lower) = match better {
        Better::Higher => (ours, theirs),
        Better::Lower => (theirs, ours),
    };
    (upper > 0.0 && lower > 0.0).then(|| upper / lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_all_rounds_counts() {
        let check = |values: &[f64], expected: [f64; 3]| {
            let mut figures = Figures::default();
            for value in values {
                figures.add("put_big", *value);
            }
            let [median, lowest, highest] = expected;
            let expected = Figure {
                shown: median,
                median,
                lowest,
                highest,
            };
            assert_eq!(figures.get("put_big"), Some(expected), "{values:?}");
        };
        check(&[3.0], [3.0, 3.0, 3.0]);
        check(&[9.0, 1.0], [5.0, 1.0, 9.0]);
        check(&[9.0, 1.0, 2.0], [2.0, 1.0, 9.0]);
        assert_eq!(Figures::default().get("put_big"), None);
    }

    #[test]
    fn of_failures_the_worst_round_counts() {
        let mut figures = Figures::default();
        for value in [0.0, 1.0, 0.0] {
            figures.add("killed_put_lost", value);
        }
        let shown = figures.get("killed_put_lost").map(|figure| figure.shown);
        assert_eq!(shown, Some(1.0));
    }

    #[test]
    fn rounds_are_put_together() {
        let mut all = Figures::default();
        for value in [1.0, 2.0, 3.0] {
            let mut round = Figures::default();
            round.add("list", value);
            all.merge(&round);
        }
        assert_eq!(all.get("list").map(|figure| figure.median), Some(2.0));
    }

    #[test]
    fn twice_the_rate_and_half_the_time_are_both_twice_as_good() {
        assert_eq!(advantage(Better::Higher, 20.0, 10.0), Some(2.0));
        assert_eq!(advantage(Better::Lower, 10.0, 20.0), Some(2.0));
        assert_eq!(advantage(Better::Lower, 0.0, 3.0), None);
        assert_eq!(advantage(Better::Higher, 1.0, 0.0), None);
    }

    #[test]
    fn no_two_rows_have_one_key() {
        let keys: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.key).collect();
        assert_eq!(keys.len(), ROWS.len());
    }
}
