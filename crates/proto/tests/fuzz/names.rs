//! Names and paths: refused, or the same wherever they go. Addresses and ids, which are text as well.

use bolero::TypeGenerator;
use fuzz::text::{Piece, text};
use proto::id::{ChunkId, NodeId, ReceiptMac, VersionId};
use proto::name::{EntryName, EntryPath, NAME_LEN_MAX, PATH_LEN_MAX};
use proto::net::Address;

use crate::messages::SENTENCE_LEN_MAX;

#[derive(Debug, Clone, TypeGenerator)]
struct Text {
    #[generator(bolero::produce_with::<Vec<_>>().len(0..12_usize))]
    pieces: Vec<Piece>,
}

/// What the rules say of a name.
fn is_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.len() <= NAME_LEN_MAX
        && text
            .chars()
            .all(|character| character != '/' && !character.is_control())
}

fn is_path(text: &str) -> bool {
    let inner = text.strip_prefix('/').unwrap_or(text);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    inner.is_empty() || (inner.split('/').all(is_name) && inner.len() < PATH_LEN_MAX)
}

fn check_name(text: &str) {
    let name = EntryName::new(text);
    assert_eq!(name.is_ok(), is_name(text), "{text:?}");
    let Ok(name) = name else {
        return;
    };
    assert_eq!(name.as_str(), text, "byte by byte");
    let json = serde_json::to_string(&name).unwrap();
    assert_eq!(serde_json::from_str::<EntryName>(&json).unwrap(), name);
    let key = name.collision_key();
    assert!(key.len() <= 16 * text.len(), "{text:?} has the key {key:?}");
    if let Ok(again) = EntryName::new(key.clone()) {
        assert_eq!(again.collision_key(), key, "{text:?}");
    }
    if name.is_portable() {
        assert!(
            !text.contains(['<', '>', ':', '"', '\\', '|', '?', '*'])
                && !text.ends_with(['.', ' '])
        );
    }
}

fn check_path(text: &str) {
    let path = text.parse::<EntryPath>();
    assert_eq!(path.is_ok(), is_path(text), "{text:?}");
    match path {
        Ok(path) => {
            let shown = path.to_string();
            assert_eq!(shown.parse::<EntryPath>().as_ref(), Ok(&path));
            assert_eq!(
                shown.trim_matches('/'),
                text.strip_prefix('/').unwrap_or(text).trim_end_matches('/')
            );
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<EntryPath>(&json).unwrap(), path);
            let (names, mut walked) = (path.names(), EntryPath::ROOT);
            for name in names {
                assert!(path.is_within(&walked) && !walked.is_within(&path));
                walked = walked.join(name.clone()).unwrap();
            }
            assert_eq!(walked, path);
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(
                sentence.len() < SENTENCE_LEN_MAX && !sentence.contains('\n'),
                "{sentence}"
            );
        }
    }
}

/// What is not written exactly as these are written is none of them.
fn check_others(text: &str) {
    if let Ok(chunk) = text.parse::<ChunkId>() {
        assert_eq!(chunk.to_string(), text);
    }
    if let Ok(mac) = text.parse::<ReceiptMac>() {
        assert_eq!(serde_json::to_value(mac).unwrap(), text);
    }
    if let Ok(node) = text.parse::<NodeId>() {
        assert_eq!(node.to_string().parse::<NodeId>(), Ok(node));
    }
    if let Ok(version) = text.parse::<VersionId>() {
        assert_eq!(version.to_string().parse::<VersionId>(), Ok(version));
    }
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.as_str(), text);
        assert!(
            !text.contains(['/', '\n', '\0', ' ']) && !address.host().is_empty(),
            "{text:?}"
        );
        assert!(
            text.ends_with(&address.port().to_string())
                || text.contains(":+")
                || text.contains(":0"),
            "{text:?}"
        );
    }
}

#[test]
fn any_text_is_refused_or_the_same_everywhere() {
    fuzz::check!(Text, 30_000, |input| {
        let text = text(&input.pieces);
        check_name(&text);
        check_path(&text);
        check_others(&text);
        check_others(&format!("{text}:9000"));
        check_others(&format!("localhost:{text}"));
    });
}
