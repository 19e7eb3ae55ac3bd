//! Chunks whose extents are gone, cut or cannot be opened since the index was written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{ROWS_PER_COMMIT, Recovery};
use crate::catalog::{Position, Row};
use crate::extent::record_len;
use crate::index::Changes;

impl Recovery {
    /// They are corrupt, unless replay finds that they were moved. An extent that cannot be opened may be back at the next
    /// start: it stays known, and so do its puts, lest those that were deleted come back with it.
    pub(super) fn mark_lost(&mut self, start: Position) -> io::Result<()> {
        let ends = self.lost_from(start);
        if ends.is_empty() {
            return Ok(());
        }
        self.mark_behind(&ends)?;
        let gone: BTreeSet<u64> = ends
            .keys()
            .filter(|number| !self.extents.contains_key(number))
            .filter(|number| !self.unopened.contains(number))
            .copied()
            .collect();
        self.bury_gone(&gone, start)?;
        // The catalog must still know the extents while rows leave them.
        self.catalog
            .extents
            .retain(|number, _| !gone.contains(number));
        Ok(())
    }

    /// Where extents end now that were longer, or are not there any more.
    fn lost_from(&self, start: Position) -> BTreeMap<u64, u64> {
        let lost = self.catalog.extents.iter().filter_map(|(number, sums)| {
            let known_len = if *number == start.extent {
                start.offset
            } else {
                sums.len
            };
            match self.extents.get(number) {
                None => Some((*number, 0)),
                Some(found) => (found.len < known_len).then_some((*number, found.len)),
            }
        });
        lost.collect()
    }

    /// Marks what lies behind these ends.
    fn mark_behind(&mut self, ends: &BTreeMap<u64, u64>) -> io::Result<()> {
        let is_lost = |row: &Row| {
            let at = row.location;
            let end = ends.get(&at.extent);
            !row.corrupt && end.is_some_and(|end| at.offset + record_len(at.len) > *end)
        };
        let mut after = None;
        loop {
            let found = self
                .index
                .find_rows(after.as_ref(), is_lost, ROWS_PER_COMMIT)?;
            let Some((last, _)) = found.last() else {
                return Ok(());
            };
            after = Some(*last);
            let corrupt = |row| Row {
                corrupt: true,
                ..row
            };
            let rows = found.into_iter();
            self.rows
                .extend(rows.map(|(chunk, row)| (chunk, Some(corrupt(row)))));
            self.commit()?;
        }
    }

    /// Forgets the dead puts of extents that are gone.
    fn bury_gone(&self, gone: &BTreeSet<u64>, start: Position) -> io::Result<()> {
        let (is_gone, mut after) = (|extent| gone.contains(&extent), None);
        while !gone.is_empty() {
            let buried =
                self.index
                    .dead_in_gone_extents(after.as_ref(), is_gone, ROWS_PER_COMMIT)?;
            let Some(last) = buried.last() else {
                break;
            };
            after = Some(*last);
            self.index.commit(&Changes {
                buried,
                position: start,
                ..Changes::default()
            })?;
        }
        Ok(())
    }
}
