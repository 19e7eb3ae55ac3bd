//! Extents cut at every byte, every byte flipped, files lost and swapped.

use disk::{Disk, MemoryDisk};
use proto::ErrorCode;
use proto::node::ChunkState;

use super::support::{
    FIRST, TestNode, chunk, config, disk_with, disk_with_three_extents, extents, lose_index,
    small_chunks, swap,
};
use crate::config::Config;
use crate::extent::{EXTENT_HEADER_LEN, RECORD_HEADER_LEN, record_len};

/// Power was lost while the last records were written: whatever byte the file ends at, what is whole is
/// kept, what is not is gone, nothing is called corrupt, and the node goes on.
#[tokio::test]
async fn a_tail_cut_at_any_byte_keeps_every_whole_record() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    lose_index(&disk);
    let len = disk.content(FIRST).unwrap().len() as u64;
    for cut in EXTENT_HEADER_LEN..=len {
        let disk = disk.fork();
        disk.cut(FIRST, cut);
        let node = TestNode::open(&[&disk]);
        let mut end = EXTENT_HEADER_LEN;
        for (id, bytes) in &chunks {
            end += record_len(u32::try_from(bytes.len()).unwrap());
            let expected = if end <= cut {
                ChunkState::Good
            } else {
                ChunkState::Missing
            };
            assert_eq!(node.state(id), expected, "cut at {cut}");
            node.put(&(*id, bytes.clone())).await.unwrap();
            assert_eq!(node.get(id).await.unwrap(), bytes);
        }
        node.crash(cut).await;
        let node = TestNode::open(&[&disk]);
        node.check_digest(chunks.iter().map(|(id, _)| *id));
        node.stop().await;
    }
}

/// One byte rots anywhere in an extent whose index is there: no wrong byte is ever served, the chunk that it
/// hit is found corrupt by reading or scrubbing, all others are served, and a new copy replaces it.
#[tokio::test]
async fn any_flipped_byte_is_found_and_its_chunk_replaced() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    let len = disk.content(FIRST).unwrap().len() as u64;
    let mut end = EXTENT_HEADER_LEN;
    let ranges: Vec<_> = chunks
        .iter()
        .map(|(_, bytes)| {
            let start = end;
            end += record_len(u32::try_from(bytes.len()).unwrap());
            start..end
        })
        .collect();
    for at in EXTENT_HEADER_LEN..len {
        let disk = disk.fork();
        disk.flip(FIRST, at, 0x40);
        let node = TestNode::open(&[&disk]);
        node.scrub().await;
        for (chunk, range) in chunks.iter().zip(&ranges) {
            let is_hit = range.contains(&at);
            let expected = if is_hit {
                ChunkState::Corrupt
            } else {
                ChunkState::Good
            };
            assert_eq!(node.state(&chunk.0), expected, "byte {at}");
            let code = node.get(&chunk.0).await.err().map(|error| error.code);
            assert_eq!(code, is_hit.then_some(ErrorCode::Corrupt), "byte {at}");
            assert_eq!(node.put(chunk).await.unwrap(), is_hit);
            assert_eq!(node.get(&chunk.0).await.unwrap(), chunk.1);
        }
        node.check_digest(chunks.iter().map(|(id, _)| *id));
        node.stop().await;
    }
}

/// The same, found by a read and without a scrubber.
#[tokio::test]
async fn a_read_finds_any_flipped_byte_of_its_record() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    let end = EXTENT_HEADER_LEN + record_len(20);
    for at in EXTENT_HEADER_LEN..end {
        let disk = disk.fork();
        disk.flip(FIRST, at, 1);
        let node = TestNode::open(&[&disk]);
        node.get(&chunks[0].0).await.unwrap_err();
        assert_eq!(node.state(&chunks[0].0), ChunkState::Corrupt, "byte {at}");
        assert_eq!(node.to_report(false).await, [chunks[0].0]);
        assert_eq!(node.to_report(true).await, [chunks[0].0]);
        node.stop().await;
    }
}

/// The index is lost and a byte of the first record rots: the records behind it are still found.
#[tokio::test]
async fn without_an_index_later_records_are_found_behind_any_damage() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    lose_index(&disk);
    for at in EXTENT_HEADER_LEN..EXTENT_HEADER_LEN + record_len(20) {
        let disk = disk.fork();
        disk.flip(FIRST, at, 0x80);
        let node = TestNode::open(&[&disk]);
        assert_ne!(node.state(&chunks[0].0), ChunkState::Good, "byte {at}");
        for chunk in &chunks[1..] {
            assert_eq!(node.get(&chunk.0).await.unwrap(), chunk.1, "byte {at}");
        }
        let in_payload = at >= EXTENT_HEADER_LEN + RECORD_HEADER_LEN as u64;
        if in_payload {
            // Later batches verify, so it was synced once: that is corruption, and has a name.
            assert_eq!(node.state(&chunks[0].0), ChunkState::Corrupt, "byte {at}");
        }
        node.stop().await;
    }
}

/// Both copies of an extent's header rot: its records still say what they are.
#[tokio::test]
async fn an_extent_without_its_header_is_still_read() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    lose_index(&disk);
    disk.flip(FIRST, 9, 1);
    disk.flip(FIRST, 2050, 1);
    let node = TestNode::open(&[&disk]);
    for chunk in &chunks {
        assert_eq!(node.get(&chunk.0).await.unwrap(), chunk.1);
    }
    node.put(&chunk(9, 50)).await.unwrap();
    assert_eq!(extents(&disk).len(), 2, "new records go to a new extent");
    node.stop().await;
}

#[tokio::test]
async fn a_lost_cut_or_swapped_extent_is_noticed_at_the_start() {
    let (whole, chunks) = disk_with_three_extents().await;
    let paths = extents(&whole);
    let hit = |disk: &MemoryDisk| {
        let node = TestNode::open(&[disk]);
        let states: Vec<_> = chunks.iter().map(|(id, _)| node.state(id)).collect();
        (node, states)
    };
    let (good, corrupt) = (ChunkState::Good, ChunkState::Corrupt);

    let disk = whole.fork();
    disk.remove(&paths[1]).unwrap();
    let (node, states) = hit(&disk);
    assert_eq!(states, [good, good, corrupt, corrupt, good, good]);
    assert_eq!(node.to_report(true).await.len(), 2);
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    node.check_digest(chunks.iter().map(|(id, _)| *id));
    node.stop().await;

    let disk = whole.fork();
    disk.cut(&paths[0], EXTENT_HEADER_LEN + record_len(6000) + 100);
    let (node, states) = hit(&disk);
    assert_eq!(states, [good, corrupt, good, good, good, good]);
    node.stop().await;

    let disk = whole.fork();
    swap(&disk, &paths[0], &paths[1]);
    let (node, states) = hit(&disk);
    assert_eq!(states, [corrupt, corrupt, corrupt, corrupt, good, good]);
    for (id, _) in &chunks[..4] {
        node.get(id).await.unwrap_err();
    }
    node.stop().await;
}

/// A copy rotted and nobody has read it yet. Whoever sends the chunk again is told that it is stored, and relies
/// on that: so it must be.
#[tokio::test]
async fn a_put_replaces_a_copy_that_rotted_unseen() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    disk.flip(FIRST, EXTENT_HEADER_LEN + RECORD_HEADER_LEN as u64, 1);
    let node = TestNode::open(&[&disk]);
    assert!(node.put(&chunks[0]).await.unwrap(), "it was not here");
    assert_eq!(node.get(&chunks[0].0).await.unwrap(), chunks[0].1);
    assert!(!node.put(&chunks[0]).await.unwrap());
    node.check_digest(chunks.iter().map(|(id, _)| *id));
    node.stop().await;
}

/// Another chunk's bytes under the id of one that is here are refused as they are where it is not.
#[tokio::test]
async fn wrong_bytes_are_refused_although_the_chunk_is_here() {
    let (right, wrong) = (chunk(1, 100), chunk(2, 100));
    let node = TestNode::open(&[&disk_with(std::slice::from_ref(&right)).await]);
    let lie = (right.0, wrong.1);
    let error = node.put(&lie).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Corrupt);
    assert_eq!(node.get(&right.0).await.unwrap(), right.1);
    node.stop().await;
}

/// A chunk marked corrupt by mistake, or mended behind the node's back, is good again once it verifies.
#[tokio::test]
async fn verifying_a_mended_chunk_makes_it_good_again() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    let node = TestNode::open(&[&disk]);
    disk.flip(FIRST, EXTENT_HEADER_LEN + 90, 1);
    assert_eq!(
        node.node.verify_chunk(&chunks[0].0).await.unwrap(),
        ChunkState::Corrupt
    );
    assert_eq!(node.state(&chunks[0].0), ChunkState::Corrupt);
    disk.flip(FIRST, EXTENT_HEADER_LEN + 90, 1);
    assert_eq!(
        node.node.verify_chunk(&chunks[0].0).await.unwrap(),
        ChunkState::Good
    );
    assert_eq!(node.get(&chunks[0].0).await.unwrap(), chunks[0].1);
    assert_eq!(
        node.node.verify_chunk(&chunk(99, 8).0).await.unwrap(),
        ChunkState::Missing
    );
    node.stop().await;
}

type Damage = Box<dyn Fn(&MemoryDisk)>;

/// The index is a cache: flip any of it, cut it anywhere, or give the folder another's, and the node still
/// serves nothing wrong, and after a look at everything all that is here.
#[tokio::test]
async fn a_damaged_index_never_costs_a_chunk() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    let other = disk_with(&[chunk(50, 60)]).await;
    let len = disk.content("index.redb").unwrap().len() as u64;
    let mut damages: Vec<Damage> = vec![
        Box::new(|disk| disk.put("index.redb", b"")),
        Box::new(|disk| disk.put("index.redb", b"not an index")),
        Box::new(|disk| disk.put("index.redb", &vec![0xaa; 1 << 16])),
        Box::new(move |disk| disk.put("index.redb", &other.content("index.redb").unwrap())),
    ];
    for part in 1..8 {
        damages.push(Box::new(move |disk| disk.cut("index.redb", len * part / 8)));
    }
    for damage in damages {
        let disk = disk.fork();
        damage(&disk);
        let node = TestNode::open(&[&disk]);
        for chunk in &chunks {
            assert_eq!(node.get(&chunk.0).await.unwrap(), chunk.1);
        }
        node.check_digest(chunks.iter().map(|(id, _)| *id));
        node.stop().await;
    }
}

/// An index from a copy names the place of one chunk where another of the same length is: that one's bytes are never
/// served for it.
#[tokio::test]
async fn an_index_that_names_the_wrong_record_serves_nothing_wrong() {
    let begun = disk_with(&[chunk(1, 50)]).await;
    let (named, there) = (chunk(2, 100), chunk(3, 100));
    let (copied, disk) = (begun.fork(), begun.fork());
    for (disk, chunk) in [(&copied, &named), (&disk, &there)] {
        let node = TestNode::open(&[disk]);
        node.put(chunk).await.unwrap();
        node.stop().await;
    }
    disk.put("index.redb", &copied.content("index.redb").unwrap());
    let node = TestNode::open(&[&disk]);
    assert_eq!(
        node.state(&named.0),
        ChunkState::Good,
        "the index believes it"
    );
    let error = node.get(&named.0).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Corrupt);
    node.stop().await;
}

/// A copy is found bad when the disk is full to the last byte, and even what was set aside is gone: although that
/// cannot be noted, it is not served again, and it is reported, now and at each registration.
#[tokio::test]
async fn a_bad_copy_that_cannot_be_noted_is_not_served() {
    let chunks = small_chunks();
    let disk = disk_with(&chunks).await;
    disk.set_capacity(1 << 30);
    let config = Config {
        reserve: 8 << 20,
        ..config()
    };
    let node = TestNode::open_with(&[&disk], &config);
    let id = chunks[1].0;
    let offset = disk.content(FIRST).unwrap().len() as u64 - record_len(33) - 1;
    disk.flip(FIRST, offset, 1);
    disk.remove("reserve").unwrap();
    disk.fill();
    let error = node.get(&id).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Corrupt);
    disk.flip(FIRST, offset, 1);
    let error = node.get(&id).await.unwrap_err();
    assert_eq!(
        error.code,
        ErrorCode::Corrupt,
        "once bad, it is not trusted"
    );
    assert_eq!(node.state(&id), ChunkState::Corrupt);
    assert_eq!(node.to_report(false).await, [id]);
    assert_eq!(node.to_report(true).await, [id]);
    node.check_digest([chunks[0].0, chunks[2].0]);
    let (listed, _) = node.node.list_bucket(id.bucket(), None, 10).await.unwrap();
    assert!(listed.iter().all(|(listed, _)| *listed != id));
    node.kill().await;
}

/// A node lost an extent with more chunks than a message takes: they are reported by pages, once for each inventory too.
#[tokio::test]
async fn many_lost_chunks_are_reported_by_pages() {
    let disk = MemoryDisk::new();
    let config = Config {
        extent_size: 1 << 20,
        ..config()
    };
    let node = TestNode::open_with(&[&disk], &config);
    let chunks: Vec<_> = (0..5000).map(|number| chunk(number, 8)).collect();
    for chunk in &chunks {
        node.put(chunk).await.unwrap();
    }
    node.stop().await;
    disk.cut(FIRST, EXTENT_HEADER_LEN);
    let node = TestNode::open_with(&[&disk], &config);
    assert_eq!(node.node.usage().await.corrupt_chunks, 5000);
    node.node.report_all_corrupt();
    let first = node.node.next_corrupt().await;
    assert_eq!((first.chunks.len(), first.more), (4096, true));
    let mut ids: Vec<_> = chunks.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    let rest = node.to_report(false).await;
    assert_eq!([first.chunks, rest].concat(), ids);
    assert!(!node.node.owes_reports());
    assert_eq!(node.to_report(true).await, ids);
    node.stop().await;
}
