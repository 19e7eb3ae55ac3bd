//! Time is handed in, so a timeout is tested in microseconds.

use super::*;
use proto::hello::ReceiptKey;
use proto::id::Epoch;
use uuid::Uuid;

const HEARTBEAT: Duration = Duration::from_secs(5);
const FAILURE: Duration = Duration::from_secs(15);
const ONE: NodeNumber = NodeNumber(1);

fn registration(node: u128, boot: u128, port: u16) -> RegisterNode {
    RegisterNode {
        node: NodeId::new(Uuid::from_u128(node)),
        boot: BootId::new(Uuid::from_u128(boot)),
        address: format!("127.0.0.1:{port}").parse().unwrap(),
        zone: "hall".to_owned(),
        cluster: None,
        seen: None,
        last_order: Epoch(0),
        receipt_key: ReceiptKey::from_bytes([1; 32]),
        usage: usage(100),
    }
}

fn heartbeat(node: u128, boot: u128, sequence: u64) -> ReportHeartbeat {
    ReportHeartbeat {
        node: NodeId::new(Uuid::from_u128(node)),
        boot: BootId::new(Uuid::from_u128(boot)),
        sequence,
        usage: usage(sequence),
    }
}

fn usage(free_bytes: u64) -> NodeUsage {
    NodeUsage {
        free_bytes,
        writable: true,
        ..NodeUsage::default()
    }
}

fn with_one_node(now: Instant) -> Membership {
    let mut membership = Membership::new(HEARTBEAT, FAILURE);
    membership
        .register(ONE, &registration(1, 1, 9001), 7, now)
        .unwrap();
    membership
}

/// Looks at silence each second, from one to another of them after the beginning.
fn tick_through(
    membership: &mut Membership,
    begin: Instant,
    seconds: std::ops::RangeInclusive<u64>,
) -> Vec<Change> {
    let ticks = seconds.map(|second| membership.tick(begin + Duration::from_secs(second)));
    ticks.flatten().collect()
}

#[test]
fn silence_makes_a_node_suspect_and_then_dead() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    assert!(tick_through(&mut membership, now, 0..=7).is_empty());
    let late = tick_through(&mut membership, now, 8..=8);
    assert_eq!(late[0].to, NodeState::Suspect);
    assert!(tick_through(&mut membership, now, 9..=14).is_empty());
    let dead = tick_through(&mut membership, now, 15..=15);
    assert_eq!(
        (dead[0].node, dead[0].from, dead[0].to),
        (ONE, NodeState::Suspect, NodeState::Dead)
    );
    assert!(membership.tick(now + FAILURE).is_empty(), "said once");

    let back = membership
        .heartbeat(&heartbeat(1, 1, 4), 7, now + FAILURE * 2)
        .unwrap();
    assert_eq!(back.change.unwrap().from, NodeState::Dead);
    assert!(membership.is_live(ONE));
}

/// A master was stopped for a minute (its machine paused, a laptop slept), and took all of its nodes for dead when it went on.
#[test]
fn a_master_that_was_stopped_takes_no_node_for_dead() {
    let begin = Instant::now();
    let mut membership = with_one_node(begin);
    assert!(tick_through(&mut membership, begin, 0..=4).is_empty());
    let again = 64;
    assert!(tick_through(&mut membership, begin, again..=again).is_empty());
    assert!(membership.is_live(ONE));
    let changes = tick_through(&mut membership, begin, again..=again + 20);
    let states: Vec<_> = changes.iter().map(|change| change.to).collect();
    assert_eq!(
        states,
        [NodeState::Suspect, NodeState::Dead],
        "it is silent in truth"
    );

    let begin = begin + Duration::from_secs(100);
    let mut membership = with_one_node(begin);
    membership.tick(begin);
    let spoke = begin + Duration::from_secs(60);
    membership.heartbeat(&heartbeat(1, 1, 1), 7, spoke).unwrap();
    assert!(membership.tick(spoke).is_empty());
    let changes = tick_through(&mut membership, spoke, 0..=15);
    assert_eq!(changes.last().unwrap().to, NodeState::Dead, "not later");
}

#[test]
fn a_broken_connection_makes_a_node_suspect_at_once() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    assert_eq!(membership.disconnected(8), None);
    assert_eq!(
        membership.disconnected(7).unwrap().to,
        NodeState::Suspect,
        "the connection that registered"
    );
    assert!(membership.candidates().is_empty());
    let again = membership
        .register(ONE, &registration(1, 2, 9001), 9, now)
        .unwrap();
    assert_eq!(again.change.unwrap().to, NodeState::Live);
}

#[test]
fn a_second_process_with_the_same_id_is_refused_while_the_first_is_connected() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    let refused = membership
        .register(ONE, &registration(1, 2, 9009), 8, now)
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::DuplicateNode);
    assert_eq!(membership.address(ONE).unwrap().port(), 9001);

    let same_boot = membership.register(ONE, &registration(1, 1, 9001), 8, now);
    assert!(same_boot.is_ok(), "it came back on another connection");
    assert_eq!(membership.disconnected(7), None, "the old one is not its");
    assert!(membership.is_live(ONE));

    membership.tick(now + FAILURE);
    let after_death = membership.register(ONE, &registration(1, 2, 9009), 9, now + FAILURE);
    assert!(after_death.is_ok());
    let late = membership.heartbeat(&heartbeat(1, 1, 50), 8, now + FAILURE);
    assert_eq!(late.unwrap_err().code, ErrorCode::NotFound);
}

#[test]
fn an_older_heartbeat_is_ignored() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    let later = now + Duration::from_secs(1);
    membership.heartbeat(&heartbeat(1, 1, 5), 7, later).unwrap();
    for sequence in [5, 3] {
        let heard = membership.heartbeat(&heartbeat(1, 1, sequence), 7, now + FAILURE);
        assert_eq!(heard.unwrap().change, None);
    }
    assert_eq!(membership.usage(ONE).free_bytes, 5);
    assert_eq!(membership.tick(later + FAILURE)[0].to, NodeState::Dead);
    for (boot, connection) in [(2, 7), (1, 8)] {
        let refused = membership.heartbeat(&heartbeat(1, boot, 9), connection, later);
        assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
    }
}

#[test]
fn a_known_node_that_does_not_register_dies_after_the_failure_timeout() {
    let now = Instant::now();
    let mut membership = Membership::new(HEARTBEAT, FAILURE);
    let RegisterNode { node, address, .. } = registration(1, 1, 9001);
    membership.know(ONE, node, address, "", now);
    assert_eq!(membership.state(ONE), NodeState::Suspect);
    assert_eq!(membership.page(None, 9, now).0[0].0, NodeNumber(1));
    assert_eq!(membership.page(None, 9, now).0[0].1.heartbeat_age_ms, None);
    assert_eq!(membership.tick(now + FAILURE)[0].to, NodeState::Dead);
}

#[test]
fn an_address_belongs_to_the_node_that_serves_there() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    let two = NodeNumber(2);
    let refused = membership.register(two, &registration(2, 2, 9001), 8, now);
    assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidArgument);

    membership.disconnected(7);
    membership
        .register(two, &registration(2, 2, 9001), 8, now)
        .unwrap();
    let displaced = membership.displaced_by(two);
    assert_eq!((displaced[0].node, displaced[0].to), (ONE, NodeState::Dead));
    assert_eq!(membership.displaced_by(two), []);
}

#[test]
fn only_live_nodes_with_room_are_candidates() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    for (number, full) in [
        (2, usage(0)),
        (
            3,
            NodeUsage {
                writable: false,
                ..usage(9)
            },
        ),
    ] {
        let mut request = registration(number, 1, u16::try_from(9000 + number).unwrap());
        request.usage = full;
        let number = NodeNumber(u32::try_from(number).unwrap());
        membership
            .register(number, &request, u64::from(number.0) + 100, now)
            .unwrap();
    }
    let candidates = membership.candidates();
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0].node, ONE);
    let counts = membership.counts();
    assert_eq!((counts.total, counts.live, counts.writable), (3, 3, 1));
    let (first, more) = membership.page(None, 2, now);
    assert!(more);
    let (rest, more) = membership.page(Some(first[1].1.node), 2, now);
    assert_eq!((rest.len(), more), (1, false));
    membership.forget(ONE);
    assert!(membership.candidates().is_empty());
}

/// Three nodes on the one disk of a laptop said to have three times its room.
#[test]
fn a_disk_that_several_nodes_are_on_counts_once() {
    let now = Instant::now();
    let mut membership = Membership::new(HEARTBEAT, FAILURE);
    let nodes = [
        ("127.0.0.1:9001", Some(7), 100),
        ("127.0.0.1:9002", Some(7), 101),
        ("127.0.0.1:9003", Some(8), 40),
        ("10.0.0.1:9001", Some(7), 30),
        ("10.0.0.1:9002", None, 20),
        ("10.0.0.1:9003", None, 20),
    ];
    for (number, (address, file_system, free)) in (1..).zip(nodes) {
        let request = RegisterNode {
            address: address.parse().unwrap(),
            usage: NodeUsage {
                file_system,
                capacity_bytes: 10 * free,
                ..usage(free)
            },
            ..registration(number, 1, 1)
        };
        let connection = u64::try_from(number).unwrap();
        let number = NodeNumber(u32::try_from(number).unwrap());
        membership
            .register(number, &request, connection, now)
            .unwrap();
    }
    assert_eq!(membership.space(), (2110, 211));
}

/// A node was removed and came back before this was told that it was removed: it is known by its new number alone.
#[test]
fn a_node_with_a_new_number_loses_its_former_one() {
    let mut membership = Membership::new(HEARTBEAT, FAILURE);
    let now = Instant::now();
    let request = registration(1, 1, 9001);
    membership.register(ONE, &request, 1, now).unwrap();
    membership.disconnected(1);
    let new = NodeNumber(5);
    membership.register(new, &request, 2, now).unwrap();
    assert_eq!(membership.live(), [new]);
    assert_eq!(membership.number(request.node), Some(new));
    membership.forget(ONE);
    assert_eq!(membership.number(request.node), Some(new));
    membership
        .heartbeat(&heartbeat(1, 1, 1), 2, now)
        .expect("it speaks for the new number");
}

/// A node's disk was full: uploads got fewer copies, and the missing ones were looked for only a minute after there
/// was room again.
#[test]
fn a_node_that_has_room_again_is_noticed() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    let mut say = |sequence, writable| {
        let mut heartbeat = heartbeat(1, 1, sequence);
        heartbeat.usage.writable = writable;
        let heard = membership.heartbeat(&heartbeat, 7, now).unwrap();
        heard.has_room_again
    };
    let heard = [(1, true), (2, false), (3, false), (4, true), (5, true)];
    let noticed = heard.map(|(sequence, writable)| say(sequence, writable));
    assert_eq!(noticed, [false, false, false, true, false]);
}

/// A node came back with an empty disk, and counted for a moment as one that holds what is recorded of it.
#[test]
fn a_node_that_comes_is_live_and_in_doubt_in_one_step() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    assert!(membership.is_live(ONE) && membership.relied_on().is_empty());
    assert_eq!(membership.doubtful(), [ONE]);
    compare(&mut membership);
    assert!(membership.relied_on().contains(&ONE) && membership.doubtful().is_empty());

    membership
        .register(ONE, &registration(1, 1, 9001), 8, now + HEARTBEAT)
        .unwrap();
    assert_eq!(membership.doubtful(), [ONE], "on another connection");
    assert_eq!(membership.doubted_at(ONE), Some(now + HEARTBEAT));
    compare(&mut membership);
    membership.tick(now + HEARTBEAT + FAILURE);
    assert_eq!(membership.doubtful(), [ONE], "silent");
    assert_eq!(membership.begin_comparison(ONE), None);
    let late = membership.heartbeat(&heartbeat(1, 1, 1), 8, now + FAILURE * 3);
    assert!(late.unwrap().change.is_some());
    assert_eq!(membership.doubtful(), [ONE], "here again, and not compared");
}

#[test]
fn a_node_that_loses_a_disk_is_in_doubt() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    compare(&mut membership);
    let mut report = heartbeat(1, 1, 1);
    membership.heartbeat(&report, 7, now).unwrap();
    assert!(membership.relied_on().contains(&ONE) && membership.take_doubted().is_empty());
    (report.sequence, report.usage.failed_disks) = (2, 1);
    let heard = membership.heartbeat(&report, 7, now).unwrap();
    assert_eq!(heard.disks, DiskNews::Lost);
    assert_eq!(membership.doubtful(), [ONE]);
    assert_eq!(membership.take_doubted(), [ONE]);
}

/// A disk was away between two heartbeats. What it held was asked for then, and did not count for a day.
#[test]
fn a_disk_that_no_heartbeat_missed_is_heard_to_be_back() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    let mut heard = |sequence, failed_disks, has_failing| {
        if has_failing {
            membership.note_failing(ONE);
        }
        let mut report = heartbeat(1, 1, sequence);
        report.usage.failed_disks = failed_disks;
        membership.heartbeat(&report, 7, now).unwrap().disks
    };
    assert_eq!(heard(1, 0, false), DiskNews::None);
    assert_eq!(heard(2, 0, true), DiskNews::PerhapsBack);
    assert_eq!(heard(3, 0, false), DiskNews::None);
    assert_eq!(heard(4, 1, true), DiskNews::Lost);
    assert_eq!(heard(5, 1, false), DiskNews::PerhapsBack, "another one");
    assert_eq!(heard(6, 0, false), DiskNews::Back);
}

#[test]
fn a_comparison_settles_no_doubt_that_arose_after_it_began() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    assert_eq!(membership.take_doubted(), [ONE]);
    assert!(membership.take_doubted().is_empty(), "said once");
    let comparison = membership.begin_comparison(ONE).unwrap();
    membership.doubt(ONE, now + HEARTBEAT);
    membership.end_comparison(comparison);
    assert_eq!(membership.doubtful(), [ONE]);
    assert_eq!(membership.take_doubted(), [ONE]);
    compare(&mut membership);
    assert!(membership.doubtful().is_empty());
}

/// A node that the store knows and that has not come since the master's start.
#[test]
fn nothing_is_relied_on_that_was_never_compared() {
    let mut membership = Membership::new(HEARTBEAT, FAILURE);
    let RegisterNode { node, address, .. } = registration(1, 1, 9001);
    membership.know(ONE, node, address, "", Instant::now());
    assert_eq!(membership.doubtful(), [ONE]);
    assert_eq!(membership.doubted_at(ONE), None);
}

fn compare(membership: &mut Membership) {
    membership.take_doubted();
    let comparison = membership.begin_comparison(ONE).unwrap();
    membership.end_comparison(comparison);
}

#[test]
fn a_node_that_refused_writes_does_not_count_until_it_speaks() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    assert_eq!(membership.counts().writable, 1);
    membership.note_refused_writes(&[ONE]);
    assert_eq!(membership.counts().writable, 0);
    assert_eq!(membership.candidates().len(), 1, "others may try");
    membership
        .heartbeat(&heartbeat(1, 1, 1), 7, now + HEARTBEAT)
        .unwrap();
    assert_eq!(membership.counts().writable, 1);
}

type Step<'s> = &'s dyn Fn(&mut Membership, Instant);

/// All nodes were looked through for every chunk of an upload. What is kept of them instead must be what looking would show.
#[test]
fn what_is_kept_of_all_nodes_is_what_they_are() {
    let mut now = Instant::now();
    let mut membership = with_one_node(now);
    let two = NodeNumber(2);
    let steps: [Step<'_>; 12] = [
        &|_, _| {},
        &|membership, now| {
            let request = registration(2, 1, 9002);
            membership.know(two, request.node, request.address, "", now);
        },
        &|membership, now| {
            let two_comes = membership.register(two, &registration(2, 1, 9002), 8, now);
            two_comes.unwrap();
        },
        &|membership, _| compare(membership),
        &|membership, now| membership.doubt(ONE, now),
        &|membership, _| compare(membership),
        &|membership, now| {
            let mut is_full = heartbeat(1, 1, 1);
            is_full.usage.writable = false;
            membership.heartbeat(&is_full, 7, now).unwrap();
        },
        &|membership, now| {
            let mut lost_a_disk = heartbeat(1, 1, 2);
            lost_a_disk.usage.failed_disks = 1;
            membership.heartbeat(&lost_a_disk, 7, now).unwrap();
        },
        &|membership, _| {
            membership.disconnected(8).unwrap();
        },
        &|membership, now| {
            membership.tick(now + FAILURE / 2);
        },
        &|membership, now| {
            membership.heartbeat(&heartbeat(1, 1, 3), 7, now).unwrap();
        },
        &|membership, _| membership.forget(ONE),
    ];
    for (place, step) in steps.iter().enumerate() {
        membership.placeable(now);
        step(&mut membership, now);
        let kept = membership.placeable(now);
        assert_eq!(kept.candidates, membership.candidates(), "step {place}");
        assert_eq!(kept.doubtful, membership.doubtful(), "step {place}");
        assert_eq!(kept.live, membership.live().len(), "step {place}");
        now += Duration::from_millis(10);
    }
}

#[test]
fn the_room_of_nodes_is_looked_at_now_and_then() {
    let now = Instant::now();
    let mut membership = with_one_node(now);
    let first = membership.placeable(now);
    let later = now + Duration::from_secs(1);
    assert!(Arc::ptr_eq(&first, &membership.placeable(later)));
    let room =
        |membership: &mut Membership, now| membership.placeable(now).candidates[0].free_bytes;
    membership.heartbeat(&heartbeat(1, 1, 5), 7, later).unwrap();
    assert_eq!(room(&mut membership, later), 5);
    membership.heartbeat(&heartbeat(1, 1, 6), 7, later).unwrap();
    assert_eq!(room(&mut membership, later), 5);
    assert_eq!(room(&mut membership, later + Duration::from_millis(100)), 6);
}
