//! Counts: this program is run by valgrind, one process for each count.

use std::collections::BTreeMap;
use std::env;
use std::num::NonZero;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::scenarios::Scenario;

/// The longer run has so many times the turns of the shorter one.
const LONGER: u64 = 2;
/// Which of its functions the C library takes depends on the processor's model. With these it takes the same ones everywhere.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512VL,-AVX512F,-AVX2,-AVX,-ERMS,-FSRM:\
    glibc.cpu.x86_non_temporal_threshold=0x4000000:glibc.malloc.arena_max=1";

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Instructions of a turn, by scenario.
    pub(crate) instructions: BTreeMap<String, u64>,
    /// The processor as the processes saw it.
    pub(crate) processor: String,
}

/// Counts these, as many at once as there are processors.
pub(crate) fn count(scenarios: &[&Scenario]) -> Result<Counted> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut counted = Counted::default();
        while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, turns) = (scenario.name, scenario.turns);
            let (shorter, processor) = run(name, turns)?;
            let (longer, _) = run(name, turns * LONGER)?;
            let more = longer.checked_sub(shorter).with_context(|| {
                format!(
                    "{name}: {turns} turns took {shorter} instructions, and more turns {longer}"
                )
            })?;
            let each = more / (turns * (LONGER - 1));
            counted.instructions.insert(name.to_owned(), each);
            counted.processor = processor;
        }
        anyhow::Ok(counted)
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let parts: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(thread::ScopedJoinHandle::join);
        ended.map(|part| part.expect("no worker panics")).collect()
    });
    let mut all = Counted::default();
    for part in parts {
        let part = part?;
        all.instructions.extend(part.instructions);
        if !part.processor.is_empty() {
            all.processor = part.processor;
        }
    }
    Ok(all)
}

/// The instructions of a process that does this so often, and the processor that it saw.
fn run(name: &str, turns: u64) -> Result<(u64, String)> {
    let this = env::current_exe().context("find this program")?;
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=cachegrind", "--cache-sim=no"])
        .arg("--cachegrind-out-file=/dev/null")
        .arg(this)
        .args(["run", name, &turns.to_string()]);
    // What the environment holds lies on the stack, and moves what comes behind it.
    valgrind.env_clear().env("GLIBC_TUNABLES", TUNABLES);
    if let Some(path) = env::var_os("PATH") {
        valgrind.env("PATH", path);
    }
    let ran = valgrind.output().context("start valgrind")?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(
        ran.status.success(),
        "{name}, {turns} times, under valgrind:\n{said}"
    );
    let count = said.lines().find_map(references);
    let count = count.with_context(|| format!("valgrind gave no count:\n{said}"))?;
    let processor = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
    Ok((count, processor))
}

/// The count in valgrind's line `==7== I   refs:      1,234`, if it is that one.
fn references(line: &str) -> Option<u64> {
    let (_, line) = line.rsplit_once("== ")?;
    let (name, count) = line.split_once(':')?;
    let words: Vec<_> = name.split_whitespace().collect();
    if words != ["I", "refs"] {
        return None;
    }
    count.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_among_what_valgrind_says() {
        for (line, expected) in [
            ("==7== I refs:        112,053", Some(112_053)),
            ("==7== I   refs:      1,234,567", Some(1_234_567)),
            ("==7== I1  misses:    1,234", None),
            ("==7== D   refs:      7  (5 rd + 2 wr)", None),
            ("I refs: 7", None),
        ] {
            assert_eq!(references(line), expected, "{line}");
        }
    }
}
