//! What each system has to do in a round: one thing after another, and the same for all.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::TryFutureExt;

use crate::arguments::Sizes;
use crate::content::{BIG, BIG_BY_PAGE, Content};
use crate::faults;
use crate::figures::Figures;
use crate::load::{self, Act, Shape};
use crate::machine::{cpu_seconds, resident};
use crate::systems::{Door, System};

const KIB: u64 = 1 << 10;
const SMALL: u64 = 4 * KIB;
const MEDIUM: u64 = 64 * KIB;
/// Files that are written and read before anything is measured.
const WARM_UP: u64 = 32;
/// The folder that is listed, and what is written over how many connections.
const MANY: &str = "many";
const FILLERS: u64 = 64;
const DELETERS: u64 = 16;

/// One size of small files over one number of connections: the keys of its rows, and of the processor time that it takes.
struct Small {
    len: u64,
    connections: u64,
    put: &'static str,
    get: &'static str,
    cpu: Option<[&'static str; 2]>,
}

const fn small(len: u64, connections: u64, put: &'static str, get: &'static str) -> Small {
    Small {
        len,
        connections,
        put,
        get,
        cpu: None,
    }
}

const SMALLS: [Small; 6] = [
    small(SMALL, 1, "put_4k_1", "get_4k_1"),
    Small {
        cpu: Some(["put_4k_cpu", "get_4k_cpu"]),
        ..small(SMALL, 16, "put_4k_16", "get_4k_16")
    },
    small(SMALL, 64, "put_4k_64", "get_4k_64"),
    small(MEDIUM, 1, "put_64k_1", "get_64k_1"),
    small(MEDIUM, 16, "put_64k_16", "get_64k_16"),
    small(MEDIUM, 64, "put_64k_64", "get_64k_64"),
];

/// Does all of it, and adds what came of it to the figures.
pub(crate) async fn round(
    system: &mut dyn System,
    sizes: &Sizes,
    figures: &mut Figures,
) -> Result<()> {
    figures.add_known("memory_idle", resident(&system.process_ids()));
    warm_up(system.door()).await.context("warm up")?;
    big(system, sizes, figures).await.context("one big file")?;
    for (series, small) in (1..).zip(&SMALLS) {
        let doing = || {
            format!(
                "files of {} bytes over {} connections",
                small.len, small.connections
            )
        };
        small_files(system, series, small, sizes, figures)
            .await
            .with_context(doing)?;
    }
    folder(system, sizes, figures)
        .await
        .context("a folder of many files")?;
    figures.add_known("memory_after", resident(&system.process_ids()));
    faults::measure(system, sizes, figures).await
}

async fn warm_up(door: &Door) -> Result<()> {
    let mut http = door.connect();
    for number in 0..WARM_UP {
        let content = || Content::new(number << 32 | 0xffff, SMALL);
        let path = door.file(&format!("warm/{number}"));
        http.put(&path, content()).await?;
        http.get(&path, content()).await?;
    }
    Ok(())
}

async fn big(system: &mut dyn System, sizes: &Sizes, figures: &mut Figures) -> Result<()> {
    let len = sizes.big;
    let door = system.door().clone();
    let path = door.file("big/file");
    let put = async { door.connect().put(&path, Content::new(BIG, len)).await };
    let (rate, cpu) = timed(system, len, put).await?;
    figures.add("put_big", rate);
    figures.add_known("put_big_cpu", cpu);
    let get = || async { door.connect().get(&path, Content::new(BIG, len)).await };
    let (rate, cpu) = timed(system, len, get()).await?;
    figures.add("get_big", rate);
    figures.add_known("get_big_cpu", cpu);
    let four = load::at_once(4, |_| {
        let (door, path) = (door.clone(), path.clone());
        async move {
            door.connect()
                .get(&path, Content::new(BIG, len))
                .await
                .map(|()| 1)
        }
    });
    let four = four.map_ok(drop);
    let (rate, _) = timed(system, 4 * len, four).await?;
    figures.add("get_four", rate);
    figures.add(
        "first_byte",
        first_byte(&door, &path, sizes.first_bytes).await?,
    );
    if let Some(put) = system.put_as_page("big/by-page", Content::new(BIG_BY_PAGE, len)) {
        let (rate, _) = timed(system, len, put).await?;
        figures.add("put_page", rate);
        let by_page = door.file("big/by-page");
        door.connect()
            .get(&by_page, Content::new(BIG_BY_PAGE, len))
            .await?;
    }
    Ok(())
}

/// The rate in MB/s, and what all processes took for it in seconds of processor time per GB.
async fn timed(
    system: &dyn System,
    len: u64,
    work: impl Future<Output = Result<()>>,
) -> Result<(f64, f64)> {
    let processes = system.process_ids();
    let cpu = cpu_seconds(&processes);
    let begun = Instant::now();
    work.await?;
    let secs = begun.elapsed().as_secs_f64();
    let cpu = cpu_seconds(&processes) - cpu;
    Ok((len as f64 / 1e6 / secs, cpu / (len as f64 / 1e9)))
}

/// The median, in milliseconds.
async fn first_byte(door: &Door, path: &str, count: u32) -> Result<f64> {
    let mut http = door.connect();
    let mut times = Vec::new();
    for _ in 0..count.max(1) {
        times.push(http.first_byte(path).await? * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

async fn small_files(
    system: &dyn System,
    series: u64,
    small: &Small,
    sizes: &Sizes,
    figures: &mut Figures,
) -> Result<()> {
    let shape = Shape {
        series,
        connections: small.connections,
        len: small.len,
    };
    let (door, processes) = (system.door(), system.process_ids());
    let before = cpu_seconds(&processes);
    let puts = load::puts(door, shape, sizes.span).await?;
    let between = cpu_seconds(&processes);
    let gets = load::gets(door, shape, sizes.span, &puts).await?;
    let after = cpu_seconds(&processes);
    figures.add(small.put, puts.rate());
    figures.add(small.get, gets.rate());
    if let Some([put, get]) = small.cpu {
        figures.add_known(put, (between - before) * 1e3 / puts.count() as f64);
        figures.add_known(get, (after - between) * 1e3 / gets.count() as f64);
    }
    Ok(())
}

async fn folder(system: &dyn System, sizes: &Sizes, figures: &mut Figures) -> Result<()> {
    let shape = |connections| Shape {
        series: 100,
        connections,
        len: SMALL,
    };
    let door = system.door();
    load::folder(door, MANY, shape(FILLERS), Act::Put, sizes.entries).await?;
    let begun = Instant::now();
    let listed = system.list(MANY).await?;
    figures.add("list", begun.elapsed().as_secs_f64() * 1e3);
    ensure!(
        listed == sizes.entries,
        "{listed} of {} entries were listed",
        sizes.entries
    );
    let deleted = load::folder(door, MANY, shape(DELETERS), Act::Delete, sizes.entries).await?;
    figures.add("delete", deleted.rate());
    Ok(())
}
