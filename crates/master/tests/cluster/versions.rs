//! Versions: what is restored keeps its chunks, what is removed gives them back.

use std::time::Duration;

use bytes::Bytes;
use proto::ErrorCode;
use proto::id::{ChunkId, RequestId, VersionId};
use proto::master::{
    Entry, FormerVersionsKept, ListVersions, LookUpEntry, Precondition, RemoveVersion,
    RestoreVersion, VersionsListed,
};
use tokio::time::sleep;
use uuid::Uuid;

use crate::world::{World, config, refusal, some_chunks};

/// A world with a file of which two chunks, one after the other, were the content.
async fn world_with_two_versions() -> (World, [ChunkId; 2], [VersionId; 2]) {
    let mut world = World::new(config(), 3).await;
    let chunks: [Bytes; 2] = some_chunks(2).try_into().unwrap();
    let mut versions = [VersionId(0); 2];
    for (place, bytes) in chunks.iter().enumerate() {
        let bytes = std::slice::from_ref(bytes);
        world.upload("/f", bytes, 3).await.unwrap();
        versions[place] = current(&world).await;
    }
    (world, chunks.map(|bytes| ChunkId::of(&bytes)), versions)
}

async fn current(world: &World) -> VersionId {
    let path = "/f".parse().unwrap();
    let found = world.call(LookUpEntry { path }).await.unwrap();
    let Entry::File { version, .. } = found.entry else {
        panic!("it is a file");
    };
    version
}

async fn listed(world: &World) -> VersionsListed {
    let list = ListVersions {
        path: "/f".parse().unwrap(),
        before: None,
        limit: 10,
    };
    world.call(list).await.unwrap()
}

fn restore(version: VersionId, request: u128) -> RestoreVersion {
    RestoreVersion {
        request: RequestId::new(Uuid::from_u128(request)),
        path: "/f".parse().unwrap(),
        version,
        precondition: Precondition::Any,
    }
}

fn remove(version: VersionId, request: u128) -> RemoveVersion {
    RemoveVersion {
        request: RequestId::new(Uuid::from_u128(request)),
        path: "/f".parse().unwrap(),
        version,
    }
}

/// The current version was replaced long ago and then restored: it is not the one that goes.
#[tokio::test(start_paused = true)]
async fn a_restored_version_stays_and_a_removed_one_gives_its_chunks_back() {
    let (world, [old, new], [first, second]) = world_with_two_versions().await;
    world.call(restore(first, 1 << 100)).await.unwrap();
    let refused = world.call(remove(first, 2 << 100)).await;
    assert_eq!(
        refusal(refused.unwrap_err()).code,
        ErrorCode::PreconditionFailed
    );
    assert_eq!(
        (world.copies(&old), world.copies(&new)),
        (3, 3),
        "no chunk was touched"
    );
    world.call(remove(second, 3 << 100)).await.unwrap();
    world
        .until_so("the chunk of the removed one is gone", || {
            world.copies(&new) == 0
        })
        .await;
    assert_eq!(world.copies(&old), 3);
    assert_eq!(world.recorded_copies("/f").await, 3);
    let gone = world.call(restore(second, 4 << 100)).await;
    assert_eq!(refusal(gone.unwrap_err()).code, ErrorCode::NotFound);
}

/// Former versions are kept for their time and counted as long, across a restart of the master.
#[tokio::test(start_paused = true)]
async fn former_versions_are_counted_and_kept_for_their_time() {
    let kept = Duration::from_secs(60);
    let (mut world, [old, new], [first, second]) = world_with_two_versions().await;
    world.config.version_retention = kept;
    world.stop_master().await;
    world.start_master().await;
    world.call(restore(first, 1 << 100)).await.unwrap();
    let sums = FormerVersionsKept {
        versions: 1,
        bytes: listed(&world).await.former[0].size,
        kept_ms: 60_000,
    };
    assert_eq!(world.status().await.former_versions, sums);
    world.stop_master().await;
    world.start_master().await;
    assert_eq!(world.status().await.former_versions, sums);
    assert_eq!(current(&world).await, first);
    let former = listed(&world).await.former;
    assert_eq!(former[0].version, second);
    sleep(kept / 2).await;
    let aged = listed(&world).await.former[0].former_for_ms.unwrap();
    assert!((25_000..=60_000).contains(&aged), "{aged}");
    world
        .until("it is gone", |status| status.former_versions.versions == 0)
        .await;
    world
        .until_so("its chunk is gone", || world.copies(&new) == 0)
        .await;
    assert_eq!(world.copies(&old), 3);
    assert!(listed(&world).await.former.is_empty());
}
