//! One round: a new cluster is put under load, harmed for a while, left in peace, and judged.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::faults::{self, Family};
use crate::folders;
use crate::journal::{Counts, Journal};
use crate::load::{Load, groups_used};
use crate::oracle::{self, Copies};
use crate::probes::Probes;
use crate::remains;
use crate::system;
use crate::watch;
use crate::world::{Equipment, World};

/// What a round is to be.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) families: Vec<Family>,
    pub(crate) harm_for: Duration,
    pub(crate) is_dense: bool,
    pub(crate) namespaces: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) largest: Counts,
    pub(crate) failures: Vec<String>,
}

/// Changes that must be acknowledged in a second of harm, however much is harmed.
const CHANGES_A_SECOND: f64 = 0.5;

impl Plan {
    /// Leaves to the seed what was not asked for: which of the families there are, unless it is all, and whether many faults
    /// come in a short time.
    pub(crate) fn draw(&mut self, all_families: bool) {
        let mut chance = StdRng::seed_from_u64(self.seed ^ 0x6472_6177);
        let mut drawn = self.families.clone();
        drawn.retain(|_| chance.random_bool(0.6));
        if !drawn.is_empty() && !all_families {
            self.families = drawn;
        }
        self.is_dense |= chance.random_bool(0.5);
        self.namespaces |= self.families.contains(&Family::Partitions);
    }

    fn equipment(&self) -> Equipment {
        let has = |family| self.families.contains(&family);
        let need_disks = [Family::PowerCuts, Family::FullDisks, Family::FailingDisks];
        Equipment {
            disks: need_disks.into_iter().any(has),
            clocks: has(Family::Clocks),
            namespaces: self.namespaces,
        }
    }

    /// Plays it in this folder.
    pub(crate) async fn play(&self, folder: &Path) -> anyhow::Result<Outcome> {
        let journal = Journal::new(&folder.join("journal"))?;
        journal.note(format_args!("{self:?}"));
        if let Err(error) = self.play_noting(folder, &journal).await {
            journal.fail(format_args!("{error:#}"));
        }
        Ok(Outcome {
            counts: journal.counts(),
            largest: journal.largest_values(),
            failures: journal.failures(),
        })
    }

    async fn play_noting(&self, folder: &Path, journal: &Journal) -> anyhow::Result<()> {
        let world = World::start(folder, journal.clone(), self.equipment(), self.seed).await;
        let world = Arc::new(world?);
        let watching = tokio::spawn(watch::watch(world.clone()));
        oracle::until_whole(&world, 0, Copies::Exactly).await;
        let load = Load::begin(&world, self.seed);
        let mut probing = Probes::begin(&world, self.seed);
        probing.spawn(remains::look(world.clone()));
        faults::harm(
            &world,
            &self.families,
            self.seed,
            self.is_dense,
            self.harm_for,
        )
        .await;
        journal.note("peace begins");
        world.begin_peace();
        load.end(journal).await;
        while let Some(ended) = probing.join_next().await {
            journal.ended(ended);
        }
        let judged = self.judge(&world).await;
        watching.abort();
        journal.ended(watching.await);
        watch::check_logs(&world).await;
        if journal.has_failed() {
            keep_disks(&world).await?;
        }
        // Nobody is in a network or on a disk when these go.
        for mut server in world.all().await {
            server.kill().await?;
        }
        judged
    }

    async fn judge(&self, world: &Arc<World>) -> anyhow::Result<()> {
        let journal = &world.journal;
        let least = self.harm_for.mul_f64(CHANGES_A_SECOND).as_secs();
        let changes = journal.count_of("changes acknowledged");
        if changes < least {
            journal.fail(format_args!(
                "only {changes} changes were acknowledged, of {least} at least"
            ));
        }
        let groups = groups_used(world);
        oracle::until_whole(world, groups, Copies::AtLeast).await;
        if journal.has_failed() {
            return Ok(());
        }
        oracle::read_names(world, groups).await;
        // What is only in memory, or not yet synced, goes now. Nodes that come back tell all that they have.
        let mut chance = StdRng::seed_from_u64(self.seed);
        faults::end_all_at_once(world, self.equipment().disks, &mut chance).await?;
        let after = oracle::until_whole(world, groups, Copies::Exactly).await;
        if !journal.has_failed() {
            remains::check(world, groups, &after).await;
        }
        faults::check_clocks(world).await?;
        Probes::judge(world).await;
        oracle::read_names(world, groups).await;
        oracle::judge(world, groups);
        if !journal.has_failed() {
            folders::check(world, &after).await?;
        }
        Ok(())
    }
}

/// Copies what is on disks that are about to be unmounted to where it stays.
async fn keep_disks(world: &World) -> anyhow::Result<()> {
    for mut server in world.all().await {
        server.end().await?;
        if server.image.is_some() {
            let (place, kept) = (server.place(), server.place().with_extension("disk"));
            system::run("cp", ["-a".as_ref(), place.as_os_str(), kept.as_os_str()])?;
        }
    }
    Ok(())
}
