//! The wire protocol: newline-delimited JSON over TCP, with announced bodies. This page is its specification; with
//! it and the two tables ([`master`], [`node`]) a client can be written in any language, or spoken by hand with
//! `nc`.
//!
//! # Messages
//!
//! A message is one JSON object on one line of UTF-8, ended by `\n`, of at most 1 MiB. If it says `"body_len": N`, N
//! raw bytes follow the newline, and the next message begins right behind them. There is no other framing.
//!
//! ```text
//! -> {"id":1,"op":"hello","protocol":1,"role":"client"}\n
//! <- {"id":1,"ok":{"protocol":1,"server":"node","cluster":"3f0c6c1e-8f2a-4d0e-9c57-1f3f7f0a1b2c"}}\n
//! -> {"id":2,"op":"put_chunk","chunk":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","body_len":3}\nabc
//! <- {"id":2,"ok":{"stored":true}}\n
//! -> {"id":3,"op":"get_chunk","chunk":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}\n
//! <- {"id":3,"ok":{},"body_len":3}\nabc
//! -> {"id":4,"op":"get_chunk","chunk":"0000000000000000000000000000000000000000000000000000000000000000"}\n
//! <- {"id":4,"error":{"code":"not_found","message":"no chunk 0000…"}}\n
//! ```
//!
//! A request has `id`, a whole number of the caller's choice, `op`, and the operation's own fields beside them. A reply
//! has the same `id`, and either `ok` with the reply's fields, or `error` with a `code` ([`ErrorCode`]) and a `message`
//! for a person. Fields that are not known are ignored; fields that may be left out are marked as optional in the
//! tables. Several requests may be under way on one connection, up to 64, and are answered in the order in which they
//! are done.
//!
//! # Hello
//!
//! The first request is `hello` ([`hello::Hello`]): the version of the protocol that the caller speaks, its role
//! (`client`, `node` or `master`), and optionally the cluster to which it belongs and the `node` that it means to
//! reach. The server answers with the version that both speak from now on, its own role, its cluster and, if it is a
//! node, which one. It takes its own version and the one before; a caller with the next one is answered with the
//! server's; others get `unsupported_protocol`. A server of another cluster answers `wrong_cluster`; one that is not
//! the node that was meant answers `wrong_node`, since addresses change hands. Masters always say which node they mean.
//!
//! Where the cluster has a secret, `hello` carries a `nonce` of 16 random bytes in hex, and the reply a `challenge`:
//! the server's own nonce, and the first 16 bytes of
//! HMAC-SHA-256(secret, `"dfs hello server"` || caller's nonce || server's nonce). The caller checks that and sends
//! `authenticate` with the `proof` that it gets by putting `"dfs hello caller"` in its place. Nothing else is answered
//! before. Without a secret, servers listen on loopback addresses only.
//!
//! `ping`, without fields, is answered `{}` by every server at any time after the hello.
//!
//! # Limits
//!
//! | what | limit | then |
//! |---|---|---|
//! | a line | 1 MiB; 16 KiB until the hello is done | `too_large`, closed |
//! | a body | twice the largest chunk; none until the hello is done | `too_large`, closed before it is read |
//! | the hello, and any line that was begun | 10 s | `timed_out`, closed |
//! | a body, a reply | 10 s, and 10 KiB a second | closed |
//! | a line that a body follows | 16 KiB | `too_large`, closed |
//! | memory for requests, for replies | 64 MiB each, beyond 32 KiB for each connection and 8 MiB for what is not larger | see below |
//! | between two requests | 60 s | closed; `ping` keeps it |
//! | requests at once on a connection | 64 | further ones are read later |
//! | connections | 4,096 a server | the one idle longest is closed; if none is idle, `busy` |
//!
//! What is not larger than 32 KiB waits for others of its kind at most, and is not refused for it. What is larger waits
//! for its turn in the memory that all connections share; after 10 s it gets `busy`, and the connection is closed. A
//! reply for which there is no memory becomes `busy`, at once or, if it is a stored chunk, after 10 s, and the
//! connection goes on. While somebody waits, one a second of the connections whose body or reply takes longer than 5 s
//! is closed, the one that is slow for longest first.
//!
//! What is not a message at all gets one error without `id`, and the connection is closed. A message that is only wrong
//! (an unknown operation, a field of the wrong type) gets its error, and the connection goes on.
//!
//! # Values
//!
//! Chunk ids are SHA-256 digests in 64 lower-case hex digits; nodes, clusters, uploads, promises and requests are
//! UUIDs; versions, epochs and times are whole numbers; times end in `_ms` and are milliseconds since 1970, UTC;
//! lengths are bytes. A path is names with `/` between them ([`name`]), an address is `host:port`.
//!
//! Requests that change something carry an id of the caller's choice (`request`, or `upload`). Repeated with the same
//! id they are done once and answered alike, so a caller that got no answer simply asks again.
//!
//! # Uploading a file
//!
//! 1. Cut it into chunks of the cluster's `chunk_size` (in the reply of `get_status`, and of each `allocate_chunks`);
//!    the last may be shorter, and an empty file has none. Make an upload id.
//! 2. `allocate_chunks` at the master, for up to 512 chunks at once: each is answered with `stored`, or with a
//!    `promise` and the nodes that take it.
//! 3. `put_chunk`, with the promise, to *each* of these nodes, and keep their receipts. Enough copies for now are
//!    `min_write_replicas`; ask `allocate_chunks` again, with `avoid`, for others in the place of nodes that fail. If
//!    the promise is another one then, the master has forgotten the first, and receipts for that are worth nothing.
//! 4. For every full 512 chunks, in order, `record_chunks` with their receipts.
//! 5. `commit_upload` with the rest. Its answer is the promise: the file is durable, under its name.
//!
//! Without `allocate_chunks`, and without bytes, go chunks that the cluster has: `count_stored_chunks` says how many of the next ones,
//! and `record_chunks` and `commit_upload` take these without receipts, if that is still so.
//!
//! A receipt is a node's proof to the master that it holds the chunk durably:
//! the first 16 bytes of HMAC-SHA-256(the node's key, promise id || chunk id || length as 8 bytes, big-endian). The
//! client only carries it. The master takes it only while it holds that promise: until then no copy that it promised is
//! deleted.
//!
//! # Masters and nodes
//!
//! Orders to nodes, and the master's answers to them, carry `master`: where its history stands ([`HistoryPoint`]). A
//! node keeps the latest that it has `seen` and sends it with `register_node`; both refuse with `stale_epoch` what does
//! not fit together:
//!
//! | who | refuses |
//! |---|---|
//! | a node | an earlier epoch than the latest seen; the same epoch with another run |
//! | the master | a node that has seen a later epoch |
//! | | a node that has seen another run of an epoch |
//! | | one that has seen an earlier epoch beyond the position where the next start of *this* master began |
//!
//! So a master whose folder is an old copy, and the second of two masters on copies of one folder, are found out by
//! the first node that knows better. A node writes down each new start before it goes on, and how far that had come
//! once a minute: if all nodes stopped too, the last minute may be missed by nobody.
//!
//! # Downloading a file
//!
//! `open_file` at the master gives size, version and where the first chunks are, `locate_chunks` the rest of that
//! version. Then `get_chunk` from any of a chunk's nodes, those said to be live first. **Check that the SHA-256 of what
//! comes is the chunk's id**: nodes send what their disk gives. On a wrong hash, `not_found` or silence, take the next
//! node, and tell the master with `report_bad_replica`.

pub mod body;
pub mod connection;
pub mod error;
pub mod frame;
pub mod hello;
pub mod history;
pub mod id;
pub mod json;
pub mod master;
pub mod matching;
pub mod memory;
pub mod name;
pub mod net;
pub mod node;
pub mod pool;
pub mod server;
pub mod table;
pub mod words;

pub use body::Body;
pub use error::{ErrorCode, WireError};
pub use history::HistoryPoint;
