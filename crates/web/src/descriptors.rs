//! How many connections this process may hold: the system allows only so many files and sockets, often just 1,024
//! unless asked for more.

/// Raises the limit as far as the system lets us, and tells how many connections fit: half of it, since each
/// transfer needs connections to the cluster, too. Where the system has no such limit, `wanted`.
pub(crate) fn connections_max(wanted: usize) -> usize {
    let descriptors = raise_limit(wanted.saturating_mul(2));
    descriptors.map_or(wanted, |limit| wanted.min(limit / 2))
}

#[cfg(unix)]
fn raise_limit(wanted: usize) -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    let wanted = (wanted as u64).min(limit.maximum.unwrap_or(u64::MAX));
    if wanted > current {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "raise the limit of open files to {wanted}: {error}");
        }
    }
    let current = getrlimit(Resource::Nofile).current?;
    usize::try_from(current).ok()
}

#[cfg(not(unix))]
fn raise_limit(_: usize) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_wanted_and_never_none() {
        assert_eq!(connections_max(4), 4);
        assert!((1..=1_000_000).contains(&connections_max(1_000_000)));
    }
}
