//! The table as a picture: bars for the main rows, in one SVG that needs no other file or font, for a light page and a dark one.

use std::fmt::Write as _;

use crate::figures::{Better, ROWS, Row};
use crate::report::{Measured, Report, short};
use crate::systems::Kind;

pub(crate) const WIDTH: f64 = 880.0;
pub(crate) const MARGIN: f64 = 24.0;
/// Where bars begin, and how long the longest one is.
const BARS_AT: f64 = 300.0;
const BARS_LEN: f64 = 400.0;
const BAR_HEIGHT: f64 = 14.0;
const BAR_STEP: f64 = 18.0;
const GROUP_GAP: f64 = 16.0;
const LINE: f64 = 20.0;

/// Colours of text, of what is less important, of the ground and of each system: those of a light page, and of a dark one.
const STYLE: &str = "
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-size: 18px; font-weight: 600; }
  .small { font-size: 12px; fill: #59636e; }
  .ground { fill: #ffffff; }
  .dfs { fill: #0b6e4f; }
  .seaweedfs-fsync { fill: #9a4d00; }
  .seaweedfs { fill: #d08a2e; }
  .nginx { fill: #8c959f; }
  .axis, .curve, .worse, .limit { fill: none; stroke-width: 2; }
  .axis, .limit { stroke: #8c959f; stroke-width: 1; }
  .limit { stroke-dasharray: 4 4; }
  .curve { stroke: #0b6e4f; }
  .worse { stroke: #c4321f; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .small { fill: #b1bac4; }
    .ground { fill: #0d1117; }
    .dfs { fill: #3fb98a; }
    .seaweedfs-fsync { fill: #e0823d; }
    .seaweedfs { fill: #f0b866; }
    .nginx { fill: #7d8590; }
    .curve { stroke: #3fb98a; }
    .worse { stroke: #ff7b6b; }
  }
";

/// The whole picture.
pub(crate) fn draw(report: &Report) -> String {
    let mut canvas = Canvas::default();
    canvas.down(MARGIN + 6.0);
    canvas.text(
        MARGIN,
        "title",
        "DFS beside its peers: the same work on one machine, in one run",
    );
    canvas.down(LINE + 2.0);
    let when = format!("{}, {}", report.date(), report.machine.sentence());
    canvas.text(MARGIN, "small", &when);
    canvas.down(LINE - 2.0);
    canvas.text(MARGIN, "small", &under_title(report));
    canvas.down(LINE + 4.0);
    legend(&mut canvas, report);
    canvas.down(LINE);
    for row in ROWS.iter().filter(|row| row.is_drawn) {
        group(&mut canvas, report, row);
    }
    canvas.down(-GROUP_GAP);
    canvas.into_svg("Rates of DFS beside its peers")
}

fn under_title(report: &Report) -> String {
    let rounds = report.sizes.rounds;
    let mut sentence = match rounds {
        1 => "One round.".to_owned(),
        _ => format!("Medians of {rounds} rounds."),
    };
    if let Some(disk) = report.disk.get("disk_three") {
        let rate = short(disk.median);
        // Writing to a String cannot fail.
        write!(
            sentence,
            " The disk alone takes three files at once, fsynced, at {rate} MB/s each."
        )
        .expect("a String takes any text");
    }
    if report.machine.is_busy().is_some() {
        sentence.push_str(" Others used the machine.");
    }
    sentence
}

fn legend(canvas: &mut Canvas, report: &Report) {
    let mut x = MARGIN;
    for system in &report.systems {
        let copies = if system.kind == Kind::Nginx {
            ", 1 copy"
        } else {
            ", 3 copies"
        };
        let name = format!("{}{copies}", system.kind.name());
        canvas.bar(x, class(system.kind), 12.0);
        canvas.text(x + 18.0, "", &name);
        x += 40.0 + 7.2 * name.chars().count() as f64;
    }
}

/// One row: a bar for each system, of which the longest fills the width.
fn group(canvas: &mut Canvas, report: &Report, row: &Row) {
    let figure = |system: &Measured| Some((system.kind, system.figures.get(row.key)?.shown));
    let figures: Vec<_> = report.systems.iter().filter_map(figure).collect();
    let longest = figures.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    if figures.is_empty() || longest <= 0.0 {
        return;
    }
    canvas.text(MARGIN, "", &row.title(&report.sizes));
    let better = match row.better {
        Better::Higher => "longer is better",
        Better::Lower => "shorter is better",
    };
    canvas.text_below(MARGIN, "small", &format!("{}, {better}", row.unit));
    for (kind, value) in &figures {
        let len = (value / longest * BARS_LEN).max(1.0);
        canvas.bar(BARS_AT, class(*kind), len);
        canvas.text(BARS_AT + len + 6.0, "", &short(*value));
        canvas.down(BAR_STEP);
    }
    let left = 2_usize.saturating_sub(figures.len());
    canvas.down(left as f64 * BAR_STEP + GROUP_GAP);
}

const fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Dfs => "dfs",
        Kind::SeaweedfsFsync => "seaweedfs-fsync",
        Kind::Seaweedfs => "seaweedfs",
        Kind::Nginx => "nginx",
    }
}

/// What is drawn so far, and how far down.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    shapes: String,
    y: f64,
}

impl Canvas {
    pub(crate) fn down(&mut self, by: f64) {
        self.y += by;
    }

    pub(crate) fn y(&self) -> f64 {
        self.y
    }

    pub(crate) fn text(&mut self, x: f64, class: &str, text: &str) {
        self.text_at(x, self.y, class, text);
    }

    pub(crate) fn text_at(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.shape(&format!(
            r#"<text x="{x:.1}" y="{y:.1}" class="{class}">{}</text>"#,
            escape(text)
        ));
    }

    fn text_below(&mut self, x: f64, class: &str, text: &str) {
        self.y += BAR_STEP - 2.0;
        self.text(x, class, text);
        self.y -= BAR_STEP - 2.0;
    }

    pub(crate) fn line(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<_> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let points = points.join(" ");
        self.shape(&format!(r#"<polyline points="{points}" class="{class}"/>"#));
    }

    pub(crate) fn dot(&mut self, x: f64, y: f64, class: &str) {
        self.shape(&format!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" class="{class}"/>"#
        ));
    }

    fn bar(&mut self, x: f64, class: &str, len: f64) {
        let y = self.y - BAR_HEIGHT + 3.0;
        self.shape(&format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{len:.1}" height="{BAR_HEIGHT}" rx="2" class="{class}"/>"#
        ));
    }

    fn shape(&mut self, shape: &str) {
        self.shapes.push_str("  ");
        self.shapes.push_str(shape);
        self.shapes.push('\n');
    }

    /// The whole picture, with what it shows in words.
    pub(crate) fn into_svg(self, label: &str) -> String {
        let height = self.y + MARGIN;
        let Self { shapes, .. } = self;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0}" viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{label}">
<style>{STYLE}</style>
  <rect class="ground" width="100%" height="100%" rx="6"/>
{shapes}</svg>
"#
        )
    }
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn a_picture_has_a_bar_for_each_figure_and_needs_nothing_else() {
        let svg = draw(&example());
        let bars = svg.matches("<rect").count();
        // The ground, two of the legend, and two of each of three rows that were measured and are drawn.
        assert_eq!(bars, 1 + 2 + 6, "{svg}");
        assert!(svg.contains(">150<") && svg.contains(">2,345<"), "{svg}");
        let address = "http://www.w3.org/2000/svg";
        assert!(
            !svg.replace(address, "").contains("//"),
            "it refers to something: {svg}"
        );
        assert!(svg.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn the_longest_bar_is_the_highest_figure_and_others_are_in_proportion() {
        let svg = draw(&example());
        assert!(
            svg.contains(r#"width="400.0""#) && svg.contains(r#"width="200.0""#),
            "{svg}"
        );
    }

    #[test]
    fn no_text_can_end_the_picture() {
        assert_eq!(escape(r#"<a & "b">"#), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
