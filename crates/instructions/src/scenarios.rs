//! What is counted: one row a scenario.

use crate::{cluster, names, node, wire};

/// Something that is done again and again.
pub(crate) struct Scenario {
    /// What it is called, here and in `counts.json`.
    pub(crate) name: &'static str,
    /// How often it is done in the shorter of two runs.
    pub(crate) turns: u64,
    /// Does it so often.
    pub(crate) run: fn(u64) -> anyhow::Result<()>,
}

/// In the order in which they are shown. Those that take longest stand first, lest one is waited for alone.
pub(crate) const SCENARIOS: &[Scenario] = &[
    row("cluster: upload a file of 4 KiB", 8, cluster::upload),
    row("cluster: download a file of 4 KiB", 16, cluster::download),
    row("cluster: 20 seconds of heartbeats", 2, cluster::heartbeats),
    row("node: store a chunk of 256 KiB", 1, node::put_large),
    row("node: store a chunk of 4 KiB", 32, node::put_small),
    row("node: read a chunk of 256 KiB", 8, node::get_large),
    row("node: read a chunk of 4 KiB", 64, node::get_small),
    row("names: 16 uploads in one transaction", 2, names::uploads),
    row("names: open a file", 64, names::open_file),
    row("names: a page of 100 entries", 8, names::browse),
    row("names: search 100 names", 8, names::search),
    row(
        "names: delete a folder and restore it",
        8,
        names::delete_and_restore,
    ),
    row("placement: 3 of 1,000 nodes", 1024, names::place),
    row("wire: write and read a request's line", 1024, wire::line),
    row("wire: pass a body of 1 MiB", 16, wire::body),
    row("wire: hash 64 KiB", 8, wire::hash),
    row(
        "extent: make and read a record's header",
        1024,
        node::record,
    ),
];

const fn row(name: &'static str, turns: u64, run: fn(u64) -> anyhow::Result<()>) -> Scenario {
    Scenario { name, turns, run }
}

/// The scenario of this name.
pub(crate) fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scenario_does_what_it_says_and_has_a_count() {
        let kept = crate::compare::Kept::read().unwrap();
        for scenario in SCENARIOS {
            (scenario.run)(1).unwrap();
            assert!(
                kept.instructions.contains_key(scenario.name),
                "{}: scripts/instructions.sh --update keeps a count for it",
                scenario.name
            );
        }
        assert_eq!(kept.instructions.len(), SCENARIOS.len());
    }
}
