//! The command line of `dfs-storage-node`, and what each form of it does.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, Subcommand};
use disk::{Disk, RealDisk};
use proto::net::Tcp;
use settings::{Loader, ServerArgs, Settings};

use crate::config::Config;
use crate::environment::Environment;
use crate::identity::Acceptance;
use crate::offline;
use crate::run::run;

/// Holds the bytes of chunks. Run one a machine, with one folder a disk.
#[derive(Debug, Parser)]
#[command(
    name = "dfs-storage-node",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Listen on this host
    #[arg(requires = "port")]
    host: Option<String>,
    /// and this port (0 takes a free one),
    port: Option<u16>,
    /// with the chunks in these folders, one a disk
    folders: Vec<PathBuf>,
    /// Listen here, in place of HOST PORT
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "host")]
    listen: Option<String>,
    /// Keep chunks here, in place of DIR; once for each disk
    #[arg(long, value_name = "DIR", conflicts_with = "folders")]
    data: Vec<PathBuf>,
    /// The master, or each of several
    #[arg(long, value_name = "HOST:PORT")]
    master: Vec<String>,
    /// Refuse empty folders: for disks that may not be mounted
    #[arg(long)]
    existing: bool,
    /// Take empty folders in the place of disks that are gone for good
    #[arg(long)]
    replaced_disk: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what a folder holds, without changing it; the node must not run
    Inspect {
        /// The folder
        folder: PathBuf,
        /// Tell every record
        #[arg(long)]
        records: bool,
    },
    /// Read everything in a folder and tell what is damaged; the node must not run
    Verify {
        /// The folder
        folder: PathBuf,
    },
    /// Write every chunk of a folder to a file named by its id; the node must not run
    Export {
        /// The folder
        folder: PathBuf,
        /// Where to
        to: PathBuf,
    },
}

impl Arguments {
    /// Does what they say. For a node that is: run until asked to stop.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub async fn run(self) -> anyhow::Result<()> {
        match &self.command {
            None => self.serve().await,
            Some(command) => match command.run(&mut std::io::stdout().lock()) {
                Err(error) if settings::reader_went_away(&error) && !command.judges() => Ok(()),
                ended => ended,
            },
        }
    }

    async fn serve(self) -> anyhow::Result<()> {
        let settings = self.settings()?;
        settings::start_logging(&settings.log)?;
        let acceptance = Acceptance {
            existing_only: self.existing,
            replaced_disks: self.replaced_disk,
        };
        let config = Config::from_settings(&settings, acceptance);
        let folders: Vec<_> = config
            .data
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let disks = config.data.iter().map(RealDisk::at).collect();
        let shutdown = settings::shutdown::token(self.server.stop_with_stdin);
        let say = |address: &proto::net::Address| {
            let mut out = std::io::stdout().lock();
            // Nobody listening to it does not keep the node from running.
            drop(writeln!(out, "listening on {address}").and_then(|()| out.flush()));
        };
        run(
            config,
            Environment::real(),
            Tcp::shared(),
            disks,
            shutdown,
            say,
        )
        .await
        .with_context(|| format!("storage node in {}", folders.join(", ")))
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        let positional = self.host.as_ref().zip(self.port).map(|(host, port)| {
            let host = if host.contains(':') && !host.starts_with('[') {
                format!("[{host}]")
            } else {
                host.clone()
            };
            format!("{host}:{port}")
        });
        let (flag, listen) = match &positional {
            Some(listen) => ("HOST PORT", Some(listen.as_str())),
            None => ("--listen", self.listen.as_deref()),
        };
        let folders = if self.folders.is_empty() {
            &self.data
        } else {
            &self.folders
        };
        let folders: Vec<String> = folders
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        Ok(Loader::new(&self.server.config)
            .flag(flag, "storage_node.listen", listen)
            .flag_list("--data", "storage_node.data", &folders)
            .flag_list("--master", "client.master", &self.master)
            .load()?)
    }
}

impl Command {
    /// Whether its exit code says something of the folder.
    fn judges(&self) -> bool {
        matches!(self, Self::Verify { .. })
    }

    fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let (Self::Inspect { folder, .. } | Self::Verify { folder } | Self::Export { folder, .. }) =
            self;
        let disk = open_existing(folder)?;
        let done = match self {
            Self::Inspect { records, .. } => offline::inspect(&*disk, *records, out),
            Self::Verify { .. } => offline::verify(&*disk, out),
            Self::Export { to, .. } => {
                let to = RealDisk::open(to).context("make the folder to export to")?;
                offline::export(&*disk, &*to, out)
            }
        };
        done.with_context(|| folder.display().to_string())
    }
}

/// A tool must not make a folder that is not there.
fn open_existing(folder: &PathBuf) -> anyhow::Result<Arc<dyn Disk>> {
    anyhow::ensure!(
        folder.is_dir(),
        "{}: there is no such folder",
        folder.display()
    );
    Ok(RealDisk::read_only(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_command_line_are_read() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        let node = parse("dfs-storage-node 127.0.0.1 9001 ./a ./b")
            .unwrap()
            .settings()
            .unwrap();
        assert_eq!(node.storage_node.listen.as_str(), "127.0.0.1:9001");
        assert_eq!(
            node.storage_node.data,
            [PathBuf::from("./a"), PathBuf::from("./b")]
        );
        let node = parse("dfs-storage-node --listen 127.0.0.1:7 --data x --master 127.0.0.1:8");
        let node = node.unwrap().settings().unwrap();
        assert_eq!(node.storage_node.listen.port(), 7);
        assert_eq!(node.client.master[0].port(), 8);
        assert!(matches!(
            parse("dfs-storage-node inspect ./a").unwrap().command,
            Some(Command::Inspect { .. })
        ));
        parse("dfs-storage-node 127.0.0.1").unwrap_err();
        parse("dfs-storage-node verify").unwrap_err();
    }
}
