//! Figures against size, and whether what they belong to grows no faster than n log n.

use std::fmt::Write as _;

use serde::Serialize;

use crate::report::{count, short};
use crate::table::aligned;

/// What is measured at each size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Of all that is there: a start, memory, a look at everything.
    Whole,
    /// Of one thing that is done: for all that is there it would be done as often.
    Each,
    /// How often something is done in a second.
    Rate,
    /// What the measurement happened to find: nothing of it says how it grows.
    Found,
}

/// What a curve is of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Subject {
    /// What there is more of from size to size.
    pub(crate) of: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) kind: Kind,
    /// Below this it says nothing how much it grows, in the same unit.
    pub(crate) least: f64,
}

/// One figure at each size.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Curve {
    #[serde(flatten)]
    pub(crate) subject: Subject,
    /// Size and figure, in ascending order.
    pub(crate) points: Vec<(u64, f64)>,
}

/// All of them.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Curves(pub(crate) Vec<Curve>);

/// In the exponent of the size: figures from before and after a cache is full differ by some factor, whatever the size.
const TOLERANCE: f64 = 0.1;

impl Curve {
    /// The sizes between which it is judged: from the last one at which it is too little to tell anything, or the first, to the last.
    pub(super) fn ends(&self) -> Option<[(u64, f64); 2]> {
        let floor = match self.subject.kind {
            Kind::Whole | Kind::Each => self.subject.least,
            // A rate is what its time is not.
            Kind::Rate => 0.0,
            Kind::Found => return None,
        };
        let last = *self.points.last()?;
        let too_little = self.points.iter().rev().skip(1);
        let mut too_little = too_little.filter(|(_, figure)| *figure <= floor);
        let first = *too_little.next().or(self.points.first())?;
        // Two starts that take next to nothing are alike.
        let raised = [first, last].map(|(size, figure)| (size, figure.max(floor)));
        (first.0 < last.0).then_some(raised)
    }

    /// With which power of the size the whole grows.
    pub(crate) fn exponent(&self) -> Option<f64> {
        let [(first, before), (last, after)] = self.ends()?;
        let times = match self.subject.kind {
            Kind::Rate => before / after,
            _ => after / before,
        };
        let each = times.ln() / (last as f64 / first as f64).ln();
        Some(match self.subject.kind {
            Kind::Whole => each,
            _ => each + 1.0,
        })
    }

    /// With which power n log n grows between the same sizes.
    pub(crate) fn allowed(&self) -> Option<f64> {
        let [(first, _), (last, _)] = self.ends()?;
        let (first, last) = (first as f64, last as f64);
        Some(1.0 + (last.ln() / first.ln()).ln() / (last / first).ln())
    }

    /// Whether it grows no faster; nothing if there is one size only.
    pub(crate) fn holds(&self) -> Option<bool> {
        Some(self.exponent()? <= self.allowed()? + TOLERANCE)
    }
}

impl Curves {
    /// Adds a figure, and shows it.
    pub(crate) fn add(&mut self, subject: Subject, size: u64, figure: f64) {
        let Subject {
            of, title, unit, ..
        } = subject;
        let (many, figure_text) = (count(size), short(figure));
        println!("{many:>12} {of:<7} {title:<55} {figure_text:>10} {unit}");
        match self.0.iter_mut().find(|curve| curve.subject == subject) {
            Some(curve) => curve.points.push((size, figure)),
            None => self.0.push(Curve {
                subject,
                points: vec![(size, figure)],
            }),
        }
    }

    /// A table for each thing that there is more of.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for of in ["files", "nodes", "chunks"] {
            let curves: Vec<_> = self
                .0
                .iter()
                .filter(|curve| curve.subject.of == of)
                .collect();
            let Some(first) = curves.first() else {
                continue;
            };
            let sizes: Vec<_> = first.points.iter().map(|(size, _)| *size).collect();
            let heads = sizes.iter().map(|size| count(*size));
            let head = [of.to_owned(), String::new()].into_iter().chain(heads);
            let head: Vec<_> = head
                .chain(["grows as".to_owned(), "n log n".to_owned()])
                .collect();
            let rule =
                (0..head.len()).map(|place| if place < 2 { "---" } else { "---:" }.to_owned());
            let mut rows = vec![head.clone(), rule.collect()];
            rows.extend(curves.iter().map(|curve| row(curve, &sizes)));
            for line in aligned(&rows) {
                // Writing to a String cannot fail.
                writeln!(text, "{line}").expect("a String takes any text");
            }
            text.push('\n');
        }
        text
    }
}

fn row(curve: &Curve, sizes: &[u64]) -> Vec<String> {
    let figure = |size: &u64| {
        let point = curve.points.iter().find(|(at, _)| at == size);
        point.map_or("-".to_owned(), |(_, figure)| short(*figure))
    };
    let cells = [
        curve.subject.title.to_owned(),
        curve.subject.unit.to_owned(),
    ];
    let cells = cells.into_iter().chain(sizes.iter().map(figure));
    let exponent = curve
        .exponent()
        .map_or("-".to_owned(), |power| format!("n^{power:.2}"));
    let verdict = match curve.holds() {
        Some(true) => "holds",
        Some(false) => "WORSE",
        None => "-",
    };
    cells.chain([exponent, verdict.to_owned()]).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn curve(kind: Kind, least: f64, points: &[(u64, f64)]) -> Curve {
        Curve {
            subject: Subject {
                of: "files",
                title: "a start",
                unit: "s",
                kind,
                least,
            },
            points: points.to_vec(),
        }
    }

    #[test]
    fn what_grows_as_n_log_n_holds_and_what_grows_as_its_square_does_not() {
        let check = |kind, figures: [f64; 2], expected: bool| {
            let curve = curve(kind, 0.0, &[(10_000, figures[0]), (1_000_000, figures[1])]);
            assert_eq!(curve.holds(), Some(expected), "{kind:?} {figures:?}");
        };
        check(Kind::Whole, [1.0, 100.0], true);
        check(Kind::Whole, [1.0, 100.0 * 1.5], true);
        check(Kind::Whole, [1.0, 100.0 * 3.0], false);
        check(Kind::Whole, [1.0, 10_000.0], false);
        check(Kind::Each, [1.0, 1.5], true);
        check(Kind::Each, [1.0, 100.0], false);
        check(Kind::Rate, [1000.0, 900.0], true);
        check(Kind::Rate, [1000.0, 10.0], false);
    }

    #[test]
    fn what_is_too_little_to_be_told_apart_does_not_grow() {
        let points = [(10_000, 0.000_01), (1_000_000, 0.000_9)];
        assert_eq!(curve(Kind::Each, 0.001, &points).holds(), Some(true));
        assert_eq!(curve(Kind::Each, 0.0, &points).holds(), Some(false));
        assert_eq!(curve(Kind::Each, 0.0, &points[..1]).holds(), None);
    }

    #[test]
    fn what_is_too_little_at_first_is_judged_from_where_it_is_more() {
        let points = [
            (1000, 0.001),
            (10_000, 0.09),
            (100_000, 2.0),
            (1_000_000, 200.0),
        ];
        let curve = curve(Kind::Whole, 0.1, &points);
        let exponent = curve.exponent().unwrap();
        assert!(
            (exponent - 2000_f64.ln() / 100_f64.ln()).abs() < 0.001,
            "{exponent}"
        );
        assert_eq!(curve.holds(), Some(false));
    }

    #[test]
    fn what_was_found_is_not_judged() {
        let curve = curve(Kind::Found, 0.0, &[(10_000, 5.0), (1_000_000, 1.0)]);
        assert_eq!((curve.exponent(), curve.holds()), (None, None));
    }

    #[test]
    fn a_table_has_a_row_for_each_curve_and_says_what_is_worse() {
        let points = [(10_000, 1.0), (1_000_000, 10_000.0)];
        let table = Curves(vec![curve(Kind::Whole, 0.0, &points)]).table();
        assert!(table.contains("10,000 | 1,000,000"), "{table}");
        assert!(table.contains("n^2.00 |   WORSE"), "{table}");
    }
}
