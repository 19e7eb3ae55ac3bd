//! Random commands against a simple model, with nodes that store and delete, and with power cuts.
//!
//! The model knows four things: the names (a map from paths), the share links and where they lead, the disks of the nodes (a set of copies), and what was
//! answered. After every step: the store agrees with itself (`audit`), the listing is the model's, and the promise
//! holds: every copy on record, and every copy whose receipt an uploader could still use, is on its node's disk, whatever
//! the master forgot.
//! In the end the same log, applied to a new store in one transaction, makes the same state.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use super::world::World;

pub(super) const NODES: u32 = 4;
pub(super) const CHUNKS: u32 = 5;
pub(super) const PATHS: [&str; 9] = [
    "/a", "/b", "/c", "/a/a", "/a/b", "/b/a", "/b/b", "/a/a/a", "/a/a/b",
];

#[derive(Debug, Clone)]
pub(super) enum Step {
    Folder {
        at: usize,
        parents: bool,
    },
    Move {
        from: usize,
        to: usize,
        replace: bool,
    },
    Delete {
        at: usize,
        recursive: bool,
        purge: bool,
    },
    Restore {
        trash: u64,
        to: Option<usize>,
    },
    Empty {
        trash: Option<u64>,
    },
    /// `which` of the versions that the file has, in order, or one that it has not.
    RestoreVersion {
        at: usize,
        which: usize,
    },
    RemoveVersion {
        at: usize,
        which: usize,
    },
    Share {
        at: usize,
        is_limited: bool,
        upload_only: bool,
    },
    Fetch {
        share: u64,
    },
    Revoke {
        share: u64,
    },
    Allocate {
        upload: usize,
        chunks: Vec<u32>,
        nodes: Vec<u32>,
        down: Vec<u32>,
    },
    Store {
        upload: usize,
        node: u32,
    },
    Keep {
        upload: usize,
        at: usize,
    },
    Record {
        upload: usize,
        chunks: Vec<u32>,
        down: Vec<u32>,
        again: bool,
    },
    Commit {
        upload: usize,
        at: usize,
        chunks: Vec<u32>,
        down: Vec<u32>,
    },
    End {
        upload: usize,
    },
    Lose {
        node: u32,
        chunk: u32,
    },
    Fail {
        node: u32,
        chunk: u32,
    },
    Copy {
        from: u32,
        to: u32,
        chunk: u32,
    },
    Trim {
        node: u32,
        chunk: u32,
        down: Vec<u32>,
    },
    Collect,
    Inventory {
        node: u32,
    },
    DeleteUnknown {
        node: u32,
    },
    DeleteOnNode {
        node: u32,
    },
    Remove {
        node: u32,
    },
    Sweep {
        limit: u32,
        old: bool,
    },
    Copies {
        wanted: u8,
    },
    PowerCut {
        seed: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..PATHS.len();
    let node = || 1..=NODES;
    let number = || 0..CHUNKS;
    let upload = || 0..4_usize;
    let nodes = || proptest::sample::subsequence((1..=NODES).collect::<Vec<_>>(), 1..=4);
    let down = || proptest::sample::subsequence((1..=NODES).collect::<Vec<_>>(), 0..=2);
    let chunks = || proptest::collection::vec(0..CHUNKS, 0..4);
    prop_oneof![
        2 => (at(), any::<bool>()).prop_map(|(at, parents)| Step::Folder { at, parents }),
        3 => (at(), at(), any::<bool>())
            .prop_map(|(from, to, replace)| Step::Move { from, to, replace }),
        3 => (at(), any::<bool>(), any::<bool>())
            .prop_map(|(at, recursive, purge)| Step::Delete { at, recursive, purge }),
        2 => (1..6_u64, proptest::option::of(at())).prop_map(|(trash, to)| Step::Restore { trash, to }),
        1 => proptest::option::of(1..6_u64).prop_map(|trash| Step::Empty { trash }),
        2 => (at(), 0..4_usize).prop_map(|(at, which)| Step::RestoreVersion { at, which }),
        1 => (at(), 0..4_usize).prop_map(|(at, which)| Step::RemoveVersion { at, which }),
        3 => (at(), any::<bool>(), any::<bool>())
            .prop_map(|(at, is_limited, upload_only)| Step::Share { at, is_limited, upload_only }),
        3 => (1..6_u64).prop_map(|share| Step::Fetch { share }),
        1 => (1..6_u64).prop_map(|share| Step::Revoke { share }),
        6 => (upload(), chunks(), nodes(), down())
            .prop_map(|(upload, chunks, nodes, down)| Step::Allocate { upload, chunks, nodes, down }),
        8 => (upload(), node()).prop_map(|(upload, node)| Step::Store { upload, node }),
        2 => (upload(), at()).prop_map(|(upload, at)| Step::Keep { upload, at }),
        4 => (upload(), chunks(), down(), any::<bool>())
            .prop_map(|(upload, chunks, down, again)| Step::Record { upload, chunks, down, again }),
        6 => (upload(), at(), chunks(), down())
            .prop_map(|(upload, at, chunks, down)| Step::Commit { upload, at, chunks, down }),
        1 => upload().prop_map(|upload| Step::End { upload }),
        1 => (node(), number()).prop_map(|(node, chunk)| Step::Lose { node, chunk }),
        2 => (node(), number()).prop_map(|(node, chunk)| Step::Fail { node, chunk }),
        2 => (node(), node(), number()).prop_map(|(from, to, chunk)| Step::Copy { from, to, chunk }),
        2 => (node(), number(), down()).prop_map(|(node, chunk, down)| Step::Trim { node, chunk, down }),
        2 => Just(Step::Collect),
        2 => node().prop_map(|node| Step::Inventory { node }),
        1 => node().prop_map(|node| Step::DeleteUnknown { node }),
        3 => node().prop_map(|node| Step::DeleteOnNode { node }),
        1 => node().prop_map(|node| Step::Remove { node }),
        4 => (1..20_u32, any::<bool>()).prop_map(|(limit, old)| Step::Sweep { limit, old }),
        1 => (2..=4_u8).prop_map(|wanted| Step::Copies { wanted }),
        2 => any::<u64>().prop_map(|seed| Step::PowerCut { seed }),
    ]
}

#[test]
fn random_commands_keep_every_invariant() {
    let config = Config {
        cases: fuzz::cases(256),
        failure_persistence: None,
        ..Config::default()
    };
    let steps = proptest::collection::vec(step(), 1..60);
    let run = |steps: Vec<Step>| {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
            world.check();
        }
        world.check_replay();
        Ok(())
    };
    TestRunner::new(config).run(&steps, run).unwrap();
}

/// Links are followed through moves, the trash and a power cut, so that the random steps are known to get there.
#[test]
fn the_steps_of_a_share_succeed_in_order() {
    let mut world = World::new();
    let at = |place: &str| PATHS.iter().position(|path| *path == place).unwrap();
    let share = |place, is_limited| Step::Share {
        at: at(place),
        is_limited,
        upload_only: false,
    };
    let steps = [
        Step::Folder {
            at: at("/a/a"),
            parents: true,
        },
        share("/a", true),
        share("/a/a", false),
        Step::Move {
            from: at("/a"),
            to: at("/b"),
            replace: false,
        },
        Step::Fetch { share: 1 },
        Step::Delete {
            at: at("/b"),
            recursive: true,
            purge: false,
        },
        Step::PowerCut { seed: 1 },
        Step::Restore {
            trash: 1,
            to: Some(at("/c")),
        },
        Step::Fetch { share: 1 },
        Step::Fetch { share: 1 },
        Step::Revoke { share: 1 },
    ];
    for step in &steps {
        world.run(step);
        world.check();
    }
    let listed = world.bench.read().shares_page(None, 9).unwrap().shares;
    let places: Vec<_> = listed
        .iter()
        .map(|share| share.shared.as_ref().unwrap().path.to_string())
        .collect();
    assert_eq!(places, ["/c/a"]);
    world.check_replay();
}

/// Versions are restored and removed, so that the random steps are known to get there.
#[test]
fn the_steps_of_a_version_succeed_in_order() {
    let mut world = World::new();
    let upload = |chunks: &[u32]| {
        let allocate = Step::Allocate {
            upload: 0,
            chunks: chunks.to_vec(),
            nodes: vec![1, 2],
            down: Vec::new(),
        };
        let commit = Step::Commit {
            upload: 0,
            at: 0,
            chunks: chunks.to_vec(),
            down: Vec::new(),
        };
        let store = |node| Step::Store { upload: 0, node };
        [allocate, store(1), store(2), commit]
    };
    let versions = [&[0, 1][..], &[2]];
    let change = [
        Step::RestoreVersion { at: 0, which: 0 },
        Step::Delete {
            at: 0,
            recursive: false,
            purge: false,
        },
        Step::Restore { trash: 1, to: None },
        Step::PowerCut { seed: 1 },
        Step::RestoreVersion { at: 0, which: 1 },
        Step::RemoveVersion { at: 0, which: 0 },
        Step::Sweep {
            limit: 10,
            old: false,
        },
    ];
    let steps = versions.into_iter().flat_map(upload).chain(change);
    let mut seen = Vec::new();
    for step in steps {
        world.run(&step);
        world.check();
        let former = world.bench.read().counters().unwrap().former;
        seen.push((former.versions, former.bytes));
    }
    assert_eq!(
        seen[7..],
        [
            (1, 200),
            (1, 100),
            (1, 100),
            (1, 100),
            (1, 100),
            (1, 200),
            (0, 0),
            (0, 0)
        ]
    );
    world.check_replay();
}

/// The steps of an upload in their simplest order, so that the random ones are known to get there.
#[test]
fn the_steps_of_an_upload_succeed_in_order() {
    let mut world = World::new();
    let steps = [
        Step::Allocate {
            upload: 0,
            chunks: vec![0, 1],
            nodes: vec![1, 2],
            down: vec![3],
        },
        Step::Store { upload: 0, node: 1 },
        Step::Store { upload: 0, node: 2 },
        Step::Commit {
            upload: 0,
            at: 3,
            chunks: vec![0, 1, 0],
            down: vec![4],
        },
        Step::PowerCut { seed: 1 },
    ];
    for step in &steps {
        world.run(step);
        world.check();
    }
    assert_eq!(world.bench.tree(), ["/a/", "/a/a"]);
}
