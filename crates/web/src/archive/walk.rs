//! What goes into a zip, one entry after another: each folder, and then what is in it, a page at a time.
//!
//! **Invariant:** names in a zip lead nowhere: none is absolute, goes up, or has what some system takes for more than a
//! part of a name. No two in a folder are the same.

use std::collections::VecDeque;

use client::{Error, ShareToken};
use proto::master::Entry;
use proto::name::{EntryName, EntryPath};

use super::names;
use crate::drive::Drive;
use crate::error::{Kind, Problem};
use crate::receivers::now_ms;

/// Entries that are listed at once.
const PAGE_LEN: u32 = 200;

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
    levels: Vec<Level>,
    /// The link by which it is walked, and where what it shares is.
    link: Option<(ShareToken, EntryPath)>,
}

#[derive(Debug)]
struct Level {
    folder: EntryPath,
    /// What stands before its entries' names in the zip.
    prefix: String,
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
                ..Level::new(folder, String::new())
            }],
            link: None,
        }
    }

    /// Everything.
    pub(crate) fn of_all() -> Self {
        Self {
            levels: vec![Level::new(EntryPath::ROOT, String::new())],
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
            let Some(entry) = level.next_entry(drive).await? else {
                self.levels.pop();
                continue;
            };
            let Some(name) = entry.name() else { continue };
            // What lies deeper than a path can say cannot be reached.
            let Ok(path) = level.folder.join(name.clone()) else {
                continue;
            };
            let harmless = level.harmless(name, drive).await?;
            let name = format!("{}{harmless}", level.prefix);
            if let Entry::Folder { .. } = entry {
                self.levels
                    .push(Level::new(path.clone(), format!("{name}/")));
            }
            return Ok(Some(Member { path, name, entry }));
        }
        Ok(None)
    }
}

impl Level {
    fn new(folder: EntryPath, prefix: String) -> Self {
        Self {
            folder,
            prefix,
            entries: VecDeque::new(),
            more: true,
            after: None,
        }
    }

    async fn next_entry(&mut self, drive: &dyn Drive) -> Result<Option<Entry>, Problem> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Ok(Some(entry));
            }
            if !self.more {
                return Ok(None);
            }
            let after = self.after.take();
            let is_begun = after.is_some();
            let page = match drive.list(&self.folder, after, PAGE_LEN).await {
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

    /// The name as it is in the zip, where no other entry of the folder has it.
    async fn harmless(&self, name: &EntryName, drive: &dyn Drive) -> Result<String, Problem> {
        let name = name.as_str();
        if !names::leads_elsewhere(name) {
            return Ok(name.to_owned());
        }
        let mut other = names::escaped(name);
        // It comes to an end: each time it gets longer, and no entry has a name that is too long for one.
        while self.is_there(&other, drive).await? {
            other = names::escaped(&other);
        }
        Ok(other)
    }

    async fn is_there(&self, name: &str, drive: &dyn Drive) -> Result<bool, Problem> {
        // A name or a path that cannot be is not there.
        let Some(path) = EntryName::new(name)
            .ok()
            .and_then(|name| self.folder.join(name).ok())
        else {
            return Ok(false);
        };
        match drive.entry(&path).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
