//! Flags that several processes have in common.

use std::path::PathBuf;

use clap::Args;

/// Above the options that all processes have.
const COMMON: &str = "Common options";

/// Where settings come from.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Read settings from this file [default: config.toml in the current folder, if there is one]
    #[arg(long, value_name = "FILE", global = true, help_heading = COMMON)]
    pub config: Option<PathBuf>,
    /// Set any setting of the configuration file, for example `--set cluster.chunk_size=4MiB`
    #[arg(long, value_name = "SECTION.KEY=VALUE", global = true, help_heading = COMMON, value_parser = assignment)]
    pub set: Vec<String>,
}

/// Which settings there are is looked at when all are read; here is only whether one is set at all.
fn assignment(text: &str) -> Result<String, &'static str> {
    match text.split_once('=') {
        Some((key, _)) if key.contains('.') => Ok(text.to_owned()),
        _ => Err("write SECTION.KEY=VALUE, for example log.level=debug"),
    }
}

/// What the master, a storage node and the page have in common.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArgs {
    /// Where settings come from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Stop when standard input ends: whoever started this process holds the other end.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_without_a_value_is_told_how_to_write_one() {
        assert!(assignment("log.level=debug").is_ok());
        assert!(assignment("storage_node.zone=").is_ok());
        for text in ["foo", "log.level", "foo=1", "log=a.b"] {
            assert!(
                assignment(text).unwrap_err().contains("SECTION.KEY=VALUE"),
                "{text}"
            );
        }
    }
}
