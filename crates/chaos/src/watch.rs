//! Looks at the processes while all goes on: none may end by itself, and what they hold must stay bounded.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::world::World;

const LOOK_INTERVAL: Duration = Duration::from_millis(300);
/// No process of such a cluster may hold more memory, in bytes,
const RESIDENT_MAX: u64 = 200 << 20;
/// or more descriptors.
const DESCRIPTORS_MAX: u64 = 400;

/// Looks until it is aborted.
pub(crate) async fn watch(world: Arc<World>) {
    loop {
        look(&world);
        sleep(LOOK_INTERVAL).await;
    }
}

/// A server that a fault holds is the fault's to look after.
fn look(world: &World) {
    let journal = &world.journal;
    for mut server in world.all_free() {
        if let Some(status) = server.ended() {
            let name = &server.name;
            if !journal.has_failed() {
                let last = server.last_words();
                journal.fail(format_args!(
                    "{name} ended by itself: {status}; it said: {last}"
                ));
            }
            continue;
        }
        let Some(usage) = server.usage() else {
            continue;
        };
        journal.largest("MiB of memory in a process", usage.resident >> 20);
        journal.largest("descriptors of a process", usage.descriptors);
        if usage.resident > RESIDENT_MAX || usage.descriptors > DESCRIPTORS_MAX {
            let name = &server.name;
            journal.fail(format_args!("{name} holds too much: {usage:?}"));
        }
    }
}

/// Nobody may have panicked. A node catches the panics of an index that is damaged, which it makes anew.
pub(crate) async fn check_logs(world: &World) {
    for server in world.all().await {
        let is_caught = !server.is_master() && server.index_may_be_damaged;
        let (name, log) = (&server.name, server.log());
        for line in log.lines().filter(|line| line.contains("panicked")) {
            if is_caught && is_in_database(line) {
                world.journal.note(format_args!("{name} caught: {line}"));
                world.journal.count("panics of a damaged index");
            } else {
                world.journal.fail(format_args!("{name} logged: {line}"));
            }
        }
    }
}

/// Whether a line tells of a panic in the code of the index's database.
fn is_in_database(line: &str) -> bool {
    let place = line.rsplit_once(" panicked at ");
    place.is_some_and(|(_, place)| place.replace('\\', "/").contains("/redb-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic that a node catches by design, on a page of its index that had rotted, failed a round. Any other still must.
    #[test]
    fn a_panic_is_excused_by_the_file_that_it_is_in() {
        let of_database = "thread 'tokio-rt-worker' (41) panicked at /root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/redb-4.0.0/src/tree_store/btree_base.rs:1020:9:";
        let of_node =
            "thread 'tokio-rt-worker' (41) panicked at crates/storage-node/src/index.rs:20:9:";
        assert!(is_in_database(of_database));
        assert!(!is_in_database(of_node));
        assert!(!is_in_database("the folder /redb-4 panicked"));
    }
}
