//! The plain calls: names, the trash, and what people ask of the cluster.

use std::time::Duration;

use client::{Cluster, DeleteOptions, Error};
use futures::future::join_all;
use proto::master::{BrowseOrder, Entry, Precondition, SortedBy, TrashId};
use proto::name::EntryPath;
use tokio::time::timeout;

use crate::master::SORTS;
use crate::support::{TestCluster, name};

const CHUNK: u32 = 1000;

async fn listed(client: &Cluster, folder: &EntryPath) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = client.list(folder, after.clone(), 2).await.unwrap();
        for entry in &page.entries {
            let (Entry::File { name, .. }
            | Entry::Folder {
                name: Some(name), ..
            }) = entry
            else {
                panic!("an entry of a folder has a name");
            };
            after = Some(name.clone());
            names.push(name.as_str().to_owned());
        }
        if !page.more {
            return names;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_listed_page_by_page() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let client = &cluster.client;
    client.create_folder(&name("/c"), false).await.unwrap();
    for path in ["/b", "/a", "/e", "/d", "/c/inside"] {
        cluster.upload(path, b"bytes").await.unwrap();
    }
    let all = listed(client, &EntryPath::ROOT).await;
    assert_eq!(all, ["a", "b", "c", "d", "e"]);
    assert_eq!(listed(client, &name("/c")).await, ["inside"]);
}

/// Pages by size waited at the master, each in one of the places that everything has in common which a process asks of it; also
/// those that nobody wanted any more.
#[tokio::test(start_paused = true)]
async fn only_a_few_pages_by_size_are_asked_for_at_once() {
    const SOON: Duration = Duration::from_secs(1);
    let cluster = TestCluster::start(3, CHUNK).await;
    cluster.upload("/a", b"bytes").await.unwrap();
    let by_size = BrowseOrder {
        by: SortedBy::Size,
        ..BrowseOrder::default()
    };
    let (client, root) = (&cluster.client, EntryPath::ROOT);
    let page = async |order| {
        let browsed = client.browse(&root, order, None, None, 10);
        browsed.await.unwrap().entries.len()
    };
    let sorts = u32::try_from(SORTS).unwrap();
    let held = cluster.master().sorts.acquire_many(sorts).await.unwrap();
    let many = join_all((0..40).map(|_| page(by_size)));
    // The clock goes on when nothing else does.
    timeout(SOON, many).await.unwrap_err();
    assert_eq!(cluster.master().calls("browse_folder"), 16);
    assert_eq!(page(BrowseOrder::default()).await, 1, "by name at once");
    drop(held);
    assert_eq!(page(by_size).await, 1);
    let asked = cluster.master().calls("browse_folder");
    assert_eq!(asked, 18, "nobody waits any more for the others");
}

#[tokio::test(start_paused = true)]
async fn a_search_goes_on_where_its_last_page_ended() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let client = &cluster.client;
    for path in ["/a/One", "/b/two", "/b/one more", "/c", "/d/ONE"] {
        cluster.upload(path, b"bytes").await.unwrap();
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = client.search("one", &EntryPath::ROOT, after, 1).await;
        let page = page.unwrap();
        found.extend(page.found.into_iter().map(|found| found.path));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ["/a/One", "/b/one more", "/d/ONE"].map(name));
    let in_folder = client.search("one", &name("/b"), None, 9).await.unwrap();
    assert_eq!(in_folder.found.len(), 1);
}

/// The answer to each change gets lost once: it is asked for again, with the same id, and the change is made once.
#[tokio::test(start_paused = true)]
async fn names_are_changed_once_although_answers_are_lost() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let client = &cluster.client;
    let lose = |operation| cluster.master().lock().cut_answer_to = Some(operation);
    cluster.upload("/a", b"bytes").await.unwrap();

    lose("move_entry");
    let moved = client.move_entry(&name("/a"), &name("/b"), false).await;
    assert!(
        matches!(moved, Ok(Entry::File { size: 5, .. })),
        "{moved:?}"
    );
    lose("delete_entry");
    let trashed = client.delete(&name("/b"), DeleteOptions::default()).await;
    let trashed = trashed.unwrap().unwrap();
    assert_eq!(client.list_trash(None, 9).await.unwrap().entries.len(), 1);
    lose("restore_entry");
    let restored = client.restore(trashed, Some(&name("/c"))).await.unwrap();
    assert_eq!(restored, name("/c"));
    assert_eq!(cluster.download("/c").await.unwrap(), b"bytes");

    client
        .delete(&name("/c"), DeleteOptions::default())
        .await
        .unwrap();
    lose("empty_trash");
    client.empty_trash(None).await.unwrap();
    let trash = client.list_trash(None, 9).await.unwrap();
    assert!(trash.entries.is_empty() && !trash.more);
    for operation in ["move_entry", "restore_entry", "empty_trash"] {
        assert_eq!(cluster.master().calls(operation), 2, "{operation}");
    }
    assert!(listed(client, &EntryPath::ROOT).await.is_empty());
}

/// The same for versions: what was asked for again is refused where it is done again.
#[tokio::test(start_paused = true)]
async fn versions_are_restored_once_although_answers_are_lost() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let (client, path) = (&cluster.client, name("/a"));
    let lose = |operation| cluster.master().lock().cut_answer_to = Some(operation);
    let first = cluster.upload("/a", b"first").await.unwrap().version;
    cluster.upload("/a", b"second").await.unwrap();

    lose("restore_version");
    let restored = client
        .restore_version(&path, first, Precondition::Any)
        .await;
    assert!(
        matches!(restored, Ok(Entry::File { version, .. }) if version == first),
        "{restored:?}"
    );
    assert_eq!(cluster.download("/a").await.unwrap(), b"first");
    let listed = client.versions(&path, None, 9).await.unwrap();
    assert_eq!(listed.current.version, first);
    lose("remove_version");
    let former = listed.former[0].version;
    client.remove_version(&path, former).await.unwrap();
    let listed = client.versions(&path, None, 9).await.unwrap();
    assert!(listed.former.is_empty() && !listed.more);
    for operation in ["restore_version", "remove_version"] {
        assert_eq!(cluster.master().calls(operation), 2, "{operation}");
    }
    let gone = client
        .restore_version(&path, former, Precondition::Any)
        .await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_a_caller_can_decide_by() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let client = &cluster.client;
    cluster.upload("/a", b"a").await.unwrap();
    cluster.upload("/b", b"b").await.unwrap();
    let taken = client.move_entry(&name("/a"), &name("/b"), false).await;
    assert!(
        matches!(taken, Err(Error::AlreadyExists { .. })),
        "{taken:?}"
    );
    let missing = client.delete(&name("/x"), DeleteOptions::default()).await;
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
    let missing = client.restore(TrashId(9), None).await;
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_people_ask_of_the_cluster_reaches_the_master() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let client = &cluster.client;
    assert_eq!(client.nodes(None, 2).await.unwrap().nodes.len(), 2);
    client.leave_safe_mode().await.unwrap();
    client.reset_delete_fuse().await.unwrap();
    client.remove_node(cluster.node(1).id, true).await.unwrap();
    for operation in ["leave_safe_mode", "reset_delete_fuse", "remove_node"] {
        assert_eq!(cluster.master().calls(operation), 1, "{operation}");
    }
}
