//! `dfs node`: the storage nodes, one by one.

use std::time::Duration;

use anyhow::Context as _;
use proto::id::NodeId;
use proto::master::{NodeState, NodeSummary, PAGE_LEN_MAX};

use crate::context::Context;
use crate::exit::{Exit, Stop};
use crate::output::{Colour, Output, Table, span};
use client::people::{count, size};

pub(super) async fn list(context: &Context, json: bool) -> anyhow::Result<()> {
    let nodes = all_nodes(context).await?;
    let mut output = Output::stdout();
    if json {
        let mut array = output.json_array();
        for node in &nodes {
            array.item(node)?;
        }
        array.end()?;
        return Ok(());
    }
    for line in node_table(&output, &nodes).lines("") {
        output.line(&line)?;
    }
    if nodes.is_empty() && output.is_terminal() {
        output.line("no node has joined yet")?;
    }
    output.flush()?;
    Ok(())
}

/// All of them, by address.
pub(super) async fn all_nodes(context: &Context) -> anyhow::Result<Vec<NodeSummary>> {
    let mut nodes: Vec<NodeSummary> = Vec::new();
    loop {
        let after = nodes.last().map(|node| node.node);
        let page = context.cluster.nodes(after, PAGE_LEN_MAX).await;
        let page = page.context("list the nodes")?;
        let is_last = !page.more || page.nodes.is_empty();
        nodes.extend(page.nodes);
        if is_last {
            nodes.sort_by(|one, other| one.address.cmp(&other.address));
            return Ok(nodes);
        }
    }
}

/// One row a node.
pub(super) fn node_table(output: &Output, nodes: &[NodeSummary]) -> Table {
    let mut table = Table::default();
    for node in nodes {
        let (colour, state) = state(node);
        table.row([
            node.address.to_string(),
            output.paint(colour, state),
            count(node.chunks, "copy"),
            format!("{} stored", size(node.usage.stored_bytes)),
            format!("{} free", size(node.usage.free_bytes)),
            heard(node),
            remarks(node),
            output.paint(Colour::Dim, &node.node.to_string()),
        ]);
    }
    table
}

const fn state(node: &NodeSummary) -> (Colour, &'static str) {
    match node.state {
        NodeState::Live => (Colour::Green, "live"),
        NodeState::Suspect => (Colour::Yellow, "suspect"),
        NodeState::Dead => (Colour::Red, "dead"),
    }
}

fn heard(node: &NodeSummary) -> String {
    match node.heartbeat_age_ms {
        Some(age) => format!("heard {} ago", span(Duration::from_millis(age))),
        None => "not heard since the master's start".to_owned(),
    }
}

/// What keeps a node from being used fully; usually nothing.
fn remarks(node: &NodeSummary) -> String {
    let usage = &node.usage;
    let mut remarks = Vec::new();
    if !node.zone.is_empty() {
        remarks.push(format!("zone {}", crate::output::shown(&node.zone)));
    }
    if usage.failed_disks > 0 {
        remarks.push(format!(
            "{} failed or hung",
            count(u64::from(usage.failed_disks), "disk")
        ));
    }
    if usage.corrupt_chunks > 0 {
        remarks.push(format!("{} damaged", count(usage.corrupt_chunks, "chunk")));
    }
    if !usage.writable {
        remarks.push("takes no writes".to_owned());
    }
    remarks.join(", ")
}

pub(super) async fn remove(context: &Context, node: &str, lose_chunks: bool) -> anyhow::Result<()> {
    let id = find(context, node).await?;
    let removed = context.cluster.remove_node(id, lose_chunks).await;
    removed.with_context(|| format!("remove node {node}"))?;
    context.narrator.done(&format!(
        "node {node} is forgotten; what lacks copies now is copied where there is a node for it, as `dfs status` tells"
    ))?;
    Ok(())
}

/// By id, or by address where just one node has it.
async fn find(context: &Context, node: &str) -> anyhow::Result<NodeId> {
    if let Ok(id) = node.parse() {
        return Ok(id);
    }
    let nodes = all_nodes(context).await?;
    let found: Vec<_> = nodes
        .iter()
        .filter(|known| known.address.as_str() == node)
        .collect();
    match found[..] {
        [only] => Ok(only.node),
        [] => Err(Stop::error(
            Exit::NotFound,
            format!("there is no node {node:?}; `dfs node list` shows them all"),
        )),
        _ => Err(Stop::usage(format!(
            "several nodes had the address {node}; name one by its id, which `dfs node list` shows"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proto::node::NodeUsage;

    use super::*;

    #[test]
    fn what_is_unusual_about_a_node_is_said() {
        let mut node = NodeSummary {
            node: NodeId::new(uuid::Uuid::nil()),
            address: "127.0.0.1:9001".parse().unwrap(),
            zone: String::new(),
            state: NodeState::Live,
            heartbeat_age_ms: Some(2500),
            chunks: 1,
            usage: NodeUsage {
                writable: true,
                ..NodeUsage::default()
            },
        };
        assert_eq!(remarks(&node), "");
        assert_eq!(heard(&node), "heard 2 seconds ago");
        node.usage.writable = false;
        node.usage.failed_disks = 1;
        node.zone = "attic\u{1b}[2J".to_owned();
        assert_eq!(
            remarks(&node),
            "zone attic\\u{1b}[2J, 1 disk failed or hung, takes no writes"
        );
    }
}
