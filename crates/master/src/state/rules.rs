//! The rules of the cluster: written when the store is new, and changed by a command like everything else, so that all who
//! apply the same commands go by the same rules.
//!
//! Another replication factor changes which chunks need copies. They are counted anew by the sweep, some at a time: until it
//! is through, the list of those that need copies is behind for what it has not reached.

use std::ops::Bound;

use proto::ErrorCode;
use proto::id::{ChunkId, ClusterId};
use proto::master::ClusterRules;
use proto::name::NameRules;
use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::error::{StateError, refuse};
use super::outcome::Outcome;
use super::rows::{self, ChunkRow, PurgeRow};
use super::tables::{CLUSTER_KEY, Row, Tables};

/// The row that says which cluster this is, and its rules.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ClusterRow {
    pub(super) cluster: ClusterId,
    chunk_size: u32,
    replication_factor: u8,
    min_write_replicas: u8,
    file_size_max: Option<u64>,
    portable_names: bool,
}

impl ClusterRow {
    pub(super) fn new(cluster: ClusterId, rules: &ClusterRules) -> Self {
        Self {
            cluster,
            chunk_size: rules.chunk_size,
            replication_factor: rules.replication_factor,
            min_write_replicas: rules.min_write_replicas,
            file_size_max: rules.file_size_max,
            portable_names: rules.names == NameRules::Portable,
        }
    }

    /// Nothing where the store is new.
    pub(super) fn read(
        meta: &impl ReadableTable<&'static str, Row>,
    ) -> Result<Option<Self>, StateError> {
        match meta.get(CLUSTER_KEY)? {
            Some(row) => Ok(Some(rows::decode(row.value())?)),
            None => Ok(None),
        }
    }

    pub(super) fn rules(&self) -> ClusterRules {
        ClusterRules {
            chunk_size: self.chunk_size,
            replication_factor: self.replication_factor,
            min_write_replicas: self.min_write_replicas,
            file_size_max: self.file_size_max,
            names: if self.portable_names {
                NameRules::Portable
            } else {
                NameRules::Any
            },
        }
    }
}

/// `SetRules`.
pub(super) fn set_rules(
    tables: &mut Tables<'_>,
    rules: &ClusterRules,
) -> Result<Outcome, StateError> {
    check_fixed(&tables.rules, rules)?;
    let factor_before = tables.rules.replication_factor;
    let row = ClusterRow::new(tables.cluster, rules);
    tables
        .meta
        .insert(CLUSTER_KEY, rows::encode(&row).as_slice())?;
    tables.rules = *rules;
    if rules.replication_factor != factor_before {
        tables.push_purge(&PurgeRow::Recount { after: None })?;
    }
    Ok(Outcome::Done)
}

/// Refuses rules that differ in what is fixed when the store is new.
pub(super) fn check_fixed(made: &ClusterRules, wanted: &ClusterRules) -> Result<(), StateError> {
    if made.chunk_size != wanted.chunk_size {
        return refuse(
            ErrorCode::InvalidArgument,
            format!(
                "this cluster was made with a chunk size of {} bytes, and the settings say {}: \
                 set chunk_size back, it cannot change",
                made.chunk_size, wanted.chunk_size
            ),
        );
    }
    if made.names != wanted.names {
        let made = match made.names {
            NameRules::Portable => "portable",
            NameRules::Any => "any",
        };
        return refuse(
            ErrorCode::InvalidArgument,
            format!("this cluster was made with names = {made:?}: set it back, it cannot change"),
        );
    }
    Ok(())
}

impl Tables<'_> {
    /// Whether a chunk has more or fewer copies than it should.
    pub(super) fn needs(&self, row: &ChunkRow) -> bool {
        let wanted = usize::from(self.rules.replication_factor);
        row.references > 0 && row.replicas.len() != wanted
    }

    /// Lists a chunk among those that need copies, or strikes it off.
    pub(super) fn list_need(&mut self, chunk: &ChunkId, needs: bool) -> Result<(), StateError> {
        let listed = &mut self.head.counters.needs_copies;
        if needs {
            let is_new = self.needs_copies.insert(chunk.as_bytes(), ())?.is_none();
            *listed += u64::from(is_new);
        } else {
            let was_listed = self.needs_copies.remove(chunk.as_bytes())?.is_some();
            *listed -= u64::from(was_listed);
        }
        Ok(())
    }

    /// Lists the next chunks anew; says how many, and whether they were the last.
    pub(super) fn recount(
        &mut self,
        number: u64,
        after: Option<ChunkId>,
        limit: u32,
    ) -> Result<(u32, bool), StateError> {
        let from = after
            .as_ref()
            .map_or(Bound::Unbounded, |chunk| Bound::Excluded(chunk.as_bytes()));
        let mut page = Vec::new();
        let rows = self.chunks.range::<&[u8; 32]>((from, Bound::Unbounded))?;
        for row in rows.take(limit as usize) {
            let (chunk, row) = row?;
            let needs = self.needs(&rows::decode(row.value())?);
            page.push((ChunkId::from_bytes(*chunk.value()), needs));
        }
        for (chunk, needs) in &page {
            self.list_need(chunk, *needs)?;
        }
        let done = u32::try_from(page.len()).expect("at most the limit");
        if done < limit {
            return Ok((done, true));
        }
        let after = page.last().map(|(chunk, _)| *chunk);
        let rest = rows::encode(&PurgeRow::Recount { after });
        self.purges.insert(number, rest.as_slice())?;
        Ok((done, false))
    }
}
