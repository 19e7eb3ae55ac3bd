//! Any two sets of chunks, compared as a node's inventory is: by digests, then bucket by bucket and page by page, while the node's set
//! changes.

use std::collections::{BTreeMap, BTreeSet};

use bolero::TypeGenerator;
use proto::id::ChunkId;
use proto::node::BucketDigest;

use super::merge::{go_on, merge_page};

/// A chunk by a small number, in one of a few buckets.
fn chunk(number: u8) -> ChunkId {
    let mut bytes = *ChunkId::of(&[number]).as_bytes();
    bytes[0] = number % 3;
    ChunkId::from_bytes(bytes)
}

/// What happens to the node's set while it is listed.
#[derive(Debug, Clone, TypeGenerator)]
enum Change {
    Nothing,
    Add(u8),
    Remove(u8),
}

#[derive(Debug, Clone, TypeGenerator)]
struct Sets {
    #[generator(bolero::produce_with::<Vec<_>>().len(0..40_usize))]
    both: Vec<u8>,
    #[generator(bolero::produce_with::<Vec<_>>().len(0..8_usize))]
    ours: Vec<u8>,
    #[generator(bolero::produce_with::<Vec<_>>().len(0..8_usize))]
    theirs: Vec<u8>,
    /// Added to a digest and taken out again.
    #[generator(bolero::produce_with::<Vec<_>>().len(0..8_usize))]
    passing: Vec<u8>,
    #[generator(bolero::produce_with::<Vec<_>>().len(0..8_usize))]
    changes: Vec<Change>,
    our_page: u8,
    their_page: u8,
}

type Chunks = BTreeSet<ChunkId>;

fn digests<'c>(chunks: impl Iterator<Item = &'c ChunkId>) -> Vec<BucketDigest> {
    let mut digests = vec![BucketDigest::default(); 256];
    for chunk in chunks {
        digests[usize::from(chunk.bucket())].add(chunk);
    }
    digests
}

fn page(chunks: &Chunks, bucket: u8, after: Option<ChunkId>, limit: usize) -> (Vec<ChunkId>, bool) {
    let is_wanted = |chunk: &&ChunkId| chunk.bucket() == bucket && Some(**chunk) > after;
    let mut wanted = chunks.iter().filter(is_wanted).copied();
    let page: Vec<_> = wanted.by_ref().take(limit).collect();
    (page, wanted.next().is_some())
}

/// The sets while they are compared.
struct Comparison {
    ours: Chunks,
    theirs: Chunks,
    /// What the node had at some moment, and what at each.
    ever: Chunks,
    always: Chunks,
    changes: std::vec::IntoIter<Change>,
    missing: BTreeMap<ChunkId, usize>,
    extra: BTreeMap<ChunkId, usize>,
}

impl Comparison {
    fn change(&mut self) {
        match self.changes.next() {
            Some(Change::Add(number)) => {
                self.theirs.insert(chunk(number));
                self.ever.insert(chunk(number));
            }
            Some(Change::Remove(number)) => {
                self.theirs.remove(&chunk(number));
                self.always.remove(&chunk(number));
            }
            Some(Change::Nothing) | None => {}
        }
    }

    fn compare(&mut self, bucket: u8, our_page: usize, their_page: usize) {
        let mut after = None;
        loop {
            let (ours, _) = page(&self.ours, bucket, after, our_page);
            self.change();
            let (theirs, more) = page(&self.theirs, bucket, after, their_page);
            let theirs: Vec<_> = theirs.into_iter().map(|chunk| (chunk, 1)).collect();
            let (found, upto) = merge_page(&ours, ours.len() == our_page, &theirs, more);
            for chunk in found.missing {
                *self.missing.entry(chunk).or_default() += 1;
            }
            for (chunk, _) in found.extra {
                *self.extra.entry(chunk).or_default() += 1;
            }
            match go_on(after, upto).expect("the list gets on") {
                Some(upto) => after = Some(upto),
                None => return,
            }
        }
    }

    /// Each difference that lasted was found once, and nothing that never was.
    fn check(&self, buckets: &BTreeSet<u8>) {
        let is_compared = |chunk: &&ChunkId| buckets.contains(&chunk.bucket());
        for chunk in self.ours.iter().filter(is_compared) {
            let times = self.missing.get(chunk).copied().unwrap_or(0);
            assert!(times <= 1);
            assert!(
                times == 1 || self.ever.contains(chunk),
                "{chunk} is missing"
            );
            assert!(
                times == 0 || !self.always.contains(chunk),
                "{chunk} is not missing"
            );
            assert!(!self.extra.contains_key(chunk));
        }
        for chunk in self.ever.iter().filter(is_compared) {
            let times = self.extra.get(chunk).copied().unwrap_or(0);
            let lasted = self.always.contains(chunk) && !self.ours.contains(chunk);
            assert!(times <= 1 && (times == 1 || !lasted), "{chunk} is extra");
        }
        assert!(self.missing.keys().all(|chunk| self.ours.contains(chunk)));
        assert!(self.extra.keys().all(|chunk| self.ever.contains(chunk)));
    }
}

fn check(sets: &Sets) {
    let of = |numbers: &[u8]| -> Chunks { numbers.iter().map(|number| chunk(*number)).collect() };
    let ours: Chunks = &of(&sets.both) | &of(&sets.ours);
    let theirs: Chunks = &of(&sets.both) | &of(&sets.theirs);
    let mut our_digests = digests(ours.iter());
    for passing in sets.passing.iter().map(|number| chunk(*number)) {
        let digest = &mut our_digests[usize::from(passing.bucket())];
        if !ours.contains(&passing) {
            digest.add(&passing);
            digest.remove(&passing);
        }
    }
    assert_eq!(
        our_digests,
        digests(ours.iter().rev()),
        "in whatever order they came"
    );
    let their_digests = digests(theirs.iter());
    let differs =
        |bucket: &u8| our_digests[usize::from(*bucket)] != their_digests[usize::from(*bucket)];
    let buckets: BTreeSet<u8> = (0..=u8::MAX).filter(differs).collect();
    let expected: BTreeSet<u8> = ours
        .symmetric_difference(&theirs)
        .map(ChunkId::bucket)
        .collect();
    assert_eq!(buckets, expected, "just the buckets that differ");
    let mut comparison = Comparison {
        ever: theirs.clone(),
        always: theirs.clone(),
        ours,
        theirs,
        changes: sets.changes.clone().into_iter(),
        missing: BTreeMap::new(),
        extra: BTreeMap::new(),
    };
    let page = |len: u8| usize::from(len % 7) + 1;
    for bucket in &buckets {
        comparison.compare(*bucket, page(sets.our_page), page(sets.their_page));
    }
    comparison.check(&buckets);
}

#[test]
fn any_two_sets_are_told_apart() {
    fuzz::check!(Sets, 20_000, check);
}

/// A node that gave the same page again and again, whatever was asked for, was asked for ever.
#[test]
fn a_list_that_does_not_get_on_is_an_error() {
    let page: Vec<_> = (0..4).map(|number| (chunk(number * 3), 1)).collect();
    let (_, upto) = merge_page(&[], false, &page, true);
    let after = go_on(None, upto).unwrap();
    let (_, upto) = merge_page(&[], false, &page, true);
    go_on(after, upto).unwrap_err();
    assert_eq!(go_on(after, None).unwrap(), None);
}
