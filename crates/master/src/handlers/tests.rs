//! The requests of clients, answered on a state in memory by a cluster that is only told to be there.

use std::collections::BTreeSet;
use std::thread::ThreadId;

use disk::{Disk, MemoryDisk, RedbBackend};
use proto::ErrorCode;
use proto::hello::{ReceiptKey, Role};
use proto::id::{ClusterId, NodeId, PromiseId, RequestId, UploadId};
use proto::master::{
    CHUNKS_PER_BLOCK, ChunkToStore, ClusterRules, Placement, Precondition, StoredChunk,
};
use proto::name::{EntryPath, NameRules};
use proto::node::Receipt;
use rand::SeedableRng;
use uuid::Uuid;

use super::*;
use crate::command::{ClusterMillis, Command};
use crate::commit::CommitOptions;
use crate::state::{Outcome, StateOptions};

mod sorts;
mod world;

use world::{NODES, caller, chunk, files, files_on, key_of, node_id, path, set, upload_id};

#[tokio::test]
async fn a_file_that_was_put_can_be_opened_with_the_live_nodes_first() {
    let files = files().await;
    let committed = files.put("/a/f", 1).await;
    assert_eq!((committed.copies, committed.copies_wanted), (3, 3));
    let request = || OpenFile {
        path: path("/a/f"),
        version: None,
        chunks: 512,
    };
    let opened = files.open_file(&caller(), request()).await.unwrap();
    assert_eq!((opened.size, opened.modified_ms), (100, 7));
    let first = &opened.first.chunks[0];
    assert_eq!((first.chunk, first.nodes.len()), (chunk(1).chunk, 3));

    let down = opened.first.nodes[usize::from(first.nodes[0])].node;
    let number = u32::try_from(down.uuid().as_u128()).unwrap();
    files.cluster.down.lock().insert(number);
    assert!(files.cluster.missing.lock().is_empty());
    let opened = files.open_file(&caller(), request()).await.unwrap();
    let places = &opened.first.chunks[0].nodes;
    let live: Vec<_> = places
        .iter()
        .map(|p| opened.first.nodes[usize::from(*p)].live)
        .collect();
    assert_eq!(live, [true, true, false]);

    let located = LocateChunks {
        version: opened.version,
        first: 1,
        limit: 9,
    };
    let located = files.locate_chunks(&caller(), located).await.unwrap();
    assert!(located.locations.chunks.is_empty());
    let unknown = LocateChunks {
        version: proto::id::VersionId(99),
        first: 0,
        limit: 9,
    };
    let refusal = files.locate_chunks(&caller(), unknown).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_chunk_is_promised_to_the_same_nodes_again_and_to_others_when_some_failed() {
    let files = files().await;
    let first = files.allocate(1, &[chunk(1)], &[]).await.unwrap();
    let again = files.allocate(1, &[chunk(1)], &[]).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(first[0].len(), 3);
    let failed = *first[0].iter().next().unwrap();
    let number = u32::try_from(failed.uuid().as_u128()).unwrap();
    let replaced = files.allocate(1, &[chunk(1)], &[number]).await.unwrap();
    assert_eq!(replaced[0].len(), 3);
    assert!(!replaced[0].contains(&failed));
    assert_eq!(replaced[0].intersection(&first[0]).count(), 2);
    let most = files.allocate(1, &[chunk(1)], &[1, 2, 3]).await.unwrap();
    assert_eq!(most[0], set(&[4, 5]));
}

#[tokio::test]
async fn an_upload_that_cannot_succeed_is_told_why() {
    let files = files().await;
    files.put("/f", 1).await;
    *files.cluster.full.lock() = BTreeSet::from([1, 2, 3, 4]);
    let refusal = files.allocate(1, &[chunk(2)], &[]).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::NoSpace);
    let stored = files.allocate(1, &[chunk(1)], &[]).await.unwrap();
    assert!(stored[0].is_empty(), "what is stored needs no room");
    *files.cluster.down.lock() = BTreeSet::from([1, 2, 3, 4]);
    let refusal = files.allocate(1, &[chunk(2)], &[]).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::NotEnoughReplicas);
    assert!(refusal.message.contains("start or add nodes"), "{refusal}");
    let renewed = files.allocate(1, &[], &[]).await.unwrap();
    assert!(renewed.is_empty(), "a lease is renewed all the same");
}

/// One node of three was dead and a client did without another one, which had just been restarted: it heard that the disks
/// are full, and gave up, in place of asking for that one too.
/// The nodes had left for the right master, and an upload was told to start some.
#[tokio::test]
async fn an_upload_to_a_superseded_master_is_told_so() {
    let files = files().await;
    *files.cluster.down.lock() = NODES.collect();
    files.committer.fence("another one is ahead".to_owned());
    let error = files.allocate(1, &[chunk(2)], &[]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StaleEpoch);
    assert!(error.message.contains("another one is ahead"), "{error}");
}

#[tokio::test]
async fn nodes_that_a_client_does_without_are_not_full() {
    let files = files().await;
    *files.cluster.down.lock() = BTreeSet::from([1, 2, 3]);
    let refusal = files.allocate(1, &[chunk(1)], &[4]).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::NotEnoughReplicas, "{refusal}");
    assert!(
        !files
            .allocate(1, &[chunk(1)], &[])
            .await
            .unwrap()
            .is_empty()
    );
    *files.cluster.full.lock() = BTreeSet::from([4]);
    let refusal = files.allocate(1, &[chunk(1)], &[4]).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::NoSpace, "{refusal}");
}

/// The nodes' disks were full: the upload was refused, and for the next seconds the status said that all is well.
#[tokio::test]
async fn nodes_that_an_upload_failed_on_are_not_counted_on() {
    let files = files().await;
    files.allocate(1, &[chunk(1)], &[1, 2, 3]).await.unwrap();
    assert!(files.cluster.refused.lock().is_empty());
    let failed = files.allocate(1, &[chunk(1)], &[1, 2, 3, 4]).await;
    assert_eq!(failed.unwrap_err().code, ErrorCode::NotEnoughReplicas);
    assert_eq!(*files.cluster.refused.lock(), BTreeSet::from([1, 2, 3, 4]));
}

/// A file was purged, and uploaded again while its copies were being deleted: the client heard that there are no nodes, and
/// gave up, in place of trying again in a moment.
#[tokio::test]
async fn an_upload_waits_for_nodes_that_are_deleting_its_chunk() {
    let files = files().await;
    files.put("/f", 1).await;
    let chunks = vec![chunk(1).chunk];
    let row = files.state.read().unwrap().chunk(&chunks[0]);
    let holders = row.unwrap().unwrap().replicas;
    let delete = Command::DeleteEntry {
        request: RequestId::new(Uuid::from_u128(1)),
        path: path("/f"),
        recursive: false,
        purge: true,
        precondition: Precondition::Any,
    };
    let sweep = Command::SweepSome {
        trash_before: ClusterMillis(0),
        versions_before: ClusterMillis(0),
        answers_before: ClusterMillis(0),
        limit: 99,
    };
    let collect = Command::CollectGarbage {
        unreferenced_before: ClusterMillis(u64::MAX),
        chunks,
    };
    for command in [delete, sweep, collect] {
        files.committer.submit(command).await.unwrap();
    }
    let others = NODES.filter(|node| !holders.contains(&NodeNumber(*node)));
    *files.cluster.full.lock() = others.take(1).collect();
    let refusal = files.allocate(1, &[chunk(1)], &[]).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Unavailable, "{refusal}");
    assert!(refusal.message.contains("in a moment"), "{refusal}");
    *files.cluster.is_in_safe_mode.lock() = true;
    let refusal = files.allocate(1, &[chunk(1)], &[]).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Unavailable, "{refusal}");
    assert!(refusal.message.contains("safe mode"), "{refusal}");
}

/// Whoever names a chunk rather than to send it gets it only while enough live nodes hold it, and none is about to delete it.
#[tokio::test]
async fn stored_chunks_are_counted_up_to_the_first_that_is_not() {
    let files = files().await;
    files.put("/a", 1).await;
    files.put("/b", 2).await;
    let count = async |chunks: Vec<ChunkToStore>| {
        let request = CountStoredChunks { chunks };
        let counted = files.count_stored_chunks(&caller(), request).await;
        counted.unwrap().stored
    };
    assert_eq!(count(vec![]).await, 0);
    assert_eq!(count(vec![chunk(1), chunk(2), chunk(1)]).await, 3);
    assert_eq!(count(vec![chunk(1), chunk(3), chunk(2)]).await, 1);
    let other_len = ChunkToStore {
        len: 99,
        ..chunk(1)
    };
    assert_eq!(count(vec![other_len]).await, 0);

    let row = files.state.read().unwrap().chunk(&chunk(1).chunk);
    let holders: Vec<_> = row.unwrap().unwrap().replicas;
    let holders: Vec<u32> = holders.iter().map(|node| node.0).collect();
    *files.cluster.down.lock() = BTreeSet::from([holders[0]]);
    assert_eq!(count(vec![chunk(1)]).await, 1, "two copies suffice");
    *files.cluster.down.lock() = holders[..2].iter().copied().collect();
    assert_eq!(count(vec![chunk(1)]).await, 0, "one does not");
    files.cluster.down.lock().clear();

    let delete = Command::DeleteEntry {
        request: RequestId::new(Uuid::from_u128(1)),
        path: path("/a"),
        recursive: false,
        purge: true,
        precondition: Precondition::Any,
    };
    let sweep = Command::SweepSome {
        trash_before: ClusterMillis(0),
        versions_before: ClusterMillis(0),
        answers_before: ClusterMillis(0),
        limit: 99,
    };
    files.committer.submit(delete).await.unwrap();
    files.committer.submit(sweep).await.unwrap();
    assert_eq!(
        count(vec![chunk(1)]).await,
        1,
        "nothing has begun to delete it"
    );
    let collect = Command::CollectGarbage {
        unreferenced_before: ClusterMillis(u64::MAX),
        chunks: vec![chunk(1).chunk],
    };
    files.committer.submit(collect).await.unwrap();
    assert_eq!(count(vec![chunk(1)]).await, 0, "it is being deleted");
}

#[tokio::test]
async fn requests_over_their_bounds_are_refused() {
    let files = files().await;
    let many: Vec<_> = (0..=CHUNKS_PER_BLOCK)
        .map(|n| chunk(u32::try_from(n).unwrap()))
        .collect();
    let refusal = files.allocate(1, &many, &[]).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidArgument);
    let request = CountStoredChunks { chunks: many };
    let refusal = files.count_stored_chunks(&caller(), request).await;
    assert_eq!(refusal.unwrap_err().code, ErrorCode::InvalidArgument);
    let receipt = Receipt {
        node: node_id(1),
        mac: key_of(1).receipt(PromiseId::new(Uuid::nil()), &chunk(1).chunk, 100),
    };
    let request = RecordChunks {
        upload: upload_id(1),
        block: 0,
        place: 0,
        chunks: vec![StoredChunk {
            chunk: chunk(1).chunk,
            len: 100,
            receipts: vec![receipt; 33],
        }],
    };
    let refusal = files.record_chunks(&caller(), request).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn names_are_listed_moved_deleted_and_restored() {
    let files = files().await;
    let ids = |number| RequestId::new(Uuid::from_u128(number));
    files.put("/a/f", 1).await;
    let request = CreateFolder {
        request: ids(1),
        path: path("/b"),
        parents: false,
    };
    assert!(
        files
            .create_folder(&caller(), request)
            .await
            .unwrap()
            .created
    );
    let request = MoveEntry {
        request: ids(2),
        from: path("/a/f"),
        to: path("/b/g"),
        replace: false,
    };
    files.move_entry(&caller(), request).await.unwrap();
    let request = DeleteEntry {
        request: ids(3),
        path: path("/b"),
        recursive: true,
        purge: false,
        precondition: Precondition::Any,
    };
    let trashed = files
        .delete_entry(&caller(), request)
        .await
        .unwrap()
        .trashed
        .unwrap();
    let look_up = || LookUpEntry { path: path("/b/g") };
    let refusal = files.look_up_entry(&caller(), look_up()).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::NotFound);
    let request = ListTrash {
        before: None,
        limit: 10,
    };
    assert_eq!(
        files
            .list_trash(&caller(), request)
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
    let request = RestoreEntry {
        request: ids(4),
        trash: trashed,
        to: None,
    };
    let restored = files.restore_entry(&caller(), request).await.unwrap();
    assert_eq!(restored.path, path("/b"));
    files.look_up_entry(&caller(), look_up()).await.unwrap();
    let request = ListFolder {
        path: path("/"),
        after: None,
        limit: 1,
    };
    let listed = files.list_folder(&caller(), request).await.unwrap();
    assert_eq!((listed.entries.len(), listed.more), (1, true));
}

#[tokio::test]
async fn an_abandoned_upload_is_over() {
    let files = files().await;
    files.allocate(1, &[chunk(1)], &[]).await.unwrap();
    for _ in 0..2 {
        let request = AbandonUpload {
            upload: upload_id(1),
        };
        files.abandon_upload(&caller(), request).await.unwrap();
    }
    let refusal = files.allocate(1, &[chunk(1)], &[]).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::UploadUnknown);
}

#[tokio::test]
async fn an_emptied_trash_is_empty() {
    let files = files().await;
    files.put("/f", 1).await;
    let delete = Command::DeleteEntry {
        request: RequestId::new(Uuid::from_u128(1)),
        path: path("/f"),
        recursive: false,
        purge: false,
        precondition: Precondition::Any,
    };
    files.committer.submit(delete).await.unwrap();
    let request = EmptyTrash {
        request: RequestId::new(Uuid::from_u128(2)),
        trash: None,
    };
    files.empty_trash(&caller(), request).await.unwrap();
    let request = ListTrash {
        before: None,
        limit: 0,
    };
    let listed = files.list_trash(&caller(), request).await.unwrap();
    assert!(listed.entries.is_empty() && !listed.more);
}

/// A node may have lost its copy after it gave the receipt, and its receipt is looked into for that. Who repeated a commit
/// had all receipts looked into that it came with, good or not: made-up ones put nodes in doubt again and again.
#[tokio::test]
async fn receipts_are_looked_into_if_they_were_counted_and_no_others() {
    let disk = MemoryDisk::new();
    let files = files_on(&disk).await;
    let mut refused = files.stored("/f", 1).await;
    refused.precondition = Precondition::Version(proto::id::VersionId(9));
    files.commit_upload(&caller(), refused).await.unwrap_err();
    assert!(files.counted().is_none(), "nothing was counted");

    let commit = files.stored("/f", 1).await;
    let mut with_a_bad_one = files.stored("/f", 1).await;
    with_a_bad_one.chunks[0].receipts[0].mac = with_a_bad_one.chunks[0].receipts[1].mac;
    let committed = files.commit_upload(&caller(), with_a_bad_one).await;
    assert_eq!(committed.unwrap().copies, 2);
    let counted = files.counted().unwrap();
    assert_eq!((counted.receipts.len(), counted.and_others), (2, false));
    files.commit_upload(&caller(), commit).await.unwrap();
    assert!(files.counted().is_none(), "it was done before");

    let commit = files.stored("/g", 2).await;
    let caller = caller();
    let mut given_up = Box::pin(files.commit_upload(&caller, commit));
    assert!(futures::poll!(&mut given_up).is_pending());
    drop(given_up);
    assert_eq!(files.committer.counted().await.receipts.len(), 3);

    let commit = files.stored("/h", 3).await;
    disk.fail_syncs_after(0);
    let lost = files.commit_upload(&caller, commit).await.unwrap_err();
    assert_eq!(lost.code, ErrorCode::Unavailable);
    assert!(files.counted().unwrap().and_others);
}

/// The rows of many chunks may be as many seeks of a disk: they were read on a thread that answers everybody.
#[tokio::test]
async fn the_rows_of_many_chunks_are_read_where_blocking_work_runs() {
    let files = Files {
        blocking: Blocking::threads(),
        ..files().await
    };
    let here = Some(std::thread::current().id());
    for (count, is_here) in [(1, true), (100, false)] {
        let numbers: Vec<_> = (count..2 * count).collect();
        let name = format!("/f{count}");
        *files.cluster.chosen_on.lock() = None;
        let commit = files.all_stored(&name, &numbers).await;
        let chosen_on = *files.cluster.chosen_on.lock();
        assert_eq!(chosen_on == here, is_here, "choosing for {count}");
        files.commit_upload(&caller(), commit).await.unwrap();
        let open = OpenFile {
            path: path(&name),
            version: None,
            chunks: 512,
        };
        let opened = files.open_file(&caller(), open).await.unwrap();
        assert_eq!(opened.first.chunks.len(), count as usize);
        let located_on = *files.cluster.located_on.lock();
        assert_eq!(located_on == here, is_here, "opening with {count}");
        let locate = LocateChunks {
            version: opened.version,
            first: 0,
            limit: 512,
        };
        files.locate_chunks(&caller(), locate).await.unwrap();
        let located_on = *files.cluster.located_on.lock();
        assert_eq!(located_on == here, is_here, "locating {count}");
    }
}
