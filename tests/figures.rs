//! What the page costs, measured in a real browser: nothing is asserted of a time. `scripts/page.sh` runs these with programs as they are
//! released; a run of all tests leaves them out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use crate::support::{Cluster, Page, Plan, Screen, browse, content, run};

const PAGES: [&str; 4] = ["/", "/trash", "/shares", "/cluster"];
const LOADS: usize = 7;
const FILES: u64 = 3000;
const FILE_LEN: usize = 100_000;
const BIG_LEN: u64 = 5_000_000_000;

async fn start() -> Cluster {
    Plan::as_shipped().start().await
}

/// When something of each page is seen first, in a browser that has nothing of it.
#[tokio::test]
#[ignore = "measures, and proves nothing: scripts/page.sh"]
async fn first_contentful_paint() {
    let cluster = start().await;
    for path in PAGES {
        let mut paints = Vec::new();
        for _ in 0..LOADS {
            browse(Screen::Desktop, async |page| {
                page.open(&cluster.url(path)).await;
                let paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
                page.until(paint).await;
                let paint = page.script(&format!("return {paint}")).await;
                paints.push(paint.as_f64().unwrap());
            })
            .await;
        }
        paints.sort_by(f64::total_cmp);
        if let (Some(first), Some(last)) = (paints.first(), paints.last()) {
            let median = paints[paints.len() / 2];
            println!("first contentful paint of {path}: {median:.0} ms ({first:.0} to {last:.0})");
        }
    }
}

/// What comes over the line for a page, with all that it loads, in a browser that has nothing of it.
#[tokio::test]
#[ignore = "measures, and proves nothing: scripts/page.sh"]
async fn weight() {
    let cluster = start().await;
    cluster.upload("/letters/a.txt", b"words").await;
    for path in PAGES {
        browse(Screen::Desktop, async |page| {
            page.open(&cluster.url(path)).await;
            let sum = "const all = ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type)); \
                       return [all.length, all.reduce((sum, { transferSize }) => sum + transferSize, 0)]";
            // Scripts load scripts: all are there when nothing more came for a while.
            page.script("return new Promise((resolve) => { \
                           let idle = setTimeout(resolve, 2000); \
                           new PerformanceObserver(() => { clearTimeout(idle); idle = setTimeout(resolve, 2000); }) \
                             .observe({ type: 'resource' }); \
                         })")
                .await;
            let sum = page.script(sum).await;
            println!("weight of {path}: {} requests, {} bytes", sum[0], sum[1]);
        })
        .await;
    }
}

/// Many small files: by the page, and by the command line on a cluster as new.
#[tokio::test]
#[ignore = "measures, and proves nothing: scripts/page.sh"]
async fn many_small_files() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..FILES)
        .map(|number| {
            let path = folder.path().join(format!("{number:04}.jpg"));
            std::fs::write(&path, content(number, FILE_LEN)).unwrap();
            path
        })
        .collect();
    let told = |by: &str, begun: Instant| {
        let secs = begun.elapsed().as_secs_f64();
        let rate = f64::from(u32::try_from(FILES).unwrap()) / secs;
        println!("{FILES} files of {FILE_LEN} bytes by {by}: {secs:.1} s, {rate:.0}/s");
    };
    let cluster = start().await;
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        page.choose("#file-input", &paths).await;
        let begun = Instant::now();
        until_stored(page, FILES).await;
        told("the page", begun);
    })
    .await;
    drop(cluster);
    let cluster = start().await;
    let folder = folder.path().to_str().unwrap();
    let begun = Instant::now();
    let uploaded = run(&mut cluster.dfs(&["upload", "-q", folder])).await;
    assert!(uploaded.status.success(), "{uploaded:?}");
    told("dfs upload", begun);
}

async fn until_stored(page: &Page, count: u64) {
    page.until(&format!(
        "document.getElementById('uploads-summary').textContent.replaceAll(',', '') === '{count} stored'"
    ))
    .await;
}

/// One file of 5 GB by the page: how fast, and the memory of the tab's process at its most.
#[tokio::test]
#[ignore = "measures, and proves nothing: scripts/page.sh"]
async fn one_large_file() {
    let cluster = start().await;
    let path = cluster.scratch().join("film.mp4");
    write_large(&path);
    browse(Screen::Desktop, async |page| {
        page.open(&cluster.url("/")).await;
        page.choose("#file-input", &[&path]).await;
        let begun = Instant::now();
        for tenth in 1..10 {
            let progress = "document.querySelector('#uploads .upload progress')";
            let is_done = "document.querySelector('#uploads .upload[data-state=done]')";
            page.until(&format!(
                "{progress}?.value >= {} || {is_done}",
                f64::from(tenth) / 10.0
            ))
            .await;
        }
        until_stored(page, 1).await;
        let secs = begun.elapsed().as_secs_f64();
        println!("one file of {BIG_LEN} bytes: {secs:.1} s");
        // What the page itself holds, which a browser tells of any system.
        let heap = page.devtools("Runtime.getHeapUsage", json!({})).await;
        println!(
            "  the page's scripts hold {} bytes in the end",
            heap["usedSize"]
        );
        if let Some(peak) = tab_peak() {
            println!("  the tab's process took {peak} kB at its most");
        }
    })
    .await;
}

/// New bytes, no two blocks of which are alike.
fn write_large(path: &Path) {
    const BLOCK: u64 = 1_000_000;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for block in 0..BIG_LEN / BLOCK {
        let len = usize::try_from(BLOCK).unwrap();
        file.write_all(&content(block, len)).unwrap();
    }
    file.flush().unwrap();
}

/// The most memory that a process which draws pages for this test has had, in kB: Linux tells it.
fn tab_peak() -> Option<u64> {
    let field = |id: u32, name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let is_ours = |id: u32| {
        let parent = |id: u32| u32::try_from(field(id, "PPid:")?).ok();
        std::iter::successors(Some(id), |id| parent(*id)).any(|id| id == std::process::id())
    };
    let draws = |id: u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("--type=renderer")
    };
    let names = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let ids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let ours = ids.filter(|id| draws(*id) && is_ours(*id));
    ours.filter_map(|id| field(id, "VmHWM:")).max()
}
