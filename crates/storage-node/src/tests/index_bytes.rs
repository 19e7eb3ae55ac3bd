//! The file of an index, cut and with bits flipped everywhere: it is a cache, so nothing wrong is read, and an index that is made
//! anew has all.

use bytes::Bytes;
use disk::{Disk, MemoryDisk, SECTOR_LEN};
use proto::id::ChunkId;

use super::support::{TestNode, chunk, disk_with};

const INDEX: &str = "index.redb";
const PAGE_LEN: usize = 4096;

fn chunks() -> Vec<(ChunkId, Bytes)> {
    (0..9).map(|number| chunk(number, 600)).collect()
}

/// A node whose index was harmed: what is read is right. Says how many of the chunks are.
async fn read_all(disk: &MemoryDisk, what: &str) -> usize {
    let node = TestNode::open(&[disk]);
    let mut right = 0;
    for (id, bytes) in chunks() {
        if let Ok(read) = node.get(&id).await {
            assert_eq!(read, bytes, "{what}");
            right += 1;
        }
    }
    node.kill().await;
    right
}

/// Cut at the end of each page, and at each byte of the last one.
#[tokio::test]
async fn an_index_cut_anywhere_costs_no_chunk() {
    let disk = disk_with(&chunks()).await;
    let len = disk.content(INDEX).unwrap().len();
    let last = len - 1 - (len - 1) % PAGE_LEN;
    let step = if fuzz::effort() > 1 { 1 } else { 16 };
    for cut in (0..last).step_by(PAGE_LEN).chain((last..len).step_by(step)) {
        let disk = disk.fork();
        disk.cut(INDEX, cut as u64);
        let right = read_all(&disk, &format!("cut at {cut}")).await;
        assert_eq!(right, chunks().len(), "cut at {cut} of {len}");
    }
}

/// Where bits are flipped: in each sector that holds anything.
fn places(content: &[u8]) -> Vec<usize> {
    let sectors = content.chunks(SECTOR_LEN).enumerate();
    let filled = sectors.filter(|(_, sector)| sector.iter().any(|byte| *byte != 0));
    let step = SECTOR_LEN / (2 * fuzz::effort() as usize).min(SECTOR_LEN);
    let within = |(number, _)| {
        (0..SECTOR_LEN)
            .step_by(step)
            .map(move |at| number * SECTOR_LEN + at + number % step)
    };
    filled.flat_map(within).collect()
}

/// Says which flip is done next, since the process may end with it.
const FLIP: &str = "DFS_TEST_FLIP";
/// The folder in which one flip was done.
const FOLDER: &str = "DFS_TEST_FOLDER";

/// One process' part: the start of a node in a folder.
async fn start_in(folder: &std::ffi::OsStr) {
    let node = TestNode::open_any(disk::RealDisk::open(std::path::Path::new(folder)).unwrap());
    check_all(&node).await;
    node.stop().await;
}

/// One process' part: all flips from this one on.
async fn flip_from(first: usize) {
    let disk = disk_with(&chunks()).await;
    let content = disk.content(INDEX).unwrap();
    let places = places(&content);
    let mut hidden = 0;
    for (number, at) in places.iter().enumerate().skip(first) {
        println!("flip {number} of {}", places.len());
        let disk = disk.fork();
        disk.flip(INDEX, *at as u64, 1 << (at % 8));
        hidden += chunks().len() - read_all(&disk, &format!("byte {at}")).await;
        // Whatever that hid, an index that is made anew has all.
        drop(disk.remove(INDEX));
        let node = TestNode::open(&[&disk]);
        check_all(&node).await;
        node.stop().await;
    }
    println!("{hidden} chunks hidden");
    println!("done");
}

async fn check_all(node: &TestNode) {
    for (id, bytes) in chunks() {
        assert_eq!(node.get(&id).await.unwrap(), bytes);
    }
    node.check_digest(chunks().iter().map(|(id, _)| *id));
}

fn in_a_process(variable: &str, value: &std::ffi::OsStr) -> std::process::Output {
    let test = "tests::index_bytes::a_bit_that_rots_in_the_index_hides_a_chunk_at_most";
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(variable, value)
        .output()
        .unwrap()
}

/// A bit flipped in each sector of the index. Some had redb panic in a destructor, by which the process ended, at this start and at
/// each later one. Nothing wrong is ever read; a chunk may be hidden until the index is made anew, as the inventory tells the master; and
/// where the process does end, the start after that has all.
#[tokio::test]
async fn a_bit_that_rots_in_the_index_hides_a_chunk_at_most() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return start_in(&folder).await;
    }
    if let Ok(first) = std::env::var(FLIP) {
        return flip_from(first.parse().unwrap()).await;
    }
    let (mut next, mut ended) = (0, 0);
    loop {
        let output = in_a_process(FLIP, next.to_string().as_ref());
        let said = String::from_utf8_lossy(&output.stdout);
        if said.lines().any(|line| line == "done") {
            assert!(output.status.success());
            break;
        }
        let flip = said
            .lines()
            .filter_map(|line| line.strip_prefix("flip "))
            .next_back();
        let flip = flip.and_then(|flip| flip.split(' ').next()?.parse().ok());
        let flip: usize = flip.unwrap_or_else(|| panic!("{said}"));
        check_ended(flip, &output).await;
        (next, ended) = (flip + 1, ended + 1);
    }
    println!("{ended} flips ended a process");
}

/// A process ended with this flip: it was by redb, and the next start has all.
async fn check_ended(flip: usize, output: &std::process::Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("panic in a destructor during cleanup"),
        "flip {flip}: {errors}"
    );
    let folder = tempfile::tempdir().unwrap();
    let node = TestNode::open_any(disk::RealDisk::open(folder.path()).unwrap());
    for chunk in chunks() {
        node.put(&chunk).await.unwrap();
    }
    node.stop().await;
    let index = folder.path().join(INDEX);
    let mut content = std::fs::read(&index).unwrap();
    let at = places(&content)[flip];
    content[at] ^= 1 << (at % 8);
    std::fs::write(&index, content).unwrap();
    let starts = [(); 2].map(|()| in_a_process(FOLDER, folder.path().as_os_str()));
    let errors = starts
        .each_ref()
        .map(|start| String::from_utf8_lossy(&start.stderr));
    assert!(starts[1].status.success(), "flip {flip}: {errors:?}");
}
