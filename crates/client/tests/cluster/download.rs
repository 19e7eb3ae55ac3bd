//! Downloads: ranges, bounds, and nodes that die, hang and lie.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use client::Error;
use futures::{StreamExt, TryStreamExt};
use proto::id::ChunkId;
use proto::node::ChunkState;
use tokio::time::{Instant, sleep};

use crate::node::{FakeNode, Mood};
use crate::support::{TestCluster, content, name};

const CHUNK: u32 = 1000;

/// A cluster with one file.
async fn with_file(nodes: usize, bytes: &[u8]) -> TestCluster {
    let cluster = TestCluster::start(nodes, CHUNK).await;
    cluster.upload("/a", bytes).await.unwrap();
    cluster
}

async fn read(cluster: &TestCluster, range: Range<u64>) -> Result<Vec<u8>, Error> {
    let file = cluster.client.open(&name("/a"), None).await?;
    let pieces: Vec<Bytes> = file.read(range).try_collect().await?;
    assert!(pieces.iter().all(|piece| !piece.is_empty()));
    Ok(pieces.concat())
}

#[tokio::test(start_paused = true)]
async fn ranges_are_cut_out_exactly() {
    let bytes = content(50_500);
    let cluster = with_file(3, &bytes).await;
    for (range, _reason) in [
        (0..0, "nothing"),
        (0..1, "the first byte"),
        (999..1001, "across a boundary"),
        (1000..2000, "exactly a chunk"),
        (1500..1600, "within a chunk"),
        (35_000..50_500, "beyond what is located at once, to the end"),
        (50_499..50_500, "the last byte"),
        (50_500..50_501, "beyond the end"),
        (50_400..99_999, "over the end"),
        (0..50_500, "all"),
    ] {
        let from = usize::try_from(range.start).unwrap();
        let to = bytes.len().min(usize::try_from(range.end).unwrap());
        let expected = &bytes[from.min(to)..to];
        assert!(
            read(&cluster, range.clone()).await.unwrap() == expected,
            "{range:?}"
        );
    }
    let reversed = Range { start: 10, end: 5 };
    assert!(read(&cluster, reversed).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_small_file_takes_one_call_to_the_master_and_one_to_a_node() {
    let cluster = with_file(3, b"small").await;
    cluster.master().lock().calls.clear();
    assert_eq!(read(&cluster, 0..5).await.unwrap(), b"small");
    assert_eq!(cluster.master().lock().calls, [("open_file", 1)].into());
    assert_eq!(cluster.gets(), 1);
}

#[tokio::test(start_paused = true)]
async fn reads_spread_over_the_nodes() {
    let bytes = content(300_000);
    let cluster = with_file(3, &bytes).await;
    assert!(cluster.download("/a").await.unwrap() == bytes);
    assert!(cluster.nodes().all(|node| node.gets() > 50));
    assert_eq!(cluster.gets(), 300);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_fetched_than_may_be_read_ahead() {
    let options = client::ClientOptions {
        chunks_in_flight: 5,
        ..crate::support::options()
    };
    let cluster = TestCluster::start_with(3, CHUNK, options).await;
    let bytes = content(100_000);
    cluster.upload("/a", &bytes).await.unwrap();
    let file = cluster.client.open(&name("/a"), None).await.unwrap();
    let mut pieces = file.read(0..100_000);
    for taken in 1..=20 {
        pieces.next().await.unwrap().unwrap();
        sleep(Duration::from_millis(1)).await;
        let fetched = cluster.gets();
        assert!(fetched < taken + 5, "{fetched} of which {taken} are taken");
        assert!(
            taken < 5 || fetched == taken + 4,
            "{fetched} of which {taken} are taken"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_fetches_nothing_more() {
    let cluster = with_file(3, &content(100_000)).await;
    let file = cluster.client.open(&name("/a"), None).await.unwrap();
    let mut pieces = file.read(0..100_000);
    pieces.next().await.unwrap().unwrap();
    cluster.nodes().for_each(|node| node.become_(Mood::Hung));
    drop(pieces);
    cluster.nodes().for_each(|node| node.become_(Mood::Good));
    sleep(Duration::from_secs(1)).await;
    assert!(cluster.gets() <= 4);
}

/// Two of three nodes are dead: reads go on at once, without waiting for any timeout.
#[tokio::test(start_paused = true)]
async fn dead_nodes_cost_no_time() {
    let bytes = content(100_000);
    let cluster = with_file(3, &bytes).await;
    cluster.node(1).kill();
    cluster.node(3).kill();
    let started = Instant::now();
    assert!(cluster.download("/a").await.unwrap() == bytes);
    assert!(
        started.elapsed() < Duration::from_millis(10),
        "{:?}",
        started.elapsed()
    );
}

/// A node dies in the middle of a download: the reader notices nothing.
#[tokio::test(start_paused = true)]
async fn a_node_that_dies_in_the_middle_is_not_noticed() {
    let bytes = content(100_000);
    for dying in 1..=3 {
        let cluster = with_file(3, &bytes).await;
        let file = cluster.client.open(&name("/a"), None).await.unwrap();
        let mut pieces = file.read(0..100_000);
        let mut got = Vec::new();
        let started = Instant::now();
        while let Some(piece) = pieces.next().await {
            got.extend_from_slice(&piece.unwrap());
            if got.len() == 30_000 {
                cluster.node(dying).kill();
            }
        }
        assert!(got == bytes);
        assert!(
            started.elapsed() < Duration::from_millis(10),
            "{:?}",
            started.elapsed()
        );
    }
}

/// A stopped node: its chunks are asked of another one after 250 ms, and it is asked last from then on.
#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_stalls_a_read_for_a_quarter_of_a_second_only() {
    let bytes = content(100_000);
    let cluster = with_file(3, &bytes).await;
    cluster.node(2).become_(Mood::Hung);
    let started = Instant::now();
    assert!(cluster.download("/a").await.unwrap() == bytes);
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(250) && took < Duration::from_millis(300),
        "{took:?}"
    );

    let started = Instant::now();
    assert!(cluster.download("/a").await.unwrap() == bytes);
    assert!(
        started.elapsed() < Duration::from_millis(10),
        "{:?}",
        started.elapsed()
    );
}

/// Where all nodes are slow, asking more of them makes it worse: after the first chunks nobody is asked twice.
#[tokio::test(start_paused = true)]
async fn slow_nodes_are_not_asked_twice_when_all_are_slow() {
    let bytes = content(100_000);
    let cluster = with_file(3, &bytes).await;
    let slow = Mood::Slow(Duration::from_millis(400));
    cluster.nodes().for_each(|node| node.become_(slow));
    assert!(cluster.download("/a").await.unwrap() == bytes);
    let gets = cluster.gets();
    assert!(gets < 110, "{gets} requests for 100 chunks");
}

/// All nodes were asked for each chunk whose bytes did not come within moments, and for ever more chunks at once: on a
/// slow line all of them took ever longer, until each was given up. Now one after another gets the whole line.
#[tokio::test(start_paused = true)]
async fn a_slow_line_carries_a_large_download() {
    for (bytes_per_sec, chunk_size, chunks) in [
        (125_000, 1 << 20, 12),
        (125_000, 8 << 20, 3),
        (62_500, 8 << 20, 3),
    ] {
        let cluster = TestCluster::start(3, chunk_size).await;
        let bytes = content(chunk_size as usize * chunks);
        cluster.upload("/a", &bytes).await.unwrap();
        cluster.network.slow_down(bytes_per_sec);
        let started = Instant::now();
        assert!(cluster.download("/a").await.unwrap() == bytes);
        let alone = Duration::from_secs(bytes.len() as u64 / u64::from(bytes_per_sec));
        let took = started.elapsed();
        assert!(took < alone * 11 / 10, "{took:?} in place of {alone:?}");
        assert_eq!(cluster.gets() as usize, chunks, "nobody is asked twice");
    }
}

/// The line becomes slow in the middle, when much is under way at once.
#[tokio::test(start_paused = true)]
async fn a_line_that_becomes_slow_carries_the_rest_of_a_download() {
    let cluster = TestCluster::start(3, 1 << 20).await;
    let bytes = content(24 << 20);
    cluster.upload("/a", &bytes).await.unwrap();
    let file = cluster.client.open(&name("/a"), None).await.unwrap();
    let mut pieces = file.read(0..bytes.len() as u64);
    let mut got = Vec::new();
    while let Some(piece) = pieces.next().await {
        got.extend_from_slice(&piece.unwrap());
        if got.len() == 12 << 20 {
            cluster.network.slow_down(125_000);
        }
    }
    assert!(got == bytes);
    let gets = cluster.gets();
    assert!(gets < 28, "{gets} requests for 24 chunks");
}

/// A node gives a little all the time, but others give much more: those are asked after a quarter of a second.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_slower_than_others_does_not_hold_up_a_read() {
    let cluster = TestCluster::start(3, 1 << 20).await;
    let bytes = content(24 << 20);
    cluster.upload("/a", &bytes).await.unwrap();
    let slow = &cluster.node(2).address;
    cluster.network.slow_down_host(slow, 1_000_000);
    let started = Instant::now();
    assert!(cluster.download("/a").await.unwrap() == bytes);
    let took = started.elapsed();
    assert!(took < Duration::from_millis(600), "{took:?}");
}

/// Wrong bytes, and a wrong length: never delivered, and the master hears of it.
#[tokio::test(start_paused = true)]
async fn wrong_bytes_are_never_delivered() {
    let bytes = content(100_000);
    for mood in [Mood::Lying, Mood::Cutting] {
        let cluster = with_file(3, &bytes).await;
        cluster.node(1).become_(mood);
        cluster.node(3).become_(mood);
        assert!(cluster.download("/a").await.unwrap() == bytes, "{mood:?}");
        cluster.client.settle().await;
        let reports = cluster.master().lock().reports.clone();
        assert!(!reports.is_empty());
        let good = cluster.node(2).id;
        assert!(reports.iter().all(|(_, node)| *node != good));
    }
}

/// All copies are wrong: the stream ends with an error that says which chunk, after what is right.
#[tokio::test(start_paused = true)]
async fn a_chunk_without_a_good_copy_ends_the_stream_with_an_error() {
    let bytes = content(20_500);
    let cluster = with_file(3, &bytes).await;
    let bad = ChunkId::of(&bytes[10_000..11_000]);
    for node in cluster.nodes() {
        let mut state = node.state.lock().unwrap();
        state.chunks.insert(bad, Bytes::from(vec![0; 1000]));
    }
    let file = cluster.client.open(&name("/a"), None).await.unwrap();
    let pieces: Vec<_> = file.read(0..20_500).collect().await;
    let (last, good) = pieces.split_last().unwrap();
    let good: Vec<_> = good
        .iter()
        .map(|piece| piece.as_ref().unwrap().clone())
        .collect();
    assert!(good.concat() == bytes[..10_000]);
    match last {
        Err(Error::Corrupt { what, chunk }) => {
            assert_eq!(*chunk, bad);
            assert!(what.contains("/a") && what.contains("10"), "{what}");
        }
        other => panic!("{other:?}"),
    }
}

/// All copies were bad, and the master struck them off its record: the next reader heard that no node can be reached, as if
/// it helped to wait for one.
#[tokio::test(start_paused = true)]
async fn a_chunk_without_a_copy_on_record_is_damaged() {
    let bytes = content(2_500);
    let cluster = with_file(3, &bytes).await;
    let gone = ChunkId::of(&bytes[1_000..2_000]);
    cluster.master().lock().chunks.insert(gone, [].into());
    let error = cluster.download("/a").await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { chunk, .. } if *chunk == gone),
        "{error:?}"
    );
}

/// The chunks were moved since the file was opened: the master is asked again where they are.
#[tokio::test(start_paused = true)]
async fn chunks_that_moved_are_found() {
    let bytes = content(20_500);
    let cluster = with_file(4, &bytes).await;
    let file = cluster.client.open(&name("/a"), None).await.unwrap();
    let target = cluster.node(4);
    for chunk in bytes.chunks(CHUNK as usize) {
        let chunk = Bytes::copy_from_slice(chunk);
        let id = ChunkId::of(&chunk);
        target.state.lock().unwrap().chunks.insert(id, chunk);
        cluster
            .master()
            .lock()
            .chunks
            .insert(id, [target.id].into());
    }
    (1..=3).for_each(|number| cluster.node(number).wipe());
    let pieces: Vec<Bytes> = file.read(0..20_500).try_collect().await.unwrap();
    assert!(pieces.concat() == bytes);
}

/// All nodes restart at once, which takes them a second.
#[tokio::test(start_paused = true)]
async fn nodes_that_restart_are_waited_for() {
    let bytes = content(20_500);
    let cluster = with_file(3, &bytes).await;
    cluster.nodes().for_each(FakeNode::kill);
    let restart = async {
        sleep(Duration::from_secs(1)).await;
        cluster.nodes().for_each(FakeNode::restart);
    };
    let (got, ()) = tokio::join!(cluster.download("/a"), restart);
    assert!(got.unwrap() == bytes);
}

#[tokio::test(start_paused = true)]
async fn a_file_whose_nodes_are_gone_is_an_error_soon() {
    let cluster = with_file(3, &content(20_500)).await;
    cluster.nodes().for_each(FakeNode::kill);
    let started = Instant::now();
    let error = cluster.download("/a").await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unavailable {
                source: Some(_),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

/// All nodes are stopped: the read ends all the same.
#[tokio::test(start_paused = true)]
async fn a_read_from_nodes_that_never_answer_ends() {
    let cluster = with_file(3, &content(20_500)).await;
    cluster.nodes().for_each(|node| node.become_(Mood::Hung));
    let started = Instant::now();
    let error = cluster.download("/a").await.unwrap_err();
    let expected = matches!(error, Error::TimedOut { .. } | Error::Unavailable { .. });
    assert!(expected, "{error:?}");
    assert!(
        started.elapsed() <= Duration::from_secs(130),
        "{:?}",
        started.elapsed()
    );
}

/// The master dies after the file was opened: what it has located is still read.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_open_is_read_without_the_master() {
    let bytes = content(20_500);
    let cluster = with_file(3, &bytes).await;
    let file = cluster.client.open(&name("/a"), None).await.unwrap();
    cluster.master().kill();
    let pieces: Vec<Bytes> = file.read(0..20_500).try_collect().await.unwrap();
    assert!(pieces.concat() == bytes);
}

#[tokio::test(start_paused = true)]
async fn a_missing_file_is_not_found() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let error = cluster.download("/missing").await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_file_is_explained_chunk_by_chunk() {
    let bytes = content(2500);
    let cluster = with_file(3, &bytes).await;
    cluster.node(1).wipe();
    cluster.node(2).kill();
    let file = cluster.client.open(&name("/a"), None).await.unwrap();
    let explained = file.explain(1, 100).await.unwrap();
    assert_eq!(explained.len(), 2);
    assert_eq!((explained[0].index, explained[0].len), (1, 1000));
    assert_eq!((explained[1].index, explained[1].len), (2, 500));
    for chunk in explained {
        assert_eq!(chunk.copies.len(), 3);
        for copy in chunk.copies {
            let state = copy.description.map(|description| description.state);
            let expected = match copy.node.uuid().as_u128() {
                1 => Some(ChunkState::Missing),
                2 => None,
                _ => Some(ChunkState::Good),
            };
            assert_eq!(state, expected);
        }
    }
}

/// A long file was explained by its name, part after part: when it was overwritten between two, half of it was another
/// file.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_overwritten_is_explained_as_it_was() {
    let bytes = content(2500);
    let cluster = with_file(3, &bytes).await;
    let file = cluster.client.open(&name("/a"), None).await.unwrap();
    cluster.upload("/a", &content(7000)[3000..]).await.unwrap();
    let explained = file.explain(2, 100).await.unwrap();
    assert_eq!(explained.len(), 1);
    assert_eq!(explained[0].chunk, ChunkId::of(&bytes[2000..]));
}
