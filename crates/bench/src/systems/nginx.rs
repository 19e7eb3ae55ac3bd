//! nginx as a file server that takes PUT: one copy, no fsync and no checks. No store that does more can be faster.

use std::path::Path;

use anyhow::{Result, ensure};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::Value;

use super::{Door, System, until};
use crate::content::Content;
use crate::http::said;
use crate::process::{Ending, Process, free_port};

/// nginx with its workers.
#[derive(Debug)]
pub(crate) struct Nginx {
    door: Door,
    process: Process,
}

impl Nginx {
    /// Starts it, and waits until a file can be written.
    pub(crate) async fn start(nginx: &Path, folder: &Path) -> Result<Self> {
        let port = free_port()?;
        for name in ["files", "temp"] {
            std::fs::create_dir(folder.join(name))?;
        }
        std::fs::write(folder.join("nginx.conf"), configuration(port))?;
        let process = Process::new(nginx, folder, "nginx").ended_by(Ending::Terminate);
        let mut process = process.with(["-p", ".", "-e", "error.log", "-c", "nginx.conf"]);
        process.start()?;
        let door = Door::new(format!("127.0.0.1:{port}"), "/", "");
        let mut http = door.connect();
        until("a file can be written", async || {
            http.put("/probe", Content::new(u64::MAX, 100)).await
        })
        .await?;
        Ok(Self { door, process })
    }
}

/// All in the folder that it works in; a file gets its name by a rename within one disk.
fn configuration(port: u16) -> String {
    // Its workers would else be those of somebody who may not write there.
    let user = if is_root() { "user root;" } else { "" };
    format!(
        "{user}
daemon off;
worker_processes auto;
pid nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path temp;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    server {{
        listen 127.0.0.1:{port};
        root files;
        location / {{
            dav_methods PUT DELETE;
            create_full_put_path on;
            autoindex on;
            autoindex_format json;
        }}
    }}
}}
"
    )
}

fn is_root() -> bool {
    #[cfg(unix)]
    {
        rustix::process::geteuid().is_root()
    }
    #[cfg(not(unix))]
    {
        false
    }
}

impl System for Nginx {
    fn door(&self) -> &Door {
        &self.door
    }

    fn process_ids(&self) -> Vec<u32> {
        self.process.ids()
    }

    fn list<'a>(&'a self, folder: &'a str) -> LocalBoxFuture<'a, Result<u64>> {
        async move {
            let path = format!("/{folder}/");
            let answer = self.door.connect().send("GET", &path, "", None).await?;
            ensure!(answer.status == 200, "GET {path}: {}", said(&answer));
            let entries: Vec<Value> = serde_json::from_slice(&answer.body)?;
            Ok(entries.len() as u64)
        }
        .boxed_local()
    }

    fn nodes(&mut self) -> &mut [Process] {
        &mut []
    }

    fn restart_node(&mut self, _place: usize) -> LocalBoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed_local()
    }

    fn thaw_node(&mut self, _place: usize) -> LocalBoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed_local()
    }
}
