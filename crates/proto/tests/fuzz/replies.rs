//! Replies: a server that is broken, or is none, must not break its callers.

use bolero::TypeGenerator;
use fuzz::json::{Change, Tree};
use proto::frame::ReplyHead;
use proto::hello::HelloReply;
use proto::master::{
    ChunksAllocated, FileOpened, FolderBrowsed, FolderListed, ShareFound, SharesListed,
    VersionsListed,
};
use proto::node::{BucketListed, ChunkStored, ChunksDescribed, InventoryDigest};
use proto::table::Message;
use serde_json::Value;

use crate::messages::{SENTENCE_LEN_MAX, assert_same};
use crate::samples::{REPLIES, fields};

#[derive(Debug, Clone, TypeGenerator)]
struct Reply {
    op: u8,
    #[generator(bolero::produce_with::<Vec<_>>().len(0..4_usize))]
    changes: Vec<Change>,
    is_error: bool,
}

fn check<T: Message>(fields: &[u8]) {
    let reply: T = match serde_json::from_slice(fields) {
        Ok(reply) => reply,
        Err(error) => {
            let sentence = proto::json::fault(&error);
            assert!(sentence.len() < SENTENCE_LEN_MAX, "{sentence}");
            return;
        }
    };
    if let Ok(came) = serde_json::from_slice::<Value>(fields) {
        assert_same(&came, &serde_json::to_value(&reply).unwrap());
    }
}

fn check_reply(op: &str, fields: &[u8]) {
    match op {
        "hello" => check::<HelloReply>(fields),
        "list_folder" => check::<FolderListed>(fields),
        "browse_folder" => check::<FolderBrowsed>(fields),
        "allocate_chunks" => check::<ChunksAllocated>(fields),
        "open_file" => check::<FileOpened>(fields),
        "list_versions" => check::<VersionsListed>(fields),
        "list_shares" => check::<SharesListed>(fields),
        "find_share" => check::<ShareFound>(fields),
        "describe_chunks" => check::<ChunksDescribed>(fields),
        "digest_inventory" => check::<InventoryDigest>(fields),
        "list_bucket" => check::<BucketListed>(fields),
        "put_chunk" => check::<ChunkStored>(fields),
        other => panic!("no reply to {other} is known"),
    }
}

fn check_line(op: &str, line: &[u8]) {
    if let Ok(head) = serde_json::from_slice::<ReplyHead<'_>>(line) {
        assert!(
            head.error
                .is_none_or(|error| error.message.len() <= line.len())
        );
        if let Some(ok) = head.ok {
            check_reply(op, ok.get().as_bytes());
        }
    }
}

fn sample(op: u8) -> (&'static str, Tree) {
    let (op, sample) = REPLIES[usize::from(op) % REPLIES.len()];
    (
        op,
        Tree::parse(&format!(
            r#"{{"id":7,"ok":{},"body_len":0}}"#,
            fields(sample)
        )),
    )
}

#[test]
fn each_field_of_each_reply_may_be_anything() {
    for op in 0..u8::try_from(REPLIES.len()).unwrap() {
        let (op, whole) = sample(op);
        for change in fuzz::json::single_changes(&whole) {
            let mut tree = whole.clone();
            tree.change(&change);
            check_line(op, &tree.to_bytes());
        }
    }
}

#[test]
fn replies_are_read_as_meant_or_refused() {
    fuzz::check!(Reply, 20_000, |reply| {
        let (op, mut tree) = sample(reply.op);
        if reply.is_error {
            tree = Tree::parse(r#"{"id":7,"error":{"code":"not_found","message":"no \"x\""}}"#);
        }
        reply.changes.iter().for_each(|change| tree.change(change));
        check_line(op, &tree.to_bytes());
    });
}
