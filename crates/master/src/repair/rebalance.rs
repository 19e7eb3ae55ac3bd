//! Which copies to move when a node is much emptier than the others: from whom to whom, decided from sums.
//!
//! A move is a copy made on the emptier node, after which the ordinary trimming takes the surplus one from the
//! fullest: rebalancing itself never removes anything. It is slow, and rests while anything is to be repaired.

use crate::command::NodeNumber;

/// A node emptier than this share of what would be fair gets copies.
const BEGIN_BELOW_PERCENT: u128 = 60;

/// What a live node holds, and how big it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Which.
    pub node: NodeNumber,
    /// Bytes of chunks that it holds.
    pub held: u64,
    /// Bytes of its disks.
    pub capacity: u64,
    /// Whether it takes new chunks.
    pub writable: bool,
}

/// Copies go this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// From the fullest of those that hold more than their share.
    pub from: NodeNumber,
    /// To the emptiest.
    pub to: NodeNumber,
}

/// Finds the worst imbalance, unless it is below `difference_min` bytes.
pub fn choose_move(fills: &[Fill], difference_min: u64) -> Option<Move> {
    let held: u128 = fills.iter().map(|fill| u128::from(fill.held)).sum();
    let capacity: u128 = fills.iter().map(|fill| u128::from(fill.capacity)).sum();
    let fair = |fill: &Fill| held * u128::from(fill.capacity) / capacity.max(1);
    let is_much_emptier = |fill: &Fill| {
        let (held, fair) = (u128::from(fill.held), fair(fill));
        held * 100 < fair * BEGIN_BELOW_PERCENT && fair - held >= u128::from(difference_min)
    };
    let share = |fill: &Fill| u128::from(fill.held) * 1000 / u128::from(fill.capacity.max(1));
    let to = fills
        .iter()
        .filter(|fill| fill.writable && is_much_emptier(fill))
        .min_by_key(|fill| (share(fill), fill.node))?;
    let from = fills
        .iter()
        .filter(|fill| fill.node != to.node && u128::from(fill.held) > fair(fill))
        .max_by_key(|fill| (share(fill), fill.node))?;
    Some(Move {
        from: from.node,
        to: to.node,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[(u64, u64)], expected: Option<(u32, u32)>) {
        let fills: Vec<_> = (1..)
            .zip(rows)
            .map(|(node, (held, capacity))| Fill {
                node: NodeNumber(node),
                held: *held,
                capacity: *capacity,
                writable: true,
            })
            .collect();
        let found = choose_move(&fills, 10).map(|found| (found.from.0, found.to.0));
        assert_eq!(found, expected, "{rows:?}");
    }

    #[test]
    fn an_empty_node_gets_copies_from_the_fullest_until_it_has_most_of_its_share() {
        check(&[], None);
        check(&[(500, 1000)], None);
        check(&[(500, 1000), (500, 1000), (510, 1000)], None);
        check(&[(500, 1000), (520, 1000), (0, 1000)], Some((2, 3)));
        check(&[(400, 1000), (400, 1000), (250, 1000)], None);
        check(&[(400, 2000), (200, 1000), (200, 1000)], None);
        check(&[(9, 1000), (9, 1000), (0, 1000)], None);
        check(&[(400, 4000), (300, 1000), (0, 4000)], Some((2, 3)));
    }

    #[test]
    fn a_full_node_gets_none() {
        let fill = |node, held, writable| Fill {
            node: NodeNumber(node),
            held,
            capacity: 1000,
            writable,
        };
        assert_eq!(
            choose_move(&[fill(1, 500, true), fill(2, 0, false)], 10),
            None
        );
    }
}
