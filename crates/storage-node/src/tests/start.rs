//! A node that starts on folders of the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use disk::{Blocking, MemoryDisk, RealDisk};
use proto::memory::MemoryNetwork;
use proto::net::Tcp;
use tokio_util::sync::CancellationToken;

use super::support::{TestNode, config, environment, threads};
use crate::config::Config;
use crate::environment::Environment;
use crate::opening::Opened;
use crate::run::{RunError, run};

/// Another program has the port: the sentence says what to do, and no folder is left behind.
#[tokio::test]
async fn a_node_that_cannot_listen_makes_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let taken = Tcp::shared();
    let taken = taken.listen(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let config = Config {
        listen: taken.address(),
        ..config()
    };
    let path = folder.path().join("node");
    let disks = vec![RealDisk::at(&path)];
    let running = run(
        config,
        environment(),
        Tcp::shared(),
        disks,
        CancellationToken::new(),
        |_| {},
    );
    let error = running.await.unwrap_err().to_string();
    assert!(error.contains("choose another port"), "{error}");
    assert!(!path.exists());
}

/// A folder that is not there is made; a file in its place is left alone.
#[tokio::test]
async fn a_new_folder_is_made_and_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("node");
    let open = async || {
        let disks = [RealDisk::at(&path)];
        Opened::open(&config(), &environment(), &disks)
            .await
            .map(drop)
    };
    open().await.unwrap();
    assert!(path.join("node.json").exists());
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::write(&path, "text").unwrap();
    let error = open().await.unwrap_err().to_string();
    assert!(error.contains("folder 1 is not a folder"), "{error}");
}

/// Starts a node on a disk that hangs, and has it stop when it waits for that.
async fn stop_while_it_waits(disk: &MemoryDisk) {
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(run(
        config(),
        threads(),
        Arc::new(MemoryNetwork::default()),
        vec![disk.shared()],
        shutdown.clone(),
        |_| {},
    ));
    while disk.waiting() == 0 {
        assert!(!running.is_finished(), "it ended before it was told to");
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

/// A disk hangs while the node starts. The node did not even stop when it was told to.
#[tokio::test]
async fn a_node_whose_disk_hangs_at_the_start_can_be_stopped() {
    let disk = MemoryDisk::new();
    let hang = disk.hang();
    stop_while_it_waits(&disk).await;
    drop(hang);
}

/// A node was stopped while a disk hung in a write of its opening, and another process could take the folder although that write was
/// still to come.
#[tokio::test]
async fn a_disk_that_is_still_being_opened_stays_locked() {
    let disk = MemoryDisk::new();
    TestNode::open(&[&disk]).stop().await;
    let hang = disk.hang_writes();
    stop_while_it_waits(&disk).await;
    let refused = TestNode::try_open(&[&disk], &config()).map(drop);
    let refused = refused.unwrap_err();
    assert!(refused.contains("in use by another process"), "{refused}");
    drop(hang);
    while TestNode::try_open(&[&disk], &config()).is_err() {
        tokio::task::yield_now().await;
    }
}

/// A defect ended the scrubber, and nobody saw that nothing was scrubbed from then on: it ends the node.
#[tokio::test]
async fn a_part_that_ends_by_a_defect_ends_the_node() {
    let breaks = Arc::new(AtomicBool::new(false));
    let clock = Arc::clone(&breaks);
    let now_ms = move || {
        assert!(!clock.load(Ordering::Relaxed), "the clock broke");
        1_700_000_000_000
    };
    let environment = Environment::new(Blocking::inline(), now_ms, |bytes| bytes.fill(7));
    let config = Config {
        scrub_rate: 1 << 20,
        ..config()
    };
    let running = run(
        config,
        environment,
        Arc::new(MemoryNetwork::default()),
        vec![MemoryDisk::new().shared()],
        CancellationToken::new(),
        |_| breaks.store(true, Ordering::Relaxed),
    );
    let error = running.await.unwrap_err();
    assert!(matches!(error, RunError::Loop(_)), "{error}");
    assert!(error.to_string().contains("scrubbing ended"), "{error}");
}
