//! The network of a cluster whose servers have one each: a bridge, a line to each server, and what is lost on the way.
//!
//! All of it is in namespaces that only this program and its children are in, so that the machine's own network is never
//! touched, and nothing is left behind, however this program ends.

use std::io;

use crate::system::run;

/// Where the clients are.
const HUB: &str = "10.77.0.1";

/// The lines. They are gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Lines {
    names: Vec<String>,
}

/// Which packets do not come in at a server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// All from this server.
    From(usize),
    /// All from the clients.
    FromClients,
    /// All.
    All,
    /// So many of a hundred.
    Share(u8),
}

impl Lines {
    /// A line for each of so many servers.
    pub(crate) fn lay(servers: usize) -> io::Result<Self> {
        let prefix = format!("chaos-{}", std::process::id());
        let names = (0..servers)
            .map(|number| format!("{prefix}-{number}"))
            .collect();
        let lines = Self { names };
        ip("link add chaos0 type bridge")?;
        ip("link set chaos0 up")?;
        ip(&format!("addr add {HUB}/24 dev chaos0"))?;
        for (number, name) in lines.names.iter().enumerate() {
            let address = address(number);
            ip(&format!("netns add {name}"))?;
            ip(&format!(
                "link add line{number} type veth peer name eth0 netns {name}"
            ))?;
            ip(&format!("link set line{number} master chaos0 up"))?;
            ip(&format!("-n {name} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        Ok(lines)
    }

    /// What `ip netns` calls a server's network.
    pub(crate) fn namespace(&self, server: usize) -> String {
        self.names[server].clone()
    }

    /// Where a server listens.
    pub(crate) fn address(&self, server: usize) -> String {
        debug_assert!(server < self.names.len(), "it has a line");
        format!("{}:9000", address(server))
    }

    /// From now on these packets do not come in at a server.
    pub(crate) fn lose(&self, server: usize, loss: Loss) -> io::Result<()> {
        self.tables(server, "-A", loss)
    }

    /// They come in again.
    pub(crate) fn mend(&self, server: usize, loss: Loss) -> io::Result<()> {
        self.tables(server, "-D", loss)
    }

    fn tables(&self, server: usize, change: &str, loss: Loss) -> io::Result<()> {
        let which = match loss {
            Loss::From(other) => format!("-s {}", address(other)),
            Loss::FromClients => format!("-s {HUB}"),
            Loss::All => "-i eth0".to_owned(),
            Loss::Share(percent) => {
                let share = f64::from(percent) / 100.0;
                format!("-i eth0 -m statistic --mode random --probability {share}")
            }
        };
        let name = &self.names[server];
        let rule = format!("netns exec {name} iptables -w {change} INPUT {which} -j DROP");
        ip(&rule)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        for name in &self.names {
            drop(ip(&format!("netns del {name}")));
        }
        drop(ip("link del chaos0"));
    }
}

fn address(server: usize) -> String {
    format!("10.77.0.{}", server + 2)
}

fn ip(words: &str) -> io::Result<()> {
    run("ip", words.split(' '))
}
