//! How many bytes of files still fit: each copy of a chunk goes to another node, and nodes may share a disk.

/// A file system on which live nodes keep chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SharedDisk {
    /// Bytes that it still takes.
    pub(super) free: u64,
    /// How many nodes share it.
    pub(super) nodes: u64,
}

/// The most bytes of files that fit with so many copies of each.
pub(super) fn room(disks: &[SharedDisk], copies: u64) -> u64 {
    let nodes: u64 = disks.iter().map(|disk| disk.nodes).sum();
    if copies == 0 || nodes < copies {
        return 0;
    }
    // A node takes one copy at most, so a disk takes no more than its nodes can use of it.
    let taken = |disk: &SharedDisk, bytes: u64| {
        u128::from(disk.free).min(u128::from(disk.nodes) * u128::from(bytes))
    };
    let fit = |bytes: u64| {
        let room: u128 = disks.iter().map(|disk| taken(disk, bytes)).sum();
        room >= u128::from(copies) * u128::from(bytes)
    };
    // What fits also fits in part: so the most that does can be searched for.
    let (mut fits, mut too_much) = (0, u64::MAX);
    while too_much - fits > 1 {
        let middle = fits + (too_much - fits) / 2;
        if fit(middle) {
            fits = middle;
        } else {
            too_much = middle;
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each disk is given as what is free there, and how many nodes share it.
    fn check(disks: &[(u64, u64)], copies: u64, expected: u64) {
        let disks: Vec<_> = disks
            .iter()
            .map(|(free, nodes)| SharedDisk {
                free: *free,
                nodes: *nodes,
            })
            .collect();
        assert_eq!(room(&disks, copies), expected, "{disks:?}, {copies} copies");
    }

    #[test]
    fn copies_of_a_chunk_need_distinct_nodes() {
        check(&[], 3, 0);
        check(&[(90, 1), (90, 1)], 3, 0);
        check(&[(90, 1), (90, 1), (90, 1)], 3, 90);
        check(&[(90, 1), (90, 1), (1, 1)], 3, 1);
        check(&[(90, 1), (90, 1), (1, 1)], 2, 90);
        check(&[(90, 1), (30, 1), (30, 1), (30, 1)], 3, 45);
        check(&[(7, 1)], 1, 7);
    }

    /// Three nodes on one disk said that three times of what fits does.
    #[test]
    fn a_disk_that_nodes_share_is_counted_once() {
        check(&[(90, 3)], 3, 30);
        check(&[(90, 2), (10, 1)], 3, 10);
        check(&[(90, 2), (100, 1)], 3, 45);
        check(&[(u64::MAX, 3)], 3, u64::MAX / 3);
    }
}
