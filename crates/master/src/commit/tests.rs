//! Group commit on a disk in memory: what is answered, when, and what a power cut leaves of it.

use std::sync::atomic::AtomicUsize;

use disk::{MemoryDisk, RedbBackend};
use proto::id::{ChunkId, ClusterId, PromiseId, RequestId, RunId, UploadId};
use proto::master::{ChunkToStore, ClusterRules, Precondition};
use proto::name::NameRules;
use rand::SeedableRng;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::*;
use crate::command::{ChunkPromise, NodeNumber};
use crate::state::StateOptions;

mod stumbling;

pub(super) fn new_disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create("state.redb").unwrap();
    disk.sync_folder("").unwrap();
    disk
}

fn options() -> StateOptions {
    StateOptions {
        new_cluster: ClusterId::new(Uuid::from_u128(1)),
        rules: ClusterRules {
            chunk_size: 100,
            replication_factor: 3,
            min_write_replicas: 0,
            file_size_max: None,
            names: NameRules::Any,
        },
        cache_bytes: 1 << 20,
    }
}

pub(super) fn open(disk: &MemoryDisk) -> Result<Arc<State>, StateError> {
    let shared = disk.shared();
    let backend = move || Ok(RedbBackend::new(shared.open("state.redb")?));
    State::open(backend, &options()).map(Arc::new)
}

type Running = tokio::task::JoinHandle<Result<(), StateError>>;

/// A committer whose writer runs beside the test, in place.
fn start(disk: &MemoryDisk) -> (Arc<State>, Committer, Running) {
    let state = open(disk).unwrap();
    let (committer, writer) = start_on(disk, state.clone());
    (state, committer, writer)
}

fn start_on(disk: &MemoryDisk, state: Arc<State>) -> (Committer, Running) {
    let (committer, writer) = Committer::new(state, options_of(disk)).unwrap();
    (committer, tokio::spawn(writer.run()))
}

/// A committer that counts the transactions of its writer.
fn start_counting(disk: &MemoryDisk) -> (Arc<State>, Committer, Arc<AtomicU64>) {
    let state = open(disk).unwrap();
    let transactions = Arc::new(AtomicU64::new(0));
    let counted = transactions.clone();
    let options = CommitOptions {
        wall_ms: Arc::new(move || counted.fetch_add(1, Ordering::Relaxed)),
        ..options_of(disk)
    };
    let (committer, writer) = Committer::new(state.clone(), options).unwrap();
    tokio::spawn(writer.run());
    (state, committer, transactions)
}

pub(super) fn options_of(disk: &MemoryDisk) -> CommitOptions {
    CommitOptions {
        blocking: Blocking::inline(),
        disk: disk.shared(),
        wall_ms: Arc::new(|| 0),
    }
}

pub(super) fn folder(number: u128) -> Command {
    Command::CreateFolder {
        request: RequestId::new(Uuid::from_u128(number)),
        path: format!("/f{number}").parse().unwrap(),
        parents: false,
    }
}

fn delete(number: u128) -> Command {
    Command::DeleteEntry {
        request: RequestId::new(Uuid::from_u128(1 << 64 | number)),
        path: format!("/f{number}").parse().unwrap(),
        recursive: false,
        purge: true,
        precondition: Precondition::Any,
    }
}

fn promise(upload: u128) -> Command {
    let chunk = ChunkToStore {
        chunk: ChunkId::of(&upload.to_be_bytes()),
        len: 1,
    };
    Command::AllocateChunks {
        upload: UploadId::new(Uuid::from_u128(upload)),
        lease_until: ClusterMillis(1000),
        promise: PromiseId::new(Uuid::from_u128(upload)),
        doubtful: Vec::new(),
        deletions_wait: false,
        chunks: vec![ChunkPromise {
            chunk,
            nodes: Vec::new(),
        }],
    }
}

fn a_start() -> Command {
    Command::RaiseEpoch {
        restored: false,
        run: RunId::new(Uuid::nil()),
    }
}

#[tokio::test]
async fn commands_that_wait_share_one_transaction() {
    let disk = new_disk();
    let (state, committer, _writer) = start(&disk);
    committer.submit(a_start()).await.unwrap();
    let before = disk.changes();
    committer.submit(a_start()).await.unwrap();
    let alone = disk.changes() - before;
    let before = disk.changes();
    let all = (0..200).map(|number| committer.submit(folder(number)));
    for outcome in futures::future::join_all(all).await {
        assert_eq!(outcome, Ok(Outcome::FolderCreated { created: true }));
    }
    let together = disk.changes() - before;
    assert!(
        together < 20 * alone,
        "{together} changes of the disk, and {alone} for one"
    );
    assert_eq!(state.read().unwrap().sums().unwrap().folders, 200);
}

#[tokio::test]
async fn promises_and_changes_that_wait_share_one_transaction() {
    let disk = new_disk();
    let (state, committer, transactions) = start_counting(&disk);
    let all = [folder(1), promise(1), folder(2), promise(2)];
    let all = all.map(|command| committer.submit(command));
    for outcome in futures::future::join_all(all).await {
        outcome.unwrap();
    }
    assert_eq!(transactions.load(Ordering::Relaxed), 1);
    assert_eq!(state.read().unwrap().counters().unwrap().uploads, 2);
}

#[tokio::test]
async fn a_promise_waits_for_no_fsync_of_what_shares_its_transaction() {
    let disk = new_disk();
    let (_state, committer, _writer) = start(&disk);
    committer.submit(folder(1)).await.unwrap();
    disk.fail_next_sync();
    let both = [folder(2), promise(1)].map(|command| committer.submit(command));
    let outcomes = futures::future::join_all(both).await;
    let lost = outcomes[0].as_ref().unwrap_err();
    assert_eq!(lost.code, ErrorCode::Unavailable, "{lost}");
    assert!(outcomes[1].is_ok(), "{:?}", outcomes[1]);
}

/// The disk is slow. Who was promised something goes on meanwhile, and is served in the end.
#[tokio::test]
async fn a_promise_is_answered_while_the_disk_hangs() {
    let disk = new_disk();
    let state = open(&disk).unwrap();
    let options = CommitOptions {
        blocking: Blocking::threads(),
        ..options_of(&disk)
    };
    let (committer, writer) = Committer::new(state.clone(), options).unwrap();
    let mut change = Box::pin(committer.submit(folder(1)));
    let mut promised = Box::pin(committer.submit(promise(1)));
    assert!(futures::poll!(&mut change).is_pending());
    assert!(futures::poll!(&mut promised).is_pending());
    let hang = disk.hang_writes();
    tokio::spawn(writer.run());
    promised.await.unwrap();
    assert!(futures::poll!(&mut change).is_pending());
    let end = Command::EndUpload {
        upload: UploadId::new(Uuid::from_u128(1)),
        expired_by: None,
    };
    let mut ended = Box::pin(committer.submit(end));
    assert!(futures::poll!(&mut ended).is_pending());
    drop(hang);
    change.await.unwrap();
    ended.await.unwrap();
    assert_eq!(state.read().unwrap().counters().unwrap().uploads, 0);
    assert_eq!(state.read().unwrap().sums().unwrap().folders, 1);
}

/// A master is superseded while commands wait in its queue: they are refused like those that come later.
#[tokio::test]
async fn what_waits_when_the_master_is_superseded_is_refused() {
    let disk = new_disk();
    let state = open(&disk).unwrap();
    let (committer, writer) = Committer::new(state.clone(), options_of(&disk)).unwrap();
    let mut waits = Box::pin(committer.submit(folder(1)));
    assert!(futures::poll!(&mut waits).is_pending());
    assert!(committer.fence("a later one has started".to_owned()));
    let _writer = tokio::spawn(writer.run());
    assert_eq!(waits.await.unwrap_err().code, ErrorCode::StaleEpoch);
    assert_eq!(state.read().unwrap().sums().unwrap().folders, 0);
}

#[tokio::test]
async fn each_command_has_its_own_answer() {
    let disk = new_disk();
    let (_state, committer, _writer) = start(&disk);
    let all = [1, 2, 1, 3].map(|number| committer.submit(folder(number)));
    let outcomes = futures::future::join_all(all).await;
    let created = Ok(Outcome::FolderCreated { created: true });
    assert_eq!(
        outcomes,
        [&created, &created, &created, &created].map(Clone::clone)
    );
    let missing = committer.submit(delete(9)).await;
    assert_eq!(missing.unwrap_err().code, ErrorCode::NotFound);
}

/// What was answered survives a power cut at any moment; promises alone may be lost.
#[tokio::test]
async fn what_was_answered_survives_power_cuts() {
    for seed in 0..10 {
        let disk = new_disk();
        let (state, committer, writer) = start(&disk);
        for number in 0..5 {
            committer.submit(folder(number)).await.unwrap();
            committer.submit(promise(number)).await.unwrap();
        }
        assert_eq!(state.read().unwrap().counters().unwrap().uploads, 5);
        let unanswered = committer.submit(folder(99));
        drop(unanswered);
        disk.crash(&mut StdRng::seed_from_u64(seed));
        writer.abort();
        drop((state, committer));
        let state = open(&disk).unwrap();
        let snapshot = state.read().unwrap();
        assert_eq!(snapshot.sums().unwrap().folders, 5);
        assert_eq!(
            snapshot.counters().unwrap().uploads,
            4,
            "the last one was a promise only"
        );
    }
}

#[tokio::test]
async fn promises_are_made_durable_now_and_then() {
    let disk = new_disk();
    let (_state, committer, _writer) = start(&disk);
    for number in 0..u128::from(VOLATILE_MAX) {
        committer.submit(promise(number)).await.unwrap();
    }
    disk.crash(&mut StdRng::seed_from_u64(1));
    let state = open(&disk).unwrap();
    let uploads = state.read().unwrap().counters().unwrap().uploads;
    assert_eq!(uploads, u64::from(VOLATILE_MAX));
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_writer_and_answers_nothing_as_done() {
    let disk = new_disk();
    let (state, committer, writer) = start(&disk);
    committer.submit(folder(1)).await.unwrap();
    disk.fail_syncs_after(0);
    let lost = committer.submit(folder(2)).await;
    assert_eq!(lost.unwrap_err().code, ErrorCode::Unavailable);
    assert!(writer.await.unwrap().is_err());
    let late = committer.submit(folder(3)).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::Unavailable);
    assert!(state.read().is_err());
    drop((state, committer));
    disk.crash(&mut StdRng::seed_from_u64(3));
    let state = open(&disk).unwrap();
    assert_eq!(state.read().unwrap().sums().unwrap().folders, 1);
}

#[tokio::test]
async fn a_nearly_full_disk_takes_deletions_only() {
    let disk = new_disk();
    let (_state, committer, _writer) = start(&disk);
    committer.submit(folder(1)).await.unwrap();
    committer.submit(folder(2)).await.unwrap();
    let used = disk.content("state.redb").unwrap().len() as u64;
    disk.set_capacity(used + RESERVE_BYTES - 1);
    let both = [committer.submit(folder(3)), committer.submit(delete(1))];
    let outcomes = futures::future::join_all(both).await;
    assert_eq!(outcomes[0].as_ref().unwrap_err().code, ErrorCode::NoSpace);
    assert_eq!(outcomes[1], Ok(Outcome::Deleted { trashed: None }));
    let refused = committer.submit(promise(1)).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::NoSpace);
    disk.set_capacity(used + 2 * RESERVE_BYTES);
    committer.submit(folder(3)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_clusters_time_goes_on_where_it_stood() {
    let disk = new_disk();
    let (state, committer, writer) = start(&disk);
    tokio::time::advance(Duration::from_secs(5)).await;
    committer.submit(folder(1)).await.unwrap();
    assert_eq!(state.read().unwrap().now().unwrap(), ClusterMillis(5000));
    tokio::time::advance(Duration::from_secs(5)).await;
    drop((committer, state));
    writer.await.unwrap().unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    let (_state, committer, _writer) = start(&disk);
    assert_eq!(committer.now(), ClusterMillis(5000));
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_lease_ran_out_is_ended() {
    let disk = new_disk();
    let (state, committer, _writer) = start(&disk);
    committer.submit(promise(1)).await.unwrap();
    let ended = crate::leases::end_expired(&state, &committer)
        .await
        .unwrap();
    assert_eq!(ended, 0);
    tokio::time::advance(Duration::from_millis(1001)).await;
    let ended = crate::leases::end_expired(&state, &committer)
        .await
        .unwrap();
    assert_eq!(ended, 1);
    assert_eq!(state.read().unwrap().counters().unwrap().uploads, 0);
}

/// Hundreds of uploads that had run out were ended with an fsync each.
#[tokio::test(start_paused = true)]
async fn uploads_that_ran_out_together_are_ended_together() {
    let disk = new_disk();
    let (state, committer, transactions) = start_counting(&disk);
    for number in 0..64 {
        committer.submit(promise(number)).await.unwrap();
    }
    tokio::time::advance(Duration::from_millis(1001)).await;
    let before = transactions.load(Ordering::Relaxed);
    let ended = crate::leases::end_expired(&state, &committer).await;
    assert_eq!(ended.unwrap(), 64);
    let transactions = transactions.load(Ordering::Relaxed) - before;
    assert!(transactions <= 8, "{transactions} transactions");
}

/// After a kill the database falls back without a word where its newest page is damaged: the witness tells.
#[tokio::test]
async fn damage_after_a_kill_drops_nothing_silently() {
    let disk = new_disk();
    let (state, committer, _writer) = start(&disk);
    for number in 0..20 {
        committer.submit(folder(number)).await.unwrap();
    }
    let answered = state.read().unwrap().sums().unwrap();
    disk.kill();
    let mut fell_back = 0;
    let len = disk.content("state.redb").unwrap().len() as u64;
    for offset in (0..len).step_by(509) {
        let disk = disk.fork();
        disk.flip("state.redb", offset, 0x10);
        let Ok(state) = open(&disk) else { continue };
        match Committer::new(state.clone(), options_of(&disk)) {
            Ok(_) => assert_eq!(state.read().unwrap().sums().unwrap(), answered),
            Err(StateError::FellBack { .. }) => fell_back += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(fell_back > 0, "the damage never hit the newest pages");
}

/// Sixteen MiB were written and synced before the first command after a start was answered.
#[tokio::test(start_paused = true)]
async fn the_first_answer_does_not_wait_for_space_to_be_set_aside() {
    let disk = new_disk();
    let (_state, committer, _writer) = start(&disk);
    committer.submit(a_start()).await.unwrap();
    assert_eq!(disk.content("reserve"), None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(disk.content("reserve").is_some());
}

/// Somebody else filled the disk to the last byte: what exists can be deleted, the store can be opened, and when there is
/// room again it takes new things.
#[tokio::test(start_paused = true)]
async fn a_disk_that_others_fill_still_deletes_and_recovers_by_itself() {
    let disk = new_disk();
    disk.set_capacity(1 << 30);
    let (_state, committer, writer) = start(&disk);
    for number in 0..300 {
        committer.submit(folder(number)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    disk.fill();
    for number in 0..150 {
        committer.submit(delete(number)).await.unwrap();
    }
    let refused = committer.submit(folder(1000)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::NoSpace);
    disk.set_capacity(1 << 30);
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(committer);
    writer.await.unwrap().unwrap();

    disk.fill();
    super::make_room_to_open(&*disk.shared());
    let (_state, committer, _writer) = start(&disk);
    for number in 150..300 {
        committer.submit(delete(number)).await.unwrap();
    }
    disk.set_capacity(1 << 30);
    committer.submit(folder(1000)).await.unwrap();
}

/// One chunk's row cannot be read. Each command that met it had all that waited with it refused, and the store reopened.
#[tokio::test]
async fn a_command_that_meets_a_damaged_row_fails_alone() {
    let disk = new_disk();
    let opened = Arc::new(AtomicUsize::new(0));
    let (shared, count) = (disk.shared(), opened.clone());
    let backend = move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(RedbBackend::new(shared.open("state.redb")?))
    };
    let state = Arc::new(State::open(backend, &options()).unwrap());
    let chunk = ChunkId::of(b"a");
    state.spoil_chunk(&chunk);
    state.spoil_chunk(&ChunkId::of(&2_u128.to_be_bytes()));
    let opened_before = opened.load(Ordering::SeqCst);
    let (committer, _writer) = start_on(&disk, state.clone());
    let meets_it = Command::RemoveReplicas {
        node: NodeNumber(1),
        chunks: vec![chunk],
    };
    let changes = [folder(1), meets_it, folder(2)];
    let promises = [1, 2, 3].map(promise);
    let all = changes.into_iter().chain(promises);
    let outcomes = futures::future::join_all(all.map(|command| committer.submit(command))).await;
    let created = Ok(Outcome::FolderCreated { created: true });
    assert_eq!(outcomes[0], created);
    let refusal = outcomes[1].as_ref().unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Internal, "{refusal}");
    assert!(refusal.message.contains("backup"), "{refusal}");
    assert_eq!(outcomes[2], created);
    assert!(outcomes[3].is_ok(), "{:?}", outcomes[3]);
    let refusal = outcomes[4].as_ref().unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Internal, "{refusal}");
    assert!(outcomes[5].is_ok(), "{:?}", outcomes[5]);
    assert!(committer.damage().is_some(), "the status says so");
    assert_eq!(
        opened.load(Ordering::SeqCst),
        opened_before,
        "it was not reopened"
    );
    disk.crash(&mut StdRng::seed_from_u64(1));
    let state = open(&disk).unwrap();
    let snapshot = state.read().unwrap();
    let folders = snapshot.sums().unwrap().folders;
    assert_eq!(folders, 2, "what was answered is durable");
    assert_eq!(snapshot.counters().unwrap().uploads, 2);
}
