//! Extents of a node rot: bits flip, files are cut, grow, are swapped or gone; of a node that runs, or that stands. Or the same
//! chunk rots on two nodes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use client::{Cluster, Error};
use history::Value;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};
use tokio::time::sleep;

use super::copies::{self, Leave};
use super::own_files::Patience;
use super::{Harm, Verb, records};
use crate::load::groups_used;
use crate::oracle;
use crate::world::{COPIES, World};

pub(super) const VERBS: &[Verb] = &[
    Verb {
        weight: 8,
        begin: |world, harm| Box::pin(corrupt(world, harm)),
    },
    Verb {
        weight: 3,
        begin: |world, harm| Box::pin(corrupt_on_two(world, harm)),
    },
];
pub(super) const MINIMA: &[(&str, f64)] = &[("corruptions", 2.0)];

/// Places that rot at once.
const PLACES_MAX: usize = 12;
/// A node runs with what rotted for so long before it is read.
const UNKNOWN_MAX: Duration = Duration::from_secs(2);
/// Where headers are, at the beginning of a file, and where its last record ends.
const EDGE: u64 = 96;

async fn corrupt(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(mut node) = world.any_node(&mut harm.chance) else {
        return Ok(());
    };
    let Some(leave) = Leave::ask(&world).await else {
        return Ok(());
    };
    let runs = harm.chance.random_bool(0.5);
    if !runs {
        node.kill().await?;
    }
    let number = world.number_of(&node.name);
    world.probes.give_up(number);
    let extents = node.data().join("extents");
    for _ in 0..harm.chance.random_range(1..=PLACES_MAX) {
        let done = match harm_a_file(&extents, runs, &mut harm.chance) {
            // A node that runs may remove the file, or cut it, in this moment.
            Err(error) if runs && is_of_less(&error) => None,
            done => done?,
        };
        if let Some(done) = done {
            let name = &node.name;
            world
                .journal
                .note(format_args!("{done} of {name}, which runs: {runs}"));
            world.journal.count("corruptions");
        }
    }
    if node.id().is_none() {
        node.start().await?;
    }
    // Whoever reads now may be given what has rotted, and must not take it.
    let everything = oracle::contents(&world, &world.connect(), groups_used(&world)).await;
    if let Err(problem) = everything {
        world.journal.note(problem);
    }
    if runs {
        sleep(harm.up_to(UNKNOWN_MAX)).await;
        if harm.chance.random_bool(0.5) {
            node.kill().await?;
            node.start().await?;
        }
    }
    leave.mend(&world, &[number]).await;
    Ok(())
}

/// The same chunk of a file rots on two of the three nodes that have it. Nobody else harms a node meanwhile.
async fn corrupt_on_two(world: Arc<World>, mut harm: Harm) -> anyhow::Result<()> {
    let Some(leave) = Leave::ask(&world).await else {
        return Ok(());
    };
    let (cluster, nodes) = (world.connect(), world.all_nodes().await);
    let Ok(contents) = oracle::contents(&world, &cluster, groups_used(&world)).await else {
        return Ok(());
    };
    let chunks = contents.iter().flat_map(|(place, value)| {
        let chunks = value.chunks().into_iter();
        chunks.map(move |chunk| (*place, *value, chunk))
    });
    let chunks: Vec<_> = chunks.collect();
    let Some((place, value, chunk)) = chunks.choose(&mut harm.chance).copied() else {
        return Ok(());
    };
    let mut holders = match copies::holders(&world, chunk).await {
        Ok(holders) if holders.len() == COPIES => holders,
        _ => return Ok(()),
    };
    holders.shuffle(&mut harm.chance);
    let mut rotten = Vec::new();
    for number in &holders[..2] {
        let extents = nodes[number - 1].data().join("extents");
        // A node that runs may move the chunk, or have deleted it, in this moment.
        if records::rot(&extents, chunk, &mut harm.chance)? > 0 {
            world.journal.count("corruptions");
            rotten.push(*number);
        }
    }
    world
        .journal
        .note(format_args!("{chunk} has rotten on {rotten:?}"));
    if rotten.len() == 2 {
        world.journal.count("chunks rotten on two nodes");
    }
    // Whoever reads now finds the third.
    if read_name(&world, &cluster, place).await? == Some(value) {
        world.journal.count("reads of what has rotten on two nodes");
    }
    drop(nodes);
    leave.mend(&world, &rotten).await;
    Ok(())
}

/// Reads a name, as often as it takes: nothing if it is gone.
async fn read_name(
    world: &World,
    cluster: &Cluster,
    (group, name): (usize, usize),
) -> anyhow::Result<Option<Value>> {
    let (path, patience) = (history::path(group, name), Patience::new(world));
    loop {
        match history::read(cluster, &path).await {
            Ok(Some(value)) => return Ok(Some(value)),
            Ok(None) => {
                world.journal.count("wrong answers");
                bail!("the bytes of {path} are nobody's content");
            }
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => patience.after(error).await?,
        }
    }
}

/// Whether there is less on a disk than there was a moment before.
fn is_of_less(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    )
}

/// Harms one file, or two; says how, if anything has changed.
fn harm_a_file(extents: &Path, runs: bool, chance: &mut StdRng) -> io::Result<Option<String>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(extents)? {
        paths.push(entry?.path());
    }
    paths.sort();
    let Some(path) = paths.choose(chance) else {
        return Ok(None);
    };
    let len = fs::metadata(path)?.len();
    let said = match chance.random_range(0..100) {
        0..80 => flip(path, len, chance)?,
        80..88 => cut(path, len, chance)?,
        88..94 => extend(path, chance)?,
        94..97 if !runs => swap(path, &paths, chance)?,
        // A node that runs keeps what it has open.
        97.. if !runs => {
            fs::remove_file(path)?;
            Some("removed".to_owned())
        }
        _ => None,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(said.map(|said| format!("{said}: {name}")))
}

/// A place in a file: often in its header, or in the last record.
fn place(len: u64, chance: &mut StdRng) -> u64 {
    match chance.random_range(0..6) {
        0 => chance.random_range(0..EDGE.min(len)),
        1 => len - 1 - chance.random_range(0..EDGE.min(len)),
        _ => chance.random_range(0..len),
    }
}

fn flip(path: &Path, len: u64, chance: &mut StdRng) -> io::Result<Option<String>> {
    if len == 0 {
        return Ok(None);
    }
    let (at, bit) = (place(len, chance), chance.random_range(0..8));
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&[byte[0] ^ (1 << bit)])?;
    Ok(Some(format!("bit {bit} of byte {at} of {len} flipped")))
}

fn cut(path: &Path, len: u64, chance: &mut StdRng) -> io::Result<Option<String>> {
    if len == 0 {
        return Ok(None);
    }
    let at = place(len, chance);
    File::options().write(true).open(path)?.set_len(at)?;
    Ok(Some(format!("cut at {at} of {len}")))
}

fn extend(path: &Path, chance: &mut StdRng) -> io::Result<Option<String>> {
    let mut more = vec![0; chance.random_range(1..10_000)];
    if chance.random_bool(0.7) {
        chance.fill_bytes(&mut more);
    }
    File::options().append(true).open(path)?.write_all(&more)?;
    Ok(Some(format!("grown by {}", more.len())))
}

fn swap(path: &Path, paths: &[PathBuf], chance: &mut StdRng) -> io::Result<Option<String>> {
    let other = paths.choose(chance).filter(|other| *other != path);
    let Some(other) = other else {
        return Ok(None);
    };
    let aside = path.with_extension("aside");
    fs::rename(path, &aside)?;
    fs::rename(other, path)?;
    fs::rename(&aside, other)?;
    Ok(Some(format!("swapped with {}", other.display())))
}
