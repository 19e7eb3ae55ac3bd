//! Which folders are taken for a node, and what of `node.json` survives.

use disk::{Blocking, MemoryDisk};
use proto::id::{Epoch, RunId};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::atomic::{AtomicU8, Ordering};
use uuid::Uuid;

use super::*;

fn environment() -> Environment {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    Environment::new(
        Blocking::inline(),
        || 0,
        |bytes| {
            bytes.fill(NEXT.fetch_add(1, Ordering::Relaxed));
        },
    )
}

fn open(disks: &[&MemoryDisk]) -> Result<Identity, String> {
    open_with(disks, Acceptance::default())
}

fn open_with(disks: &[&MemoryDisk], acceptance: Acceptance) -> Result<Identity, String> {
    let found = find(disks).map_err(|error| error.to_string())?;
    Identity::open(found, acceptance, &environment()).map_err(|error| error.to_string())
}

type Found = Vec<Option<(Arc<dyn Disk>, Folder)>>;

fn find(disks: &[&MemoryDisk]) -> Result<Found, OpenError> {
    let disks = disks.iter().map(|disk| disk.shared()).enumerate();
    let found = disks.map(|(place, disk)| {
        let folder = read(&*disk, place)?;
        Ok(Some((disk, folder)))
    });
    found.collect()
}

fn refused(result: Result<Identity, String>, part: &str) {
    let sentence = result.unwrap_err();
    assert!(sentence.contains(part), "{sentence}");
}

#[test]
fn a_new_folder_gets_an_identity_that_stays() {
    let disk = MemoryDisk::new();
    let identity = open(&[&disk]).unwrap();
    let cluster = ClusterId::new(Uuid::from_u128(5));
    let seen = HistoryPoint {
        epoch: Epoch(3),
        run: RunId::new(Uuid::from_u128(1)),
        position: 70,
    };
    let joined = identity.joined(cluster).unwrap();
    joined.having_seen(seen).unwrap();
    disk.crash(&mut StdRng::seed_from_u64(1));
    let again = open(&[&disk]).unwrap();
    assert_eq!(again.node(), identity.node());
    assert_eq!(again.receipt_key(), identity.receipt_key());
    assert_eq!((again.cluster(), again.seen()), (Some(cluster), Some(seen)));
}

/// The identities were read once more when the folders were locked: a disk that did not answer just then held up the whole node,
/// and one that failed ended it.
#[test]
fn what_was_read_is_not_read_again() {
    let (first, second) = (MemoryDisk::new(), MemoryDisk::new());
    let before = open(&[&first, &second]).unwrap();
    let found = find(&[&first, &second]).unwrap();
    second.fail_opens_of(IDENTITY_PATH);
    let identity = Identity::open(found, Acceptance::default(), &environment());
    assert_eq!(identity.unwrap().node(), before.node());
}

/// A crash at any step leaves a folder that is either new or whole.
#[test]
fn every_crash_leaves_the_old_or_the_new_file() {
    for stop in 0..12 {
        for seed in 0..8 {
            let disk = MemoryDisk::new();
            let first = open(&[&disk]).unwrap();
            disk.stop_after(stop);
            let cluster = ClusterId::new(Uuid::from_u128(5));
            let joined = first.joined(cluster).is_ok();
            disk.crash(&mut StdRng::seed_from_u64(seed));
            let again = open(&[&disk]).unwrap();
            assert_eq!(again.node(), first.node());
            assert!(!joined || again.cluster() == Some(cluster));
        }
    }
}

/// The first start of a node of three disks, or the one with a disk more, was cut off: the next one ended in the sentence
/// that a folder which never held anything was lost.
#[test]
fn a_start_with_new_folders_can_be_cut_off_at_any_step() {
    for (had, stop, place, seed) in cut_off_starts() {
        let disks = [(); 3].map(|()| MemoryDisk::new());
        let all: Vec<_> = disks.iter().collect();
        let node = (had > 0).then(|| open(&all[..had]).unwrap().node());
        disks[place].stop_after(stop);
        let begun = open(&all);
        for disk in &disks {
            disk.crash(&mut StdRng::seed_from_u64(seed));
        }
        let again = open(&all).unwrap_or_else(|error| panic!("{had} {stop} {place}: {error}"));
        let node = node.or(begun.ok().map(|begun| begun.node()));
        assert!(node.is_none_or(|node| node == again.node()));
        assert_eq!(open(&all).unwrap().node(), again.node());
        refused(open(&all[..2]), "has 3 folders");
    }
}

/// How many folders the node had, after which change of which folder its start is cut off, and how.
fn cut_off_starts() -> impl Iterator<Item = (usize, u64, usize, u64)> {
    let stops = (0..3).flat_map(|had| (0..16).map(move |stop| (had, stop)));
    let places = stops.flat_map(|(had, stop)| (0..3).map(move |place| (had, stop, place)));
    places.flat_map(|(had, stop, place)| (0..4).map(move |seed| (had, stop, place, seed)))
}

#[test]
fn folders_of_others_newer_formats_and_damage_are_refused() {
    let foreign = MemoryDisk::new();
    foreign.put("holiday.jpg", b"x");
    refused(open(&[&foreign]), "holiday.jpg");
    let lost = MemoryDisk::new();
    lost.create_folder("extents").unwrap();
    refused(
        open(&[&lost]),
        "put it back from a copy, or start a new node",
    );
    refused(open(&[&MemoryDisk::new(), &lost]), "--replaced-disk");
    let newer = MemoryDisk::new();
    newer.put(IDENTITY_PATH, br#"{"format":2,"everything":"else"}"#);
    refused(open(&[&newer]), "newer version");
    let damaged = MemoryDisk::new();
    damaged.put(IDENTITY_PATH, b"{");
    refused(open(&[&damaged]), "damaged");
    refused(open(&[&damaged]), "start a new node in empty folders");
    refused(open(&[&MemoryDisk::new(), &damaged]), "--replaced-disk");
    let existing_only = Acceptance {
        existing_only: true,
        ..Acceptance::default()
    };
    refused(
        open_with(&[&MemoryDisk::new()], existing_only),
        "--existing",
    );
}

/// Any one bit of the file turns over: it says the same, as when a hex digit becomes a capital, or the node does not
/// start. A history that never was would have the node, and so the cluster, take its master for a wrong one.
#[test]
fn a_flipped_bit_changes_nothing_or_is_refused() {
    let disk = MemoryDisk::new();
    let seen = HistoryPoint {
        epoch: Epoch(3),
        run: RunId::new(Uuid::from_u128(0xabc)),
        position: 1000,
    };
    let joined = open(&[&disk]).unwrap();
    let joined = joined.joined(ClusterId::new(Uuid::from_u128(5))).unwrap();
    let file = joined.having_seen(seen).unwrap().file;
    let len = disk.content(IDENTITY_PATH).unwrap().len() as u64;
    let mut refused = 0;
    for (at, bit) in (0..len).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let damaged = disk.fork();
        damaged.flip(IDENTITY_PATH, at, 1 << bit);
        match open(&[&damaged]) {
            Ok(read) => assert_eq!(read.file, file),
            Err(sentence) => {
                let reasons = ["damaged", "newer version"];
                assert!(
                    reasons.iter().any(|part| sentence.contains(part)),
                    "{sentence}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > len * 7);
}

#[test]
fn disks_are_added_but_never_missing_swapped_or_empty() {
    let (one, two, three) = (MemoryDisk::new(), MemoryDisk::new(), MemoryDisk::new());
    let node = open(&[&one, &two]).unwrap().node();
    assert_eq!(open(&[&one, &two]).unwrap().node(), node);
    refused(open(&[&one]), "has 2 folders, but 1");
    refused(open(&[&two, &one]), "first order");
    refused(
        open(&[&MemoryDisk::new(), &two]),
        "is the first disk mounted",
    );
    refused(open(&[&one, &MemoryDisk::new()]), "--replaced-disk");
    let other = MemoryDisk::new();
    open(&[&MemoryDisk::new(), &other]).unwrap();
    refused(open(&[&one, &other]), "folder 2 is node");
    assert_eq!(open(&[&one, &two, &three]).unwrap().node(), node);
    refused(open(&[&one, &two]), "has 3 folders");
    let replaced = Acceptance {
        replaced_disks: true,
        ..Acceptance::default()
    };
    open_with(&[&one, &two, &MemoryDisk::new()], replaced).unwrap();
}

/// How many folders there are stood in each of them, so all were written anew for a new one: an old disk that was full to the
/// last byte ended the start, as one did that hung.
#[test]
fn an_old_folder_is_not_written_for_a_new_one() {
    let (one, two, three) = (MemoryDisk::new(), MemoryDisk::new(), MemoryDisk::new());
    let node = open(&[&one, &two]).unwrap().node();
    two.fill();
    assert_eq!(open(&[&one, &two, &three]).unwrap().node(), node);
    refused(open(&[&one, &two]), "has 3 folders");
}
