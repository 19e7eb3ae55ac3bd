//! The grammar of the command line: every command with its arguments, and what `--help` says of them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use proto::name::EntryPath;
use proto::net::Address;
use settings::{ByteSize, ConfigArgs, TimeSpan};

use crate::exit::EXIT_CODES_HELP;

/// Storage nodes that `dfs up` starts at most.
pub(crate) const NODES_MAX: u16 = 100;
/// Above the options that each command has.
const COMMON: &str = "Common options";

/// Keeps files on several machines, so that any two of three copies may be lost.
#[derive(Debug, Parser)]
#[command(name = "dfs", version, after_help = EXIT_CODES_HELP, max_term_width = 100)]
pub struct Arguments {
    /// What all commands take.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What all commands take.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Where settings come from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Where the master listens; several are tried in turn [default: 127.0.0.1:9000]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', global = true, help_heading = COMMON)]
    pub master: Vec<Address>,
    /// Say nothing but results and errors
    #[arg(long, short, global = true, help_heading = COMMON)]
    pub quiet: bool,
    /// Say what happens below: which nodes are asked, and what they answer
    #[arg(long, short, global = true, help_heading = COMMON)]
    pub verbose: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Store files and folders
    ///
    /// `dfs upload a.txt` stores /a.txt, and `dfs upload photos` stores the folder /photos. A last argument that begins
    /// with / and is not on this machine says where to.
    Upload(Upload),
    /// Fetch a file, or a folder with all that is in it
    ///
    /// Bytes go to a file that ends in .part, which gets the name when all are there and verified. A download that was
    /// cut off goes on where it stopped when the same command is given again, if the file is still the same version. So does
    /// a folder's: what is there already, with the same bytes, is not fetched again.
    Download(Download),
    /// List a folder
    #[command(visible_alias = "ls")]
    List(List),
    /// Find files and folders by words in their names
    #[command(visible_alias = "find")]
    Search(Search),
    /// Make folders
    Mkdir(Mkdir),
    /// Rename or move a file or a folder
    Mv(Mv),
    /// Copy a file or a folder within the cluster
    ///
    /// No bytes are fetched or sent, and the copy takes no space.
    #[command(visible_alias = "cp")]
    Copy(Copy),
    /// Move files and folders to the trash, or remove them for good
    Rm(Rm),
    /// Show the trash, put things back, or empty it
    #[command(subcommand)]
    Trash(Trash),
    /// Put back what was deleted, by its name
    ///
    /// If several things of that name lie in the trash, the one that was deleted last comes back; `dfs trash list` shows them all.
    Restore(Restore),
    /// Show the versions of a file, bring a former one back, or remove it for good
    ///
    /// Whatever replaces a file's content keeps the former one for a while. A version that is brought back is the current one from
    /// then on, and what it replaced is kept in its turn.
    Versions(Versions),
    /// Share a file or a folder by a link, list the links, or end one
    ///
    /// Whoever has the link gets what it shares, wherever that is moved. The link is shown once: only a hash of it is kept.
    Share(Share),
    /// Tell how the cluster does: what is wrong, what happens next, and how long it takes
    Status(Status),
    /// Tell where a file's chunks are and how each copy is, or which files of a folder lack copies
    Explain(Explain),
    /// Show the storage nodes, or forget one that is gone for good
    #[command(subcommand)]
    Node(Node),
    /// End safe mode, in which the master waits for all nodes to report after its start
    #[command(subcommand, name = "safe-mode")]
    SafeMode(SafeMode),
    /// Let deletions go on that the fuse stopped because nobody had asked for so many
    #[command(subcommand)]
    Fuse(Fuse),
    /// Run a whole cluster on this machine: a master, storage nodes and the page
    ///
    /// They are child processes, whose logs are shown with their names before each line. One that ends is told and not
    /// started again; the others go on, unless it was the master or the last node of the cluster: then all are stopped. Ctrl-C stops
    /// all.
    Up(Up),
    /// Measure how fast the cluster is from this machine
    ///
    /// Files of new content are written into a folder of their own, read and compared, listed, and removed for good; so they are when
    /// Ctrl-C is pressed. Their space is freed an hour later, as a rule.
    Bench(Bench),
    /// Write a script that completes commands in a shell
    Completions(Completions),
}

/// What to do where something of that name is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfExists {
    /// Replace it; in the cluster, the former version is kept for a while
    Replace,
    /// Leave it as it is
    Skip,
    /// Take another name, as in `a (2).txt`
    KeepBoth,
    /// Stop with exit code 4
    Fail,
}

/// Store files and folders.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dfs upload a.txt                 store /a.txt
  dfs upload a.txt b.txt photos    store two files and a folder
  dfs upload a.txt /docs/          store /docs/a.txt
  dfs upload a.txt --to b.txt      store /b.txt
  tar c . | dfs upload - all.tar   store what standard input gives")]
pub struct Upload {
    /// Files and folders of this machine; - is standard input
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// Where to: a folder if it is one, or ends with /, or there are several sources; else the new name
    #[arg(long, short, value_name = "DESTINATION")]
    pub to: Option<String>,
    /// What to do where a file is there already
    #[arg(long, value_enum, default_value_t = IfExists::Replace, value_name = "WHAT")]
    pub if_exists: IfExists,
    /// Files of a folder that are sent at once
    #[arg(long, default_value_t = 8, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
}

/// Fetch a file, or a folder with all that is in it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dfs download a.txt               fetch it into this folder
  dfs download a.txt output.txt    fetch it under another name
  dfs download photos              fetch a folder, as ./photos
  dfs download photos copy         fetch what is in it into the folder copy, made if need be
  dfs download photos backup/      fetch it into another folder, as backup/photos
  dfs download all.tar - | tar x   write it to standard output
  dfs download a.txt --version 7   fetch what it was once, as `dfs versions a.txt` shows it")]
pub struct Download {
    /// What: a file or a folder of the cluster
    #[arg(value_name = "NAME")]
    pub source: EntryPath,
    /// A former version of a file, by its number, as `dfs versions` shows it [default: the current one]
    #[arg(long, value_name = "NUMBER")]
    pub version: Option<u64>,
    /// Where to: a file gets this name, or goes into it if it is a folder; a folder becomes this one. What ends with / is
    /// a folder to put either into; - is standard output [default: this folder]
    pub destination: Option<PathBuf>,
    /// What to do where a file is there already; of a folder, those that are there with the same bytes are passed over
    #[arg(long, value_enum, default_value_t = IfExists::Replace, value_name = "WHAT")]
    pub if_exists: IfExists,
    /// Files of a folder that are fetched at once
    #[arg(long, default_value_t = 4, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
}

/// List a folder.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags are independent of each other"
)]
pub struct List {
    /// Which folder of the cluster, or one file [default: /]
    #[arg(default_value = "/", hide_default_value = true)]
    pub path: EntryPath,
    /// Names only, one a line
    #[arg(long, short = '1', conflicts_with = "json")]
    pub names: bool,
    /// Also what is in the folders of the folder
    #[arg(long, short = 'R')]
    pub recursive: bool,
    /// Sizes in bytes
    #[arg(long, short)]
    pub bytes: bool,
    /// For programs: one JSON array
    #[arg(long)]
    pub json: bool,
}

/// Find files and folders by words in their names.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dfs search bank letter           every name with both words in it, in any case and order
  dfs search .pdf --under /bank    only in one folder, and all below it")]
pub struct Search {
    /// Words, or parts of words, which all have to occur in a name
    #[arg(required = true, value_name = "TEXT")]
    pub text: Vec<String>,
    /// In which folder, with all below it
    #[arg(
        long,
        default_value = "/",
        hide_default_value = true,
        value_name = "FOLDER"
    )]
    pub under: EntryPath,
    /// For programs: one JSON array
    #[arg(long)]
    pub json: bool,
}

/// Make folders.
#[derive(Debug, Args)]
pub struct Mkdir {
    /// What they are called, for example /photos/2024
    #[arg(required = true, value_name = "FOLDER")]
    pub paths: Vec<EntryPath>,
    /// Make those above too, and be content with one that is there
    #[arg(long, short)]
    pub parents: bool,
}

/// Rename or move a file or a folder.
#[derive(Debug, Args)]
pub struct Mv {
    /// What: a file or a folder of the cluster
    pub from: EntryPath,
    /// Where to: into it if it is a folder, else the new name
    #[arg(value_name = "TO")]
    pub to: EntryPath,
    /// Replace a file that is there: it goes to the trash
    #[arg(long, short)]
    pub replace: bool,
}

/// Copy a file or a folder within the cluster.
#[derive(Debug, Args)]
pub struct Copy {
    /// What: a file or a folder of the cluster
    pub from: EntryPath,
    /// Where to: into it if it is a folder, else the new name
    #[arg(value_name = "TO")]
    pub to: EntryPath,
    /// Folders too, with all that is in them
    #[arg(long, short)]
    pub recursive: bool,
    /// Make a new version of a file that is there
    #[arg(long)]
    pub replace: bool,
}

/// Move files and folders to the trash, or remove them for good.
#[derive(Debug, Args)]
pub struct Rm {
    /// What: files and folders of the cluster
    #[arg(required = true, value_name = "NAME")]
    pub paths: Vec<EntryPath>,
    /// Folders too, with all that is in them
    #[arg(long, short)]
    pub recursive: bool,
    /// For good, without the trash: the space is freed an hour later, as a rule
    #[arg(long)]
    pub purge: bool,
    /// Be content if it is not there
    #[arg(long, short)]
    pub force: bool,
}

/// What was deleted and is still there.
#[derive(Debug, Subcommand)]
pub enum Trash {
    /// Show what lies in the trash, newest first
    List {
        /// For programs: one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Put something back
    Restore {
        /// Its number, as `dfs trash list` shows it
        #[arg(value_name = "NUMBER")]
        trash: u64,
        /// Where to, if not where it was
        #[arg(long, short, value_name = "NAME")]
        to: Option<EntryPath>,
    },
    /// Remove for good all that lies in the trash, or one thing
    Empty {
        /// Only this one: its number, as `dfs trash list` shows it
        #[arg(value_name = "NUMBER")]
        trash: Option<u64>,
    },
}

/// Put back what was deleted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dfs restore a.txt               put it back where it was
  dfs restore photos --to old     put it back under another name, if something has taken its place")]
pub struct Restore {
    /// What it was called
    #[arg(value_name = "NAME")]
    pub path: EntryPath,
    /// Where to, if not where it was
    #[arg(long, short, value_name = "NAME")]
    pub to: Option<EntryPath>,
}

/// The versions of a file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dfs versions a.txt                  show them, with their numbers
  dfs download a.txt --version 7      fetch one
  dfs versions a.txt --restore 7      make it the current one; what was it until then is kept
  dfs versions a.txt --remove 7       remove a former one for good")]
pub struct Versions {
    /// Which file
    #[arg(value_name = "NAME")]
    pub path: EntryPath,
    /// Make this one the current one
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["remove", "json"])]
    pub restore: Option<u64>,
    /// Remove this one for good
    #[arg(long, value_name = "NUMBER", conflicts_with = "json")]
    pub remove: Option<u64>,
    /// For programs: one JSON array, the current version first
    #[arg(long)]
    pub json: bool,
}

/// Share a file or a folder by a link.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Share {
    /// Something else than sharing.
    #[command(subcommand)]
    pub action: Option<ShareAction>,
    /// What to share, and how.
    #[command(flatten)]
    pub new: Option<NewShare>,
}

/// What is done with links that are there.
#[derive(Debug, Subcommand)]
pub enum ShareAction {
    /// Show what is shared, newest first, and what is left of each link
    List {
        /// For programs: one JSON array
        #[arg(long)]
        json: bool,
    },
    /// End a link
    Revoke {
        /// Its number, as `dfs share list` shows it
        #[arg(value_name = "NUMBER")]
        share: u64,
    },
}

/// What to share, and how.
#[derive(Debug, Args)]
pub struct NewShare {
    /// Which file or folder; one that is called `list` is written `/list`
    #[arg(value_name = "NAME")]
    pub path: EntryPath,
    /// How long the link works, for example 7d [default: until it is revoked]
    #[arg(long, value_name = "TIME")]
    pub expires: Option<TimeSpan>,
    /// Ask for a password, which whoever comes has to know
    #[arg(long)]
    pub password: bool,
    /// Take the password from the first line of a file, or of standard input for -
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub password_file: Option<PathBuf>,
    /// How many downloads may begin; whoever began one can read on for a day
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Others can add files to the folder, as many as they like, and see nothing
    #[arg(long, conflicts_with = "limit")]
    pub upload_only: bool,
}

/// Tell how the cluster does.
#[derive(Debug, Args)]
pub struct Status {
    /// For programs: one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Tell where a file's chunks are.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dfs explain a.txt               every chunk of a file, and what the nodes say of each copy
  dfs explain a.txt --problems    only those that lack copies
  dfs explain /                   the files that lack copies by the master's record, of all")]
pub struct Explain {
    /// Which file; or a folder, whose files are shown that lack copies, with those of all folders in it
    #[arg(value_name = "NAME")]
    pub path: EntryPath,
    /// Of a file, only chunks that have fewer good copies than they should
    #[arg(long)]
    pub problems: bool,
    /// For programs: one JSON array
    #[arg(long)]
    pub json: bool,
}

/// Storage nodes.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Show them all
    List {
        /// For programs: one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Forget a node that is gone for good; its chunks are copied from others
    Remove {
        /// Its id or its address, as `dfs node list` shows them
        #[arg(value_name = "NODE")]
        node: String,
        /// Also if it holds the only copies of some chunks: what they are part of is lost
        #[arg(long)]
        lose_chunks: bool,
    },
}

/// Safe mode.
#[derive(Debug, Subcommand)]
pub enum SafeMode {
    /// Let repair and deletions begin although not all nodes have reported
    Leave,
}

/// The fuse against mass deletion.
#[derive(Debug, Subcommand)]
pub enum Fuse {
    /// Let as many copies be deleted as the fuse stopped, and no more; look first why there are so many
    ///
    /// The fuse trips when more than 1,000 copies of chunks that the master does not know, and more than 1 % of all copies,
    /// would be deleted within 24 hours.
    Reset,
}

/// Run a whole cluster on this machine: a master, storage nodes and the page.
#[derive(Debug, Args)]
pub struct Up {
    /// How many storage nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    pub nodes: u16,
    /// The folder in which all of them keep their data
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    /// Where the master listens, 0 for any free port [default: 9000]
    #[arg(long, value_name = "PORT")]
    pub master_port: Option<u16>,
    /// Where the first node listens, the others after it, 0 for any free ports [default: 9001]
    #[arg(long, value_name = "PORT")]
    pub node_port: Option<u16>,
    /// Where the page is, 0 for any free port [default: 5000]
    #[arg(long, value_name = "PORT")]
    pub web_port: Option<u16>,
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// Write a script that completes commands in a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  dfs completions bash > ~/.local/share/bash-completion/completions/dfs")]
pub struct Completions {
    /// Which shell
    pub shell: clap_complete::Shell,
}

/// Measure how fast the cluster is from this machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dfs bench                        write, read and remove about 300 MB
  dfs bench --big 10GB --seconds 60
  dfs bench --json > today.json    for programs: one JSON object")]
pub struct Bench {
    /// How large the big file is, for example 1GiB
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub big: ByteSize,
    /// How many small files are written, at most, of each size and over each number of connections
    #[arg(long, value_name = "COUNT", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub files: u32,
    /// How long each step takes, at most: what does not fit into it is left out
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// For programs: one JSON object
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(words.split_whitespace())
    }

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn everyday_commands_are_understood() {
        for words in [
            "dfs upload myfile.txt",
            "dfs upload a b c --to /docs --if-exists keep-both",
            "dfs upload - /all.tar -q",
            "dfs download myfile.txt output.txt",
            "dfs download /photos -",
            "dfs list",
            "dfs ls /photos --json --master 127.0.0.1:1,127.0.0.1:2",
            "dfs search bank letter --under /a --json",
            "dfs mkdir -p a/b/c d",
            "dfs mv a b --replace",
            "dfs copy -r a b --replace",
            "dfs cp a.txt /b/",
            "dfs rm -r --purge a b",
            "dfs trash restore 7 --to /b",
            "dfs restore a --to /b",
            "dfs versions a.txt --json",
            "dfs versions a.txt --restore 7",
            "dfs versions a.txt --remove 7",
            "dfs download a.txt --version 7 old.txt",
            "dfs status --json --config x.toml",
            "dfs explain a.txt --problems",
            "dfs node remove 127.0.0.1:9001 --lose-chunks",
            "dfs safe-mode leave",
            "dfs fuse reset",
            "dfs up --nodes 4 --data d --master-port 0 --node-port 0 --web-port 0 --set log.level=warn",
            "dfs completions powershell",
        ] {
            if let Err(error) = parse(words) {
                panic!("{words}: {error}");
            }
        }
    }

    #[test]
    fn nonsense_is_refused_with_exit_code_2() {
        for words in [
            "dfs",
            "dfs upload",
            "dfs download a/../b",
            "dfs up --nodes 0",
            "dfs --master nowhere list",
            "dfs rm",
            "dfs restore",
            "dfs versions a --restore 1 --remove 2",
            "dfs versions a --restore first",
        ] {
            assert_eq!(parse(words).unwrap_err().exit_code(), 2, "{words}");
        }
    }
}
