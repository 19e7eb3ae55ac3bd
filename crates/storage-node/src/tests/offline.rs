//! The tools that read a folder without its node.

use disk::MemoryDisk;

use super::support::{
    FIRST, TestNode, chunk, disk_with, disk_with_three_extents, extents, lose_index, rng,
    small_chunks, swap,
};
use crate::extent::{EXTENT_HEADER_LEN, record_len};
use crate::offline;

/// Two files of extents had changed their names: `verify` read them all the same and found nothing amiss, and the node used
/// neither.
#[tokio::test]
async fn verify_names_extents_that_are_swapped() {
    let (disk, _) = disk_with_three_extents().await;
    offline::verify(&disk, &mut Vec::new()).unwrap();
    swap(&disk, &extents(&disk)[0], &extents(&disk)[1]);
    let mut out = Vec::new();
    let error = offline::verify(&disk, &mut out).unwrap_err();
    assert!(
        error.to_string().contains("not where they belong"),
        "{error}"
    );
    let text = String::from_utf8(out).unwrap();
    for says in [
        "00000001.extent is not used by the node: by its header it is extent 2",
        "00000002.extent is not",
    ] {
        assert!(text.contains(says), "{text}");
    }
    let mut out = Vec::new();
    offline::inspect(&disk, false, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains(", not used: by its header it is extent 1 of disk 1"),
        "{text}"
    );
}

/// After a bad copy had been replaced, the folder was still called damaged, and nothing could be done about it.
#[tokio::test]
async fn a_damaged_place_that_nothing_needs_is_no_damage() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    disk.flip(FIRST, EXTENT_HEADER_LEN + 2, 1);
    let index = disk.content("index.redb");
    let mut out = Vec::new();
    let error = offline::verify(&disk, &mut out).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(disk.content("index.redb"), index, "it was only read");

    let node = TestNode::open(&[&disk]);
    node.scrub().await;
    assert!(node.put(&chunks[0]).await.unwrap());
    node.stop().await;
    let mut out = Vec::new();
    offline::verify(&disk, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("; nothing needs them"), "{text}");
    assert!(text.contains("0 corrupt, 0 damaged places"), "{text}");
    assert!(text.contains("1 more damaged place"), "{text}");

    // Without the index nobody can tell.
    lose_index(&disk);
    offline::verify(&disk, &mut Vec::new()).unwrap_err();
}

/// Anybody can read a folder without the node, the index or the cluster.
#[tokio::test]
async fn tools_read_a_folder_offline() {
    let (disk, chunks) = disk_with_three_extents().await;
    let node = TestNode::open(&[&disk]);
    node.delete(&[chunks[5].0]).await.unwrap();
    let mut out = Vec::new();
    assert!(
        offline::inspect(&disk, false, &mut out).is_err(),
        "the node runs"
    );
    node.stop().await;
    lose_index(&disk);
    let mut out = Vec::new();
    offline::inspect(&disk, true, &mut out).unwrap();
    offline::verify(&disk, &mut out).unwrap();
    let to = MemoryDisk::new();
    offline::export(&disk, &to, &mut out).unwrap();
    for (id, bytes) in &chunks[..5] {
        assert_eq!(to.content(&id.to_string()).unwrap(), *bytes);
    }
    assert_eq!(to.content(&chunks[5].0.to_string()), None, "it was deleted");
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("5 chunks, 30000 bytes"), "{text}");
    disk.flip(FIRST, EXTENT_HEADER_LEN + 100, 1);
    let mut out = Vec::new();
    offline::verify(&disk, &mut out).unwrap_err();
    offline::export(&disk, &MemoryDisk::new(), &mut out).unwrap_err();
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("4 chunks written, 1 left out")
    );
    disk.crash(&mut rng(1));
}

/// Power was lost while a batch was written: what was torn was never acknowledged, and the folder is as whole as the next
/// start finds it. It was called damaged.
#[tokio::test]
async fn a_torn_tail_is_no_damage_to_the_tools() {
    let (disk, _) = disk_with_three_extents().await;
    let paths = extents(&disk);
    let len = disk.content(&paths[2]).unwrap().len() as u64;
    disk.cut(&paths[2], len - 100);
    let mut out = Vec::new();
    offline::verify(&disk, &mut out).unwrap();
    offline::export(&disk, &MemoryDisk::new(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("5 chunks, 0 corrupt, 0 damaged places"),
        "{text}"
    );
    disk.cut(&paths[1], len - 100);
    offline::verify(&disk, &mut Vec::new()).unwrap_err();
}

/// The end of the last extent could not be read: its chunks were left out of an export that said it had succeeded, and nothing was
/// said to be damaged.
#[tokio::test]
async fn an_end_that_cannot_be_read_is_told_by_the_tools() {
    let (disk, chunks) = disk_with_three_extents().await;
    let paths = extents(&disk);
    let last = EXTENT_HEADER_LEN + record_len(6000);
    disk.fail_reads(&paths[2], last + 10..last + 11);
    let mut out = Vec::new();
    offline::inspect(&disk, false, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let of_last = text.lines().find(|line| line.starts_with(&paths[2]));
    assert!(!of_last.unwrap().contains(" 0 damaged bytes"), "{text}");
    offline::verify(&disk, &mut Vec::new()).unwrap_err();
    let to = MemoryDisk::new();
    let mut out = Vec::new();
    let error = offline::export(&disk, &to, &mut out).unwrap_err();
    assert!(error.to_string().contains("1 damaged place"), "{error}");
    for (id, bytes) in &chunks[..5] {
        assert_eq!(to.content(&id.to_string()).unwrap(), *bytes);
    }
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("5 chunks written"), "{text}");
    disk.heal();
    offline::export(&disk, &to, &mut Vec::new()).unwrap();
}

/// An export was stopped in the middle. Run again it goes on, with the file that it did not finish.
#[tokio::test]
async fn an_export_goes_on_where_it_was_stopped() {
    let (disk, chunks) = disk_with_three_extents().await;
    let to = MemoryDisk::new();
    let name = |place: usize| chunks[place].0.to_string();
    to.put(&name(0), &chunks[0].1);
    to.put(&name(1), &chunks[1].1[..500]);
    to.put(&name(2), &[7; 6000]);
    let mut out = Vec::new();
    offline::export(&disk, &to, &mut out).unwrap();
    for (id, bytes) in &chunks {
        assert_eq!(to.content(&id.to_string()).unwrap(), *bytes);
    }
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("there already: 1 chunk"), "{text}");
    assert!(text.contains("5 chunks written, 0 left out"), "{text}");
}

/// A chunk had rotted and been put again, and two files of extents changed their names: the rotten copy came last, and the export
/// left the chunk out although the good one was there.
#[tokio::test]
async fn an_export_takes_any_good_copy() {
    let chunks = small_chunks();
    let (id, bytes) = &chunks[0];
    let disk = disk_with(&chunks).await;
    let places = |disk: &MemoryDisk| {
        let extents = extents(disk).into_iter();
        let found = extents.filter_map(|path| {
            let content = disk.content(&path).unwrap();
            let at = content.windows(bytes.len()).position(|part| part == bytes);
            at.map(|at| (path, at as u64))
        });
        found.collect::<Vec<_>>()
    };
    let (first, at) = places(&disk).remove(0);
    disk.flip(&first, at, 1);
    let node = TestNode::open(&[&disk]);
    node.scrub().await;
    assert!(node.put(&chunks[0]).await.unwrap());
    // A bad record at the very end would be taken for a torn one.
    node.put(&chunk(99, 500)).await.unwrap();
    node.stop().await;
    let (later, later_at) = places(&disk).remove(0);
    assert_ne!((&first, at), (&later, later_at));
    // Now the earlier one is the good one.
    disk.flip(&first, at, 1);
    disk.flip(&later, later_at, 1);
    let to = MemoryDisk::new();
    offline::export(&disk, &to, &mut Vec::new()).unwrap();
    assert_eq!(&to.content(&id.to_string()).unwrap(), bytes);
}
