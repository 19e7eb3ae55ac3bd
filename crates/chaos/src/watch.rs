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
                let log = server.log();
                let last = log.lines().next_back().unwrap_or_default();
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

/// Nobody may have panicked.
pub(crate) async fn check_logs(world: &World) {
    for server in world.all().await {
        let log = server.log();
        if let Some(line) = log.lines().find(|line| line.contains("panicked")) {
            world
                .journal
                .fail(format_args!("{} logged: {line}", server.name));
        }
    }
}
