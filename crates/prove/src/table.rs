//! What was shown, as a table for people.

use std::fmt::{self, Display};

/// One rung, done.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) rung: &'static str,
    /// What was shown, and how often.
    pub(crate) shown: Vec<String>,
    /// What was not.
    pub(crate) failed: Vec<String>,
    /// How to do it again.
    pub(crate) command: String,
}

impl Row {
    /// One that could not be climbed.
    pub(crate) fn broken(rung: &'static str, error: &anyhow::Error) -> Self {
        Self {
            rung,
            failed: vec![format!("{error:#}")],
            ..Self::default()
        }
    }

    fn holds(&self) -> bool {
        self.failed.is_empty() && !self.shown.is_empty()
    }
}

/// All rungs that were climbed.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) commit: String,
    pub(crate) machine: String,
    pub(crate) minutes: u64,
    pub(crate) rows: Vec<Row>,
}

impl Proof {
    /// Whether something was shown on every rung, and nothing failed.
    pub(crate) fn holds(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(Row::holds)
    }
}

impl Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            commit,
            machine,
            minutes,
            ..
        } = self;
        writeln!(f, "Commit {commit}, {machine}, {minutes} minutes.\n")?;
        writeln!(f, "| rung | shown | failed | command |\n|---|---|---|---|")?;
        for row in &self.rows {
            let failed = match &row.failed[..] {
                [] if row.shown.is_empty() => "nothing was shown".to_owned(),
                [] => "0".to_owned(),
                failed => cells(failed),
            };
            let (rung, shown, command) = (row.rung, cells(&row.shown), &row.command);
            writeln!(f, "| {rung} | {shown} | {failed} | `{command}` |")?;
        }
        Ok(())
    }
}

fn cells(lines: &[String]) -> String {
    lines.join("<br>").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(rows: Vec<Row>) -> Proof {
        Proof {
            commit: "abc".to_owned(),
            machine: "2 processors".to_owned(),
            minutes: 3,
            rows,
        }
    }

    #[test]
    fn it_holds_if_something_was_shown_and_nothing_failed() {
        let shown = || Row {
            shown: vec!["3 kills".to_owned()],
            ..Row::default()
        };
        let failed = Row {
            failed: vec!["seed 4".to_owned()],
            ..shown()
        };
        assert!(proof(vec![shown()]).holds());
        assert!(!proof(Vec::new()).holds());
        assert!(!proof(vec![shown(), failed]).holds());
        assert!(!proof(vec![shown(), Row::default()]).holds());
    }

    #[test]
    fn a_row_is_one_line() {
        let row = Row {
            rung: "simulation",
            shown: vec!["3 kills".to_owned(), "2 cuts".to_owned()],
            command: "sim --seeds 3".to_owned(),
            ..Row::default()
        };
        let said = proof(vec![row]).to_string();
        let last = "| simulation | 3 kills<br>2 cuts | 0 | `sim --seeds 3` |\n";
        assert!(said.ends_with(last), "{said}");
    }
}
