//! What goes into a zip, one entry after another: each folder, and then what is in it, a page at a time.
//!
//! **Invariant:** names in a zip lead nowhere: none is absolute, goes up, or has what some system takes for more than a
//! part of a name. No two in a folder are the same. However deep folders are, and however many are in each, few entries wait in memory.

use std::collections::VecDeque;
use std::mem;

use client::{Error, ShareToken};
use proto::master::Entry;
use proto::name::{EntryName, EntryPath};

use super::names;
use crate::drive::Drive;
use crate::error::{Kind, Problem};
use crate::receivers::now_ms;

/// Entries that are listed at once.
const PAGE_LEN: u32 = 200;
/// Entries of folders above that there is room for: before there are more, they are listed anew when their turn comes.
const WAITING_MAX: usize = 2000;

/// An entry of the zip.
#[derive(Debug)]
pub(crate) struct Member {
    /// Where it is in the cluster.
    pub(crate) path: EntryPath,
    /// Where it is in the zip, without a closing `/`.
    pub(crate) name: String,
    pub(crate) entry: Entry,
}

/// Where it is: in a folder, and in each of those above it at an entry.
#[derive(Debug)]
pub(crate) struct Walk {
    /// One for each folder, from where it began.
    levels: Vec<Level>,
    /// The folder it is in.
    folder: EntryPath,
    /// What stands before its entries' names in the zip.
    prefix: String,
    /// The link by which it is walked, and where what it shares is.
    link: Option<(ShareToken, EntryPath)>,
}

#[derive(Debug)]
struct Level {
    /// Bytes of the prefix of its entries.
    prefix_len: usize,
    /// Those that were listed, and are still to come.
    entries: VecDeque<Entry>,
    /// Whether there are more behind this name.
    more: bool,
    after: Option<EntryName>,
}

impl Walk {
    /// These entries of a folder, and all that is in them.
    pub(crate) fn of(folder: EntryPath, entries: Vec<Entry>) -> Self {
        Self {
            levels: vec![Level {
                entries: entries.into(),
                more: false,
                ..Level::new(0)
            }],
            folder,
            prefix: String::new(),
            link: None,
        }
    }

    /// Everything.
    pub(crate) fn of_all() -> Self {
        Self {
            levels: vec![Level::new(0)],
            folder: EntryPath::ROOT,
            prefix: String::new(),
            link: None,
        }
    }

    /// The same, as long as this link shares what lies at this path.
    pub(crate) fn by_link(self, token: ShareToken, path: EntryPath) -> Self {
        let link = Some((token, path));
        Self { link, ..self }
    }

    /// Whether it may still be walked: what was read by a path before this may else be something that has taken its place, and what
    /// was not found may be elsewhere. A link that was ended meanwhile, or leads elsewhere, is an error.
    pub(crate) async fn check(&self, drive: &dyn Drive) -> Result<(), Problem> {
        let Some((token, path)) = &self.link else {
            return Ok(());
        };
        let share = drive.find_share(token).await?.share;
        let is_expired = share.is_expired(now_ms());
        if !is_expired && share.shared.is_some_and(|shared| shared.path == *path) {
            return Ok(());
        }
        let message = "what a link shares was moved while it was read, or the link expired";
        Err(Problem::new(Kind::NotFound, message))
    }

    /// Whether what is not found any more may be left out: it may be the only one, but not one of all that its folder had.
    pub(crate) async fn pass_over(
        &self,
        path: &EntryPath,
        drive: &dyn Drive,
    ) -> Result<(), Problem> {
        self.check(drive).await?;
        let Some((folder, _)) = path.split_last() else {
            return Ok(());
        };
        match drive.entry(&folder).await? {
            Entry::Folder { .. } => Ok(()),
            Entry::File { .. } => {
                let message = format!("{folder} was replaced while it was read");
                Err(Problem::new(Kind::NotFound, message))
            }
        }
    }

    /// The next one. What went away since it was listed is passed over.
    pub(crate) async fn next(&mut self, drive: &dyn Drive) -> Result<Option<Member>, Problem> {
        while let Some(level) = self.levels.last_mut() {
            let Some(entry) = level.next_entry(&self.folder, drive).await? else {
                self.leave();
                continue;
            };
            let Some(name) = entry.name() else { continue };
            // What lies deeper than a path can say cannot be reached.
            let Ok(path) = self.folder.join(name.clone()) else {
                continue;
            };
            let name = format!("{}{}", self.prefix, names::escaped(name.as_str()));
            if let Entry::Folder { .. } = entry {
                self.enter(path.clone(), format!("{name}/"));
            }
            return Ok(Some(Member { path, name, entry }));
        }
        Ok(None)
    }

    fn enter(&mut self, folder: EntryPath, prefix: String) {
        self.make_room(&folder);
        self.levels.push(Level::new(prefix.len()));
        self.folder = folder;
        self.prefix = prefix;
    }

    fn leave(&mut self) {
        self.levels.pop();
        let above = self.folder.split_last().map(|(above, _)| above);
        if let (Some(level), Some(above)) = (self.levels.last(), above) {
            self.folder = above;
            self.prefix.truncate(level.prefix_len);
        }
    }

    /// Lets lists go before it enters this folder, if they take much room. The first one stays: nobody could list what was chosen.
    fn make_room(&mut self, folder: &EntryPath) {
        let listed = &mut self.levels[1..];
        let room: usize = listed.iter().map(|level| level.entries.capacity()).sum();
        if room <= WAITING_MAX {
            return;
        }
        for (level, taken) in listed.iter_mut().rev().zip(folder.names().iter().rev()) {
            level.forget(taken);
        }
    }
}

impl Level {
    fn new(prefix_len: usize) -> Self {
        Self {
            prefix_len,
            entries: VecDeque::new(),
            more: true,
            after: None,
        }
    }

    /// What waits is listed anew later, from behind this name.
    fn forget(&mut self, taken: &EntryName) {
        let waiting = mem::take(&mut self.entries);
        if !waiting.is_empty() {
            self.after = Some(taken.clone());
            self.more = true;
        }
    }

    async fn next_entry(
        &mut self,
        folder: &EntryPath,
        drive: &dyn Drive,
    ) -> Result<Option<Entry>, Problem> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Ok(Some(entry));
            }
            if !self.more {
                return Ok(None);
            }
            let after = self.after.take();
            let is_begun = after.is_some();
            let page = match drive.list(folder, after, PAGE_LEN).await {
                // Of a folder that went away before anything of it was seen there is nothing; of one that is moved halfway the
                // rest would be missing, and nobody would notice.
                Err(Error::NotFound { .. } | Error::NotAFolder { .. }) if !is_begun => {
                    return Ok(None);
                }
                page => page?,
            };
            self.after = page.entries.last().and_then(Entry::name).cloned();
            self.more = page.more && self.after.is_some();
            self.entries = page.entries.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::memory::MemoryDrive;

    /// More than there is room for lists of.
    const DEPTH: usize = 24;
    /// Files before and behind the folder in each folder: it is in the middle of a page, and there is another page.
    const FILES_BEFORE: usize = 90;
    const FILES_BEHIND: usize = 120;

    /// Folders within each other, each with many files. All of them, in the order in which they are walked.
    fn keep_deep(drive: &MemoryDrive) -> Vec<String> {
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        let mut folder = "/chosen".to_owned();
        for _ in 0..DEPTH {
            before.push(folder.clone());
            before.extend((0..FILES_BEFORE).map(|n| format!("{folder}/a{n:03}")));
            behind.extend((0..FILES_BEHIND).rev().map(|n| format!("{folder}/z{n:03}")));
            folder += "/m";
        }
        let all = [before, behind.into_iter().rev().collect()].concat();
        for file in all.iter().filter(|path| path.ends_with(char::is_numeric)) {
            drive.put(&file.parse().unwrap(), Bytes::new(), 0);
        }
        all
    }

    /// With the rest of a page for each level, and its whole path, a zip of deep folders took hundreds of megabytes.
    #[tokio::test]
    async fn of_deep_folders_all_comes_once_and_little_waits() {
        let drive = MemoryDrive::default();
        let expected = keep_deep(&drive);
        for name in ["/a", "/d", "/e"] {
            drive.put(&name.parse().unwrap(), Bytes::new(), 0);
        }
        let mut chosen = Vec::new();
        for name in ["/chosen", "/e"] {
            chosen.push(drive.entry(&name.parse().unwrap()).await.unwrap());
        }
        let all = [&["/a".to_owned()], &expected[..], &["/d".to_owned()]].concat();
        for (mut walk, expected) in [
            (Walk::of_all(), all),
            (Walk::of(EntryPath::ROOT, chosen), expected),
        ] {
            let expected = [expected, vec!["/e".to_owned()]].concat();
            let mut found = Vec::with_capacity(expected.len());
            while let Some(member) = walk.next(&drive).await.unwrap() {
                assert_eq!(format!("/{}", member.name), member.path.to_string());
                found.push(member.path.to_string());
                let room: usize = walk
                    .levels
                    .iter()
                    .map(|level| level.entries.capacity())
                    .sum();
                // In the first folder and in the last one there is a page, too.
                assert!(room <= WAITING_MAX + 4 * PAGE_LEN as usize, "{room}");
            }
            assert!(found == expected);
        }
    }
}
