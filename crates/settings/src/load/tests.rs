//! Which of several places wins, and what each mistake is called.

use std::fs;
use std::path::Path;

use super::Loader;
use crate::args::ConfigArgs;
use crate::{ByteSize, Settings, SettingsError, TimeSpan};

/// Loads with this file (none if empty), these variables and these `--set` flags.
fn load(file: &str, variables: &[(&str, &str)], set: &[&str]) -> Result<Settings, SettingsError> {
    let folder = tempfile::tempdir().unwrap();
    if !file.is_empty() {
        fs::write(folder.path().join("config.toml"), file).unwrap();
    }
    let args = ConfigArgs {
        config: None,
        set: set.iter().map(ToString::to_string).collect(),
    };
    Loader::new(&args)
        .environment(variables)
        .folder(folder.path())
        .load()
}

/// The error's sentence must contain all of these.
fn check_error(file: &str, variables: &[(&str, &str)], set: &[&str], expected: &[&str]) {
    let error = load(file, variables, set).unwrap_err().to_string();
    for part in expected {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
    assert!(!error.contains('\n'), "{error:?} is more than one line");
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let file =
        "[cluster]\nchunk_size = '8KiB'\nreplication_factor = 5\nheartbeat_interval = '1s'\n";
    let variables = [
        ("DFS_CLUSTER_REPLICATION_FACTOR", "4"),
        ("DFS_CLUSTER_HEARTBEAT_INTERVAL", "2s"),
        ("DFS_SOMETHING_ELSE", "of another program"),
    ];
    let cluster = load(file, &variables, &["cluster.heartbeat_interval=3s"])
        .unwrap()
        .cluster;
    assert_eq!(cluster.min_write_replicas, 2);
    assert_eq!(cluster.chunk_size, ByteSize::kibi(8));
    assert_eq!(cluster.replication_factor, 4);
    assert_eq!(cluster.heartbeat_interval, TimeSpan::secs(3));
}

#[test]
fn a_flag_of_its_own_beats_set() {
    let args = ConfigArgs {
        config: None,
        set: vec!["master.listen=127.0.0.1:1".to_owned()],
    };
    let settings = Loader::new(&args)
        .environment(&[])
        .folder(Path::new("/nowhere"))
        .flag("--listen", "master.listen", Some("127.0.0.1:2"))
        .flag(
            "--master",
            "client.master",
            Some("127.0.0.1:3, 127.0.0.1:4"),
        )
        .flag_list(
            "DIR",
            "storage_node.data",
            &["a,b".to_owned(), "c".to_owned()],
        )
        .flag_list("--none", "client.master", &[])
        .load()
        .unwrap();
    assert_eq!(settings.master.listen.port(), 2);
    assert_eq!(settings.client.master.len(), 2);
    assert_eq!(
        settings.storage_node.data,
        ["a,b", "c"].map(std::path::PathBuf::from)
    );
}

#[test]
fn a_named_file_must_be_there() {
    let variables = [("DFS_CONFIG", "/nowhere/dfs.toml")];
    check_error(
        "",
        &variables,
        &[],
        &["cannot read the configuration file", "dfs.toml"],
    );
    let args = ConfigArgs {
        config: Some("/nowhere/else.toml".into()),
        set: Vec::new(),
    };
    let error = Loader::new(&args)
        .environment(&variables)
        .load()
        .unwrap_err();
    assert!(error.to_string().contains("else.toml"), "{error}");
}

/// An address without quotes was called an invalid float.
#[test]
fn text_without_quotes_is_told_what_to_write() {
    check_error(
        "[master]\nlisten = 127.0.0.1:9000\ndata = 'x'\n",
        &[],
        &[],
        &["line 2, column", "write listen = '127.0.0.1:9000'"],
    );
    check_error(
        "[master]\ndata = C:\\temp # here\n",
        &[],
        &[],
        &["line 2, column", "write data = 'C:\\temp'"],
    );
    check_error(
        "[cluster]\nreplication_factor = 03\n",
        &[],
        &[],
        &["line 2, column", "replication_factor: ", "zero"],
    );
    check_error(
        "[client]\n\nmaster = \"127.0.0.1:9000\n",
        &[],
        &[],
        &["line 3, column", "master: invalid basic string"],
    );
    check_error(
        "[web]\nallow_network = yes # all of it\n",
        &[],
        &[],
        &["line 2, column", "allow_network", "write true or false"],
    );
}

#[test]
fn mistakes_in_the_file_are_found_by_line_column_and_key() {
    let place = "config.toml, line 2, column 1";
    check_error(
        "[cluster]\nchunk_sise = '1MiB'\n",
        &[],
        &[],
        &[place, "cluster.chunk_sise", "chunk_size"],
    );
    check_error(
        "[cluster]\nchunk_size = 'big'\n",
        &[],
        &[],
        &[place, "cluster.chunk_size", "big", "1MiB"],
    );
    check_error(
        "[cluster]\nreplication_factor = 2.5\n",
        &[],
        &[],
        &[place, "2.5", "whole number of at most 255"],
    );
    check_error(
        "[cluster]\nfailure_timeout = 15\n",
        &[],
        &[],
        &[place, "15", "a time with its unit"],
    );
    check_error(
        "[log]\nlevel = { a = 1 }\n",
        &[],
        &[],
        &[place, "log.level", "error, warn"],
    );
    check_error(
        "[log]\nlevel = ['info', 'debug']\n",
        &[],
        &[],
        &[place, "log.level"],
    );
    check_error(
        "\n[clutser]\nchunk_size = '1MiB'\n",
        &[],
        &[],
        &["line 2, column 2", "clutser", "cluster, master"],
    );
    check_error(
        "chunk_size = '1MiB'\n",
        &[],
        &[],
        &["line 1, column 1", "chunk_size", "cluster, master"],
    );
    check_error(
        "[cluster]\nnames = any\n",
        &[],
        &[],
        &["config.toml, line 2, column 9", "names = 'any'"],
    );
    check_error(
        "[log]\nlevel = 'info'\nlevel = 'warn'\n",
        &[],
        &[],
        &["line 3", "duplicate key"],
    );
    check_error("[web]\nhosts = ['é'] x\n", &[], &[], &["line 2, column 15"]);
}

#[test]
fn mistakes_elsewhere_name_the_variable_or_the_flag() {
    let variable = "the environment variable DFS_CLUSTER_CHUNK_SIZE";
    check_error(
        "",
        &[("DFS_CLUSTER_CHUNK_SIZE", "x")],
        &[],
        &[variable, "cluster.chunk_size", "64KiB"],
    );
    check_error(
        "",
        &[("DFS_STORAGE_NODE_DTA", "x")],
        &[],
        &["DFS_STORAGE_NODE_DTA", "data, zone"],
    );
    check_error(
        "",
        &[],
        &["cluster.names=all"],
        &["the flag --set", "cluster.names", "any or portable"],
    );
    check_error(
        "",
        &[],
        &["nonsense"],
        &["the flag --set", "nonsense", "cluster, master"],
    );
    check_error(
        "",
        &[],
        &["master.listen=9000"],
        &["the flag --set", "HOST:PORT"],
    );
}

#[test]
fn values_that_do_not_go_together_are_refused_where_they_were_given() {
    let place = "config.toml, line 2, column 1";
    check_error(
        "[cluster]\nreplication_factor = 1\n",
        &[],
        &[],
        &[place, "min_write_replicas (2)"],
    );
    check_error(
        "",
        &[],
        &["cluster.min_write_replicas=4"],
        &["the flag --set", "replication_factor (3)"],
    );
    check_error(
        "",
        &[],
        &["cluster.failure_timeout=5s"],
        &["failure_timeout", "heartbeat_interval (5s)"],
    );
    check_error(
        "",
        &[],
        &["cluster.chunk_size=4095B"],
        &["from 4KiB to 8MiB"],
    );
    check_error(
        "",
        &[],
        &["cluster.chunk_size=9MiB"],
        &["from 4KiB to 8MiB"],
    );
    check_error(
        "",
        &[],
        &["cluster.replication_factor=0"],
        &["from 1 to 16"],
    );
    check_error("", &[], &["storage_node.data="], &["at least one folder"]);
    check_error("", &[], &["storage_node.extent_size=1MiB"], &["two times"]);
}

#[test]
fn nobody_is_exposed_by_accident() {
    let secret = "cluster.secret=correct horse battery";
    check_error(
        "",
        &[],
        &["master.listen=0.0.0.0:9000"],
        &["cluster.secret", "127.0.0.1"],
    );
    check_error(
        "",
        &[],
        &["storage_node.listen=[::]:1"],
        &["cluster.secret"],
    );
    check_error(
        "",
        &[],
        &["web.listen=0.0.0.0:5000", secret],
        &["web.allow_network"],
    );
    assert!(load("", &[], &["master.listen=0.0.0.0:9000", secret]).is_ok());
    assert!(
        load(
            "",
            &[],
            &["web.listen=0.0.0.0:5000", "web.allow_network=true"]
        )
        .is_ok()
    );
}

#[test]
fn a_wrong_secret_is_not_repeated_in_the_error() {
    let error = load("", &[("DFS_CLUSTER_SECRET", "hunter2")], &[])
        .unwrap_err()
        .to_string();
    assert!(!error.contains("hunter2"), "{error}");
    assert!(error.contains("at least 16 characters"), "{error}");
}

/// A secret that was written without its quotes went to the log with the advice to write them.
#[test]
fn a_secret_without_quotes_is_not_repeated_either() {
    for line in [
        "secret = correct horse battery",
        "secret = correct-horse-battery",
        "\"secret\" = correct-horse-battery",
    ] {
        let error = load(&format!("[cluster]\n{line}\n"), &[], &[]);
        let error = error.unwrap_err().to_string();
        assert!(!error.contains("horse"), "{error}");
        assert!(
            error.contains("line 2") && error.contains("in quotes"),
            "{error}"
        );
    }
}

/// Whatever was given was said again as long as it was.
#[test]
fn an_error_is_short_however_long_what_was_given_is() {
    let long = "x".repeat(10_000);
    for file in [
        format!("[cluster]\n{long} = 1\n"),
        format!("[{long}]\n"),
        format!("[cluster]\nchunk_size = \"{long}\"\n"),
        format!("[cluster]\n{long} = y y\n"),
    ] {
        let error = load(&file, &[], &[]).unwrap_err().to_string();
        assert!(error.len() < 1000, "{error}");
    }
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = b"[master]\nlisten = \"127.0.0.1:9000\"\n# caf\xe9\n";
    fs::write(folder.path().join("config.toml"), text).unwrap();
    let loader = Loader::new(&ConfigArgs::default()).environment(&[]);
    let error = loader.folder(folder.path()).load().unwrap_err().to_string();
    assert!(
        error.contains("line 3, column 6") && error.contains("save it as UTF-8"),
        "{error}"
    );
}

/// Whoever gives only the master another place has the command line and the nodes of that folder find it.
#[test]
fn the_master_is_looked_for_where_the_same_settings_have_it_listen() {
    let master = |text: &str| load(text, &[], &[]).unwrap().client.master[0].to_string();
    let moved = "[master]\nlisten = \"127.0.0.1:9500\"\n";
    assert_eq!(master(moved), "127.0.0.1:9500");
    let both = format!("{moved}[client]\nmaster = [\"127.0.0.1:9600\"]\n");
    assert_eq!(master(&both), "127.0.0.1:9600");
    // These are no places to connect to.
    assert_eq!(
        master("[master]\nlisten = \"127.0.0.1:0\"\n"),
        "127.0.0.1:9000"
    );
    let secret = "[cluster]\nsecret = \"sixteen characters\"\n";
    let everywhere = format!("{secret}[master]\nlisten = \"0.0.0.0:9500\"\n");
    assert_eq!(master(&everywhere), "127.0.0.1:9500");
}

#[test]
fn a_zero_that_would_stop_everything_is_refused() {
    for (section, key) in [
        ("web", "idle_timeout = \"0s\""),
        ("cluster", "file_size_max = \"0B\""),
        ("storage_node", "scrub_rate = \"0B\""),
    ] {
        let error = load(&format!("[{section}]\n{key}\n"), &[], &[]).unwrap_err();
        assert!(error.to_string().contains("above 0"), "{error}");
    }
}

#[test]
fn the_repositorys_file_has_every_key_with_its_default() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(load(&text, &[], &[]).unwrap(), Settings::default());
    let mut section = "";
    let mut found = Vec::new();
    let mut line_before = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(
                line_before.starts_with('#'),
                "{section}.{key} has no comment"
            );
            found.push((section, key));
        }
        line_before = line;
    }
    assert_eq!(found, Settings::keys().collect::<Vec<_>>());
}
