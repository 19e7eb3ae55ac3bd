//! All that a run found out, as it is shown and as JSON.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arguments::Sizes;
use crate::figures::{Figures, ROWS, advantage};
use crate::machine::Machine;
use crate::systems::Kind;

/// What one system reached.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) kind: Kind,
    pub(crate) figures: Figures,
}

/// A run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) begun: Timestamp,
    pub(crate) sizes: Sizes,
    /// `disk_one` and `disk_three`: what each file is appended to, in MB/s.
    pub(crate) disk: Figures,
    pub(crate) systems: Vec<Measured>,
    /// A sentence for each system that is not there.
    pub(crate) left_out: Vec<String>,
}

impl Report {
    /// One in which nothing was measured yet.
    pub(crate) fn new(machine: Machine, sizes: Sizes) -> Self {
        Self {
            machine,
            begun: Timestamp::now(),
            sizes,
            disk: Figures::default(),
            systems: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The day, in UTC.
    pub(crate) fn date(&self) -> String {
        self.begun.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }

    /// This project, and what it is compared with.
    pub(crate) fn ours_and_peers(&self) -> (Option<&Measured>, Vec<&Measured>) {
        let (ours, peers): (Vec<_>, Vec<_>) = self
            .systems
            .iter()
            .partition(|system| system.kind == Kind::Dfs);
        (ours.first().copied(), peers)
    }

    /// How many times better ours is than a peer in a row.
    pub(crate) fn advantage(&self, row: &crate::figures::Row, peer: &Measured) -> Option<f64> {
        let ours = self.ours_and_peers().0?.figures.get(row.key)?;
        let theirs = peer.figures.get(row.key)?;
        advantage(row.better, ours.shown, theirs.shown)
    }

    /// For programs. Sizes are in bytes, and each figure in the unit of its row.
    pub(crate) fn to_json(&self) -> Value {
        let rows = ROWS.iter().map(|row| {
            json!({
                "key": row.key, "title": row.title(&self.sizes), "unit": row.unit, "better": row.better,
            })
        });
        let systems = self.systems.iter().map(|system| {
            let advantages = ROWS.iter().filter_map(|row| {
                let is_peer = system.kind != Kind::Dfs;
                let advantage = is_peer.then(|| self.advantage(row, system))??;
                Some((row.key.to_owned(), json!(advantage)))
            });
            json!({
                "system": system.kind, "name": system.kind.name(), "note": system.kind.note(),
                "figures": system.figures.all(), "remarks": system.figures.remarks(),
                "dfs_is_better_by": advantages.collect::<serde_json::Map<_, _>>(),
            })
        });
        json!({
            "date": self.begun.to_string(), "machine": self.machine, "sizes": self.sizes,
            "disk": self.disk.all(), "rows": rows.collect::<Vec<_>>(),
            "systems": systems.collect::<Vec<_>>(), "left_out": self.left_out,
        })
    }
}

/// A figure with as many digits as tell something.
pub(crate) fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    match value.abs() {
        1000.0.. => grouped(value),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A number of things.
pub(crate) fn count(size: u64) -> String {
    if size < 1000 {
        return size.to_string();
    }
    short(size as f64)
}

/// With a comma before each three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// This project and one peer, with a row that only ours has and one that is zero.
    pub(crate) fn example() -> Report {
        let sizes = crate::arguments::tests::quick();
        let mut report = Report::new(Machine::here(std::path::Path::new("/")), sizes);
        for (kind, factor) in [(Kind::Dfs, 1.0), (Kind::Seaweedfs, 0.5)] {
            let mut figures = Figures::default();
            figures.add("put_big", 200.0 * factor);
            figures.add("put_big", 100.0 * factor);
            figures.add("put_big_cpu", 7.0 / factor);
            figures.add("put_4k_16", 2345.0 * factor);
            figures.add("killed_get_failed", 0.0);
            if kind == Kind::Dfs {
                figures.add("put_page", 120.0);
            }
            report.systems.push(Measured { kind, figures });
        }
        report.disk.add("disk_one", 1000.0);
        report.disk.add("disk_three", 300.0);
        report
            .left_out
            .push("nginx is left out: <its program> is not here".to_owned());
        report
    }

    #[test]
    fn figures_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (0.034, "0.03"),
            (7.0, "7.00"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.5, "1,234"),
            (36_627.0, "36,627"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(short(value), expected);
        }
    }

    #[test]
    fn json_has_figures_ratios_and_what_is_left_out() {
        let json = example().to_json();
        assert_eq!(json["systems"][0]["figures"]["put_big"]["median"], 150.0);
        assert_eq!(json["systems"][0]["figures"]["put_big"]["highest"], 200.0);
        assert_eq!(json["systems"][1]["dfs_is_better_by"]["put_big"], 2.0);
        assert_eq!(json["systems"][1]["dfs_is_better_by"]["put_big_cpu"], 2.0);
        assert!(
            json["systems"][0]["dfs_is_better_by"]
                .as_object()
                .unwrap()
                .is_empty()
        );
        assert!(json["left_out"][0].as_str().unwrap().starts_with("nginx"));
        assert_eq!(json["disk"]["disk_three"]["median"], 300.0);
    }
}
