//! A disk that fails for a moment, and what the writer and the readers of the store do then.

use std::io;
use std::sync::atomic::AtomicBool;

use super::*;

/// A backend whose next fsync fails, once, and loses what it should have kept; or whose disk is full for one write.
#[derive(Debug)]
struct Stumbling {
    inner: RedbBackend,
    disk: MemoryDisk,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    next_sync: AtomicBool,
    next_write: AtomicBool,
    bytes_written: AtomicUsize,
}

impl Stumbling {
    fn open(disk: &MemoryDisk, faults: &Arc<Faults>) -> Arc<State> {
        let (disk, faults) = (disk.clone(), faults.clone());
        let backend = move || {
            Ok(Self {
                inner: RedbBackend::new(disk.shared().open("state.redb")?),
                disk: disk.clone(),
                faults: faults.clone(),
            })
        };
        Arc::new(State::open(backend, &options()).unwrap())
    }
}

impl redb::StorageBackend for Stumbling {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if !self.faults.next_sync.swap(false, Ordering::SeqCst) {
            return self.inner.sync_data();
        }
        self.disk.fail_syncs_after(0);
        let failed = self.inner.sync_data();
        self.disk.heal();
        failed
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.faults.next_write.swap(false, Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = &self.faults.bytes_written;
        written.fetch_add(data.len(), Ordering::SeqCst);
        self.inner.write(offset, data)
    }
}

/// Somebody else's file filled the master's disk for a moment. All of the store was written anew.
#[tokio::test]
async fn a_disk_that_was_full_for_a_moment_does_not_have_the_store_written_anew() {
    let disk = new_disk();
    let faults = Arc::new(Faults::default());
    let state = Stumbling::open(&disk, &faults);
    let (committer, _writer) = start_on(&disk, state.clone());
    let folders = (0..1000).map(|number| committer.submit(folder(number)));
    futures::future::join_all(folders).await;
    let before = faults.bytes_written.load(Ordering::SeqCst);
    faults.next_write.store(true, Ordering::SeqCst);
    let refused = committer.submit(folder(1000)).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
    committer.submit(folder(1001)).await.unwrap();
    let written = faults.bytes_written.load(Ordering::SeqCst) - before;
    let stored = disk.content("state.redb").unwrap();
    let stored = stored.iter().filter(|byte| **byte != 0).count();
    assert!(
        written < stored / 2,
        "{written} bytes were written, of {stored}"
    );
    disk.crash(&mut StdRng::seed_from_u64(5));
    let state = open(&disk).unwrap();
    assert_eq!(state.read().unwrap().sums().unwrap().folders, 1001);
}

/// The store is opened again, which takes minutes where it is large. All who read it waited for that, on threads that
/// others need.
#[test]
fn readers_are_refused_at_once_while_the_store_is_opened_again() {
    let disk = new_disk();
    let state: Arc<OnceLock<Arc<State>>> = Arc::default();
    let (told, hears) = std::sync::mpsc::channel();
    let (shared, seen) = (disk.shared(), state.clone());
    let backend = move || {
        if let Some(state) = seen.get().cloned() {
            let told = told.clone();
            let reading = std::thread::spawn(move || told.send(state.read().map(drop)));
            let until = std::time::Instant::now() + Duration::from_secs(10);
            while !reading.is_finished() && std::time::Instant::now() < until {
                std::thread::yield_now();
            }
            assert!(reading.is_finished(), "a reader waits");
        }
        Ok(RedbBackend::new(shared.open("state.redb")?))
    };
    let state_then = Arc::new(State::open(backend, &options()).unwrap());
    state.set(state_then.clone()).unwrap();
    state_then.reopen().unwrap();
    let refusal = WireError::from(hears.recv().unwrap().unwrap_err());
    assert_eq!(refusal.code, ErrorCode::Unavailable, "{refusal}");
    state_then.read().unwrap();
}

#[tokio::test]
async fn a_passing_failure_refuses_its_batch_and_the_writer_goes_on() {
    let disk = new_disk();
    let faults = Arc::new(Faults::default());
    let state = Stumbling::open(&disk, &faults);
    let (committer, _writer) = start_on(&disk, state.clone());
    committer.submit(folder(1)).await.unwrap();
    faults.next_sync.store(true, Ordering::SeqCst);
    let batch = (2..5).map(|number| committer.submit(folder(number)));
    for refused in futures::future::join_all(batch).await {
        assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
    }
    // Whether they were done is not known; repeated, they are.
    for number in 2..6 {
        let outcome = committer.submit(folder(number)).await;
        assert_eq!(outcome, Ok(Outcome::FolderCreated { created: true }));
    }
    disk.crash(&mut StdRng::seed_from_u64(5));
    let state = open(&disk).unwrap();
    assert_eq!(state.read().unwrap().sums().unwrap().folders, 5);
}
