//! The protocol by hand, as with `nc`, against every server that speaks it; and what nobody should send.

use std::time::Duration;

#[cfg(target_os = "linux")]
use client::UploadOptions;
use proto::net::Address;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::Cluster;
#[cfg(target_os = "linux")]
use crate::support::until;

const HELLO: &str = "{\"id\":1,\"op\":\"hello\",\"protocol\":1}\n";

async fn say(address: &Address, bytes: &[u8], lines: usize) -> Vec<String> {
    let mut stream = TcpStream::connect(address.as_str()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut reader = BufReader::new(stream).lines();
    let mut said = Vec::new();
    while said.len() < lines {
        let line = tokio::time::timeout(Duration::from_secs(20), reader.next_line()).await;
        match line.expect("an answer or an end").unwrap() {
            Some(line) => said.push(line),
            None => break,
        }
    }
    said
}

/// A person with `nc` stores a chunk on a node and gets it back.
#[tokio::test]
async fn a_chunk_is_stored_and_read_by_hand() {
    let cluster = Cluster::start().await;
    let node = cluster.nodes()[0].address();
    let chunk = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let put = format!(
        "{HELLO}{{\"id\":2,\"op\":\"put_chunk\",\"chunk\":\"{chunk}\",\"body_len\":3}}\nabc"
    );
    let said = say(&node, put.as_bytes(), 2).await;
    assert!(said[0].contains("\"server\":\"node\""), "{said:?}");
    assert_eq!(said[1], "{\"id\":2,\"ok\":{\"stored\":true}}");
    let get = format!("{HELLO}{{\"id\":3,\"op\":\"get_chunk\",\"chunk\":\"{chunk}\"}}\n");
    let mut stream = TcpStream::connect(node.as_str()).await.unwrap();
    stream.write_all(get.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}\nabc") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
    }
    let lie = format!(
        "{HELLO}{{\"id\":2,\"op\":\"put_chunk\",\"chunk\":\"{chunk}\",\"body_len\":3}}\nabd"
    );
    let said = say(&node, lie.as_bytes(), 2).await;
    assert!(said[1].contains("\"code\":\"corrupt\""), "{said:?}");
}

/// Garbage gets one clear error and a closed connection; everybody else is unharmed.
#[tokio::test]
async fn garbage_is_answered_and_closed() {
    let cluster = Cluster::start().await;
    let garbage: Vec<u8> = (0..1_000_000_u32)
        .map(|i| i.wrapping_mul(7919).to_le_bytes()[1])
        .collect();
    let endless = vec![b'a'; 3 << 20];
    for address in [cluster.master.address(), cluster.nodes()[0].address()] {
        for (bytes, code) in [(&garbage, "bad_message"), (&endless, "too_large")] {
            let mut stream = TcpStream::connect(address.as_str()).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            let mut answer = Vec::new();
            let (_, read) = tokio::join!(writer.write_all(bytes), reader.read_to_end(&mut answer));
            // A peer that goes on sending may be reset before it has read the error.
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(answer.contains(code) || read.is_err(), "{code}: {answer}");
        }
    }
    cluster.upload("/a", b"still here").await;
}

/// Only a master gives orders to a node, and only a node reports to a master.
#[tokio::test]
async fn orders_from_strangers_are_refused() {
    let cluster = Cluster::start().await;
    let run = uuid::Uuid::from_u128(7);
    let master = format!("{{\"epoch\":99,\"run\":\"{run}\",\"position\":99}}");
    let order = format!(
        "{HELLO}{{\"id\":2,\"op\":\"delete_chunks\",\"as_of\":{master},\"sequence\":99,\"chunks\":[]}}\n"
    );
    let said = say(&cluster.nodes()[0].address(), order.as_bytes(), 2).await;
    assert!(said[1].contains("\"code\":\"forbidden\""), "{said:?}");
    let nodes = cluster.client().nodes(None, 1).await.unwrap().nodes;
    let report = format!(
        "{HELLO}{{\"id\":2,\"op\":\"report_corrupt_chunks\",\"node\":\"{}\",\"boot\":\"{}\",\"chunks\":[]}}\n",
        nodes[0].node, nodes[0].node
    );
    let said = say(&cluster.master.address(), report.as_bytes(), 2).await;
    assert!(said[1].contains("\"code\":\"forbidden\""), "{said:?}");
}

/// Thousands of connections that say nothing keep nobody out.
#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let cluster = Cluster::start().await;
    let mut silent = Vec::new();
    for address in [
        cluster.master.address(),
        cluster.nodes()[0].address(),
        cluster.web.address(),
    ] {
        for _ in 0..1500 {
            let Ok(stream) = TcpStream::connect(address.as_str()).await else {
                break;
            };
            silent.push(stream);
        }
    }
    cluster.upload("/a", b"still here").await;
    let answer = reqwest::get(cluster.url("/api/v1/files/a")).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "still here");
}

/// Silent connections take a server's last file descriptors: it makes room, and goes on serving.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_free_descriptors_everybody_is_served_in_the_end() {
    let mut cluster = Cluster::start().await;
    cluster.master().spare_descriptors(8);
    cluster.web().spare_descriptors(8);
    cluster.node(1).spare_descriptors(8);
    let addresses = [
        cluster.master.address(),
        cluster.nodes()[0].address(),
        cluster.web.address(),
    ];
    let mut silent = Vec::new();
    for address in &addresses {
        for _ in 0..40 {
            silent.push(TcpStream::connect(address.as_str()).await.unwrap());
        }
    }
    let path = "/a".parse().unwrap();
    until("an upload is stored", || async {
        let (client, bytes) = (cluster.client(), &b"still here"[..]);
        let uploaded = client.upload(&path, bytes, UploadOptions::default());
        uploaded.await.is_ok()
    })
    .await;
    until("the page gives it", || async {
        let answer = reqwest::get(cluster.url("/api/v1/files/a")).await;
        match answer {
            Ok(answer) => answer.text().await.is_ok_and(|text| text == "still here"),
            Err(_) => false,
        }
    })
    .await;
    let described = say(&addresses[1], HELLO.as_bytes(), 1).await;
    assert!(
        described[0].contains("\"server\":\"node\""),
        "{described:?}"
    );
    drop(silent);
    cluster.until_healthy().await;
}
