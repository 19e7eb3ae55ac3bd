//! Each state of the cluster with the sentences that a person then reads.

use super::*;
use proto::name::NameRules;

fn healthy() -> Facts {
    Facts {
        rules: ClusterRules {
            chunk_size: 1 << 20,
            replication_factor: 3,
            min_write_replicas: 2,
            file_size_max: None,
            names: NameRules::Any,
        },
        nodes: NodeCounts {
            total: 3,
            live: 3,
            suspect: 0,
            dead: 0,
            writable: 3,
        },
        down: Vec::new(),
        full: Vec::new(),
        trashed_bytes: 0,
        space_comes_in: None,
        open_uploads: 0,
        upload_lease: Duration::from_secs(24 * 3600),
        garbage_grace: Duration::from_secs(3600),
        failed_disks: Vec::new(),
        failure_timeout: Duration::from_secs(15),
        tally: Tally::default(),
        repair: RepairStatus::default(),
        safe_mode: None,
        safe_mode_is_held: false,
        not_compared: None,
        refused: None,
        delete_fuse: None,
        superseded: None,
        damaged_row: None,
        damaged_store: None,
        master_disk_full: false,
    }
}

fn node(port: u16) -> Address {
    format!("10.0.0.1:{port}").parse().unwrap()
}

fn down(port: u16, seconds: u64, is_dead: bool) -> NodeDown {
    NodeDown {
        node: NodeId::new(uuid::Uuid::from_u128(port.into())),
        address: node(port),
        silence: Duration::from_secs(seconds),
        is_dead,
        is_replaced: false,
    }
}

fn check(change: impl FnOnce(&mut Facts), expected: Health, sentences: &[(&str, &str)]) {
    let mut facts = healthy();
    change(&mut facts);
    let problems = facts.problems();
    assert_eq!(health(&problems), expected, "{problems:?}");
    assert_eq!(problems.len(), sentences.len(), "{problems:?}");
    for (problem, (code, part)) in problems.iter().zip(sentences) {
        assert_eq!(problem.code, *code);
        assert!(problem.message.contains(part), "{}", problem.message);
        assert!(problem.message.ends_with('.'), "{}", problem.message);
    }
}

#[test]
fn a_healthy_cluster_has_no_problems() {
    check(|_| {}, Health::Green, &[]);
    assert!(healthy().uploads_possible());
}

#[test]
fn missing_nodes_are_told_with_what_still_works() {
    check(
        |facts| facts.nodes = NodeCounts::default(),
        Health::Red,
        &[("too_few_nodes", "No storage node has joined yet")],
    );
    check(
        |facts| {
            facts.nodes = NodeCounts::default();
            facts.refused = Some("this master is new and empty".to_owned());
        },
        Health::Red,
        &[("too_few_nodes", "refused: this master is new and empty.")],
    );
    check(
        |facts| {
            facts.nodes.writable = 2;
            facts.down = vec![down(1, 3, false)];
        },
        Health::Yellow,
        &[
            ("too_few_nodes", "get 2 of 3 copies for now"),
            ("node_down", "without an answer in 12 seconds"),
        ],
    );
    check(
        |facts| {
            facts.nodes.writable = 1;
            facts.down = vec![down(1, 300, true), down(2, 300, true)];
            facts.tally = Tally {
                missing_copies: 10_001,
                one_copy: 9000,
                unavailable: 1,
                ..Tally::default()
            };
        },
        Health::Red,
        &[
            ("too_few_nodes", "Only 1 of 3 nodes"),
            (
                "chunks_lost",
                "1 chunk of files cannot be read now. Start the",
            ),
            (
                "node_down",
                "Nodes 10.0.0.1:1, 10.0.0.1:2 do not answer (silent for 5 minutes)",
            ),
            (
                "chunks_missing_copies",
                "10,000 chunks of files can be read, but have fewer than 3 copies (9,000 of them just one). The missing copies are made as soon as",
            ),
        ],
    );
}

/// With all nodes dead it said that files are read from other nodes; with two nodes in all, that only 2 of 2 take files.
#[test]
fn what_no_node_can_do_is_not_said_to_be_done() {
    check(
        |facts| {
            facts.nodes = NodeCounts {
                total: 3,
                dead: 3,
                ..NodeCounts::default()
            };
            facts.down = vec![down(1, 60, true), down(2, 60, true), down(3, 60, true)];
            facts.tally = Tally {
                missing_copies: 10,
                unavailable: 10,
                ..Tally::default()
            };
        },
        Health::Red,
        &[
            ("too_few_nodes", "None of the 3 nodes can take new files"),
            ("chunks_lost", "10 chunks of files cannot be read now"),
            (
                "node_down",
                "No file can be read or uploaded until a node answers",
            ),
        ],
    );
    check(
        |facts| {
            facts.nodes = NodeCounts {
                total: 2,
                live: 2,
                writable: 2,
                ..NodeCounts::default()
            };
        },
        Health::Yellow,
        &[(
            "too_few_nodes",
            "There are only 2 nodes: uploads work, but get 2",
        )],
    );
}

/// It said that copies are being made while none was: the third node was full.
#[test]
fn copies_are_said_to_be_made_only_while_they_are() {
    let tally = Tally {
        missing_copies: 64,
        repairable: 64,
        ..Tally::default()
    };
    let made = |writable, running, full: Vec<Address>, expected: &str| {
        let mut facts = healthy();
        facts.nodes.writable = writable;
        facts.tally = tally;
        facts.repair.running = running;
        facts.full = full;
        let problems = facts.problems();
        let missing = problems.iter().find(|p| p.code == "chunks_missing_copies");
        let message = &missing.unwrap().message;
        assert!(message.ends_with(expected), "{message}");
    };
    made(3, 2, vec![], "The missing copies are being made now.");
    made(3, 0, vec![], "The missing copies are made next.");
    made(2, 0, vec![], "as soon as another node is here.");
    made(2, 0, vec![node(3)], "or full ones have room.");
}

#[test]
fn running_repair_says_how_long_it_takes() {
    let report = RepairReport {
        tally: Some(Tally {
            missing_copies: 50,
            repairable: 50,
            repairable_bytes: 9_000,
            ..Tally::default()
        }),
        running: 4,
        bytes_per_second: 100,
        ..RepairReport::default()
    };
    let repair = repair_status(&report, report.tally.unwrap());
    assert_eq!((repair.queued, repair.seconds_left), (46, Some(90)));
    check(
        |facts| {
            facts.tally = report.tally.unwrap();
            facts.repair = repair;
        },
        Health::Yellow,
        &[("chunks_missing_copies", "about 90 seconds left")],
    );
    assert_eq!(
        repair_status(&RepairReport::default(), Tally::default()),
        RepairStatus::default()
    );
}

/// A node had just died, and until the survey that follows the status said that no chunk lacked a copy.
#[test]
fn what_a_node_held_is_missing_as_soon_as_it_is_dead() {
    let counters = Counters {
        chunks: 100,
        chunks_by_copies: [0, 0, 0, 100, 0, 0, 0, 0],
        ..Counters::default()
    };
    let surveyed = Some(Tally::default());
    let tally = at_least_recorded(surveyed, &counters, 3, 60);
    assert_eq!((tally.missing_copies, tally.repairable), (60, 60));
    let with_garbage = at_least_recorded(surveyed, &counters, 3, 130);
    assert_eq!(with_garbage.missing_copies, 100);
}

/// Before the first survey nothing was counted, and the status was green although the record said that copies are missing.
#[test]
fn what_is_recorded_as_missing_is_told_before_any_survey() {
    let mut counters = Counters {
        chunks_by_copies: [1, 2, 4, 100, 3, 0, 0, 0],
        ..Counters::default()
    };
    let tally = at_least_recorded(None, &counters, 3, 0);
    let counted = (tally.missing_copies, tally.one_copy, tally.unavailable);
    assert_eq!(counted, (7, 2, 1));
    assert_eq!(tally.repairable, 6);
    check(
        |facts| facts.tally = tally,
        Health::Red,
        &[
            ("chunks_lost", "1 chunk of files"),
            ("chunks_missing_copies", "6 chunks of files can be read"),
        ],
    );
    let surveyed = Tally {
        missing_copies: 50,
        repairable: 9,
        ..Tally::default()
    };
    let with_dead_nodes = at_least_recorded(Some(surveyed), &counters, 3, 0);
    assert_eq!(with_dead_nodes.missing_copies, 50);
    assert_eq!(with_dead_nodes.repairable, 9);
    counters.chunks_by_copies = [0, 0, 0, 100, 0, 0, 0, 0];
    assert_eq!(at_least_recorded(None, &counters, 3, 0), Tally::default());
}

#[test]
fn what_was_stopped_says_what_to_do() {
    check(
        |facts| {
            facts.superseded = Some("start this one with --restored".to_owned());
            facts.delete_fuse = Some(DeleteFuse { copies: 5, of: 6 });
            facts.safe_mode = Some(SafeMode {
                waiting_for: 2,
                examples: vec![node(1)],
                repair_waits: true,
            });
        },
        Health::Red,
        &[
            ("stale_master", "--restored"),
            ("delete_fuse", "dfs fuse reset"),
            (
                "safe_mode",
                "2 nodes (10.0.0.1:1, …): nothing is deleted until they have",
            ),
        ],
    );
    check(
        |facts| {
            facts.safe_mode = Some(SafeMode {
                waiting_for: facts.nodes.total,
                examples: vec![node(1)],
                repair_waits: true,
            });
        },
        Health::Yellow,
        &[("safe_mode", "they follow another master")],
    );
    check(
        |facts| {
            facts.safe_mode = Some(SafeMode {
                waiting_for: 0,
                examples: Vec::new(),
                repair_waits: false,
            });
            facts.not_compared = Some((node(1), "its disk fails".to_owned()));
        },
        Health::Yellow,
        &[(
            "safe_mode",
            "what node 10.0.0.1:1 holds with its record (its disk fails)",
        )],
    );
    check(
        |facts| {
            facts.full = vec![node(1), node(2)];
            facts.failed_disks = vec![node(3)];
        },
        Health::Yellow,
        &[
            ("disk_failed", "node 10.0.0.1:3 failed"),
            (
                "no_space",
                "Nodes 10.0.0.1:1, 10.0.0.1:2 are full and get no new files. Add",
            ),
        ],
    );
    check(
        |facts| facts.master_disk_full = true,
        Health::Red,
        &[("no_space", "The master's own disk is full")],
    );
}

#[test]
fn damage_of_the_masters_store_is_told() {
    let damage = "a row has format 63".to_owned();
    check(
        |facts| facts.damaged_row = Some(damage),
        Health::Red,
        &[("store_damaged", "everything else works")],
    );
    let damage = "the 4096 bytes at 8192 of its file are not what was written there".to_owned();
    check(
        |facts| facts.damaged_store = Some(damage),
        Health::Red,
        &[("store_file_damaged", "from a backup")],
    );
}

/// It said only to delete files: they went to the trash, and a purge gave nothing back for an hour, without a word of it.
#[test]
fn full_nodes_say_what_frees_space_and_when() {
    check(
        |facts| {
            facts.full = vec![node(1)];
            facts.trashed_bytes = 5;
            facts.space_comes_in = Some(Duration::from_secs(1800));
        },
        Health::Yellow,
        &[(
            "no_space",
            "Node 10.0.0.1:1 is full and gets no new files. What was deleted begins to be freed in about 30 minutes. Add a \
             node, empty the trash with `dfs trash empty`, or delete files with `dfs rm --purge`: their space comes back an \
             hour later",
        )],
    );
}

/// The space that killed uploads had taken came back a day later, and nothing said where it was.
#[test]
fn full_nodes_say_what_unfinished_uploads_keep() {
    let said = [
        (
            1,
            "1 upload is not finished: what one has sent whose program was killed is freed 25 hours later. Add",
        ),
        (2, "2 uploads are not finished: "),
    ];
    for (open, part) in said {
        check(
            |facts| {
                facts.full = vec![node(1)];
                facts.open_uploads = open;
            },
            Health::Yellow,
            &[("no_space", part)],
        );
    }
}

/// The old id of a node whose folder was emptied seemed to be the one that answers.
#[test]
fn a_node_that_was_replaced_and_one_that_is_copied_elsewhere_are_told_with_the_command() {
    let id = down(2, 0, true).node;
    check(
        |facts| {
            facts.down = vec![NodeDown {
                is_replaced: true,
                ..down(2, 60, true)
            }];
        },
        Health::Yellow,
        &[("node_down", &format!("there is another node now than {id}"))],
    );
    let address = node(2);
    check(
        |facts| facts.down = vec![down(2, 60, true)],
        Health::Yellow,
        &[(
            "node_down",
            &format!(
                "All chunks have their copies on other nodes. Start what is down again; what is gone for good is forgotten with `dfs node remove {address}`"
            ),
        )],
    );
}

#[test]
fn numbers_are_easy_to_read() {
    check(
        |facts| {
            facts.delete_fuse = Some(DeleteFuse {
                copies: 5000,
                of: 600_000,
            });
        },
        Health::Yellow,
        &[(
            "delete_fuse",
            "hold 5,000 copies that the master knows nothing of, beside 600,000 that",
        )],
    );
}
