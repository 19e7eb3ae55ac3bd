//! Names and times as a status says them to people.

use proto::net::Address;
use proto::words::{count, grouped};

/// Nodes that are named in a sentence; of more, only the number is told.
const NAMED_MAX: usize = 5;

/// `None of the 3 nodes`, `Only 1 of 3 nodes`.
pub(super) fn some_of(part: u32, total: u32) -> String {
    match (part, total) {
        (0, 1) => "Not even the only node".to_owned(),
        (0, _) => format!("None of the {}", count(total, "node")),
        _ => format!("Only {} of {}", grouped(part.into()), count(total, "node")),
    }
}

/// `Node A`, `Nodes A, B`, or of many `Node A and 8 others`.
pub(super) fn subject<'a>(addresses: impl ExactSizeIterator<Item = &'a Address>) -> String {
    let count = addresses.len();
    let names: Vec<_> = addresses.map(Address::as_str).collect();
    match count {
        0 => "No node".to_owned(),
        1 => format!("Node {}", names[0]),
        _ if count <= NAMED_MAX => format!("Nodes {}", names.join(", ")),
        _ => format!("Node {} and {} others", names[0], count - 1),
    }
}

/// The verb that goes with so many.
pub(super) fn verb(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

pub(super) fn and_others(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        2 => " (and of 1 other)".to_owned(),
        _ => format!(" (and of {} others)", count - 1),
    }
}

pub(super) fn time(seconds: u64) -> String {
    match seconds {
        0..=1 => "1 second".to_owned(),
        2..=119 => format!("{seconds} seconds"),
        3600..=3659 => "an hour".to_owned(),
        120..=7199 => format!("{} minutes", seconds / 60),
        7200..=172_799 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
