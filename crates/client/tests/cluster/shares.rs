//! Share links, as their owner and as whoever has one.

use client::{Error, Password, ShareOptions};

use crate::support::{TestCluster, name};

/// The answer to each change gets lost once: it is asked for again, with the same id, and is done once.
#[tokio::test]
async fn shares_change_once_although_answers_are_lost() {
    let cluster = TestCluster::start(3, 1000).await;
    let client = &cluster.client;
    let lose = |operation| cluster.master().lock().cut_answer_to = Some(operation);
    cluster.upload("/a", b"bytes").await.unwrap();

    lose("create_share");
    let options = ShareOptions {
        downloads_max: Some(2),
        ..ShareOptions::default()
    };
    let made = client.share(&name("/a"), options).await.unwrap();
    assert_eq!(client.shares(None, 9).await.unwrap().shares.len(), 1);
    let found = client.find_share(&made.token).await.unwrap();
    assert_eq!(found.share.share, made.share);
    assert_eq!(found.share.shared.unwrap().path, name("/a"));

    lose("count_download");
    assert_eq!(client.count_download(made.share).await.unwrap(), 1);
    assert_eq!(client.count_download(made.share).await.unwrap(), 2);
    let used_up = client.count_download(made.share).await;
    assert!(
        matches!(used_up, Err(Error::PreconditionFailed { .. })),
        "{used_up:?}"
    );

    lose("revoke_share");
    client.revoke_share(made.share).await.unwrap();
    let gone = client.find_share(&made.token).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    for (operation, calls) in [
        ("create_share", 2),
        ("count_download", 4),
        ("revoke_share", 2),
    ] {
        assert_eq!(cluster.master().calls(operation), calls, "{operation}");
    }
}

/// The master gets neither the token nor the password, and what it gets is enough to check both.
#[tokio::test]
async fn the_master_knows_hashes_only() {
    let cluster = TestCluster::start(3, 1000).await;
    let client = &cluster.client;
    cluster.upload("/a", b"bytes").await.unwrap();
    let password = Password::new("open sesame").unwrap();
    let options = ShareOptions {
        password: Some(password.clone()),
        ..ShareOptions::default()
    };
    let first = client.share(&name("/a"), options.clone()).await.unwrap();
    let second = client.share(&name("/a"), options).await.unwrap();
    assert_ne!(first.token, second.token);
    assert_eq!(first.token.as_str().len(), 32);
    let known = format!("{:?}", cluster.master().lock());
    assert!(!known.contains(first.token.as_str()));
    let found = client.find_share(&first.token).await.unwrap();
    let hash = found.password.unwrap();
    let other = client.find_share(&second.token).await.unwrap();
    assert_ne!(Some(&hash), other.password.as_ref(), "each has its salt");
    assert!(password.is(&hash).await);
    assert!(!Password::new("open").unwrap().is(&hash).await);
}
