//! What the server says in English, for pages in other languages: found by its code, since codes keep their meaning. What has no
//! text of its own is shown as it is, and marked as English. problems.js does the same for what comes by the API.

use std::fmt;

use askama::filters::HtmlSafe;
use proto::master::ClusterStatus;

use crate::error::{Problem, Reason};
use crate::texts::{Marked, Texts};

/// A sentence, as HTML, and whether all of it is in another language than the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    text: Marked<'static>,
    /// What of a sentence in the page's language is English, and what stands behind that.
    english: Option<[Marked<'static>; 2]>,
    pub(crate) is_foreign: bool,
}

impl HtmlSafe for Said {}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)?;
        if let Some([english, behind]) = &self.english {
            write!(f, "<span lang=\"en\">{english}</span>{behind}")?;
        }
        Ok(())
    }
}

impl Said {
    /// In the language of the page.
    pub(crate) fn own(text: impl Into<String>) -> Self {
        Self {
            text: Marked(text.into().into()),
            english: None,
            is_foreign: false,
        }
    }

    /// What happened, to what, and what to do.
    pub(crate) fn problem(texts: &Texts, problem: &Problem) -> Self {
        let key = format!("problems.{}", problem.kind.code());
        let text = texts.get(&key).filter(|_| !texts.is_the_servers());
        // Numbers and names of just this one are in the English sentence alone.
        if let Some((before, behind)) = text.and_then(|text| text.split_once("{detail}")) {
            let parts =
                [problem.detail.as_str(), behind].map(|part| Marked(part.to_owned().into()));
            return Self {
                english: Some(parts),
                ..Self::own(before)
            };
        }
        Self::by_key(texts, &key, &problem.detail, &[])
    }

    /// Why the cluster is not as it should be.
    pub(crate) fn reason(texts: &Texts, reason: &Reason, status: Option<&ClusterStatus>) -> Self {
        let key = format!("reasons.{}", reason.code);
        let values = status.map_or_else(Vec::new, |status| values(texts, status));
        let values: Vec<_> = values.iter().map(|(key, value)| (*key, &**value)).collect();
        Self::by_key(texts, &key, &reason.message, &values)
    }

    fn by_key(texts: &Texts, key: &str, english: &str, values: &[(&str, &str)]) -> Self {
        let is_known = !texts.is_the_servers() && texts.get(key).is_some();
        if is_known {
            return Self::own(texts.fill(key, values));
        }
        Self {
            is_foreign: !texts.is_the_servers(),
            ..Self::own(english)
        }
    }
}

/// What may stand in a sentence about the cluster.
fn values(texts: &Texts, status: &ClusterStatus) -> Vec<(&'static str, String)> {
    let (nodes, chunks, rules) = (&status.nodes, &status.chunks, &status.rules);
    let readable = chunks.missing_copies.saturating_sub(chunks.unavailable);
    let number = |number: u32| texts.number(number.into());
    vec![
        ("total", number(nodes.total)),
        ("writable", number(nodes.writable)),
        ("silent", number(nodes.total.saturating_sub(nodes.live))),
        ("needed", number(rules.min_write_replicas.into())),
        ("wanted", number(rules.replication_factor.into())),
        ("lost", texts.count("units.chunks", chunks.unavailable)),
        ("missing", texts.count("units.chunks", readable)),
    ]
}
