//! Nodes: taken in under a number that is given once, and forgotten step by step.

use std::rc::Rc;

use proto::ErrorCode;
use proto::hello::ReceiptKey;
use proto::id::NodeId;
use proto::net::Address;
use redb::ReadableTable;

use super::error::{StateError, refuse};
use super::outcome::Outcome;
use super::rows::{self, NodeRow, PurgeRow};
use super::tables::Tables;
use crate::command::NodeNumber;

/// `UpsertNode`.
pub(super) fn upsert_node(
    tables: &mut Tables<'_>,
    node: NodeId,
    address: &Address,
    zone: &str,
    receipt_key: &ReceiptKey,
) -> Result<Outcome, StateError> {
    let id = node.uuid().as_u128();
    let known = tables.node_numbers.get(id)?.map(|number| number.value());
    let number = known.unwrap_or(tables.head.next_node);
    if known.is_none() {
        tables.head.next_node += 1;
        tables.node_numbers.insert(id, number)?;
    }
    let row = NodeRow {
        id: node,
        address: address.clone(),
        zone: zone.to_owned(),
        receipt_key: receipt_key.clone(),
        removed: false,
    };
    tables.put_node(number, &row)?;
    Ok(Outcome::Node(NodeNumber(number)))
}

/// `RemoveNode`: from now on it is not known, and its number is never given again. The sweep does the rest.
pub(super) fn remove_node(tables: &mut Tables<'_>, node: NodeId) -> Result<Outcome, StateError> {
    let number = tables.node_numbers.remove(node.uuid().as_u128())?;
    let Some(number) = number.map(|number| number.value()) else {
        return refuse(
            ErrorCode::NotFound,
            format!("there is no node {node}: it may have been removed already"),
        );
    };
    if let Some(row) = tables.node(NodeNumber(number))? {
        let removed = NodeRow {
            removed: true,
            ..(*row).clone()
        };
        tables.put_node(number, &removed)?;
    }
    tables.push_purge(&PurgeRow::Node { node: number })?;
    Ok(Outcome::Done)
}

impl Tables<'_> {
    /// A node that is known and not removed.
    pub(super) fn node(&self, node: NodeNumber) -> Result<Option<Rc<NodeRow>>, StateError> {
        if let Some(known) = self.nodes_read.borrow().get(&node.0) {
            return Ok(known.clone());
        }
        let row: Option<NodeRow> = match self.nodes.get(node.0)? {
            Some(row) => Some(rows::decode(row.value())?),
            None => None,
        };
        let known = row.filter(|row| !row.removed).map(Rc::new);
        self.nodes_read.borrow_mut().insert(node.0, known.clone());
        Ok(known)
    }

    fn put_node(&mut self, number: u32, row: &NodeRow) -> Result<(), StateError> {
        self.nodes_read.get_mut().remove(&number);
        self.nodes.insert(number, rows::encode(row).as_slice())?;
        Ok(())
    }

    /// The last that is left of a node that was removed.
    pub(super) fn forget_node(&mut self, node: NodeNumber) -> Result<(), StateError> {
        self.nodes_read.get_mut().remove(&node.0);
        self.nodes.remove(node.0)?;
        Ok(())
    }
}
