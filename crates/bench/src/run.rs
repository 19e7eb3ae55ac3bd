//! The run: rounds in which each system has its turn, and what is written at the end.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fs4::available_space;

use crate::arguments::{Arguments, Sizes};
use crate::disk;
use crate::figures::Figures;
use crate::machine::Machine;
use crate::report::{Measured, Report};
use crate::systems::Kind;
use crate::{growth, picture, repair, table, work};

/// Measures what was asked for.
pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let sizes = arguments.sizes();
    let parent = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let parent = std::path::absolute(&parent)?;
    // It is removed when it is dropped, however this ends.
    let folder = tempfile::Builder::new()
        .prefix("dfs-bench-")
        .tempdir_in(&parent);
    let folder = folder.with_context(|| format!("make a folder in {}", parent.display()))?;
    if let Some(chunks) = arguments.repair {
        let small_files = arguments.repair_files;
        return repair::measure(folder.path(), chunks, small_files, &sizes).await;
    }
    if arguments.growth {
        return growth::measure(folder.path(), arguments).await;
    }
    check_room(&parent, &sizes)?;
    let machine = Machine::here(&parent);
    println!("{}", machine.sentence());
    let mut report = Report::new(machine, sizes);
    // Memory that a virtual machine's host has yet to give is slow the first time: not what is to be measured.
    disk::append_rate(folder.path(), "first", 3, report.sizes.disk)?;
    let mut left = kinds(arguments);
    for round in 1..=report.sizes.rounds {
        measure_disk(folder.path(), round, &mut report)?;
        let mut kept = Vec::new();
        for kind in left {
            let turn = folder.path().join(format!("{kind:?}-{round}"));
            println!("round {round} of {}: {}", report.sizes.rounds, kind.name());
            match turn_of(kind, arguments, &turn, &report.sizes).await {
                Ok(figures) => {
                    report.of(kind).merge(&figures);
                    kept.push(kind);
                }
                Err(error) if kind == Kind::Dfs => {
                    return Err(error.context("measure this project"));
                }
                Err(error) => {
                    let sentence = format!("{} is left out: {error:#}", kind.name());
                    println!("{sentence}");
                    report.leave_out(kind, sentence);
                }
            }
        }
        left = kept;
    }
    write(arguments, &report)
}

/// Those asked for, or all.
fn kinds(arguments: &Arguments) -> Vec<Kind> {
    let is_wanted = |kind: &Kind| arguments.only.is_empty() || arguments.only.contains(kind);
    Kind::ALL.into_iter().filter(is_wanted).collect()
}

fn check_room(folder: &Path, sizes: &Sizes) -> Result<()> {
    let free = available_space(folder).with_context(|| format!("look at {}", folder.display()))?;
    let room = sizes.room();
    ensure!(
        free >= room,
        "{} has {} MB free, and the run may write {} MB: choose another with --folder, or less with --quick, --big or --seconds",
        folder.display(),
        free / 1_000_000,
        room / 1_000_000
    );
    Ok(())
}

fn measure_disk(folder: &Path, round: u32, report: &mut Report) -> Result<()> {
    let len = report.sizes.disk;
    disk::settle();
    let one = disk::append_rate(folder, &format!("one-{round}"), 1, len)?;
    let three = disk::append_rate(folder, &format!("three-{round}"), 3, len)?;
    report.disk.add("disk_one", one);
    report.disk.add("disk_three", three / 3.0);
    Ok(())
}

/// Starts it with nothing in it, has it do all the work, and removes all that it has written.
async fn turn_of(
    kind: Kind,
    arguments: &Arguments,
    folder: &Path,
    sizes: &Sizes,
) -> Result<Figures> {
    disk::settle();
    let mut figures = Figures::default();
    let begun = Instant::now();
    let started = kind.start(arguments, folder).await;
    let result = match started {
        Ok(mut system) => {
            figures.add("start", begun.elapsed().as_secs_f64());
            work::round(&mut *system, sizes, &mut figures).await
        }
        Err(error) => Err(error),
    };
    std::fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    result.map(|()| figures)
}

fn write(arguments: &Arguments, report: &Report) -> Result<()> {
    let text = table::text(report);
    println!("\n{text}");
    let json = format!("{}\n", serde_json::to_string_pretty(&report.to_json())?);
    let in_text = arguments.json.with_extension("md");
    for (path, content) in [
        (&arguments.json, json),
        (&in_text, text),
        (&arguments.picture, picture::draw(report)),
    ] {
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("make {}", parent.display()))?;
        }
        std::fs::write(path, content).with_context(|| format!("write {}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

impl Report {
    /// The figures of a system, which come behind those of systems before it.
    fn of(&mut self, kind: Kind) -> &mut Figures {
        let place = self.systems.iter().position(|system| system.kind == kind);
        let place = place.unwrap_or_else(|| {
            let figures = Figures::default();
            self.systems.push(Measured { kind, figures });
            self.systems.len() - 1
        });
        &mut self.systems[place].figures
    }

    /// What it reached in earlier rounds is not shown: others had more.
    fn leave_out(&mut self, kind: Kind, sentence: String) {
        self.systems.retain(|system| system.kind != kind);
        self.left_out.push(sentence);
    }
}
