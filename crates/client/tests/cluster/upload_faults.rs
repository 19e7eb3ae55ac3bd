//! Uploads while nodes die, hang, fill up, and the master forgets.

use std::sync::Arc;
use std::time::Duration;

use client::{Cluster, Error, UploadOptions, Uploaded};
use tokio::time::{Instant, sleep};

use crate::master::FakeMaster;
use crate::node::{FakeNode, Mood};
use crate::support::{TestCluster, Watched, content, name, options};

const CHUNK: u32 = 1000;

/// Uploads, and does this when a part of it is read.
async fn upload_and(
    cluster: &Arc<TestCluster>,
    bytes: &[u8],
    at: u64,
    fault: impl FnOnce(&TestCluster) + Send + Sync + 'static,
) -> Result<Uploaded, Error> {
    let target = cluster.clone();
    let reader = Watched::new(bytes).at(at, move || {
        fault(&target);
        Ok(())
    });
    let options = UploadOptions::default();
    cluster.client.upload(&name("/a"), reader, options).await
}

async fn assert_comes_back(cluster: &TestCluster, bytes: &[u8]) {
    assert!(cluster.download("/a").await.unwrap() == bytes);
}

/// A node dies in the middle: the upload goes on at once, with two copies of the rest.
#[tokio::test(start_paused = true)]
async fn a_node_that_dies_does_not_stop_an_upload() {
    let cluster = Arc::new(TestCluster::start(3, CHUNK).await);
    let bytes = content(40_000);
    let started = Instant::now();
    let uploaded = upload_and(&cluster, &bytes, 20_000, |cluster| cluster.node(2).kill()).await;
    assert_eq!(uploaded.unwrap().copies, 2);
    assert!(
        started.elapsed() < Duration::from_millis(100),
        "{:?}",
        started.elapsed()
    );
    assert_comes_back(&cluster, &bytes).await;
}

/// The same with a fourth node: it takes the place of the dead one, so that there are three copies of everything.
#[tokio::test(start_paused = true)]
async fn a_node_that_dies_is_replaced_where_there_is_another() {
    let cluster = Arc::new(TestCluster::start(4, CHUNK).await);
    let bytes = content(40_000);
    cluster.node(2).kill();
    let uploaded = cluster.upload("/a", &bytes).await.unwrap();
    assert_eq!(uploaded.copies, 3);
    assert_comes_back(&cluster, &bytes).await;
}

/// Its connections break, but it takes new ones: a chunk that was under way goes there again.
#[tokio::test(start_paused = true)]
async fn broken_connections_are_made_anew() {
    let cluster = Arc::new(TestCluster::start(2, CHUNK).await);
    let bytes = content(40_000);
    let cut = |cluster: &TestCluster| {
        cluster
            .nodes()
            .for_each(|node| cluster.network.cut(&node.address));
    };
    let uploaded = upload_and(&cluster, &bytes, 20_000, cut).await.unwrap();
    assert_eq!(uploaded.copies, 2);
    assert_comes_back(&cluster, &bytes).await;
}

/// A stopped node holds up writes for one second, once; what comes after does not wait for it.
#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_is_left_behind() {
    let cluster = Arc::new(TestCluster::start(3, CHUNK).await);
    let bytes = content(200_000);
    let started = Instant::now();
    let hang = |cluster: &TestCluster| cluster.node(1).become_(Mood::Hung);
    let uploaded = upload_and(&cluster, &bytes, 50_000, hang).await.unwrap();
    assert_eq!(uploaded.copies, 2);
    let took = started.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_millis(1500),
        "{took:?}"
    );

    let started = Instant::now();
    cluster.upload("/b", &content(100_500)).await.unwrap();
    assert!(
        started.elapsed() < Duration::from_millis(100),
        "{:?}",
        started.elapsed()
    );
    assert_comes_back(&cluster, &bytes).await;
}

/// After ten seconds the node is tried again.
#[tokio::test(start_paused = true)]
async fn a_node_that_hung_is_used_again_when_it_is_well() {
    let cluster = TestCluster::start(3, CHUNK).await;
    cluster.node(1).become_(Mood::Hung);
    assert_eq!(cluster.upload("/a", b"one").await.unwrap().copies, 2);
    cluster.node(1).become_(Mood::Good);
    assert_eq!(cluster.upload("/b", b"two").await.unwrap().copies, 2);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(cluster.upload("/c", b"three").await.unwrap().copies, 3);
}

/// Two of four hang: other nodes are found, although too few have answered.
#[tokio::test(start_paused = true)]
async fn nodes_that_hang_are_replaced_when_copies_are_missing() {
    let cluster = TestCluster::start(4, CHUNK).await;
    cluster.node(1).become_(Mood::Hung);
    cluster.node(2).become_(Mood::Hung);
    let started = Instant::now();
    let bytes = content(40_000);
    let uploaded = cluster.upload("/a", &bytes).await.unwrap();
    assert_eq!(uploaded.copies, 2);
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    assert_comes_back(&cluster, &bytes).await;
}

/// A line so slow that everything takes nine seconds is no failure of anybody.
#[tokio::test(start_paused = true)]
async fn slow_nodes_are_waited_for_when_all_are_slow() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let slow = Mood::Slow(Duration::from_secs(9));
    cluster.nodes().for_each(|node| node.become_(slow));
    let bytes = content(3000);
    assert_eq!(cluster.upload("/a", &bytes).await.unwrap().copies, 3);
    assert_comes_back(&cluster, &bytes).await;
}

/// An uplink of 1 Mbit/s carries one chunk of 1 MiB to three nodes in 25 seconds, and one of 8 MiB in 200: fewer are
/// sent at once, until each passes.
#[tokio::test(start_paused = true)]
async fn a_slow_uplink_carries_a_large_upload() {
    for (bytes_per_sec, chunk_size, chunks) in [
        (125_000, 1 << 20, 24),
        (125_000, 8 << 20, 4),
        (62_500, 8 << 20, 4),
    ] {
        let cluster = TestCluster::start(3, chunk_size).await;
        cluster.network.slow_down(bytes_per_sec);
        let bytes = content(chunk_size as usize * chunks);
        let started = Instant::now();
        let uploaded = cluster.upload("/a", &bytes).await.unwrap();
        assert!(uploaded.copies >= 2);
        let alone = Duration::from_secs(3 * bytes.len() as u64 / u64::from(bytes_per_sec));
        let took = started.elapsed();
        assert!(took < alone * 2, "{took:?} in place of {alone:?}");
        assert_comes_back(&cluster, &bytes).await;
    }
}

/// One of three nodes is left: an upload cannot be kept, and says so within seconds.
#[tokio::test(start_paused = true)]
async fn too_few_nodes_are_an_error_and_leave_nothing() {
    for mood in [Mood::Good, Mood::Full] {
        let cluster = TestCluster::start(3, CHUNK).await;
        for number in [1, 2] {
            match mood {
                Mood::Full => cluster.node(number).become_(mood),
                _ => cluster.node(number).kill(),
            }
        }
        let started = Instant::now();
        let error = cluster.upload("/a", &content(40_000)).await.unwrap_err();
        let expected = match mood {
            Mood::Full => matches!(error, Error::NoSpace { .. }),
            _ => matches!(
                error,
                Error::NotEnoughReplicas {
                    source: Some(_),
                    ..
                }
            ),
        };
        assert!(expected, "{error:?}");
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{:?}",
            started.elapsed()
        );
        cluster.assert_nothing_left("/a").await;
    }
}

/// The same where the master knows it: the upload waits five seconds for nodes to come back.
#[tokio::test(start_paused = true)]
async fn too_few_nodes_that_the_master_knows_of_are_an_error_soon() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let dead = [cluster.node(1).id, cluster.node(2).id];
    cluster.master().lock().dead.extend(dead);
    let started = Instant::now();
    let error = cluster.upload("/a", &content(40_000)).await.unwrap_err();
    assert!(
        matches!(error, Error::NotEnoughReplicas { .. }),
        "{error:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );
    cluster.assert_nothing_left("/a").await;
}

/// All nodes hang for ever: even then the upload ends.
#[tokio::test(start_paused = true)]
async fn an_upload_to_nodes_that_never_answer_ends() {
    let cluster = TestCluster::start(3, CHUNK).await;
    cluster.nodes().for_each(|node| node.become_(Mood::Hung));
    let started = Instant::now();
    let error = cluster.upload("/a", &content(40_000)).await.unwrap_err();
    assert!(
        matches!(error, Error::NotEnoughReplicas { .. }),
        "{error:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(240),
        "{:?}",
        started.elapsed()
    );
    cluster.assert_nothing_left("/a").await;
}

#[tokio::test(start_paused = true)]
async fn a_full_node_is_replaced() {
    let cluster = TestCluster::start(4, CHUNK).await;
    cluster.node(3).become_(Mood::Full);
    let bytes = content(40_000);
    assert_eq!(cluster.upload("/a", &bytes).await.unwrap().copies, 3);
    assert_comes_back(&cluster, &bytes).await;
}

/// Nodes come back while an upload waits for them.
#[tokio::test(start_paused = true)]
async fn nodes_that_restart_are_waited_for() {
    let cluster = Arc::new(TestCluster::start(3, CHUNK).await);
    let again = cluster.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(2)).await;
        again.nodes().for_each(FakeNode::restart);
    });
    let bytes = content(40_000);
    let kill = |cluster: &TestCluster| cluster.nodes().for_each(FakeNode::kill);
    upload_and(&cluster, &bytes, 20_000, kill).await.unwrap();
    assert_comes_back(&cluster, &bytes).await;
}

/// The answer to each kind of call gets lost: the call is repeated, and nothing is done twice.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_the_master_is_asked_for_again() {
    for operation in [
        "allocate_chunks",
        "record_chunks",
        "commit_upload",
        "get_status",
    ] {
        let cluster = TestCluster::start(3, CHUNK).await;
        cluster.master().lock().cut_answer_to = Some(operation);
        let bytes = content(600_000);
        let uploaded = cluster.upload("/a", &bytes).await.unwrap();
        assert_eq!(uploaded.version.0, 1, "{operation}");
        assert!(uploaded.created, "{operation}");
        assert_eq!(cluster.master().lock().cut_answer_to, None, "{operation}");
        assert_comes_back(&cluster, &bytes).await;
    }
    let cluster = TestCluster::start(3, CHUNK).await;
    cluster.master().lock().cut_answer_to = Some("create_folder");
    assert!(
        cluster
            .client
            .create_folder(&name("/folder"), false)
            .await
            .unwrap()
    );
    assert_eq!(cluster.master().calls("create_folder"), 2);
}

/// The master is away for five seconds in the middle of an upload.
#[tokio::test(start_paused = true)]
async fn a_restart_of_the_master_is_waited_for() {
    let cluster = Arc::new(TestCluster::start(3, CHUNK).await);
    let again = cluster.clone();
    let bytes = content(40_000);
    let uploaded = upload_and(&cluster, &bytes, 20_000, |cluster| {
        cluster.master().kill();
        tokio::spawn(async move {
            sleep(Duration::from_secs(5)).await;
            again.master().restart();
        });
    });
    uploaded.await.unwrap();
    assert_comes_back(&cluster, &bytes).await;
}

#[tokio::test(start_paused = true)]
async fn a_master_that_is_not_there_is_an_error_soon() {
    let cluster = TestCluster::start(3, CHUNK).await;
    cluster.master().kill();
    let started = Instant::now();
    let error = cluster.upload("/a", b"bytes").await.unwrap_err();
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
        started.elapsed() <= Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn another_master_is_asked_when_the_first_does_not_answer() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let gone = "127.0.0.1:9".parse().unwrap();
    let masters = vec![gone, cluster.master().address.clone()];
    let network = Arc::new(cluster.network.clone());
    let client = Cluster::new(network, masters, None, options());
    let started = Instant::now();
    client.status().await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(10));
}

/// The connection to the master leads nowhere, and nobody says so: the call is repeated on a new one in time.
#[tokio::test(start_paused = true)]
async fn a_connection_that_went_silent_is_given_up() {
    let cluster = Arc::new(TestCluster::start(3, CHUNK).await);
    let bytes = content(40_000);
    let started = Instant::now();
    let silence = |cluster: &TestCluster| cluster.network.silence(&cluster.master().address);
    upload_and(&cluster, &bytes, 20_000, silence).await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(11),
        "{:?}",
        started.elapsed()
    );
    assert_comes_back(&cluster, &bytes).await;
}

/// The same for the connections to a node: one second is lost.
#[tokio::test(start_paused = true)]
async fn connections_to_a_node_that_went_silent_are_given_up() {
    let cluster = Arc::new(TestCluster::start(3, CHUNK).await);
    let bytes = content(40_000);
    let started = Instant::now();
    let silence = |cluster: &TestCluster| cluster.network.silence(&cluster.node(1).address);
    let uploaded = upload_and(&cluster, &bytes, 20_000, silence).await.unwrap();
    assert_eq!(uploaded.copies, 2);
    assert!(
        started.elapsed() < Duration::from_millis(1100),
        "{:?}",
        started.elapsed()
    );
    assert_comes_back(&cluster, &bytes).await;
}

/// What the master can forget, at some point of the upload: all is stored again as it must be.
async fn check_forgetting(at: u64, nodes: usize, forget: fn(&FakeMaster)) {
    let cluster = Arc::new(TestCluster::start(nodes, 100).await);
    let bytes = content(110_050);
    let uploaded = upload_and(&cluster, &bytes, at, move |cluster| {
        forget(cluster.master());
    });
    assert_eq!(uploaded.await.unwrap().copies, 3, "{at}");
    assert_comes_back(&cluster, &bytes).await;
    cluster.client.settle().await;
    assert!(cluster.master().lock().uploads.is_empty());
}

/// In the first block, at the end of one, in the second, in the third, and before the commit.
const MOMENTS: [u64; 5] = [2000, 51_100, 54_000, 105_000, 110_050];

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_master_does_not_stop_an_upload() {
    for at in MOMENTS {
        check_forgetting(at, 3, FakeMaster::crash).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_over_for_the_master_begins_again() {
    for at in MOMENTS {
        check_forgetting(at, 3, FakeMaster::end_uploads).await;
    }
    check_forgetting(105_000, 6, FakeMaster::end_uploads).await;
}

/// The master has forgotten even that there was such an upload, and takes it for a new one.
#[tokio::test(start_paused = true)]
async fn an_upload_whose_blocks_are_out_of_order_begins_again() {
    check_forgetting(54_000, 3, FakeMaster::forget_uploads).await;
}

/// Receipts for forgotten promises are worth nothing: what they stand for is stored again.
#[tokio::test(start_paused = true)]
async fn chunks_of_forgotten_promises_are_stored_again() {
    let cluster = Arc::new(TestCluster::start(3, CHUNK).await);
    let bytes = content(40_000);
    let crash = |cluster: &TestCluster| cluster.master().crash();
    upload_and(&cluster, &bytes, 40_000, crash).await.unwrap();
    assert_eq!(cluster.puts(), 240);
    assert_comes_back(&cluster, &bytes).await;
}

/// The master crashed between two rounds of one chunk: the copies of the first do not count in the second.
#[tokio::test(start_paused = true)]
async fn a_chunk_whose_promise_is_forgotten_on_its_way_is_sent_to_all_nodes_again() {
    let cluster = Arc::new(TestCluster::start(4, CHUNK).await);
    cluster.nodes().for_each(|node| node.become_(Mood::Full));
    let again = cluster.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(1)).await;
        again.node(1).become_(Mood::Good);
        sleep(Duration::from_secs(1)).await;
        again.master().crash();
        again.nodes().for_each(|node| node.become_(Mood::Good));
    });
    let uploaded = cluster.upload("/a", b"one chunk").await.unwrap();
    assert_eq!(uploaded.copies, 3);
    assert_eq!(cluster.master().calls("commit_upload"), 1);
    assert_comes_back(&cluster, b"one chunk").await;
}

/// The master forgot the upload, and the nodes lost what they had stored: there is nothing to begin again with.
#[tokio::test(start_paused = true)]
async fn an_upload_that_cannot_be_repeated_fails_and_says_why() {
    let cluster = Arc::new(TestCluster::start(3, CHUNK).await);
    let bytes = content(40_000);
    let result = upload_and(&cluster, &bytes, 40_000, |cluster| {
        cluster.master().end_uploads();
        cluster.nodes().for_each(FakeNode::wipe);
    });
    let error = result.await.unwrap_err();
    assert!(
        error.to_string().contains("the master forgot the upload"),
        "{error}"
    );
    cluster.assert_nothing_left("/a").await;
}

/// A laptop slept longer than its lease, behind a router that forgot its connections: what is stored is read back over
/// new ones, and the upload goes on.
#[tokio::test(start_paused = true)]
async fn an_upload_whose_lease_ended_while_its_connections_went_silent_goes_on() {
    // Small chunks and large ones go over connections of different kinds.
    for (chunk_size, len, moments) in [
        (100, 110_050, &MOMENTS[..]),
        (70_000, 700_000, &[350_000, 700_000]),
    ] {
        for at in moments {
            let cluster = Arc::new(TestCluster::start(4, chunk_size).await);
            let bytes = content(len);
            let uploaded = upload_and(&cluster, &bytes, *at, |cluster| {
                cluster.master().end_uploads();
                for node in cluster.nodes() {
                    cluster.network.silence(&node.address);
                }
            });
            let copies = uploaded.await.map(|uploaded| uploaded.copies);
            assert!(copies.is_ok_and(|copies| copies >= 2), "{chunk_size}, {at}");
            assert_comes_back(&cluster, &bytes).await;
        }
    }
}
