//! Markdown as HTML in which nothing is left of what could act.
//!
//! **Invariant:** HTML in the text is shown as text. An address is one of the web, of mail, or of a file beside this one; a
//! picture is one of this cluster. No element gets an id, a style, or a class that the text chose, but for the side to which a cell of a
//! table is aligned: pages have no styles in attributes.

use std::fmt::Write;

use proto::name::{EntryName, EntryPath};
use pulldown_cmark::{
    Alignment, CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html,
};

use crate::location;

/// The text as HTML; what it refers to lies beside the file with this path.
pub(crate) fn render(text: &str, path: &EntryPath) -> String {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut safe = Safe {
        path,
        pictures: Vec::new(),
        links: Vec::new(),
        columns: Vec::new(),
        column: 0,
        is_head: false,
    };
    let events = Parser::new_ext(text, options).map(|event| safe.event(event));
    let mut out = String::with_capacity(text.len() * 3 / 2);
    html::push_html(&mut out, events);
    out
}

/// What is open at this place of the text.
struct Safe<'a> {
    path: &'a EntryPath,
    /// The closing HTML of each picture that is open: all within it is a description.
    pictures: Vec<&'static str>,
    /// Whether each link that is open leads anywhere.
    links: Vec<bool>,
    /// How the columns of the table are aligned, which of them comes next, and whether that is in its head.
    columns: Vec<Alignment>,
    column: usize,
    is_head: bool,
}

impl Safe<'_> {
    fn event<'e>(&mut self, event: Event<'e>) -> Event<'e> {
        match event {
            Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
            Event::TaskListMarker(done) => Event::Text(if done { "☑ " } else { "☐ " }.into()),
            Event::Start(Tag::Heading { level, .. }) => Event::Start(Tag::Heading {
                level: below(level),
                id: None,
                classes: Vec::new(),
                attrs: Vec::new(),
            }),
            Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(below(level))),
            Event::Start(Tag::CodeBlock(_)) => {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Indented))
            }
            Event::Start(Tag::Link { dest_url, .. }) => self.begin_link(&dest_url),
            Event::End(TagEnd::Link) => {
                let leads = self.links.pop().unwrap_or(false);
                Event::InlineHtml(if leads { "</a>" } else { "" }.into())
            }
            Event::Start(Tag::Image { dest_url, .. }) => self.begin_picture(&dest_url),
            Event::End(TagEnd::Image) => {
                let end = self.pictures.pop().unwrap_or("");
                Event::InlineHtml(end.into())
            }
            Event::Start(Tag::Table(columns)) => {
                self.columns = columns;
                // Else they would be written as styles.
                Event::Start(Tag::Table(Vec::new()))
            }
            Event::Start(tag @ (Tag::TableHead | Tag::TableRow)) => {
                self.is_head = tag == Tag::TableHead;
                self.column = 0;
                Event::Start(tag)
            }
            Event::Start(Tag::TableCell) => self.begin_cell(),
            event => event,
        }
    }

    /// A cell, with the class of its column's side. Its end is written as any other's.
    fn begin_cell<'e>(&mut self) -> Event<'e> {
        let class = match self.columns.get(self.column) {
            Some(Alignment::Left) => " class=\"at-left\"",
            Some(Alignment::Center) => " class=\"at-center\"",
            Some(Alignment::Right) => " class=\"at-right\"",
            Some(Alignment::None) | None => "",
        };
        self.column += 1;
        let element = if self.is_head { "th" } else { "td" };
        Event::InlineHtml(format!("<{element}{class}>").into())
    }

    fn begin_link<'e>(&mut self, address: &str) -> Event<'e> {
        let target = self.target(address);
        self.links.push(target.is_some());
        let mut tag = String::new();
        if let Some(target) = target {
            let target = escape(&target);
            write!(
                tag,
                "<a href=\"{target}\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">"
            )
            .expect("a string takes all");
        }
        Event::InlineHtml(CowStr::from(tag))
    }

    /// A picture that lies here, with its description below it; of one that lies elsewhere, the description and a link.
    fn begin_picture<'e>(&mut self, address: &str) -> Event<'e> {
        let (tag, end) = if let Some(path) = self.beside(address) {
            let address = format!(
                "{}{}",
                location::FILES.trim_end_matches('/'),
                location::encode(&path)
            );
            let tag = format!(
                "<span class=\"prose-picture\"><img src=\"{}\" alt=\"\" loading=\"lazy\"><span>",
                escape(&address)
            );
            (tag, "</span></span>")
        } else {
            let place = if is_web(address) { address } else { "" };
            let tag = format!(
                "<span class=\"prose-elsewhere\" title=\"{}\">",
                escape(place)
            );
            (tag, "</span>")
        };
        self.pictures.push(end);
        Event::InlineHtml(CowStr::from(tag))
    }

    /// Where a link leads, if it may.
    fn target(&self, address: &str) -> Option<String> {
        if is_web(address) || address.to_ascii_lowercase().starts_with("mailto:") {
            return Some(address.to_owned());
        }
        let path = self.beside(address)?;
        Some(format!(
            "{}{}",
            location::VIEWS.trim_end_matches('/'),
            location::encode(&path)
        ))
    }

    /// The file that a relative address names.
    fn beside(&self, address: &str) -> Option<EntryPath> {
        let address = address.split(['?', '#']).next().unwrap_or("");
        if address.is_empty() || address.starts_with(['/', '\\']) {
            return None;
        }
        let (mut path, _) = self.path.split_last()?;
        for segment in address.split('/') {
            path = match segment {
                "." => path,
                ".." => path.split_last()?.0,
                _ => {
                    // A scheme is none of ours, whatever it is.
                    if segment.contains(':') {
                        return None;
                    }
                    let name = percent_encoding::percent_decode_str(segment)
                        .decode_utf8()
                        .ok()?;
                    path.join(EntryName::new(name).ok()?).ok()?
                }
            };
        }
        Some(path)
    }
}

fn is_web(address: &str) -> bool {
    let address = address.to_ascii_lowercase();
    address.starts_with("https://") || address.starts_with("http://")
}

/// One level lower: the page has a heading of its own.
fn below(level: HeadingLevel) -> HeadingLevel {
    HeadingLevel::try_from(level as usize + 1).unwrap_or(HeadingLevel::H6)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        render(text, &"/notes/trip/day 1.md".parse().unwrap())
    }

    #[test]
    fn html_in_the_text_is_text() {
        for text in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "<div onclick=alert(1)>\n\n**b**\n\n</div>",
            "`<b>`",
            "    <b>code</b>",
            "```\"><script>\n<b>\n```",
            "# <svg onload=alert(1)> {#id .class}",
            "![<b onmouseover=alert(1)>](x.png)",
        ] {
            let html = html(text);
            for tag in [
                "<script",
                "<img src=x",
                "<div",
                "<b",
                "<svg",
                "id=",
                "class=\"class",
            ] {
                assert!(
                    !html.contains(tag) || tag == "id=" && html.contains("{#id"),
                    "{text}: {html}"
                );
            }
        }
    }

    #[test]
    fn addresses_lead_to_the_web_or_to_what_lies_beside() {
        for (address, expected) in [
            ("https://a.example/?b&c", Some("https://a.example/?b&amp;c")),
            ("mailto:a@b.example", Some("mailto:a@b.example")),
            ("day%202.md#later", Some("/view/notes/trip/day%202.md")),
            ("../plan.txt", Some("/view/notes/plan.txt")),
            ("../../../../etc/passwd", None),
            ("javascript:alert(1)", None),
            ("JaVaScRiPt:alert(1)", None),
            ("&#106;avascript:alert(1)", None),
            ("java&Tab;script:alert(1)", None),
            ("data:text/html,x", None),
            ("//evil.example/x", None),
            ("/api/v1/trash", None),
            ("%2e%2e/x", None),
            ("#only", None),
        ] {
            let html = html(&format!("[a](<{address}>)"));
            let href = html
                .split_once("href=\"")
                .map(|(_, rest)| rest.split_once('"').unwrap().0);
            assert_eq!(href, expected, "{html}");
            assert_eq!(html.matches("<a ").count(), html.matches("</a>").count());
        }
    }

    #[test]
    fn only_own_pictures_are_loaded() {
        let own = html("![the *sea*](pictures/sea.jpg)");
        assert!(
            own.contains("<img src=\"/api/v1/files/notes/trip/pictures/sea.jpg\""),
            "{own}"
        );
        assert!(own.contains("the <em>sea</em>"), "{own}");
        let other = html("![a](https://evil.example/pixel.gif) ![b](data:image/png;base64,xx)");
        assert!(!other.contains("<img"), "{other}");
    }

    #[test]
    fn what_is_common_is_drawn() {
        let html = html(
            "# Trip\n\n* [x] pack\n* [ ] go\n\n|a|b|\n|-|-|\n|1|2|\n\n~~old~~ **new**\n\n```rust\nfn a() {}\n```",
        );
        for part in [
            "<h2>Trip</h2>",
            "☑ pack",
            "<table>",
            "<del>old</del>",
            "<strong>new</strong>",
            "<pre><code>fn a",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    /// Alignment was written as `style`, which pages do not take: it was lost, and browsers complained of each cell.
    #[test]
    fn cells_are_aligned_by_classes() {
        let html = html("|a|b|c|d|\n|:-|:-:|-:|-|\n|1|2|3|4|\n|5|<b>|\n\nx\n\n|e|\n|-:|\n|6|");
        for part in [
            "<th class=\"at-left\">a</th><th class=\"at-center\">b</th><th class=\"at-right\">c</th><th>d</th>",
            "<td class=\"at-left\">1</td><td class=\"at-center\">2</td><td class=\"at-right\">3</td><td>4</td>",
            "<td class=\"at-left\">5</td><td class=\"at-center\">&lt;b&gt;</td><td class=\"at-right\"></td><td></td>",
            "<th class=\"at-right\">e</th>",
            "<td class=\"at-right\">6</td>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("style"), "{html}");
    }
}
