//! Searching the drive in memory.

use client::Error;
use proto::master::{FoundEntry, NamesFound, SearchCursor};
use proto::matching::Words;
use proto::name::EntryPath;

use super::{Kept, Node, entry};

/// Few, so that a search of some thousand names takes several answers, as it does in a large cluster.
const ROWS_MAX: usize = 1000;

impl Kept {
    /// Paths in their order are just the order in which a cluster looks at names.
    pub(super) fn search(
        &self,
        text: &str,
        under: &EntryPath,
        after: Option<SearchCursor>,
        limit: u32,
    ) -> Result<NamesFound, Error> {
        if let Node::File(_) = self.find(under)? {
            return Err(Error::NotAFolder {
                message: format!("{under} is a file"),
            });
        }
        let mut words = Words::of(text).ok_or_else(|| Error::InvalidArgument {
            message: "there is no word to look for: say a part of a name".into(),
        })?;
        let after = after.and_then(|after| after.folder.join(after.name).ok());
        let rows = self.entries.iter().filter(|(path, _)| {
            let is_below = path.is_within(under) && *path != under;
            is_below && after.as_ref().is_none_or(|after| *path > after)
        });
        let mut found = Vec::new();
        for (number, (path, node)) in (1..).zip(rows) {
            let Some((folder, name)) = path.split_last() else {
                continue;
            };
            if words.occur_in(name.as_str()) {
                found.push(FoundEntry {
                    path: path.clone(),
                    entry: entry(Some(name), node),
                });
            }
            if found.len() == limit as usize || number == ROWS_MAX {
                let name = name.clone();
                let next = Some(SearchCursor { folder, name });
                return Ok(NamesFound { found, next });
            }
        }
        Ok(NamesFound { found, next: None })
    }
}
