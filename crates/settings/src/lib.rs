//! Settings of all processes, and what their `main.rs` have in common.
//!
//! A setting is one row of the table in [`sections`]: its section, key, type, default and meaning. It can be given
//! in four places, of which the earlier wins: a flag (`--listen`, or `--set master.listen=…` for any setting), an
//! environment variable (`DFS_MASTER_LISTEN`), the configuration file, the default.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! # let args = settings::ServerArgs::default();
//! # let listen: Option<String> = None;
//! let settings = settings::Loader::new(&args.config)
//!     .flag("--listen", "master.listen", listen.as_deref())
//!     .load()?;
//! settings::start_logging(&settings.log)?;
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** what [`Loader::load`] gives has passed every check, each value alone and all together; an unknown
//! key is never passed over. Every error says where the value stands and what is allowed there.

mod args;
mod check;
mod descriptors;
mod error;
mod exit;
mod heaps;
mod load;
mod logging;
pub mod loops;
mod network;
mod sections;
pub mod shutdown;
mod size;
mod span;
mod terminal;
mod value;
mod web_address;

pub use args::{ConfigArgs, ServerArgs};
pub use descriptors::connections_possible;
pub use error::{Origin, SettingsError};
pub use exit::{EXIT_FAILURE, EXIT_SETTINGS, chain, reader_went_away, report, run};
pub use load::Loader;
pub use logging::start_logging;
pub use network::Network;
pub use sections::{
    ClientSettings, ClusterSettings, LogSettings, MasterSettings, Settings, StorageNodeSettings,
    WebSettings,
};
pub use size::{ByteSize, ParseByteSizeError};
pub use span::{ParseTimeSpanError, TimeSpan};
pub use terminal::{stderr_takes_colours, stdout_takes_colours};
pub use value::{LogFilter, LogFormat, Secret, Share};
pub use web_address::WebAddress;
