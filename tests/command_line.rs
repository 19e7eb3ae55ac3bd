//! The command line as a newcomer uses it, and as a script does.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::support::{Cluster, content, files_below, program, run};

fn said(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn failed(output: &Output, code: i32, words: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(words), "{words:?} is not in: {error}");
}

/// The three commands of the first page of the README.
#[tokio::test]
async fn upload_list_and_download() {
    let cluster = Cluster::start().await;
    let scratch = cluster.scratch();
    let bytes = content(1, 200_000);
    std::fs::write(scratch.join("myfile.txt"), &bytes).unwrap();
    let dfs = |arguments: &'static [&'static str]| {
        let mut command = cluster.dfs(arguments);
        command.current_dir(cluster.scratch());
        command
    };
    said(&run(&mut dfs(&["upload", "myfile.txt"])).await);
    let list = said(&run(&mut dfs(&["list"])).await);
    assert!(list.contains("myfile.txt"), "{list}");
    said(&run(&mut dfs(&["download", "myfile.txt", "output.txt"])).await);
    assert!(std::fs::read(scratch.join("output.txt")).unwrap() == bytes);
    let json: serde_json::Value =
        serde_json::from_str(&said(&run(&mut dfs(&["list", "--json"])).await)).unwrap();
    assert!(json.to_string().contains("\"size\":200000"), "{json}");
    let status = said(&run(&mut dfs(&["status"])).await).to_lowercase();
    assert!(status.contains("green"), "{status}");
    let explained = said(&run(&mut dfs(&["explain", "myfile.txt"])).await);
    assert!(
        explained.contains(cluster.nodes()[0].address().as_str()),
        "{explained}"
    );
}

/// A folder goes up with all that is in it, and comes down the same.
#[tokio::test]
async fn folders_go_up_and_down() {
    let cluster = Cluster::start().await;
    let album = cluster.scratch().join("album");
    std::fs::create_dir_all(album.join("2024").join("empty")).unwrap();
    for (name, len) in [("a.jpg", 0), ("b.jpg", 1), ("2024/c.jpg", 100_000)] {
        std::fs::write(album.join(name), content(len as u64, len)).unwrap();
    }
    let dfs = |arguments: &'static [&'static str]| {
        let mut command = cluster.dfs(arguments);
        command.current_dir(cluster.scratch());
        command
    };
    said(&run(&mut dfs(&["upload", "album"])).await);
    said(&run(&mut dfs(&["mkdir", "-p", "backup/old"])).await);
    said(&run(&mut dfs(&["mv", "album", "backup/album"])).await);
    said(&run(&mut dfs(&["download", "backup/album", "copy"])).await);
    let names = |folder: &Path| {
        let mut names: Vec<_> = files_below(folder)
            .iter()
            .map(|file| file.strip_prefix(folder).unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let copy = cluster.scratch().join("copy");
    assert_eq!(names(&copy), names(&album));
    assert!(std::fs::read(copy.join("2024/c.jpg")).unwrap() == content(100_000, 100_000));
    failed(&run(&mut dfs(&["rm", "backup"])).await, 4, "backup");
    said(&run(&mut dfs(&["rm", "-r", "backup"])).await);
    failed(
        &run(&mut dfs(&["download", "backup/album", "again"])).await,
        3,
        "backup",
    );
}

/// What an earlier try left has rotted, or somebody wrote into it: what is wrong is fetched again, and the rest is kept.
#[tokio::test]
async fn a_download_that_goes_on_verifies_what_is_there() {
    let cluster = Cluster::start().await;
    let bytes = content(1, 5_000_000);
    cluster.upload("/film", &bytes).await;
    let (client, path) = (cluster.client(), "/film".parse().unwrap());
    let version = client.open(&path, None).await.unwrap().version.0;
    let id = client.status().await.unwrap().cluster;
    for kept in [1 << 20, 3_500_000, 5_000_000] {
        let name = format!("film.{version}-{}.part", &id.to_string()[..8]);
        let part = cluster.scratch().join(name);
        let mut there = bytes[..kept].to_vec();
        there[1000] ^= 1;
        there[kept - 1] ^= 1;
        std::fs::write(&part, there).unwrap();
        let record = serde_json::json!({
            "cluster": id, "version": version, "size": bytes.len(), "durable": kept,
        });
        std::fs::write(part.with_extension("part.json"), record.to_string()).unwrap();
        let mut download = cluster.dfs(&["download", "film"]);
        let done = said(&run(download.current_dir(cluster.scratch())).await);
        assert!(
            std::fs::read(cluster.scratch().join("film")).unwrap() == bytes,
            "{kept}: {done}"
        );
        assert!(done.contains("earlier try"), "{done}");
        std::fs::remove_file(cluster.scratch().join("film")).unwrap();
    }
}

/// A folder was uploaded together with what an interrupted download had left in it. When it was downloaded, the small
/// file took the place of the part that the large one was being written to, and then the large one's name: with the
/// wrong bytes, and code 0.
#[tokio::test]
async fn a_file_named_as_a_part_of_another_never_becomes_it() {
    let cluster = Cluster::start().await;
    let bytes = content(1, 40_000_000);
    cluster.upload("/docs/a.txt", &bytes).await;
    let client = cluster.client();
    let path = "/docs/a.txt".parse().unwrap();
    let version = client.open(&path, None).await.unwrap().version.0;
    let id = client.status().await.unwrap().cluster.to_string();
    let stem = format!("a.txt.{version}-{}", &id[..8]);
    cluster
        .upload(&format!("/docs/{stem}.part"), b"wrong")
        .await;
    let mut download = cluster.dfs(&["download", "docs"]);
    said(&run(download.current_dir(cluster.scratch())).await);
    let docs = cluster.scratch().join("docs");
    assert!(std::fs::read(docs.join("a.txt")).unwrap() == bytes);
    let kept = std::fs::read(docs.join(format!("{stem} (2).part")));
    assert_eq!(kept.unwrap(), b"wrong");
}

/// A folder's download was killed, and the same command again began at zero, in a folder within the first one.
#[tokio::test]
async fn a_folder_goes_on_in_the_same_place() {
    let cluster = Cluster::start().await;
    let bytes = content(1, 3_000_000);
    cluster.upload("/big/film", &bytes).await;
    cluster.upload("/big/more/film", &bytes).await;
    let (client, path) = (cluster.client(), "/big/more/film".parse().unwrap());
    let version = client.open(&path, None).await.unwrap().version.0;
    let id = client.status().await.unwrap().cluster;
    // What a download leaves that is killed after the first file and half of the second.
    let out = cluster.scratch().join("out");
    std::fs::create_dir_all(out.join("more")).unwrap();
    std::fs::write(out.join("film"), &bytes).unwrap();
    let part = out.join(format!("more/film.{version}-{}.part", &id.to_string()[..8]));
    std::fs::write(&part, &bytes[..1_500_000]).unwrap();
    let record = serde_json::json!({
        "cluster": id, "version": version, "size": bytes.len(), "durable": 1_500_000,
    });
    std::fs::write(part.with_extension("part.json"), record.to_string()).unwrap();
    for expected in ["1 there already", "2 there already"] {
        let mut download = cluster.dfs(&["download", "big", "out"]);
        let done = said(&run(download.current_dir(cluster.scratch())).await);
        assert!(done.contains(expected), "{done}");
        let mut there = files_below(&out);
        there.sort();
        assert_eq!(there, [out.join("film"), out.join("more/film")]);
        assert!(
            there
                .iter()
                .all(|file| std::fs::read(file).unwrap() == bytes)
        );
    }
    // One that somebody changed is fetched again, and one that has an older content.
    let mut changed = bytes.clone();
    changed[2_000_000] ^= 1;
    std::fs::write(out.join("film"), &changed).unwrap();
    std::fs::write(out.join("more/film"), b"old").unwrap();
    let mut download = cluster.dfs(&["download", "big", "out"]);
    let done = said(&run(download.current_dir(cluster.scratch())).await);
    assert!(!done.contains("already"), "{done}");
    assert!(
        files_below(&out)
            .iter()
            .all(|file| std::fs::read(file).unwrap() == bytes)
    );
}

/// A folder that was gone on with, keeping both, got one more copy of a file that differed, each time.
#[tokio::test]
async fn a_folder_that_keeps_both_keeps_one_copy() {
    let cluster = Cluster::start().await;
    cluster.upload("/docs/a.txt", b"theirs").await;
    let docs = cluster.scratch().join("docs");
    std::fs::create_dir_all(&docs).unwrap();
    std::fs::write(docs.join("a.txt"), b"of here").unwrap();
    for _ in 0..2 {
        let mut download = cluster.dfs(&["download", "docs", "--if-exists", "keep-both"]);
        said(&run(download.current_dir(cluster.scratch())).await);
        let mut there = files_below(&docs);
        there.sort();
        assert_eq!(there, [docs.join("a (2).txt"), docs.join("a.txt")]);
    }
    assert_eq!(std::fs::read(docs.join("a.txt")).unwrap(), b"of here");
}

/// A file in the way of one folder ended the download of all others.
#[tokio::test]
async fn one_folder_that_cannot_be_made_does_not_keep_others_away() {
    let cluster = Cluster::start().await;
    for path in ["/big/one/film", "/big/two/film", "/big/film"] {
        cluster.upload(path, b"film").await;
    }
    for in_the_way in ["one", "two"] {
        let out = cluster.scratch().join(format!("without-{in_the_way}"));
        std::fs::create_dir_all(&out).unwrap();
        std::fs::write(out.join(in_the_way), b"").unwrap();
        let mut download = cluster.dfs(&["download", "big", out.to_str().unwrap()]);
        failed(&run(&mut download).await, 4, &format!("/big/{in_the_way}"));
        assert_eq!(files_below(&out).len(), 3);
    }
}

/// Standard input goes up, and a file comes down to standard output.
#[tokio::test]
async fn pipes_work_both_ways() {
    let cluster = Cluster::start().await;
    let bytes = content(1, 300_000);
    let mut upload = cluster.dfs(&["upload", "-", "piped"]);
    let mut child = upload
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes).await.unwrap();
    drop(stdin);
    said(&child.wait_with_output().await.unwrap());
    let output = run(&mut cluster.dfs(&["download", "piped", "-"])).await;
    assert!(output.status.success() && output.stdout == bytes);
}

/// A command that fails says why, and with which code.
#[tokio::test]
async fn failures_have_codes_and_reasons() {
    let mut cluster = Cluster::start().await;
    failed(
        &run(&mut cluster.dfs(&["download", "nothing"])).await,
        3,
        "nothing",
    );
    failed(
        &run(&mut cluster.dfs(&["frobnicate"])).await,
        2,
        "frobnicate",
    );
    failed(
        &run(&mut cluster.dfs(&["upload", "no-such-file"])).await,
        3,
        "no-such-file",
    );
    failed(&run(&mut cluster.dfs(&["mkdir", "a/../b"])).await, 2, "..");
    cluster.master().kill();
    let address = cluster.master.address();
    failed(&run(&mut cluster.dfs(&["list"])).await, 5, address.as_str());
}

/// One command starts everything, says where the page is, and takes everything down with it.
#[tokio::test]
async fn one_command_starts_and_stops_everything() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = program("dfs");
    up.current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    up.args([
        "up",
        "--data",
        "data",
        "--master-port",
        "0",
        "--node-port",
        "0",
        "--web-port",
        "0",
    ]);
    let mut child = up.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = tokio::time::timeout(Duration::from_secs(60), async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(place) = line.find("http://") {
                return line[place..]
                    .trim_end_matches('.')
                    .split_whitespace()
                    .next()
                    .unwrap()
                    .to_owned();
            }
        }
        panic!("it ended without saying where the page is");
    });
    let url = url.await.expect("it is ready within a minute");
    let ready = reqwest::get(format!("{}/readyz", url.trim_end_matches('/')))
        .await
        .unwrap();
    assert!(ready.status().is_success());
    #[cfg(unix)]
    {
        let id = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        let status = tokio::time::timeout(Duration::from_secs(30), child.wait())
            .await
            .expect("it stops")
            .unwrap();
        assert!(status.success(), "{status}");
        assert!(reqwest::get(&url).await.is_err(), "the page is gone too");
    }
}

/// A server that is asked to stop ends with code 0, and its data is as it was.
#[cfg(unix)]
#[tokio::test]
async fn servers_stop_when_asked() {
    let mut cluster = Cluster::start().await;
    cluster.upload("/a", &content(1, 100_000)).await;
    assert!(cluster.web().stop().await.success());
    assert!(cluster.node(1).stop().await.success());
    assert!(cluster.master().stop().await.success());
    cluster.restart_all().await;
    cluster.until_healthy().await;
    let read = crate::support::download(&cluster.client(), "/a")
        .await
        .unwrap();
    assert!(read == content(1, 100_000));
}

/// The bench leaves nothing behind: not in the folder, and not in the trash.
#[tokio::test]
async fn a_bench_measures_all_steps_and_leaves_nothing() {
    let cluster = Cluster::start().await;
    let mut bench = cluster.dfs(&["bench", "--big", "1MiB", "--files", "20", "--json"]);
    let output = run(&mut bench).await;
    let announced = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        announced.contains("writes up to 5.2 MB in 121 files to /dfs-bench-"),
        "{announced}"
    );
    let report: serde_json::Value = serde_json::from_str(&said(&output)).unwrap();
    let steps = report["steps"].as_array().unwrap();
    let work: Vec<_> = steps
        .iter()
        .map(|step| step["work"].as_str().unwrap())
        .collect();
    let small = ["upload_small", "download_small"].repeat(6);
    assert_eq!(
        work,
        [
            &["upload_big", "download_big", "download_four"],
            &small[..],
            &["list", "delete"]
        ]
        .concat()
    );
    assert!(
        steps
            .iter()
            .all(|step| step["rate"].as_f64().unwrap() > 0.0),
        "{report}"
    );
    assert_eq!(steps[0]["bytes"], 1 << 20);
    assert_eq!(steps[2]["bytes"], 4 << 20);
    assert_eq!(steps[3]["file_size"], 4096);
    assert_eq!(steps[16]["count"], 120);
    assert_nothing_is_left(&cluster).await;
    // For people it is a table.
    let table = said(&run(&mut cluster.dfs(&["bench", "--big", "1MiB", "--files", "5"])).await);
    assert!(
        table.contains("upload of one file")
            && table.contains("uploads of 64 KiB        16 connections"),
        "{table}"
    );
}

/// What does not fit is not begun.
#[tokio::test]
async fn a_bench_that_does_not_fit_writes_nothing() {
    let cluster = Cluster::start().await;
    let refused = run(&mut cluster.dfs(&["bench", "--big", "8PiB"])).await;
    failed(&refused, 7, "choose less with --big or --files");
    assert!(
        said(&run(&mut cluster.dfs(&["list"])).await)
            .trim()
            .is_empty()
    );
}

/// Whoever interrupts it in the middle has nothing to clean up.
#[cfg(unix)]
#[tokio::test]
async fn an_interrupted_bench_leaves_nothing() {
    let cluster = Cluster::start().await;
    let arguments = [
        "bench",
        "--big",
        "1MiB",
        "--files",
        "5000",
        "--seconds",
        "600",
    ];
    let mut bench = cluster.dfs(&arguments).kill_on_drop(true).spawn().unwrap();
    let client = cluster.client();
    crate::support::until("small files are being written", || async {
        client.status().await.unwrap().files > 10
    })
    .await;
    let id = rustix::process::Pid::from_raw(bench.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(40), bench.wait()).await;
    let status = ended.expect("it ends soon").unwrap();
    assert_eq!(status.code(), Some(130));
    assert_nothing_is_left(&cluster).await;
}

async fn assert_nothing_is_left(cluster: &Cluster) {
    let list = said(&run(&mut cluster.dfs(&["list", "--names"])).await);
    assert!(!list.contains("dfs-bench"), "{list}");
    let trash = said(&run(&mut cluster.dfs(&["trash", "list", "--json"])).await);
    assert_eq!(trash.trim(), "[]");
}
