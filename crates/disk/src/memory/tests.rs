//! What the in-memory disk promises to the tests that stand on it.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn named_file(disk: &MemoryDisk) -> Arc<dyn DiskFile> {
    let file = disk.create("a").unwrap();
    disk.sync_folder("").unwrap();
    file
}

#[test]
fn what_was_synced_survives_every_crash() {
    for seed in 0..100 {
        let disk = MemoryDisk::new();
        let file = named_file(&disk);
        file.write_all_at(&[1; 2000], 0).unwrap();
        file.sync().unwrap();
        disk.crash(&mut rng(seed));
        assert_eq!(disk.content("a").unwrap(), vec![1; 2000]);
        file.len().unwrap_err();
    }
}

#[test]
fn what_was_not_synced_is_kept_lost_or_torn_between_sectors() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let disk = MemoryDisk::new();
        let file = named_file(&disk);
        file.write_all_at(&[1; 1200], 0).unwrap();
        file.sync().unwrap();
        file.write_all_at(&[2; 800], 100).unwrap();
        disk.crash(&mut rng(seed));
        let content = disk.content("a").unwrap();
        let sectors = [&content[100..512], &content[512..900]];
        for sector in sectors {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "seed {seed}");
        }
        ends.insert(sectors.map(|sector| sector[0]));
    }
    assert_eq!(ends.len(), 4, "all four ends occur: {ends:?}");
}

#[test]
fn names_are_lost_unless_their_folder_was_synced() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = MemoryDisk::new();
        disk.create_folder("extents").unwrap();
        disk.create("extents/1").unwrap().sync().unwrap();
        disk.crash(&mut rng(seed));
        ends.insert(disk.list("extents").is_ok_and(|names| !names.is_empty()));

        let disk = MemoryDisk::new();
        disk.create_folder("extents").unwrap();
        disk.sync_folder("").unwrap();
        disk.create("extents/1").unwrap();
        disk.sync_folder("extents").unwrap();
        disk.rename("extents/1", "extents/2").unwrap();
        disk.crash(&mut rng(seed));
        let names = disk.list("extents").unwrap();
        assert_eq!(names.len(), 1, "a rename is whole");
    }
    assert_eq!(ends.len(), 2);
}

#[test]
fn a_failed_sync_loses_its_writes_and_a_second_one_lies() {
    let disk = MemoryDisk::new();
    let file = named_file(&disk);
    disk.fail_syncs_after(0);
    file.write_all_at(b"gone", 0).unwrap();
    file.sync().unwrap_err();
    disk.heal();
    file.sync().unwrap();
    assert_eq!(disk.content("a").unwrap(), b"gone");
    disk.crash(&mut rng(1));
    assert_eq!(disk.content("a").unwrap(), b"");
}

#[test]
fn a_killed_process_loses_nothing_that_was_written() {
    let disk = MemoryDisk::new();
    let file = disk.create("a").unwrap();
    file.write_all_at(b"here", 0).unwrap();
    disk.kill();
    assert_eq!(disk.content("a").unwrap(), b"here");
}

#[test]
fn faults_are_injected_and_healed() {
    let disk = MemoryDisk::new();
    let file = named_file(&disk);
    file.write_all_at(&[7; 10], 0).unwrap();
    disk.fill();
    file.write_all_at(&[8; 10], 0).unwrap();
    let full = file.write_all_at(&[8; 10], 1).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.space().unwrap().free, 0);
    disk.set_capacity(1000);
    disk.fail_reads("a", 3..4);
    file.read_exact_at(&mut [0; 3], 0).unwrap();
    file.read_exact_at(&mut [0; 4], 0).unwrap_err();
    disk.fail_writes_after(1);
    file.write_all_at(b"x", 0).unwrap();
    file.write_all_at(b"x", 0).unwrap_err();
    disk.heal();
    disk.flip("a", 1, 0xff);
    disk.cut("a", 2);
    assert_eq!(disk.content("a").unwrap(), [b'x', !8]);
    disk.stop_after(1);
    file.sync().unwrap();
    file.sync().unwrap_err();
    disk.list("").unwrap_err();
}

#[test]
fn locks_are_let_go_by_drop_and_by_a_crash() {
    let disk = MemoryDisk::new();
    let lock = disk.lock("lock").unwrap();
    let second = disk.lock("lock").unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
    disk.crash(&mut rng(1));
    let after = disk.lock("lock").unwrap();
    drop(lock);
    disk.lock("lock").unwrap_err();
    drop(after);
    disk.lock("lock").unwrap();
}

#[test]
fn a_disk_that_hangs_keeps_its_callers_until_it_is_healed() {
    let disk = MemoryDisk::new();
    let file = named_file(&disk);
    let hang = disk.hang();
    let (done, answers) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        file.write_all_at(b"late", 0).unwrap();
        done.send(()).unwrap();
    });
    assert!(answers.try_recv().is_err());
    assert_eq!(disk.content("a").unwrap(), b"");
    drop(hang);
    writer.join().unwrap();
    assert_eq!(disk.content("a").unwrap(), b"late");
}

/// Faults were counted when they were set, also where nothing came of them.
#[test]
fn what_came_to_pass_is_told() {
    let disk = MemoryDisk::new();
    let file = disk.create("a").unwrap();
    disk.sync_folder("").unwrap();
    assert!(disk.is_synced());
    disk.fail_next_sync();
    disk.fail_next_write();
    disk.fail_reads("a", 0..1);
    disk.fail_opens_of("a");
    assert_eq!(disk.given(), crate::Given::default());
    file.write_all_at(b"x", 0).unwrap_err();
    file.write_all_at(b"x", 0).unwrap();
    assert!(!disk.is_synced());
    file.sync().unwrap_err();
    file.read_exact_at(&mut [0], 0).unwrap_err();
    disk.open("a").unwrap_err();
    disk.fill();
    file.write_all_at(b"xx", 0).unwrap_err();
    let once = crate::Given {
        syncs: 1,
        writes: 1,
        reads: 1,
        opens: 1,
        full: 1,
    };
    assert_eq!(disk.given(), once);
}
