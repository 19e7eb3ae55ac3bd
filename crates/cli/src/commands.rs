//! One file for each command; here is which is run, and what they have in common.

mod bench;
mod completions;
mod copy;
mod download;
mod explain;
mod list;
mod names;
mod node;
mod operate;
mod search;
mod share;
mod status;
mod trash;
mod upload;
mod versions;
mod walk;

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::timeout;

use crate::args::{Arguments, Command, Node, Trash};
use crate::context::Context;
use crate::exit::{Exit, Stop};
use crate::up;

/// How long last words to the master may take: that an upload is given up, or that a copy is bad.
const FAREWELL: Duration = Duration::from_secs(1);

/// Does what the arguments say, until it is done or Ctrl-C is pressed.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let command = match arguments.command {
        Command::Completions(completions) => {
            completions::run(&completions)?;
            return Ok(ExitCode::SUCCESS);
        }
        command => command,
    };
    let stop_with_stdin = matches!(&command, Command::Up(up) if up.stop_with_stdin);
    let context = Context::new(&arguments.common, stop_with_stdin)?;
    let cluster = context.cluster.clone();
    let result = match command {
        // These end in their own way when interrupted.
        Command::Bench(bench) => bench::run(context, &bench).await,
        Command::Up(up) => up::run(&context, &up, arguments.common.quiet).await,
        Command::Download(download) => download::run(context, download).await,
        command => {
            let stop = context.stop.clone();
            tokio::select! {
                result = dispatch(context, command) => result,
                () = stop.cancelled() => Err(interrupted()),
            }
        }
    };
    // They are only hints.
    timeout(FAREWELL, cluster.settle()).await.ok();
    result.map(|()| ExitCode::SUCCESS)
}

async fn dispatch(context: Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Upload(arguments) => upload::run(context, arguments).await,
        Command::List(arguments) => list::run(&context, &arguments).await,
        Command::Mkdir(arguments) => names::make_folders(&context, &arguments).await,
        Command::Mv(arguments) => names::move_entry(&context, &arguments).await,
        Command::Copy(arguments) => copy::run(context, arguments).await,
        Command::Rm(arguments) => names::remove(&context, &arguments).await,
        Command::Search(arguments) => search::run(&context, &arguments).await,
        Command::Trash(Trash::List { json }) => trash::list(&context, json).await,
        Command::Trash(Trash::Restore { trash, to }) => trash::restore(&context, trash, to).await,
        Command::Trash(Trash::Empty { trash }) => trash::empty(&context, trash).await,
        Command::Restore(arguments) => trash::restore_by_name(&context, &arguments).await,
        Command::Versions(arguments) => versions::run(&context, &arguments).await,
        Command::Share(arguments) => {
            share::run(context, arguments.action.as_ref(), arguments.new.as_ref()).await
        }
        Command::Status(arguments) => status::run(&context, arguments.json).await,
        Command::Explain(arguments) => explain::run(&context, &arguments).await,
        Command::Node(Node::List { json }) => node::list(&context, json).await,
        Command::Node(Node::Remove { node, lose_chunks }) => {
            node::remove(&context, &node, lose_chunks).await
        }
        Command::SafeMode(_) => operate::leave_safe_mode(&context).await,
        Command::Fuse(_) => operate::reset_fuse(&context).await,
        Command::Bench(_) | Command::Completions(_) | Command::Download(_) | Command::Up(_) => {
            unreachable!("these do not come here")
        }
    }
}

/// Ctrl-C was pressed.
fn interrupted() -> anyhow::Error {
    Stop::error(Exit::Interrupted, "interrupted")
}
