//! The nodes' folders, read without their servers when these have stopped: what is there must be what they said.

use std::collections::BTreeMap;

use disk::{MemoryDisk, RealDisk};
use proto::id::ChunkId;

use crate::oracle::{Contents, wanted};
use crate::world::{COPIES, World};

/// Stops all servers as a person would, and reads the nodes' folders without them.
pub(crate) async fn check(world: &World, contents: &Contents) -> anyhow::Result<()> {
    let mut copies = BTreeMap::<ChunkId, usize>::new();
    for mut server in world.all().await {
        let ended_badly = server.stop().await?;
        let name = server.name.clone();
        if let Some(status) = ended_badly {
            world.journal.fail(format_args!(
                "{name} was asked to stop, and ended with {status}"
            ));
        }
        if server.is_master() {
            continue;
        }
        let (disk, mut said) = (RealDisk::read_only(server.data()), Vec::new());
        let verified = storage_node::offline::verify(&*disk, &mut said);
        let said = String::from_utf8_lossy(&said);
        world.journal.note(format_args!("{name}: {}", said.trim()));
        // Where the record of a deletion rotted, what is offline cannot know that the chunk was deleted. And what a disk
        // said to have kept when it failed, and had not, stays corrupt, if nobody else has it and it was never relied on.
        let may_be_damaged = world.journal.count_of("corruptions") > 0
            || world.probes.has_lied(world.number_of(&name));
        if let Err(error) = verified
            && !may_be_damaged
        {
            world
                .journal
                .fail(format_args!("verify says of {name}: {error:#}"));
        }
        let exported = MemoryDisk::new();
        // It also fails when a chunk is corrupt, which is left out.
        drop(storage_node::offline::export(
            &*disk,
            &exported,
            &mut std::io::sink(),
        ));
        for entry in disk::Disk::list(&exported, "")? {
            if let Ok(chunk) = entry.name.parse() {
                *copies.entry(chunk).or_default() += 1;
            }
        }
    }
    for chunk in wanted(contents) {
        let count = copies.get(&chunk).copied().unwrap_or(0);
        if count < COPIES {
            world.journal.fail(format_args!(
                "the folders have {count} good copies of {chunk}"
            ));
        }
    }
    Ok(())
}
