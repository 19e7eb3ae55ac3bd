//! The table for people: Markdown that is aligned, so that it can be read as it is.

use std::fmt::Write as _;

use crate::figures::{Figure, ROWS};
use crate::report::{Measured, Report, short};

/// All of it: where and when, the disk, each row, and what is compared.
pub(crate) fn text(report: &Report) -> String {
    let mut text = format!("{}, on {}.\n", report.date(), report.machine.sentence());
    let mut line = |sentence: &str| {
        // Writing to a String cannot fail.
        writeln!(text, "{sentence}").expect("a String takes any text");
    };
    if let Some(warning) = report.machine.is_busy() {
        line(&warning);
    }
    line(&rounds(report.sizes.rounds));
    if let Some(disk) = disk(report) {
        line(&disk);
    }
    for sentence in &report.left_out {
        line(sentence);
    }
    for system in &report.systems {
        for remark in system.figures.remarks() {
            line(&format!(
                "{}: not all was measured: {remark}",
                system.kind.name()
            ));
        }
    }
    line("");
    for row in aligned(&rows(report)) {
        line(&row);
    }
    line("");
    for system in &report.systems {
        line(&format!("{}: {}.", system.kind.name(), system.kind.note()));
    }
    text
}

fn rounds(rounds: u32) -> String {
    if rounds == 1 {
        return "One round.".to_owned();
    }
    format!(
        "The medians of {rounds} rounds, in which all had their turns, with the lowest and the highest of them; of a harmed node the worst."
    )
}

fn disk(report: &Report) -> Option<String> {
    let (one, three) = (report.disk.get("disk_one")?, report.disk.get("disk_three")?);
    Some(format!(
        "The disk alone, appended to with an fsync each 4 MiB: {} MB/s for one file; {} MB/s for each of three at once.",
        with_spread(one),
        with_spread(three)
    ))
}

fn rows(report: &Report) -> Vec<Vec<String>> {
    let (ours, peers) = report.ours_and_peers();
    let names = report
        .systems
        .iter()
        .map(|system| system.kind.name().to_owned());
    let is_compared = ours.is_some();
    let heads = peers.iter().filter(|_| is_compared);
    let heads = heads.map(|peer| format!("better than {}", peer.kind.name()));
    let head: Vec<_> = ["work".to_owned(), String::new()]
        .into_iter()
        .chain(names)
        .chain(heads)
        .collect();
    let rule = head
        .iter()
        .enumerate()
        .map(|(place, _)| if place < 2 { "---" } else { "---:" }.to_owned());
    let mut rows = vec![head.clone(), rule.collect()];
    for row in &ROWS {
        let figure = |system: &Measured| system.figures.get(row.key);
        if !report.systems.iter().any(|system| figure(system).is_some()) {
            continue;
        }
        let figures = report
            .systems
            .iter()
            .map(|system| figure(system).map_or("-".to_owned(), with_spread));
        let ratios = peers.iter().filter(|_| is_compared).map(|peer| {
            let advantage = report.advantage(row, peer);
            advantage.map_or("-".to_owned(), |times| format!("{} x", short(times)))
        });
        let cells = [row.title(&report.sizes), row.unit.to_owned()];
        rows.push(cells.into_iter().chain(figures).chain(ratios).collect());
    }
    rows
}

/// What is shown, and how far the rounds lie apart.
fn with_spread(figure: Figure) -> String {
    let Figure {
        shown,
        lowest,
        highest,
        ..
    } = figure;
    let (low, high) = (short(lowest), short(highest));
    if low == high {
        return short(shown);
    }
    format!("{} ({low} - {high})", short(shown))
}

/// Rows of Markdown, with columns as wide as their widest text.
pub(crate) fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(place, (cell, width))| match (cell.as_str(), place) {
                ("---", _) => "-".repeat(*width),
                ("---:", _) => format!("{}:", "-".repeat(width - 1)),
                (cell, 0 | 1) => format!("{cell:<width$}"),
                (cell, _) => format!("{cell:>width$}"),
            });
        format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn a_table_has_a_row_for_all_that_was_measured_and_no_other() {
        let text = text(&example());
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 2 + 5, "{text}");
        let cells = |row: &str| {
            row.split('|')
                .map(|cell| cell.trim().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            cells(rows[0])[1..6],
            ["work", "", "DFS", "SeaweedFS", "better than SeaweedFS"]
        );
        assert_eq!(
            cells(rows[2])[1..6],
            [
                "PUT of one file of 64 MiB",
                "MB/s",
                "150 (100 - 200)",
                "75.0 (50.0 - 100)",
                "2.00 x"
            ]
        );
        assert_eq!(cells(rows[4])[3..6], ["120", "-", "-"]);
        assert_eq!(cells(rows[6])[3..6], ["0", "0", "-"]);
        assert!(text.contains("nginx is left out"), "{text}");
        assert!(text.contains("1,000 MB/s for one file"), "{text}");
        let width = rows[0].chars().count();
        assert!(
            rows.iter().all(|row| row.chars().count() == width),
            "{text}"
        );
    }
}
