//! The sweep: what a purge, a removed node, age or a changed rule left behind is done here, some rows at a time.
//!
//! Work waits in a queue that is worked from its end: what a step uncovers is done before the step goes on, so
//! that the queue stays short however much there is below a folder. A block of a version is never split, so a sweep
//! may do up to one block more than its limit.

use planted::{Bug, is_planted};
use proto::id::ChunkId;
use redb::ReadableTable;

use super::error::StateError;
use super::outcome::Outcome;
use super::rows::{self, PurgeRow, Target};
use super::tables::{ChunkKey, Tables};
use crate::command::{ClusterMillis, NodeNumber, TimedCommand};

/// What is old enough to go: all from before these times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ages {
    pub(super) trash: ClusterMillis,
    pub(super) versions: ClusterMillis,
    pub(super) answers: ClusterMillis,
}

/// `SweepSome`.
pub(super) fn sweep_some(
    tables: &mut Tables<'_>,
    timed: &TimedCommand,
    ages: Ages,
    limit: u32,
) -> Result<Outcome, StateError> {
    let share = (limit / 4).max(1);
    let mut rows = tables.forget_answers(ages.answers, share)?;
    rows += tables.purge_old_trash(ages.trash, share)?;
    rows += tables.purge_old_versions(ages.versions, share)?;
    rows += tables.remove_expired_shares(timed.wall_ms, share)?;
    let mut more = rows >= share;
    while let Some((number, purge)) = tables.last_purge()? {
        if rows >= limit {
            more = true;
            break;
        }
        let (done, finished) = tables.purge_step(timed.at, &purge, number, limit - rows)?;
        rows += done.max(1);
        if finished {
            tables.pop_purge(number)?;
        }
    }
    Ok(Outcome::Swept { rows, more })
}

impl Tables<'_> {
    /// Puts work into the queue.
    pub(super) fn push_purge(&mut self, purge: &PurgeRow) -> Result<(), StateError> {
        let number = self.head.next_purge;
        self.head.next_purge += 1;
        self.purges.insert(number, rows::encode(purge).as_slice())?;
        self.head.counters.purges += 1;
        Ok(())
    }

    fn pop_purge(&mut self, number: u64) -> Result<(), StateError> {
        self.purges.remove(number)?;
        self.head.counters.purges -= 1;
        Ok(())
    }

    fn last_purge(&self) -> Result<Option<(u64, PurgeRow)>, StateError> {
        match self.purges.last()? {
            Some((number, row)) => Ok(Some((number.value(), rows::decode(row.value())?))),
            None => Ok(None),
        }
    }

    /// Does at most `limit` rows of one piece of work; says how many, and whether the work is done. Work that
    /// uncovered other work stays, and goes on when that is done.
    fn purge_step(
        &mut self,
        at: ClusterMillis,
        purge: &PurgeRow,
        number: u64,
        limit: u32,
    ) -> Result<(u32, bool), StateError> {
        match *purge {
            PurgeRow::Folder { folder } => self.purge_folder(folder),
            PurgeRow::File { file, version } => self.purge_file(number, file, version),
            PurgeRow::Version { version } => {
                let blocks = self.version(version)?.map_or(0, |row| row.block_count());
                let (done, finished) = self.purge_blocks(at, version, blocks, limit)?;
                if finished {
                    self.versions.remove(version)?;
                }
                Ok((done, finished))
            }
            PurgeRow::Draft { version, blocks } => self.purge_blocks(at, version, blocks, limit),
            PurgeRow::Node { node } => self.purge_node(NodeNumber(node), limit),
            PurgeRow::Recount { after } => self.recount(number, after, limit),
        }
    }

    /// One entry of a folder goes into the queue; then its shares go, and the last step removes the folder.
    fn purge_folder(&mut self, folder: u64) -> Result<(u32, bool), StateError> {
        let Some((name, entry)) = self.first_entry(folder)? else {
            if self.remove_share_of(Target::Folder(folder))? {
                return Ok((1, false));
            }
            self.folders.remove(folder)?;
            self.folder_names.remove(folder)?;
            return Ok((1, true));
        };
        self.remove_entry(folder, &name, &entry)?;
        self.purge_entry(&entry)?;
        Ok((1, false))
    }

    /// One share of a file goes, or one version into the queue; the current one goes last, in the file's place.
    fn purge_file(
        &mut self,
        number: u64,
        file: u64,
        version: u64,
    ) -> Result<(u32, bool), StateError> {
        if self.remove_share_of(Target::File(file))? {
            return Ok((1, false));
        }
        if let Some(former) = self.first_former(file)? {
            self.forget_former(file, former)?;
            self.push_purge(&PurgeRow::Version { version: former })?;
        } else {
            let last = rows::encode(&PurgeRow::Version { version });
            self.purges.insert(number, last.as_slice())?;
        }
        Ok((1, false))
    }

    /// Blocks of a version, from the last to the first.
    fn purge_blocks(
        &mut self,
        at: ClusterMillis,
        version: u64,
        blocks: u32,
        limit: u32,
    ) -> Result<(u32, bool), StateError> {
        let mut done = 0;
        while done < limit {
            let range = (version, 0)..(version, blocks);
            let last = self.blocks.range(range)?.next_back().transpose()?;
            let Some(block) = last.map(|row| row.0.value().1) else {
                return Ok((done, true));
            };
            for chunk in self.block(version, block)? {
                self.release_chunk(&chunk, at)?;
                done += 1;
            }
            self.blocks.remove((version, block))?;
        }
        Ok((done, false))
    }

    /// Former versions that were replaced before then go into the queue; returns how many.
    fn purge_old_versions(&mut self, before: ClusterMillis, limit: u32) -> Result<u32, StateError> {
        let mut purged = 0;
        while purged < limit {
            let first = self.former_by_time.first()?;
            let Some(((at, version), file)) = first.map(|(key, file)| (key.value(), file.value()))
            else {
                break;
            };
            if at >= before.0 && !is_planted(Bug::VersionsNotKept) {
                break;
            }
            self.forget_former(file, version)?;
            self.push_purge(&PurgeRow::Version { version })?;
            purged += 1;
        }
        Ok(purged)
    }

    /// What is recorded of a removed node; its own row goes last.
    fn purge_node(&mut self, node: NodeNumber, limit: u32) -> Result<(u32, bool), StateError> {
        for done in 0..limit {
            let recorded = first_of(&self.node_chunks, node)?;
            if let Some(chunk) = recorded.or(first_of(&self.failing, node)?) {
                super::replicas::remove_replicas(self, node, &[chunk])?;
                continue;
            }
            if let Some(chunk) = first_of(&self.planned, node)? {
                self.unplan_deletion(node, &chunk)?;
                continue;
            }
            if let Some(chunk) = first_of(&self.unknown, node)? {
                self.unknown.remove((node.0, chunk.as_bytes()))?;
                continue;
            }
            self.forget_node(node)?;
            return Ok((done + 1, true));
        }
        Ok((limit, false))
    }
}

/// The first chunk of a node in a table of (node, chunk).
fn first_of<V: redb::Value + 'static>(
    table: &redb::Table<'_, (u32, ChunkKey), V>,
    node: NodeNumber,
) -> Result<Option<ChunkId>, StateError> {
    let keys = (node.0, &[0; 32])..=(node.0, &[u8::MAX; 32]);
    let first = table.range::<(u32, &[u8; 32])>(keys)?.next().transpose()?;
    Ok(first.map(|(key, _)| ChunkId::from_bytes(*key.value().1)))
}
