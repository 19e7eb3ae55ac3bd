//! A folder of the drive in memory, as people look at it.

use client::Error;
use proto::master::{BrowseCursor, BrowseOrder, Entry, FolderBrowsed};
use proto::name::{EntryName, EntryPath};

use super::{Kept, Node, entry};

impl Kept {
    /// Folders, then files, both in this order.
    pub(super) fn browse(
        &self,
        path: &EntryPath,
        order: BrowseOrder,
        after: Option<&BrowseCursor>,
        from: Option<&EntryName>,
        limit: u32,
    ) -> Result<FolderBrowsed, Error> {
        if let Node::File(_) = self.find(path)? {
            return Err(Error::NotAFolder {
                message: format!("{path} is a file"),
            });
        }
        let is_another = after.is_some_and(|after| !order.has(after));
        if is_another || (from.is_some() && !order.is_default()) {
            return Err(Error::InvalidArgument {
                message: "it is no place in this order".to_owned(),
            });
        }
        let mut entries: Vec<(BrowseCursor, Entry)> = self
            .children(path)
            .map(|(name, node)| entry(Some(name), node))
            .filter_map(|entry| Some((order.cursor(&entry)?, entry)))
            .collect();
        entries.sort_by(|(left, _), (right, _)| order.compare(left.place(), right.place()));
        let begin = match (after, from) {
            (Some(after), _) => {
                let is_before =
                    |place: &BrowseCursor| order.compare(place.place(), after.place()).is_le();
                entries.partition_point(|(place, _)| is_before(place))
            }
            (None, Some(from)) => begin_at(&entries, from),
            (None, None) => 0,
        };
        let is_more = entries.len() - begin > limit as usize;
        let page = entries.into_iter().skip(begin).take(limit as usize);
        let (mut places, entries): (Vec<_>, Vec<_>) = page.unzip();
        Ok(FolderBrowsed {
            entries,
            next: places.pop().filter(|_| is_more),
        })
    }
}

/// By name: at the first folder that begins so, or at a file.
fn begin_at(entries: &[(BrowseCursor, Entry)], from: &EntryName) -> usize {
    let place = |is_file| {
        entries.partition_point(|(place, _)| (place.is_file, &place.name) < (is_file, from))
    };
    let folder = place(false);
    let begins_so =
        |place: &BrowseCursor| !place.is_file && place.name.as_str().starts_with(from.as_str());
    if entries
        .get(folder)
        .is_some_and(|(place, _)| begins_so(place))
    {
        return folder;
    }
    place(true)
}
