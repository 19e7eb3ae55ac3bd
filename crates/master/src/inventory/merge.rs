//! Merges a page of the record with a page of a node's list: values in, values out.
//!
//! **Invariant:** only ids up to the end of the shorter page are judged; what lies above comes with the next pages.

use std::collections::BTreeSet;

use proto::id::ChunkId;

/// What differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Recorded, not listed.
    pub(super) missing: Vec<ChunkId>,
    /// Listed, not recorded.
    pub(super) extra: Vec<(ChunkId, u32)>,
}

/// A node lists what it was not asked for.
#[derive(Debug, thiserror::Error)]
#[error("the node lists the same chunks again instead of those behind them")]
pub(super) struct NoProgress;

/// Behind which id the next pages begin; nothing when both came to their end.
///
/// # Errors
/// If that is no further than the last time: it would be asked for ever.
pub(super) fn go_on(
    after: Option<ChunkId>,
    upto: Option<ChunkId>,
) -> Result<Option<ChunkId>, NoProgress> {
    if upto.is_some() && upto <= after {
        return Err(NoProgress);
    }
    Ok(upto)
}

/// Compares the two, each in the order of the ids; says up to where, or nothing when both came to their end.
pub(super) fn merge_page(
    ours: &[ChunkId],
    ours_more: bool,
    theirs: &[(ChunkId, u32)],
    theirs_more: bool,
) -> (Difference, Option<ChunkId>) {
    let our_end = ours.last().copied().filter(|_| ours_more);
    let their_end = theirs
        .last()
        .map(|(chunk, _)| *chunk)
        .filter(|_| theirs_more);
    let upto = [our_end, their_end].into_iter().flatten().min();
    let is_judged = |chunk: &ChunkId| upto.is_none_or(|upto| *chunk <= upto);
    let listed: BTreeSet<_> = theirs.iter().map(|(chunk, _)| *chunk).collect();
    let difference = Difference {
        missing: ours
            .iter()
            .copied()
            .filter(|chunk| is_judged(chunk) && !listed.contains(chunk))
            .collect(),
        extra: theirs
            .iter()
            .copied()
            .filter(|(chunk, _)| is_judged(chunk) && ours.binary_search(chunk).is_err())
            .collect(),
    };
    (difference, upto)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    fn chunk(number: u8) -> ChunkId {
        ChunkId::from_bytes([number; 32])
    }

    fn page(all: &BTreeSet<u8>, after: Option<u8>, limit: usize) -> (Vec<ChunkId>, bool) {
        let mut rest = all
            .iter()
            .filter(|number| after.is_none_or(|after| **number > after));
        let page = rest.by_ref().take(limit).map(|number| chunk(*number));
        (page.collect(), rest.next().is_some())
    }

    fn differences(ours: &BTreeSet<u8>, theirs: &BTreeSet<u8>, limit: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut missing, mut extra, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let (our_page, our_more) = page(ours, after, limit);
            let (their_page, their_more) = page(theirs, after, limit + 1);
            let their_page: Vec<_> = their_page.into_iter().map(|chunk| (chunk, 1)).collect();
            let (found, upto) = merge_page(&our_page, our_more, &their_page, their_more);
            missing.extend(found.missing.iter().map(|chunk| chunk.as_bytes()[0]));
            extra.extend(found.extra.iter().map(|(chunk, _)| chunk.as_bytes()[0]));
            match upto {
                Some(upto) => after = Some(upto.as_bytes()[0]),
                None => return (missing, extra),
            }
        }
    }

    proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(fuzz::cases(256)))]

        #[test]
        fn pages_of_any_length_find_each_difference_once(
            ours: BTreeSet<u8>,
            theirs: BTreeSet<u8>,
            limit in 1..9_usize,
        ) {
            let (missing, extra) = differences(&ours, &theirs, limit);
            prop_assert_eq!(missing, ours.difference(&theirs).copied().collect::<Vec<_>>());
            prop_assert_eq!(extra, theirs.difference(&ours).copied().collect::<Vec<_>>());
        }
    }
}
