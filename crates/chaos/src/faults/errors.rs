//! System calls of running servers that fail, are interrupted or late, by strace.
//!
//! A disk of which an fsync failed takes nothing more until its process starts anew, so that happens at the end. A master of
//! whose loops one fails ends by itself, with an exit code, while its calls fail; a storage node goes on without its disk.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::RngExt;
use rand::seq::IndexedRandom;
use tokio::time::sleep;

use super::{Harm, Verb};
use crate::strace::Strace;
use crate::world::{Held, World};

pub(super) const VERBS: &[Verb] = &[
    Verb {
        weight: 4,
        begin: |world, harm| Box::pin(fail_syncs(world, harm)),
    },
    Verb {
        weight: 3,
        begin: |world, harm| Box::pin(fail_writes(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(fail_names(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(fail_reads(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(interrupt(world, harm)),
    },
    Verb {
        weight: 2,
        begin: |world, harm| Box::pin(slow_down(world, harm)),
    },
];
pub(super) const MINIMA: &[(&str, f64)] = &[
    ("servers with failing calls", 1.0),
    ("calls that failed", 2.0),
];

/// Calls of a server are tampered with for so long.
const TAMPER_MAX: Duration = Duration::from_secs(4);
const SYNCS: &str = "fsync,fdatasync";
const WRITES: &str = "pwrite64,pwritev,pwritev2";
const READS: &str = "pread64,preadv,preadv2";
const NAMES: &str = "rename,renameat,renameat2,unlink,unlinkat,ftruncate,fallocate";

async fn fail_syncs(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let server = world.any(&mut harm.chance);
    fail(&world, server, SYNCS, &["EIO", "EIO", "ENOSPC"], harm).await
}

async fn fail_writes(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let server = world.any(&mut harm.chance);
    fail(&world, server, WRITES, &["EIO", "ENOSPC"], harm).await
}

async fn fail_names(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let server = world.any(&mut harm.chance);
    fail(&world, server, NAMES, &["EIO", "ENOSPC", "EROFS"], harm).await
}

async fn fail_reads(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let server = world.any_node(&mut harm.chance);
    fail(&world, server, READS, &["EIO"], harm).await
}

/// Some calls of a server fail for a while; then it starts anew.
async fn fail(
    world: &World,
    server: Option<Held>,
    calls: &str,
    errors: &[&str],
    mut harm: Harm,
) -> anyhow::Result<()> {
    let error = errors.choose(&mut harm.chance).expect("there are errors");
    let (first, step) = (
        harm.chance.random_range(1..8),
        harm.chance.random_range(1..8),
    );
    let how = format!("error={error}:when={first}+{step}");
    let Some((mut server, failed)) = tamper(world, server, calls, &how, &mut harm).await? else {
        return Ok(());
    };
    let journal = &world.journal;
    journal.count_many("calls that failed", failed);
    if failed > 0 {
        journal.count("servers with failing calls");
    }
    server.index_may_be_damaged |= failed > 0;
    if let Some(status) = server.end().await? {
        let name = &server.name;
        ensure!(
            server.is_master() && failed > 0 && status.code().is_some(),
            "{name} ended by itself after {failed} failed calls: {status}"
        );
        journal.note(format_args!("{name} has ended: {status}"));
        journal.count("masters ended by their disk");
    }
    server.start().await
}

async fn interrupt(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let server = world.any(&mut harm.chance);
    let calls = format!("{SYNCS},{WRITES},{READS}");
    let tampered = tamper(&world, server, &calls, "error=EINTR:when=1+2", &mut harm).await?;
    if let Some((_, interrupted)) = tampered {
        world.journal.count_many("calls interrupted", interrupted);
    }
    Ok(())
}

async fn slow_down(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let server = world.any(&mut harm.chance);
    let micros = harm.chance.random_range(50_000..800_000);
    let how = format!("delay_enter={micros}");
    if let Some((_, delayed)) = tamper(&world, server, SYNCS, &how, &mut harm).await? {
        world.journal.count_many("calls delayed", delayed);
    }
    Ok(())
}

/// Tampers with a server's calls for a while. The server, and how many calls that were.
async fn tamper(
    world: &World,
    server: Option<Held>,
    calls: &str,
    how: &str,
    harm: &mut Harm,
) -> anyhow::Result<Option<(Held, u64)>> {
    let Some(server) = server else {
        return Ok(None);
    };
    let id = server.id().context("it runs")?;
    let name = &server.name;
    let strace = Strace::attach(id, calls, how).await?;
    world.journal.note(format_args!("{calls} of {name}: {how}"));
    sleep(Duration::from_millis(300) + harm.up_to(TAMPER_MAX)).await;
    let tampered = strace.detach().await?;
    world.journal.note(format_args!(
        "{tampered} calls of {name} were tampered with"
    ));
    Ok(Some((server, tampered)))
}
