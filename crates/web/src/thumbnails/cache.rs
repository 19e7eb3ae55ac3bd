//! What was drawn, or why it could not be, by version: of all that was asked for, what was asked for last.

use std::collections::{BTreeMap, HashMap};

use proto::id::VersionId;

use super::Drawn;

/// What one takes beside its bytes, about.
const OVERHEAD: usize = 256;

type Known = Result<Drawn, String>;

/// Bounded in bytes.
#[derive(Debug)]
pub(super) struct Cache {
    known: HashMap<VersionId, (u64, Known)>,
    /// From the one that was not used for longest.
    by_use: BTreeMap<u64, VersionId>,
    uses: u64,
    len: usize,
    len_max: usize,
}

impl Cache {
    /// For so many bytes.
    pub(super) fn new(len_max: usize) -> Self {
        Self {
            known: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            len: 0,
            len_max,
        }
    }

    /// What is known of a version.
    pub(super) fn get(&mut self, version: VersionId) -> Option<Known> {
        let (used, known) = self.known.get_mut(&version)?;
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, version);
        Some(known.clone())
    }

    /// From now on this is known, and what was not used for longest is not, if there is no room for both.
    pub(super) fn put(&mut self, version: VersionId, known: Known) {
        self.forget(version);
        self.len += cost(&known);
        self.uses += 1;
        self.known.insert(version, (self.uses, known));
        self.by_use.insert(self.uses, version);
        while self.len > self.len_max
            && let Some((_, oldest)) = self.by_use.first_key_value()
        {
            self.forget(*oldest);
        }
    }

    fn forget(&mut self, version: VersionId) {
        if let Some((used, known)) = self.known.remove(&version) {
            self.by_use.remove(&used);
            self.len -= cost(&known);
        }
    }
}

fn cost(known: &Known) -> usize {
    let bytes = match known {
        Ok(drawn) => drawn.bytes.len(),
        Err(reason) => reason.len(),
    };
    OVERHEAD + bytes
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn drawn(len: usize) -> Drawn {
        Drawn {
            bytes: Bytes::from(vec![0; len]),
            content_type: "image/jpeg",
        }
    }

    #[test]
    fn what_was_used_last_is_kept_within_the_bound() {
        let mut cache = Cache::new(3 * (OVERHEAD + 1000));
        let version = VersionId;
        for number in 1..=3 {
            cache.put(version(number), Ok(drawn(1000)));
        }
        assert!(cache.get(version(1)).is_some());
        cache.put(version(4), Ok(drawn(1000)));
        assert!(cache.get(version(2)).is_none());
        assert!(cache.get(version(1)).is_some());
        // The same again takes no more room.
        cache.put(version(4), Ok(drawn(1000)));
        assert!(cache.get(version(3)).is_some());
        assert_eq!(cache.len, 3 * (OVERHEAD + 1000));
        // One that is larger than all the room is not kept, and leaves the books right.
        cache.put(version(5), Ok(drawn(100_000)));
        assert!(cache.get(version(5)).is_none());
        assert_eq!(
            (cache.len, cache.known.len(), cache.by_use.len()),
            (0, 0, 0)
        );
    }
}
