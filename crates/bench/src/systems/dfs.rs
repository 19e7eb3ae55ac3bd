//! This project: a master, storage nodes and the web process, as anybody would start them by hand.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::Value;

use super::{Door, System, until};
use crate::content::Content;
use crate::http::{Http, said};
use crate::process::Process;

/// Rows that a page of a listing has at most.
const PAGE_LEN: u64 = 1000;

/// A cluster of this project.
#[derive(Debug)]
pub(crate) struct Dfs {
    door: Door,
    nodes: Vec<Process>,
    master: Process,
    web: Process,
    folder: PathBuf,
}

impl Dfs {
    /// Starts so many nodes, and waits until all is green.
    pub(crate) async fn start(folder: &Path, nodes: usize) -> Result<Self> {
        // Nothing is set but what keeps two runs apart.
        std::fs::write(folder.join("config.toml"), "")?;
        let config = ["--config", "config.toml"];
        let any_port = ["--listen", "127.0.0.1:0"];
        let mut master = server("dfs-master", folder, "master")?;
        master = master
            .with(config)
            .with(any_port)
            .with(["--data", "master"]);
        let master_address = master.start_listening().await?;
        let its_master = ["--master", &master_address];
        let mut web = server("dfs-web", folder, "web")?
            .with(config)
            .with(any_port)
            .with(its_master);
        let address = web.start_listening().await?;
        let mut dfs = Self {
            door: Door::new(address, "/api/v1/files/", "?purge=true"),
            nodes: Vec::new(),
            master,
            web,
            folder: folder.to_owned(),
        };
        for number in 1..=nodes {
            let name = format!("node{number}");
            let node = server("dfs-storage-node", folder, &name)?.with(config);
            let mut node = node.with(["127.0.0.1", "0", &name]).with(its_master);
            let address = node.start_listening().await?;
            let (_, port) = address.rsplit_once(':').context("an address has a port")?;
            node.replace_argument("0", port);
            dfs.nodes.push(node);
        }
        dfs.until_green().await?;
        Ok(dfs)
    }

    /// What `/api/v1/status` says.
    pub(crate) async fn status(&self) -> Result<Value> {
        status(&mut self.door.connect()).await
    }

    /// Takes a node away with all that it has.
    pub(crate) fn lose_node(&mut self, number: usize) -> Result<()> {
        self.nodes[number - 1].kill()?;
        let data = self.folder.join(format!("node{number}"));
        std::fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))
    }

    pub(crate) async fn until_green(&self) -> Result<()> {
        let nodes = self.nodes.len() as u64;
        let mut http = self.door.connect();
        until("everything has all its copies", async || {
            let status = status(&mut http).await?;
            let is_all = status["nodes"]["live"].as_u64() == Some(nodes);
            let is_whole = is_all && status["health"] == "green";
            ensure!(is_whole, "{}", status["problems"]);
            Ok(())
        })
        .await
    }
}

impl System for Dfs {
    fn door(&self) -> &Door {
        &self.door
    }

    fn process_ids(&self) -> Vec<u32> {
        let all = self.nodes.iter().chain([&self.master, &self.web]);
        all.flat_map(Process::ids).collect()
    }

    fn list<'a>(&'a self, folder: &'a str) -> LocalBoxFuture<'a, Result<u64>> {
        async move {
            let mut http = self.door.connect();
            let (mut count, mut after) = (0, String::new());
            loop {
                let path = format!("/api/v1/folders/{folder}?limit={PAGE_LEN}{after}");
                let answer = http.send("GET", &path, "", None).await?;
                ensure!(answer.status == 200, "GET {path}: {}", said(&answer));
                let page: Value = serde_json::from_slice(&answer.body)?;
                count += page["entries"].as_array().map_or(0, Vec::len) as u64;
                match page["next"].as_str() {
                    Some(next) => after = format!("&after={next}"),
                    None => return Ok(count),
                }
            }
        }
        .boxed_local()
    }

    fn put_as_page<'a>(
        &'a self,
        path: &'a str,
        content: Content,
    ) -> Option<LocalBoxFuture<'a, Result<()>>> {
        Some(put_by_tus(self.door.connect(), path, content).boxed_local())
    }

    fn nodes(&mut self) -> &mut [Process] {
        &mut self.nodes
    }

    fn restart_node(&mut self, place: usize) -> LocalBoxFuture<'_, Result<()>> {
        async move {
            self.nodes[place].start_listening().await?;
            self.until_green().await
        }
        .boxed_local()
    }

    fn thaw_node(&mut self, place: usize) -> LocalBoxFuture<'_, Result<()>> {
        async move {
            self.nodes[place].thaw()?;
            self.until_green().await
        }
        .boxed_local()
    }
}

/// As `static/resumable.js` has the stock client of tus do it: one request opens the upload, one brings all bytes.
async fn put_by_tus(mut http: Http, path: &str, content: Content) -> Result<()> {
    let (len, path) = (content.len(), encode(&format!("/{path}")));
    let headers = format!(
        "Tus-Resumable: 1.0.0\r\nUpload-Length: {len}\r\nUpload-Metadata: path {path}\r\ncontent-length: 0\r\n"
    );
    let opened = http.send("POST", "/api/v1/uploads", &headers, None).await?;
    ensure!(opened.status == 201, "open an upload: {}", said(&opened));
    let location = opened
        .header("location")
        .context("an upload has an address")?;
    // It may be a whole URL.
    let place = location
        .find("/api/")
        .context("its address is of the API")?;
    let headers = "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n";
    let sent = http
        .send("PATCH", &location[place..], headers, Some(content))
        .await?;
    ensure!(sent.status == 204, "send an upload: {}", said(&sent));
    let offset = sent.header("upload-offset");
    ensure!(
        offset == Some(len.to_string().as_str()),
        "only {offset:?} of {len} bytes were taken"
    );
    Ok(())
}

async fn status(http: &mut Http) -> Result<Value> {
    let answer = http.send("GET", "/api/v1/status", "", None).await?;
    ensure!(
        answer.status == 200,
        "ask for the status: {}",
        said(&answer)
    );
    Ok(serde_json::from_slice(&answer.body)?)
}

/// A program of this workspace, built beside this one.
pub(crate) fn server(program: &str, folder: &Path, name: &str) -> Result<Process> {
    let this = std::env::current_exe().context("find this program")?;
    let beside = this.parent().context("it is in a folder")?;
    let path = beside.join(format!("{program}{}", std::env::consts::EXE_SUFFIX));
    ensure!(
        path.is_file(),
        "{} is not there: `scripts/bench.sh` builds it, and so does `cargo build --release --bins`",
        path.display()
    );
    Ok(Process::new(&path, folder, name))
}

/// In base64, as metadata of tus is written.
fn encode(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for three in text.as_bytes().chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            let is_padding = digit > three.len();
            encoded.push(if is_padding {
                '='
            } else {
                char::from(DIGITS[value as usize])
            });
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_base64() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("/abc.txt", "L2FiYy50eHQ="),
        ] {
            assert_eq!(encode(text), expected);
        }
    }
}
