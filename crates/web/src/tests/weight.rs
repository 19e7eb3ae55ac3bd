//! What a browser has to fetch before a folder is there, and all that it may fetch while one works in it.

use std::collections::{BTreeMap, VecDeque};

use super::{Answer, Site};

/// Bytes of all bodies as they are on the wire. On a slow line of 1 Mbit/s that is less than two seconds.
const WEIGHT_MAX: usize = 200_000;

const GZIP: [(&str, &str); 1] = [("accept-encoding", "gzip")];

fn weight(answer: &Answer) -> usize {
    answer.body.as_ref().unwrap().len()
}

/// The scripts that a script names: what it imports, at once or later, and what its workers run.
fn named_in(script: &str) -> impl Iterator<Item = &str> {
    script.split(['"', '`']).filter_map(|text| {
        let name = text.split("${").next()?;
        let name = name.strip_prefix("./").unwrap_or(name);
        let stem = name.strip_suffix(".js")?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"./-".contains(&byte);
        (!stem.is_empty() && stem.bytes().all(is_plain)).then_some(name)
    })
}

#[tokio::test]
async fn a_folder_and_all_that_belongs_to_it_weigh_little() {
    let site = Site::new();
    for number in 0..100 {
        site.keep(&format!("/a/holiday {number}.jpg"), b"x");
    }
    let german = [GZIP[0], ("accept-language", "de")];
    let page = site.send("GET /folder/a", &german, "").await;
    let mut weights = BTreeMap::from([(String::from("the page"), weight(&page))]);
    let page = site.send("GET /folder/a", &german[1..], "").await;
    let addresses = page.text().split('"');
    let mut named: VecDeque<String> = addresses
        .filter(|text| text.starts_with("/static/"))
        .map(str::to_owned)
        .collect();
    while let Some(address) = named.pop_front() {
        let answer = site.send(&format!("GET {address}"), &GZIP, "").await;
        assert_eq!(answer.status, 200, "{address}");
        assert_eq!(answer.header("content-encoding"), "gzip", "{address}");
        if weights.insert(address.clone(), weight(&answer)).is_some() {
            continue;
        }
        let (folder, name) = address.rsplit_once('/').unwrap();
        // What others made is one file each.
        if name.strip_suffix(".js").is_some() && !folder.ends_with("/vendor") {
            let script = site.get(&address).await;
            let beside = named_in(script.text()).map(|name| format!("{folder}/{name}"));
            named.extend(beside);
        }
    }
    for name in ["/app.js", "/texts/de.json", "/icon.svg"] {
        assert!(weights.keys().any(|at| at.ends_with(name)), "{name}");
    }
    for name in ["/hashing.js", "/vendor/tus.min.js", "/vendor/sha256.min.js"] {
        assert!(weights.keys().any(|at| at.ends_with(name)), "{name}");
    }
    let sum: usize = weights.values().sum();
    assert!(sum <= WEIGHT_MAX, "{sum} bytes: {weights:#?}");
}
