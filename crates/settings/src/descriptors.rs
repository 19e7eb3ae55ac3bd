//! How many files and connections a process may have open at once: systems begin with few, and allow more on demand.

/// Raises the limit as far as the system allows, and gives the number of connections that a server may take: `wanted`,
/// but no more than half of the limit: the rest is for files, and for connections that the server makes itself. Where
/// the system has no such limit, it is `wanted`.
pub fn connections_possible(wanted: usize) -> usize {
    match raise_limit() {
        Some(limit) => wanted.min(limit / 2),
        None => wanted,
    }
}

#[cfg(unix)]
fn raise_limit() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    // Some systems refuse to raise it although they name a higher maximum: then it stays as it is.
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => now.maximum,
        Err(_) => now.current,
    };
    limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn raise_limit() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_others() {
        assert_eq!(connections_possible(10), 10);
        let limit = raise_limit().unwrap_or(usize::MAX);
        assert!(connections_possible(usize::MAX) <= limit);
    }
}
