//! kill -9: of a server, of all, in the middle of a system call, and of clients.

use std::future::{Ready, ready};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::time::sleep;

use super::{Harm, Verb};
use crate::strace::Strace;
use crate::system::{self, Means};
use crate::world::World;

pub(super) const VERBS: &[Verb] = &[
    Verb {
        weight: 6,
        begin: |world, harm| Box::pin(kill(world, harm)),
    },
    Verb {
        weight: 1,
        begin: |world, harm| {
            Box::pin(async move { kill_all(&world, harm, "kills of all at once").await })
        },
    },
    Verb {
        weight: 4,
        begin: |world, harm| Box::pin(kill_in_call(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(kill_in_start(world, harm)),
    },
    Verb {
        weight: 3,
        begin: |world, _| Box::pin(kill_client(&world)),
    },
];
pub(super) const MINIMA: &[(&str, f64)] = &[("kills", 2.0), ("kills of clients", 0.5)];

/// How long a server is down.
const DOWN_MAX: Duration = Duration::from_secs(4);
/// The steps that make something durable, or seen.
const CALLS: [&str; 6] = [
    "fsync,fdatasync",
    "fsync,fdatasync",
    "pwrite64,pwritev",
    "rename,renameat,renameat2",
    "ftruncate,fallocate",
    "unlink,unlinkat,mkdir,mkdirat",
];
/// A call that does not come is not waited for longer.
const CALL_WITHIN: Duration = Duration::from_secs(5);

async fn kill(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    world.journal.note(format_args!("kill {}", server.name));
    server.kill().await?;
    world.journal.count("kills");
    sleep(harm.up_to(DOWN_MAX)).await;
    world.journal.note(format_args!("start {}", server.name));
    server.start().await
}

/// All servers die at once, and come back in any order. It is counted as this.
pub(super) async fn kill_all(world: &World, mut harm: Harm, counted: &str) -> anyhow::Result<()> {
    let mut servers = world.all().await;
    world.journal.note("kill all");
    for server in &mut servers {
        server.kill().await?;
    }
    world.journal.count(counted);
    sleep(harm.up_to(DOWN_MAX)).await;
    servers.shuffle(&mut harm.chance);
    for server in &mut servers {
        server.start().await?;
    }
    world.journal.note("all are started");
    Ok(())
}

/// A server dies in the middle of its n-th call of a kind: what the call did is done, what comes after it is not.
async fn kill_in_call(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let calls = CALLS.choose(&mut harm.chance).expect("there are calls");
    if Means::Strace.missing().is_some() {
        return Ok(());
    }
    let Some(mut server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    let nth = harm.chance.random_range(1..=20);
    let Some(id) = server.id() else {
        return Ok(());
    };
    let strace = Strace::attach(id, calls, &format!("signal=KILL:when={nth}")).await?;
    let ended = server.has_ended_within(CALL_WITHIN).await;
    let name = &server.name;
    world.journal.note(format_args!(
        "{name} is killed in call {nth} of {calls}: {ended:?}"
    ));
    strace.detach().await?;
    if let Some(status) = ended {
        note_kill_in_call(&world, name, status)?;
        sleep(harm.up_to(DOWN_MAX)).await;
        server.start().await?;
    }
    Ok(())
}

/// What ends in such a moment for a reason of its own was not killed.
fn note_kill_in_call(world: &World, name: &str, status: ExitStatus) -> anyhow::Result<()> {
    ensure!(
        system::was_killed(status),
        "{name} was to be killed in the middle of a call, and ended by itself: {status}"
    );
    world.journal.count("kills");
    world.journal.count("kills in the middle of a call");
    Ok(())
}

/// A server is killed, and dies again in the middle of a call of its next start.
async fn kill_in_start(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let calls = CALLS.choose(&mut harm.chance).expect("there are calls");
    if Means::Strace.missing().is_some() {
        return Ok(());
    }
    let Some(mut server) = world.any(&mut harm.chance) else {
        return Ok(());
    };
    server.kill().await?;
    world.journal.count("kills");
    let nth = harm.chance.random_range(1..=8);
    let inject = format!("inject={calls}:signal=KILL:when={nth}");
    let trace = format!("trace={calls}");
    let words = [
        "strace",
        "-D",
        "-f",
        "-qqq",
        "-o",
        "/dev/null",
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    // It may die before it listens.
    let mut ended = server.start_or_end(&words).await?;
    if ended.is_none() {
        ended = server.has_ended_within(CALL_WITHIN).await;
    }
    let name = &server.name;
    world.journal.note(format_args!(
        "{name} is killed in call {nth} of {calls} of its start: {ended:?}"
    ));
    if let Some(status) = ended {
        note_kill_in_call(&world, name, status)?;
    } else {
        server.kill().await?;
        world.journal.count("kills");
    }
    server.start().await
}

/// Whichever is next to do something.
fn kill_client(world: &World) -> Ready<anyhow::Result<()>> {
    world.client_kill.notify_one();
    ready(Ok(()))
}
