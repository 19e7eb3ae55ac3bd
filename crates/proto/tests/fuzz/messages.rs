//! Requests of both tables, each field of them gone, doubled, of another type, too large or too deep.
//!
//! A request is read as it is meant, or refused: what was read, written again, says the same as what came, value by value.

use std::fmt::Debug;

use bolero::TypeGenerator;
use bytes::Bytes;
use fuzz::json::{Change, Tree};
use proto::frame::{LINE_LEN_MAX, RequestHead, request_line};
use proto::master::MasterRequest;
use proto::node::NodeRequest;
use proto::table::{Message, Operation, OperationTable};
use proto::{ErrorCode, WireError};
use serde_json::Value;
use uuid::Uuid;

use crate::samples::{MASTER, NODE, fields};

/// Bytes in the longest sentence about what came: a stranger does not decide how long an answer, or a line of the log, is.
pub(crate) const SENTENCE_LEN_MAX: usize = 2000;

/// A table whose requests can be written again.
trait Written: OperationTable + Debug {
    const NAMES: &'static [&'static str];
    /// The operation, its fields and its body.
    fn write(self) -> (&'static str, Vec<u8>, usize);
}

/// All requests of a table: one that is forgotten does not compile.
macro_rules! written {
    ($table:ident in $module:ident: $($request:ident),* $(,)?) => {
        impl Written for $table {
            const NAMES: &'static [&'static str] = &[$(proto::$module::$request::NAME),*];

            fn write(self) -> (&'static str, Vec<u8>, usize) {
                match self {
                    $(Self::$request(mut request) => {
                        let body = request.take_body().len();
                        (proto::$module::$request::NAME, serde_json::to_vec(&request).unwrap(), body)
                    })*
                }
            }
        }
    };
}

written!(MasterRequest in master:
    LookUpEntry, ListFolder, BrowseFolder, SearchNames, CreateFolder, MoveEntry, DeleteEntry, ListTrash, RestoreEntry, EmptyTrash,
    ListVersions, RestoreVersion, RemoveVersion, CreateShare, ListShares, FindShare, CountDownload, RevokeShare, KeepUpload,
    LookUpUpload, AllocateChunks, CountStoredChunks,
    RecordChunks, CommitUpload, AbandonUpload, OpenFile, LocateChunks, ReportBadReplica, GetStatus, ListNodes,
    LeaveSafeMode, ResetDeleteFuse, RemoveNode, RegisterNode, ReportHeartbeat, ReportCorruptChunks,
);
written!(NodeRequest in node:
    PutChunk, GetChunk, DescribeChunks, VerifyChunk, GetNodeStatus, ReplicateChunk, DeleteChunks, DigestInventory,
    ListBucket,
);

/// A request to a server, and what became of it on the way.
#[derive(Debug, Clone, TypeGenerator)]
struct Request {
    op: u8,
    #[generator(bolero::produce_with::<Vec<_>>().len(0..4_usize))]
    changes: Vec<Change>,
    body_len: u8,
}

impl Request {
    fn sample(&self, samples: &'static [(&str, &str)]) -> (&'static str, Tree) {
        let (op, sample) = samples[usize::from(self.op) % samples.len()];
        (op, Tree::parse(&fields(sample)))
    }
}

fn line_of(op: &str, fields: &Tree) -> Vec<u8> {
    let fields = fields.to_bytes();
    // What is no object any more stands beside the others as it is.
    if fields.starts_with(b"{") && fields.ends_with(b"}") {
        request_line(7, op, &fields, 0)
    } else {
        [
            format!(r#"{{"id":7,"op":"{op}","more":"#).as_bytes(),
            &fields,
            b"}\n",
        ]
        .concat()
    }
}

fn parse<T: OperationTable>(line: &[u8], body_len: usize) -> Result<T, WireError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let head: RequestHead<'_> = serde_json::from_slice(line).map_err(|error| {
        let error = proto::frame::FrameError::NotAMessage(error);
        error.to_wire().unwrap()
    })?;
    T::parse(&head.op, line, Bytes::from(vec![7; body_len]))
}

/// Reads what came, and sees that it is what was meant.
fn check<T: Written>(line: &[u8], body_len: usize) {
    if line.len() > LINE_LEN_MAX {
        return;
    }
    let request: T = match parse(line, body_len) {
        Ok(request) => request,
        Err(error) => {
            let expected = [ErrorCode::BadMessage, ErrorCode::UnknownOperation];
            assert!(expected.contains(&error.code), "{error:?}");
            assert!(
                error.message.len() < SENTENCE_LEN_MAX,
                "{} bytes: {error}",
                error.message.len()
            );
            return;
        }
    };
    let (op, fields, body) = request.write();
    assert!(
        body == body_len,
        "of {body_len} bytes of body, {body} were taken"
    );
    assert!(
        fields.len() <= 2 * line.len() + 1000,
        "{} bytes of {}",
        fields.len(),
        line.len()
    );
    let read: Value = serde_json::from_slice(&fields).unwrap();
    // What nobody knows may be deeper, or no text, where it is passed over.
    if let Ok(came) = serde_json::from_slice(line) {
        assert_same(&came, &read);
    }
    let again: T = T::parse(op, &fields, Bytes::from(vec![7; body])).unwrap();
    assert_eq!(
        again.write(),
        (op, fields, body),
        "written again it is another"
    );
}

/// All that was read stands in what came, at the same place; what does not stand there is a default.
pub(crate) fn assert_same(came: &Value, read: &Value) {
    match (came, read) {
        (Value::Object(came), Value::Object(read)) => {
            for (name, read) in read {
                match came.get(name) {
                    None | Some(Value::Null) => {
                        assert!(is_default(read), "{name}: {read} came from nowhere");
                    }
                    Some(came) => assert_same(came, read),
                }
            }
        }
        // serde takes a row of an object's values for it.
        (Value::Array(came), Value::Object(read)) => {
            assert!(came.len() <= read.len(), "{came:?} was taken for {read:?}");
        }
        (Value::Array(came), Value::Array(read)) => {
            assert_eq!(came.len(), read.len());
            came.iter()
                .zip(read)
                .for_each(|(came, read)| assert_same(came, read));
        }
        (Value::String(came), Value::String(read)) => {
            let is_path = came.trim_matches('/') == read.trim_matches('/');
            let uuid = came.parse::<Uuid>().ok();
            let number = u128::from_str_radix(came, 16).ok();
            let is_id = uuid.is_some() && uuid == read.parse().ok();
            let is_number = number.is_some() && number == u128::from_str_radix(read, 16).ok();
            assert!(
                is_path || is_id || is_number,
                "{came:?} was taken for {read:?}"
            );
        }
        _ => assert_eq!(came, read),
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Array(values) => values.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Object(_) => false,
    }
}

#[test]
fn every_operation_has_a_sample_that_is_read_as_it_stands() {
    fn check<T: Written>(samples: &'static [(&str, &str)]) {
        let ops: Vec<_> = samples.iter().map(|(op, _)| *op).collect();
        assert_eq!(ops, T::NAMES);
        for (op, sample) in samples {
            let sample = fields(sample);
            let (_, written, _) = parse::<T>(&line_of(op, &Tree::parse(&sample)), 0)
                .unwrap()
                .write();
            let (came, read): (Value, Value) = (
                serde_json::from_str(&sample).unwrap(),
                serde_json::from_slice(&written).unwrap(),
            );
            assert_same(&came, &read);
            for (name, _) in came.as_object().unwrap() {
                assert!(
                    name == "body_len" || read.get(name).is_some(),
                    "{op} forgets {name}"
                );
            }
        }
    }
    check::<MasterRequest>(MASTER);
    check::<NodeRequest>(NODE);
}

/// Each value of each request is gone, there twice, and each of the values that parsers broke on.
#[test]
fn each_field_of_each_request_may_be_anything() {
    fn check_all<T: Written>(samples: &'static [(&str, &str)]) {
        for (op, sample) in samples {
            let whole = Tree::parse(&fields(sample));
            for change in fuzz::json::single_changes(&whole) {
                let mut tree = whole.clone();
                tree.change(&change);
                let line = line_of(op, &tree);
                check::<T>(&line, 0);
            }
        }
    }
    check_all::<MasterRequest>(MASTER);
    check_all::<NodeRequest>(NODE);
}

#[test]
fn a_field_that_is_missing_or_there_twice_is_named() {
    fn check<T: Written>(samples: &'static [(&str, &str)]) {
        for (op, sample) in samples {
            let Tree::Object(whole) = Tree::parse(&fields(sample)) else {
                panic!("{op} has fields")
            };
            let whole: Vec<_> = whole
                .into_iter()
                .filter(|(name, _)| name != b"\"body_len\"")
                .collect();
            for place in 0..whole.len() {
                let name = String::from_utf8(whole[place].0.clone()).unwrap();
                let name = name.trim_matches('"');
                let mut twice = whole.clone();
                twice.insert(place, whole[place].clone());
                let error = parse::<T>(&line_of(op, &Tree::Object(twice)), 0).unwrap_err();
                assert!(error.message.contains(name), "{op} {name}: {error}");
                let mut without = whole.clone();
                without.remove(place);
                if let Err(error) = parse::<T>(&line_of(op, &Tree::Object(without)), 0) {
                    assert!(error.message.contains(name), "{op} {name}: {error}");
                }
            }
        }
    }
    check::<MasterRequest>(MASTER);
    check::<NodeRequest>(NODE);
}

#[test]
fn requests_to_the_master_are_read_as_meant_or_refused() {
    fuzz::check!(Request, 20_000, |request| run::<MasterRequest>(
        request, MASTER
    ));
}

#[test]
fn requests_to_a_node_are_read_as_meant_or_refused() {
    fuzz::check!(Request, 20_000, |request| run::<NodeRequest>(request, NODE));
}

fn run<T: Written>(request: &Request, samples: &'static [(&str, &str)]) {
    let (op, mut tree) = request.sample(samples);
    request
        .changes
        .iter()
        .for_each(|change| tree.change(change));
    let takes_body = op == "put_chunk" || request.body_len > 200;
    let body_len = if takes_body {
        usize::from(request.body_len)
    } else {
        0
    };
    let line = line_of(op, &tree);
    if body_len > 0 && op != "put_chunk" {
        let refused = parse::<T>(&line, body_len);
        refused.expect_err("it takes no body");
    } else {
        check::<T>(&line, body_len);
    }
}
