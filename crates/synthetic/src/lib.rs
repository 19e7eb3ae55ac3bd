//! Files and nodes as the master's commands, for measurements: the commands are those of real uploads, with receipts that the master
//! checks and accepts, but no node runs and no chunk is stored.
//!
//! **Invariant:** equal arguments give equal commands. Nothing asks a clock or chance.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, ensure};
use disk::Disk;
use master::command::{ChunkPromise, ClusterMillis, Command, NodeNumber, TimedCommand};
use master::folder::STORE;
use master::state::{State, StateOptions};
use proto::hello::ReceiptKey;
use proto::id::{ChunkId, ClusterId, NodeId, PromiseId, UploadId};
use proto::master::{ChunkToStore, ClusterRules, Precondition, StoredChunk};
use proto::name::{EntryPath, NameRules};
use proto::node::{BucketDigest, Receipt};
use uuid::Uuid;

/// Bytes of each file, and of its one chunk.
pub const FILE_LEN: u32 = 4096;
/// Copies of each chunk.
pub const COPIES: u32 = 3;

/// What the clusters go by: the defaults.
pub fn rules() -> ClusterRules {
    ClusterRules {
        chunk_size: 1 << 20,
        replication_factor: 3,
        min_write_replicas: 2,
        file_size_max: None,
        names: NameRules::Any,
    }
}

/// Opens the master's store on this disk, or makes one.
pub fn open_state(disk: &Arc<dyn Disk>, cluster: ClusterId, cache_bytes: usize) -> Result<State> {
    let options = StateOptions {
        new_cluster: cluster,
        rules: rules(),
        cache_bytes,
    };
    Ok(State::open_in(disk, &options)?)
}

/// Applies commands in one transaction; one that is refused is an error.
pub fn apply(state: &State, commands: &[TimedCommand], durable: bool) -> Result<()> {
    let applied = state.write()?.run(commands, durable)?;
    let refused = applied.outcomes.into_iter().find_map(Result::err);
    ensure!(refused.is_none(), "{STORE} refused a command: {refused:?}");
    Ok(())
}

/// A command, `number` milliseconds after the cluster began.
pub fn timed(number: u64, command: Command) -> TimedCommand {
    TimedCommand {
        at: ClusterMillis(number + 1),
        wall_ms: 1_700_000_000_000 + number,
        command,
    }
}

/// The id of a node, by its number.
pub fn node_id(node: u32) -> NodeId {
    NodeId::new(Uuid::from_u128(u128::from(node)))
}

/// The key with which a node signs receipts.
pub fn receipt_key(node: u32) -> ReceiptKey {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&node.to_be_bytes());
    ReceiptKey::from_bytes(bytes)
}

/// What makes nodes 1 to `count` known.
pub fn nodes(count: u32) -> impl Iterator<Item = TimedCommand> {
    (1..=count).map(|node| {
        let port = 10_000 + node;
        let command = Command::UpsertNode {
            node: node_id(node),
            address: format!("127.0.0.1:{port}").parse().expect("a port"),
            zone: String::new(),
            receipt_key: receipt_key(node),
        };
        timed(0, command)
    })
}

/// What a client has the master do for file `number`: its chunk, which no other file has, is promised to three of `nodes` nodes, and
/// then there with their receipts.
pub fn upload(number: u64, path: EntryPath, nodes: u32) -> [TimedCommand; 2] {
    let id = Uuid::from_u128(u128::from(number) + 1);
    let (upload, promise) = (UploadId::new(id), PromiseId::new(id));
    let chunk = ChunkToStore {
        chunk: chunk_of(number),
        len: FILE_LEN,
    };
    let holders = holders(number, nodes);
    let allocate = Command::AllocateChunks {
        upload,
        lease_until: ClusterMillis(u64::MAX),
        promise,
        doubtful: Vec::new(),
        deletions_wait: false,
        chunks: vec![ChunkPromise {
            chunk,
            nodes: holders.iter().copied().map(NodeNumber).collect(),
        }],
    };
    let receipt = |node: &u32| Receipt {
        node: node_id(*node),
        mac: receipt_key(*node).receipt(promise, &chunk.chunk, u64::from(chunk.len)),
    };
    let commit = Command::CommitUpload {
        upload,
        path,
        size: FILE_LEN.into(),
        modified_ms: None,
        blocks: 0,
        place: 0,
        doubtful: Vec::new(),
        chunks: vec![StoredChunk {
            chunk: chunk.chunk,
            len: chunk.len,
            receipts: holders.iter().map(receipt).collect(),
        }],
        parents: true,
        precondition: Precondition::Any,
    };
    [allocate, commit].map(|command| timed(number, command))
}

/// The chunk of file `number`.
pub fn chunk_of(number: u64) -> ChunkId {
    ChunkId::of(&number.to_be_bytes())
}

/// What nodes 1 to `nodes` have of these files, as each would sum it up.
pub fn digests(files: Range<u64>, nodes: u32) -> Vec<Vec<BucketDigest>> {
    let mut digests = vec![vec![BucketDigest::default(); 256]; nodes as usize];
    for file in files {
        let chunk = chunk_of(file);
        for node in holders(file, nodes) {
            digests[node as usize - 1][usize::from(chunk.bucket())].add(&chunk);
        }
    }
    digests
}

/// The nodes that have the chunk of file `number`: others than those of the file before it, in ascending order.
fn holders(number: u64, nodes: u32) -> [u32; COPIES as usize] {
    let first = number.wrapping_mul(u64::from(COPIES));
    let mut holders = std::array::from_fn(|copy| {
        let place = (first + copy as u64) % u64::from(nodes);
        u32::try_from(place).expect("it is below the number of nodes") + 1
    });
    holders.sort_unstable();
    holders
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::MemoryDisk;

    #[test]
    fn the_master_takes_the_files_for_uploaded_ones() {
        let disk = MemoryDisk::new().shared();
        let state = open_state(&disk, ClusterId::new(Uuid::from_u128(1)), 1 << 20).unwrap();
        let path = |number: u64| format!("/folder/{number}").parse().unwrap();
        let files = (0..7).flat_map(|number| upload(number, path(number), 5));
        let commands: Vec<_> = nodes(5).chain(files).collect();
        apply(&state, &commands, true).unwrap();
        let read = state.read().unwrap();
        assert_eq!(read.sums().unwrap().files, 7);
        let chunk = read.chunk(&chunk_of(3)).unwrap();
        assert_eq!(chunk.unwrap().replicas.len(), 3);
        for (place, digest) in digests(0..7, 5).iter().enumerate() {
            let node = NodeNumber(u32::try_from(place).unwrap() + 1);
            assert_eq!(read.bucket_digests(node).unwrap(), *digest, "{node:?}");
        }
    }
}
