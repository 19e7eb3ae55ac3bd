//! What a cluster says of itself, once nobody harms it any more.

use client::Cluster;
use proto::master::{ClusterStatus, Health};

/// The status of a cluster that calls itself healthy and has no copy left to delete.
///
/// # Errors
/// What is not as it should be, as a sentence for a person.
pub async fn healthy(cluster: &Cluster) -> Result<ClusterStatus, String> {
    let status = cluster.status().await;
    let status = status.map_err(|error| format!("the master does not say how it is: {error}"))?;
    if status.health != Health::Green {
        let problems = status.problems.iter().map(|problem| &*problem.message);
        let problems: Vec<_> = problems.collect();
        return Err(format!("the cluster says: {}", problems.join("; ")));
    }
    match status.chunks.to_delete {
        0 => Ok(status),
        copies => Err(format!("{copies} copies are to be deleted")),
    }
}
