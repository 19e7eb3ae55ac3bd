//! How everything grows: the master with files and with nodes, a storage node with chunks, measured at several sizes.
//!
//! The real programs run on a real disk. What fills them is the master's own commands (`synthetic`), and chunks that are sent; nodes are
//! simulated (`simulated.rs`). Each size is measured after a start of its own, and then filled on to the next.

mod caller;
mod chart;
mod chunks;
mod curve;
mod files;
mod nodes;
mod simulated;

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use crate::arguments::Arguments;
use crate::disk;
use crate::machine::Machine;
use curve::Curves;

/// Measures what was asked for, below this folder.
pub(crate) async fn measure(folder: &Path, arguments: &Arguments) -> Result<()> {
    let machine = Machine::here(folder);
    let date = jiff::Timestamp::now();
    let date = date.strftime("%Y-%m-%d %H:%M UTC").to_string();
    println!("{date}, on {}", machine.sentence());
    if let Some(warning) = machine.is_busy() {
        println!("{warning}");
    }
    let mut curves = Curves::default();
    disk::settle();
    files::measure(&below(folder, "files")?, &arguments.files, &mut curves).await?;
    disk::settle();
    nodes::measure(&below(folder, "nodes")?, &arguments.nodes, &mut curves).await?;
    disk::settle();
    chunks::measure(&below(folder, "chunks")?, &arguments.chunks, &mut curves).await?;

    let text = curves.table();
    println!("\n{text}");
    let under = format!("{date}, {}", machine.sentence());
    let json = json!({"date": date, "machine": machine, "curves": curves});
    let json = serde_json::to_string_pretty(&json)? + "\n";
    for (path, content) in [
        (&arguments.json, json),
        (&arguments.json.with_extension("md"), text),
        (&arguments.picture, chart::draw(&curves, &under)),
    ] {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("make {}", parent.display()))?;
        }
        std::fs::write(path, content).with_context(|| format!("write {}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

fn below(folder: &Path, name: &str) -> Result<std::path::PathBuf> {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
    // Nothing is set but what keeps two runs apart.
    std::fs::write(path.join("config.toml"), "")?;
    Ok(path)
}
