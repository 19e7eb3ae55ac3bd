//! A folder of the drive in memory, as people look at it.

use client::Error;
use proto::master::{BrowseCursor, Entry, FolderBrowsed};
use proto::name::{EntryName, EntryPath};

use super::{Kept, Node, entry};

impl Kept {
    /// Folders, then files, both by name.
    pub(super) fn browse(
        &self,
        path: &EntryPath,
        after: Option<&BrowseCursor>,
        from: Option<&EntryName>,
        limit: u32,
    ) -> Result<FolderBrowsed, Error> {
        if let Node::File(_) = self.find(path)? {
            return Err(Error::NotAFolder {
                message: format!("{path} is a file"),
            });
        }
        let mut entries: Vec<Entry> = self
            .children(path)
            .map(|(name, node)| entry(Some(name), node))
            .collect();
        entries.sort_by(|left, right| place(left).cmp(&place(right)));
        let begin = match (after, from) {
            (Some(after), _) => {
                entries.partition_point(|entry| place(entry) <= cursor_place(after))
            }
            (None, Some(from)) => begin_at(&entries, from),
            (None, None) => 0,
        };
        let end = entries.len().min(begin + limit as usize);
        let next = entries[begin..end].last().filter(|_| end < entries.len());
        Ok(FolderBrowsed {
            next: next.and_then(cursor),
            entries: entries[begin..end].to_vec(),
        })
    }
}

fn place(entry: &Entry) -> (bool, Option<&EntryName>) {
    (matches!(entry, Entry::File { .. }), entry.name())
}

fn cursor_place(cursor: &BrowseCursor) -> (bool, Option<&EntryName>) {
    match cursor {
        BrowseCursor::Folder(name) => (false, Some(name)),
        BrowseCursor::File(name) => (true, Some(name)),
    }
}

fn cursor(entry: &Entry) -> Option<BrowseCursor> {
    let name = entry.name()?.clone();
    Some(match entry {
        Entry::Folder { .. } => BrowseCursor::Folder(name),
        Entry::File { .. } => BrowseCursor::File(name),
    })
}

fn begin_at(entries: &[Entry], from: &EntryName) -> usize {
    let folder = entries.partition_point(|entry| place(entry) < (false, Some(from)));
    let begins_so = |entry: &Entry| {
        let (is_file, name) = place(entry);
        !is_file && name.is_some_and(|name| name.as_str().starts_with(from.as_str()))
    };
    if entries.get(folder).is_some_and(begins_so) {
        return folder;
    }
    entries.partition_point(|entry| place(entry) < (true, Some(from)))
}
