//! Which processes there are, where each listens and keeps its data, and the command that starts it.
//!
//! Hosts, and ports that no flag gives, come from the settings, so that `config.toml` holds for a cluster that is run
//! in one command too. What cannot work is refused before anything is started.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use proto::net::{Address, ListenError};
use settings::{ConfigArgs, Settings};

use crate::args::{NODES_MAX, Up};
use crate::exit::{Exit, Stop};

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Master,
    /// Counted from 1.
    Node(u16),
    Web,
}

/// The whole cluster, before it is started.
#[derive(Debug)]
pub(super) struct Plan {
    data: PathBuf,
    master: Address,
    nodes: Vec<Address>,
    web: Address,
    /// Flags that all of them get.
    shared: Vec<OsString>,
}

/// A process to start.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl Plan {
    pub(super) fn make(
        settings: &Settings,
        config: &ConfigArgs,
        arguments: &Up,
        is_quiet: bool,
    ) -> anyhow::Result<Self> {
        let needed = u16::from(settings.cluster.min_write_replicas);
        if arguments.nodes < needed {
            return Err(Stop::usage(format!(
                "--nodes {} cannot hold the {needed} copies without which an upload fails; start more, or add \
                 --set cluster.min_write_replicas={}",
                arguments.nodes, arguments.nodes
            )));
        }
        let plan = Self {
            // The lines that say how to start a process again are good in any folder.
            data: std::path::absolute(&arguments.data)
                .with_context(|| format!("find the folder {}", arguments.data.display()))?,
            master: with_port(&settings.master.listen, arguments.master_port)?,
            nodes: node_addresses(&settings.storage_node.listen, arguments)?,
            web: with_port(&settings.web.listen, arguments.web_port)?,
            shared: shared_flags(config, is_quiet)?,
        };
        plan.check_distinct()?;
        Ok(plan)
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn nodes(&self) -> u16 {
        u16::try_from(self.nodes.len()).expect("it was made of a u16")
    }

    /// Each process with where it listens, and the flag that says so.
    fn listeners(&self) -> Vec<(String, &Address, &'static str)> {
        let mut listeners = vec![("the master".to_owned(), &self.master, "--master-port")];
        for (node, number) in self.nodes.iter().zip(1..) {
            listeners.push((name(Role::Node(number)), node, "--node-port"));
        }
        listeners.push(("the page".to_owned(), &self.web, "--web-port"));
        listeners
    }

    fn check_distinct(&self) -> anyhow::Result<()> {
        let listeners = self.listeners();
        for (place, (name, address, flag)) in listeners.iter().enumerate() {
            let same = listeners[..place]
                .iter()
                .find(|(_, other, _)| other.port() != 0 && other.port() == address.port());
            if let Some((other, _, other_flag)) = same {
                return Err(Stop::usage(format!(
                    "{other} and {name} would both listen on port {}: give others by {other_flag} and {flag}",
                    address.port()
                )));
            }
        }
        Ok(())
    }

    /// Refuses ports that cannot be listened on, before anything is started.
    pub(super) fn check_ports(&self) -> anyhow::Result<()> {
        for (name, address, flag) in self.listeners() {
            let Err(error) = TcpListener::bind(address.as_str()) else {
                continue;
            };
            let address = address.clone();
            let error = ListenError { address, error };
            let message = format!("{name} {error} ({flag})");
            return Err(Stop::error(Exit::Failure, message));
        }
        Ok(())
    }

    /// Makes the folder in which the processes make theirs.
    pub(super) fn make_folder(&self) -> anyhow::Result<()> {
        let data = self.data.display();
        if self.data.exists() && !self.data.is_dir() {
            return Err(Stop::usage(format!(
                "--data {data} is a file, not a folder: choose another name"
            )));
        }
        std::fs::create_dir_all(&self.data).with_context(|| format!("make the folder {data}"))
    }

    /// Numbers of nodes whose folders the data folder has from an earlier time, when there were more of them.
    pub(super) fn left_out(&self) -> Vec<u16> {
        (self.nodes() + 1..=NODES_MAX)
            .filter(|number| self.data.join(name(Role::Node(*number))).is_dir())
            .collect()
    }

    /// The command of one process. All but the master need the master's address.
    pub(super) fn launch(&self, role: Role, master: Option<&Address>) -> anyhow::Result<Launch> {
        let mut arguments: Vec<OsString> = Vec::new();
        let program = match role {
            Role::Master => {
                arguments.extend(["--listen", self.master.as_str(), "--data"].map(OsString::from));
                arguments.push(self.data.join("master").into());
                "dfs-master"
            }
            Role::Node(number) => {
                let address = &self.nodes[usize::from(number - 1)];
                arguments.extend(
                    [address.host().to_owned(), address.port().to_string()].map(OsString::from),
                );
                arguments.push(self.data.join(name(role)).into());
                "dfs-storage-node"
            }
            Role::Web => {
                arguments.extend(["--listen", self.web.as_str()].map(OsString::from));
                "dfs-web"
            }
        };
        if let Some(master) = master {
            arguments.extend(["--master", master.as_str()].map(OsString::from));
        }
        arguments.extend(self.shared.iter().cloned());
        Ok(Launch {
            role,
            name: name(role),
            program: beside_this(program)?,
            arguments,
        })
    }
}

/// As it stands before lines of the log, and in the data folder.
fn name(role: Role) -> String {
    match role {
        Role::Master => "master".to_owned(),
        Role::Node(number) => format!("node{number}"),
        Role::Web => "web".to_owned(),
    }
}

fn node_addresses(listen: &Address, arguments: &Up) -> anyhow::Result<Vec<Address>> {
    let first = arguments.node_port.unwrap_or(listen.port());
    (0..arguments.nodes)
        .map(|place| {
            let port = if first == 0 {
                Some(0)
            } else {
                first.checked_add(place)
            };
            let port = port.ok_or_else(|| {
                let count = arguments.nodes;
                Stop::usage(format!(
                    "--node-port {first} leaves no room for {count} nodes: ports end at 65535"
                ))
            })?;
            with_port(listen, Some(port))
        })
        .collect()
}

fn with_port(address: &Address, port: Option<u16>) -> anyhow::Result<Address> {
    let Some(port) = port else {
        return Ok(address.clone());
    };
    let text = address.as_str();
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    Ok(format!("{host}:{port}").parse()?)
}

/// The children read the same settings; what was said to this process is said to them.
fn shared_flags(config: &ConfigArgs, is_quiet: bool) -> anyhow::Result<Vec<OsString>> {
    let mut flags: Vec<OsString> = vec!["--stop-with-stdin".into()];
    if let Some(file) = &config.config {
        flags.push("--config".into());
        flags.push(std::path::absolute(file)?.into());
    }
    let quiet = is_quiet.then(|| "log.level=warn".to_owned());
    for set in quiet.iter().chain(&config.set) {
        flags.push("--set".into());
        flags.push(set.into());
    }
    Ok(flags)
}

fn beside_this(program: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("find where this program is")?;
    let path = this.with_file_name(format!("{program}{}", std::env::consts::EXE_SUFFIX));
    if path.is_file() {
        return Ok(path);
    }
    Err(Stop::error(
        Exit::Failure,
        format!(
            "{program} is not beside this program, in {}: build all with `cargo build --release --workspace`",
            this.parent().unwrap_or(Path::new(".")).display()
        ),
    ))
}

/// The page's address as a browser on this machine takes it. Not by the name localhost: that may lead to another address
/// of this machine, on which another program has the port (on a Mac, `AirPlay` has 5000).
pub(super) fn browsable(page: &Address) -> String {
    match page.host() {
        "0.0.0.0" => format!("http://127.0.0.1:{}", page.port()),
        "::" => format!("http://[::1]:{}", page.port()),
        _ => format!("http://{page}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up() -> Up {
        Up {
            nodes: 3,
            data: PathBuf::from("d"),
            master_port: None,
            node_port: None,
            web_port: None,
            stop_with_stdin: false,
        }
    }

    fn plan(up: &Up) -> anyhow::Result<Plan> {
        Plan::make(&Settings::default(), &ConfigArgs::default(), up, false)
    }

    fn check_refused(up: &Up, expected: &str) {
        let error = plan(up).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(crate::exit::exit_of(&error), Exit::Usage);
    }

    #[test]
    fn ports_count_up_from_the_first_nodes_and_zero_stays_zero() {
        let ports = |up: &Up| {
            let plan = plan(up).unwrap();
            plan.listeners()
                .iter()
                .map(|(_, address, _)| address.port())
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(&up()), [9000, 9001, 9002, 9003, 5000]);
        let free = Up {
            nodes: 2,
            master_port: Some(0),
            node_port: Some(0),
            web_port: Some(0),
            ..up()
        };
        assert_eq!(ports(&free), [0, 0, 0, 0]);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        check_refused(&Up { nodes: 1, ..up() }, "2 copies");
        check_refused(
            &Up {
                node_port: Some(65534),
                ..up()
            },
            "ports end at 65535",
        );
        check_refused(
            &Up {
                web_port: Some(9002),
                ..up()
            },
            "both listen on port 9002",
        );
        check_refused(
            &Up {
                node_port: Some(8999),
                ..up()
            },
            "--master-port and --node-port",
        );
    }

    #[test]
    fn a_port_in_use_is_found_before_anything_starts() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let master_port = Some(taken.local_addr().unwrap().port());
        let (node_port, web_port) = (Some(0), Some(0));
        let error = plan(&Up {
            master_port,
            node_port,
            web_port,
            ..up()
        })
        .unwrap()
        .check_ports()
        .unwrap_err();
        assert!(error.to_string().contains("is in use"), "{error}");
        assert!(error.to_string().contains("--master-port"), "{error}");
    }

    #[test]
    fn nodes_of_an_earlier_time_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_owned();
        for name in ["master", "node2", "node4", "node5"] {
            std::fs::create_dir(data.join(name)).unwrap();
        }
        let plan = plan(&Up { data, ..up() }).unwrap();
        assert_eq!(plan.left_out(), [4, 5]);
    }

    #[test]
    fn a_file_is_no_data_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let data = file.path().to_owned();
        let error = plan(&Up { data, ..up() })
            .unwrap()
            .make_folder()
            .unwrap_err();
        assert_eq!(crate::exit::exit_of(&error), Exit::Usage);
    }

    #[test]
    fn flags_are_handed_on_and_the_persons_come_last() {
        let config = ConfigArgs {
            config: None,
            set: vec!["log.level=debug".to_owned()],
        };
        let flags = shared_flags(&config, true).unwrap();
        assert_eq!(
            flags,
            [
                "--stop-with-stdin",
                "--set",
                "log.level=warn",
                "--set",
                "log.level=debug"
            ]
            .map(OsString::from)
        );
    }

    #[test]
    fn the_page_is_shown_as_a_browser_takes_it() {
        let shown = |text: &str| browsable(&text.parse().unwrap());
        assert_eq!(shown("127.0.0.1:5000"), "http://127.0.0.1:5000");
        assert_eq!(shown("0.0.0.0:5000"), "http://127.0.0.1:5000");
        assert_eq!(shown("[::]:5000"), "http://[::1]:5000");
        assert_eq!(shown("files.home:80"), "http://files.home:80");
    }
}
