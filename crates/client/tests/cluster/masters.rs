//! A client that knows several masters, of which one is an old copy.

use std::sync::Arc;

use bytes::Bytes;
use client::{Cluster, Error};
use proto::hello::Role;
use proto::net::Address;
use proto::table::{Answer, Caller, OperationTable, Service};
use proto::{ErrorCode, WireError};

use crate::support::{TestCluster, listen, name, options, spawn};

const CHUNK: u32 = 1000;

/// A master that nodes know to be superseded: it refuses whatever it is asked for.
struct Superseded;

struct Anything;

impl OperationTable for Anything {
    fn parse(_: &str, _: &[u8], _: Bytes) -> Result<Self, WireError> {
        Ok(Self)
    }
}

impl Service for Superseded {
    type Request = Anything;

    async fn answer(&self, _: &Caller, _: Anything) -> Result<Answer, WireError> {
        let message = "this master is superseded";
        Err(WireError::new(ErrorCode::StaleEpoch, message))
    }

    fn disconnected(&self, _: &Caller) {}
}

async fn start_superseded(cluster: &TestCluster) -> Address {
    let listener = listen(&cluster.network).await;
    let address = listener.address();
    spawn(listener, Arc::new(Superseded), Role::Master, None);
    address
}

fn client_of(cluster: &TestCluster, masters: Vec<Address>) -> Cluster {
    Cluster::new(Arc::new(cluster.network.clone()), masters, None, options())
}

/// The first of two masters was put back from an old copy: changes go to the other, at once, and later ones straight
/// there.
#[tokio::test(start_paused = true)]
async fn a_superseded_master_is_passed_over() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let masters = vec![
        start_superseded(&cluster).await,
        cluster.master().address.clone(),
    ];
    let client = client_of(&cluster, masters);
    client.create_folder(&name("/a"), false).await.unwrap();
    client.create_folder(&name("/b"), false).await.unwrap();
    assert_eq!(cluster.master().calls("create_folder"), 2);
}

/// The right one is down for a moment: it is asked again. If it stays away, the caller hears what the other said, which
/// is why its answer would not do.
#[tokio::test(start_paused = true)]
async fn a_superseded_master_does_not_end_the_wait_for_the_right_one() {
    let cluster = TestCluster::start(3, CHUNK).await;
    let right = cluster.master().address.clone();
    let masters = vec![right, start_superseded(&cluster).await];
    let client = client_of(&cluster, masters);
    cluster.master().kill();
    let created = tokio::spawn({
        let client = client.clone();
        async move { client.create_folder(&name("/a"), false).await }
    });
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    cluster.master().restart();
    assert!(created.await.unwrap().unwrap());

    cluster.master().kill();
    let refused = client.create_folder(&name("/b"), false).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
}
