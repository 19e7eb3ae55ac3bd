//! A right message of each operation, with all its optional fields, as its fields are on the wire.

const UUID: &str = "3f0c6c1e-8f2a-4d0e-9c57-1f3f7f0a1b2c";
const CHUNK: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const MAC: &str = "00112233445566778899aabbccddeeff";
const USAGE: &str = r#"{"capacity_bytes":10,"free_bytes":9,"stored_bytes":8,"reclaimable_bytes":7,"chunks":6,"corrupt_chunks":5,
    "writable":true,"failed_disks":4,"scrubbed_bytes":3,"file_system":2}"#;
const POINT: &str = r#"{"epoch":3,"run":"UUID","position":70}"#;
const STORED: &str = r#"[{"chunk":"CHUNK","len":3,"receipts":[{"node":"UUID","mac":"MAC"}]},{"chunk":"CHUNK","len":1}]"#;

/// The master's operations with their fields, in the order of its table.
pub(crate) const MASTER: &[(&str, &str)] = &[
    ("look_up_entry", r#"{"path":"/a/b"}"#),
    ("list_folder", r#"{"path":"/a","after":"b","limit":1000}"#),
    (
        "browse_folder",
        r#"{"path":"/a","order":"-size","after":"files/7/b","from":"c","limit":1000,"rows":100000}"#,
    ),
    (
        "search_names",
        r#"{"text":"a b","under":"/a","after":"/a/b","limit":10,"rows":100000}"#,
    ),
    (
        "create_folder",
        r#"{"request":"UUID","path":"/a/b","parents":true}"#,
    ),
    (
        "move_entry",
        r#"{"request":"UUID","from":"/a","to":"/b/c","replace":true}"#,
    ),
    (
        "delete_entry",
        r#"{"request":"UUID","path":"/a","recursive":true,"purge":true,"precondition":{"version":7}}"#,
    ),
    ("list_trash", r#"{"before":12,"limit":10}"#),
    (
        "restore_entry",
        r#"{"request":"UUID","trash":12,"to":"/a"}"#,
    ),
    ("empty_trash", r#"{"request":"UUID","trash":12}"#),
    ("list_versions", r#"{"path":"/a","before":7,"limit":1000}"#),
    (
        "restore_version",
        r#"{"request":"UUID","path":"/a","version":7,"precondition":{"version":8}}"#,
    ),
    (
        "remove_version",
        r#"{"request":"UUID","path":"/a","version":7}"#,
    ),
    (
        "create_share",
        r#"{"request":"UUID","path":"/a","token":"CHUNK","expires_ms":9,"password":"$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA",
            "downloads_max":3,"upload_only":true}"#,
    ),
    ("list_shares", r#"{"before":12,"limit":10}"#),
    ("find_share", r#"{"token":"CHUNK"}"#),
    ("count_download", r#"{"request":"UUID","share":12}"#),
    ("revoke_share", r#"{"request":"UUID","share":12}"#),
    (
        "keep_upload",
        r#"{"upload":"UUID","plan":{"path":"/a/b","size":7,"modified_ms":3,"parents":true,"precondition":"absent","note":"n"}}"#,
    ),
    ("look_up_upload", r#"{"upload":"UUID"}"#),
    (
        "allocate_chunks",
        r#"{"upload":"UUID","chunks":[{"chunk":"CHUNK","len":3}],"avoid":["UUID"]}"#,
    ),
    (
        "count_stored_chunks",
        r#"{"chunks":[{"chunk":"CHUNK","len":3}]}"#,
    ),
    (
        "record_chunks",
        r#"{"upload":"UUID","block":4294967295,"chunks":STORED}"#,
    ),
    (
        "commit_upload",
        r#"{"upload":"UUID","path":"/a","size":4,"modified_ms":1,"blocks":0,"chunks":STORED,"parents":true,
            "precondition":"absent"}"#,
    ),
    ("abandon_upload", r#"{"upload":"UUID"}"#),
    ("open_file", r#"{"path":"/a","version":7,"chunks":512}"#),
    (
        "locate_chunks",
        r#"{"version":7,"first":18446744073709551615,"limit":512}"#,
    ),
    ("report_bad_replica", r#"{"chunk":"CHUNK","node":"UUID"}"#),
    ("get_status", "{}"),
    ("list_nodes", r#"{"after":"UUID","limit":10}"#),
    ("leave_safe_mode", "{}"),
    ("reset_delete_fuse", "{}"),
    ("remove_node", r#"{"node":"UUID","lose_chunks":true}"#),
    (
        "register_node",
        r#"{"node":"UUID","boot":"UUID","address":"127.0.0.1:9001","zone":"cellar","cluster":"UUID","seen":POINT,
            "last_order":3,"receipt_key":"CHUNK","usage":USAGE}"#,
    ),
    (
        "report_heartbeat",
        r#"{"node":"UUID","boot":"UUID","sequence":9,"usage":USAGE}"#,
    ),
    (
        "report_corrupt_chunks",
        r#"{"node":"UUID","boot":"UUID","chunks":["CHUNK","CHUNK"]}"#,
    ),
];

/// A node's operations with their fields, in the order of its table.
pub(crate) const NODE: &[(&str, &str)] = &[
    (
        "put_chunk",
        r#"{"chunk":"CHUNK","promise":"UUID","body_len":3}"#,
    ),
    ("get_chunk", r#"{"chunk":"CHUNK"}"#),
    ("describe_chunks", r#"{"chunks":["CHUNK"]}"#),
    ("verify_chunk", r#"{"chunk":"CHUNK"}"#),
    ("get_node_status", "{}"),
    (
        "replicate_chunk",
        r#"{"as_of":POINT,"chunk":"CHUNK","len":3,"sources":[{"node":"UUID","address":"[::1]:9001"}]}"#,
    ),
    (
        "delete_chunks",
        r#"{"as_of":POINT,"sequence":4,"chunks":["CHUNK"]}"#,
    ),
    ("digest_inventory", "{}"),
    (
        "list_bucket",
        r#"{"bucket":255,"after":"CHUNK","limit":4096}"#,
    ),
];

/// Replies, and what they are replies to.
pub(crate) const REPLIES: &[(&str, &str)] = &[
    (
        "hello",
        r#"{"protocol":1,"server":"node","cluster":"UUID","node":"UUID","challenge":{"nonce":"MAC","proof":"MAC"}}"#,
    ),
    (
        "list_folder",
        r#"{"entries":[{"kind":"folder","name":"a","modified_ms":1},
            {"kind":"file","name":"b","size":1,"modified_ms":2,"version":3}],"more":true}"#,
    ),
    (
        "browse_folder",
        r#"{"entries":[{"kind":"folder","name":"a","modified_ms":1}],"next":"folders/a"}"#,
    ),
    (
        "allocate_chunks",
        r#"{"placements":["stored",{"promised":{"promise":"UUID","nodes":[0,65535]}}],
            "nodes":[{"node":"UUID","address":"a.example:1","live":true}],"chunk_size":1048576,"lease_ms":86400000,
            "min_write_replicas":2}"#,
    ),
    (
        "open_file",
        r#"{"version":7,"size":3,"modified_ms":1,"chunk_size":1048576,"first":{"chunks":[{"chunk":"CHUNK","len":3,
            "nodes":[0],"failing":1}],"nodes":[{"node":"UUID","address":"127.0.0.1:1","live":false}]}}"#,
    ),
    (
        "list_versions",
        r#"{"current":{"version":9,"size":3,"modified_ms":1,"committed_ms":2},"former":[{"version":7,"size":0,
            "modified_ms":1,"committed_ms":2,"former_for_ms":3}],"more":true}"#,
    ),
    (
        "list_shares",
        r#"{"shares":[{"share":3,"name":"a","shared":{"path":"/b/a","entry":{"kind":"folder","name":"a","modified_ms":1}},
            "created_ms":2,"expires_ms":9,"has_password":true,"downloads":1,"downloads_max":3,"upload_only":true}],"more":true}"#,
    ),
    (
        "find_share",
        r#"{"share":{"share":3,"name":"a","created_ms":2,"downloads":0},"password":"$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA"}"#,
    ),
    (
        "describe_chunks",
        r#"{"chunks":[{"chunk":"CHUNK","state":"on_failed_disk","verified_ms":1,"extent":2}]}"#,
    ),
    (
        "digest_inventory",
        r#"{"buckets":[{"count":3,"xor":"MAC"},{"count":0,"xor":"00000000000000000000000000000000"}]}"#,
    ),
    (
        "list_bucket",
        r#"{"chunks":[["CHUNK",3],["CHUNK",4294967295]],"more":false}"#,
    ),
    (
        "put_chunk",
        r#"{"stored":true,"receipt":{"node":"UUID","mac":"MAC"}}"#,
    ),
];

/// The fields, as they are sent.
pub(crate) fn fields(sample: &str) -> String {
    sample
        .replace("STORED", STORED)
        .replace("USAGE", USAGE)
        .replace("POINT", POINT)
        .replace("UUID", UUID)
        .replace("CHUNK", CHUNK)
        .replace("MAC", MAC)
}
