//! A node that starts on folders of the machine.

use disk::RealDisk;
use proto::net::Tcp;
use tokio_util::sync::CancellationToken;

use super::support::{config, environment};
use crate::config::Config;
use crate::run::{Opened, run};

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
    assert!(error.contains("give another port"), "{error}");
    assert!(!path.exists());
}

/// A folder that is not there is made; a file in its place is left alone.
#[tokio::test]
async fn a_new_folder_is_made_and_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("node");
    let open = || Opened::open(&config(), &environment(), &[RealDisk::at(&path)]).map(drop);
    open().unwrap();
    assert!(path.join("node.json").exists());
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::write(&path, "text").unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("folder 1 is not a folder"), "{error}");
}
