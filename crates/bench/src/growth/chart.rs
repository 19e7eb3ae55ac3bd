//! The curves as a picture: a small chart for each, both axes logarithmic, with n log n as a dashed line from its first point.

use super::curve::{Curve, Curves, Kind};
use crate::picture::{Canvas, MARGIN, WIDTH};
use crate::report::{count, short};

const COLUMNS: usize = 3;
const CHART_HEIGHT: f64 = 110.0;
const GAP: f64 = 28.0;
/// Room for what stands above a chart and below it.
const HEAD: f64 = 42.0;
const FOOT: f64 = 30.0;

/// The whole picture.
pub(crate) fn draw(curves: &Curves, under: &str) -> String {
    let mut canvas = Canvas::default();
    canvas.down(MARGIN + 6.0);
    canvas.text(
        MARGIN,
        "title",
        "DFS as it grows: files, nodes, chunks of a node",
    );
    canvas.down(22.0);
    canvas.text(MARGIN, "small", under);
    canvas.down(18.0);
    let legend = "Both axes are logarithmic. Dashed: what n log n in total would be, from where there is enough to tell.";
    canvas.text(MARGIN, "small", legend);
    canvas.down(12.0);
    let drawn: Vec<_> = curves
        .0
        .iter()
        .filter(|curve| curve.points.len() > 1)
        .collect();
    for row in drawn.chunks(COLUMNS) {
        for (column, curve) in row.iter().enumerate() {
            chart(&mut canvas, MARGIN + column as f64 * (width() + GAP), curve);
        }
        canvas.down(HEAD + CHART_HEIGHT + FOOT);
    }
    canvas.into_svg("How DFS grows with files, nodes and chunks")
}

fn width() -> f64 {
    (WIDTH - 2.0 * MARGIN - (COLUMNS - 1) as f64 * GAP) / COLUMNS as f64
}

fn chart(canvas: &mut Canvas, left: f64, curve: &Curve) {
    let top = canvas.y() + HEAD;
    let subject = curve.subject;
    canvas.text_at(left, top - 22.0, "small", subject.title);
    let (first, last) = (curve.points[0], curve.points[curve.points.len() - 1]);
    let limit = limit(curve);
    let figures = curve.points.iter().chain(limit.iter().flatten());
    let figures: Vec<f64> = figures.map(|(_, figure)| figure.max(1e-6)).collect();
    let low = figures.iter().copied().fold(f64::MAX, f64::min) / 1.5;
    let high = (figures.iter().copied().fold(0.0, f64::max) * 1.5).max(low * 10.0);
    let place = |size: u64, figure: f64| {
        let along = (size as f64 / first.0 as f64).ln() / (last.0 as f64 / first.0 as f64).ln();
        let up = (figure.max(1e-6) / low).ln() / (high / low).ln();
        (left + along * width(), top + CHART_HEIGHT * (1.0 - up))
    };
    canvas.line(
        &[
            (left, top + CHART_HEIGHT),
            (left + width(), top + CHART_HEIGHT),
        ],
        "axis",
    );
    if let Some(limit) = limit {
        canvas.line(&limit.map(|(size, figure)| place(size, figure)), "limit");
    }
    let points: Vec<_> = curve
        .points
        .iter()
        .map(|(size, figure)| place(*size, *figure))
        .collect();
    let class = if curve.holds() == Some(false) {
        "worse"
    } else {
        "curve"
    };
    canvas.line(&points, class);
    for ((x, y), (_, figure)) in points.iter().zip(&curve.points) {
        canvas.dot(*x, *y, class);
        let anchor = if *x > left + width() * 0.8 {
            *x - 34.0
        } else {
            *x
        };
        canvas.text_at(anchor, *y - 6.0, "small", &short(*figure));
    }
    let ends = format!("{} to {} {}", count(first.0), count(last.0), subject.of);
    canvas.text_at(left, top + CHART_HEIGHT + 16.0, "small", &ends);
    let unit = if subject.unit.is_empty() {
        ""
    } else {
        subject.unit
    };
    canvas.text_at(left + width() - 24.0, top - 22.0, "small", unit);
}

/// From which point to which one n log n in total leads; nothing where that says nothing.
fn limit(curve: &Curve) -> Option<[(u64, f64); 2]> {
    let [(first, figure), (last, _)] = curve.ends()?;
    let each = (last as f64).ln() / (first as f64).ln();
    let at_most = match curve.subject.kind {
        Kind::Whole => figure * each * last as f64 / first as f64,
        Kind::Each => figure * each,
        Kind::Rate => figure / each,
        Kind::Found => return None,
    };
    Some([(first, figure), (last, at_most)])
}

#[cfg(test)]
mod tests {
    use super::super::curve::tests::curve;
    use super::*;

    #[test]
    fn a_picture_has_a_line_for_each_curve_and_needs_nothing_else() {
        let points = [(10_000, 1.0), (100_000, 2.0), (1_000_000, 3.0)];
        let curves = Curves(vec![
            curve(Kind::Each, 0.0, &points),
            curve(Kind::Whole, 0.0, &points),
            curve(Kind::Whole, 0.0, &points[..1]),
            curve(Kind::Found, 0.0, &points),
        ]);
        let svg = draw(&curves, "on a <machine>");
        assert_eq!(svg.matches("<circle").count(), 9, "{svg}");
        assert_eq!(svg.matches(r#"class="limit""#).count(), 2, "{svg}");
        assert_eq!(svg.matches(r#"class="worse""#).count(), 4, "{svg}");
        assert!(svg.contains("on a &lt;machine&gt;"), "{svg}");
        assert!(!svg.replace("http://www.w3.org/2000/svg", "").contains("//"));
    }
}
