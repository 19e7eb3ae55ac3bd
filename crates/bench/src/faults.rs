//! A node is killed, or frozen, in the middle of writes and of reads, and then two are killed: what fails, what stalls, and what is
//! lost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::arguments::Sizes;
use crate::content::{BIG_WITH_ONE_GONE, Content};
use crate::figures::Figures;
use crate::http::WrongBytes;
use crate::load::{self, Act, Done, Shape};
use crate::process::CAN_FREEZE;
use crate::systems::{Door, System};

/// Nobody waits longer for an answer about a small file.
const PATIENCE: Duration = Duration::from_secs(10);
/// A big file that comes more slowly, in bytes a second, is given up.
const SLOWEST: u64 = 5_000_000;
/// After a failure a client does not try again at once.
const PAUSE: Duration = Duration::from_millis(50);
/// For how long files are written that are read while a node is harmed.
const FILL_SPAN: Duration = Duration::from_millis(500);
/// What is written while a node is killed, what is there before and read, and what is written while one is frozen.
const KILLED: Shape = shape(101);
const KEPT: Shape = shape(102);
const FROZEN: Shape = shape(103);

const fn shape(series: u64) -> Shape {
    Shape {
        series,
        connections: 16,
        len: 64 << 10,
    }
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// It ends at once.
    Kill,
    /// It does nothing, with all its connections open.
    Freeze,
}

/// How it went for one connection.
#[derive(Debug)]
struct Course {
    connection: u64,
    failed: u64,
    /// The longest time without a success, in seconds.
    stall: f64,
    /// What was acknowledged, by number.
    succeeded: Vec<u64>,
}

/// Harms nodes of a system with three copies, and adds what came of it. Nothing is measured where there is one copy. A system that does
/// not recover keeps what it reached before, with a remark.
pub(crate) async fn measure(
    system: &mut dyn System,
    sizes: &Sizes,
    figures: &mut Figures,
) -> Result<()> {
    if system.nodes().len() < 3 {
        return Ok(());
    }
    match harm(system, sizes, figures).await {
        Err(error) if !error.is::<WrongBytes>() => {
            figures.remark(format!("{error:#}"));
            Ok(())
        }
        other => other,
    }
}

async fn harm(system: &mut dyn System, sizes: &Sizes, figures: &mut Figures) -> Result<()> {
    let kept = load::puts(system.door(), KEPT, FILL_SPAN).await?;
    let killed = killed(system, &kept, sizes, figures).await;
    killed.context("a node that is killed")?;
    if CAN_FREEZE {
        let frozen = frozen(system, &kept, sizes, figures).await;
        frozen.context("a node that is frozen")?;
    }
    let two_gone = two_gone(system, &kept, figures).await;
    two_gone.context("two nodes that are killed")
}

/// One is killed while files are written, and another one while they are read; in the end all run again.
async fn killed(
    system: &mut dyn System,
    kept: &Done,
    sizes: &Sizes,
    figures: &mut Figures,
) -> Result<()> {
    let span = sizes.fault_span;
    let puts = harm_during(system, Harm::Kill, 0, KILLED, Act::Put, span, |_| u64::MAX).await?;
    figures.add("killed_put_failed", failed(&puts));
    figures.add("killed_put_stall", stall(&puts));
    let acknowledged = puts
        .into_iter()
        .map(|course| (course.connection, course.succeeded));
    let lost = unreadable(system.door(), KILLED, acknowledged.collect()).await?;
    figures.add("killed_put_lost", lost);
    figures.add(
        "killed_put_big",
        rate_of_big(system.door(), sizes.big).await?,
    );
    system.restart_node(0).await.context("start it again")?;

    let there = |connection| kept.of(connection);
    let gets = harm_during(system, Harm::Kill, 1, KEPT, Act::Get, span, there).await?;
    figures.add("killed_get_failed", failed(&gets));
    figures.add("killed_get_stall", stall(&gets));
    system.restart_node(1).await.context("start it again")
}

/// One is frozen while files are written, and while they are read.
async fn frozen(
    system: &mut dyn System,
    kept: &Done,
    sizes: &Sizes,
    figures: &mut Figures,
) -> Result<()> {
    let span = sizes.fault_span;
    let puts = harm_during(system, Harm::Freeze, 2, FROZEN, Act::Put, span, |_| {
        u64::MAX
    })
    .await?;
    figures.add("frozen_put_failed", failed(&puts));
    figures.add("frozen_put_stall", stall(&puts));
    system.thaw_node(2).await.context("thaw it")?;

    let there = |connection| kept.of(connection);
    let gets = harm_during(system, Harm::Freeze, 2, KEPT, Act::Get, span, there).await?;
    figures.add("frozen_get_failed", failed(&gets));
    figures.add("frozen_get_stall", stall(&gets));
    system.thaw_node(2).await.context("thaw it")
}

/// Reads all that was there before, once, from the node that is left.
async fn two_gone(system: &mut dyn System, kept: &Done, figures: &mut Figures) -> Result<()> {
    for node in [0, 1] {
        system.nodes()[node].kill().context("kill a node")?;
    }
    let written = (0..).zip(&kept.counts);
    let written = written.map(|(connection, count)| (connection, (0..*count).collect()));
    let failed = unreadable(system.door(), KEPT, written.collect()).await?;
    figures.add("two_gone_get_failed", failed);
    Ok(())
}

/// Every connection works for so long; when a quarter of that is over, the node is harmed, and stays so.
async fn harm_during(
    system: &mut dyn System,
    harm: Harm,
    node: usize,
    shape: Shape,
    act: Act,
    span: Duration,
    there: impl Fn(u64) -> u64,
) -> Result<Vec<Course>> {
    let mut tasks = JoinSet::new();
    for connection in 0..shape.connections {
        let (door, there) = (system.door().clone(), there(connection));
        tasks.spawn(one(door, shape, act, connection, span, there));
    }
    tokio::time::sleep(span / 4).await;
    let node = &mut system.nodes()[node];
    match harm {
        Harm::Kill => node.kill().context("kill a node")?,
        Harm::Freeze => node.freeze().context("freeze a node")?,
    }
    let mut courses = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        courses.push(ended??);
    }
    Ok(courses)
}

/// A big file's, in MB/s; 0 if it is refused, takes too long, or does not come back.
async fn rate_of_big(door: &Door, len: u64) -> Result<f64> {
    let longest = PATIENCE + Duration::from_secs(len / SLOWEST);
    let content = || Content::new(BIG_WITH_ONE_GONE, len);
    let path = door.file("big/one-gone");
    let begun = Instant::now();
    let Ok(Ok(())) = timeout(longest, door.connect().put(&path, content())).await else {
        return Ok(0.0);
    };
    let secs = begun.elapsed().as_secs_f64();
    match timeout(longest, door.connect().get(&path, content())).await {
        Ok(Ok(())) => Ok(len as f64 / 1e6 / secs),
        Ok(Err(error)) if error.is::<WrongBytes>() => Err(error),
        _ => Ok(0.0),
    }
}

/// Files up to the number `there` in turn, whatever fails.
async fn one(
    door: Door,
    shape: Shape,
    act: Act,
    connection: u64,
    span: Duration,
    there: u64,
) -> Result<Course> {
    let mut http = door.connect();
    let (mut failed, mut stall, mut succeeded) = (0, Duration::ZERO, Vec::new());
    let begun = Instant::now();
    let mut succeeded_at = begun;
    for count in 0.. {
        if begun.elapsed() >= span {
            break;
        }
        let number = count % there;
        let (path, content) = (
            shape.path(connection, number),
            shape.content(connection, number),
        );
        let result = timeout(PATIENCE, act.to(&door, &mut http, &path, content)).await;
        let result = result.unwrap_or_else(|_| Err(anyhow!("no answer in {PATIENCE:?}")));
        stall = stall.max(succeeded_at.elapsed());
        match result {
            Ok(()) => {
                succeeded_at = Instant::now();
                succeeded.push(number);
            }
            // Nothing is worth measuring where that can be.
            Err(error) if error.is::<WrongBytes>() => return Err(error),
            Err(_) => {
                failed += 1;
                http = door.connect();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Ok(Course {
        connection,
        failed,
        stall: stall.as_secs_f64(),
        succeeded,
    })
}

/// How many of these files cannot be read: of each connection, by number.
async fn unreadable(door: &Door, shape: Shape, files: Vec<(u64, Vec<u64>)>) -> Result<f64> {
    let is_any = files.iter().any(|(_, numbers)| !numbers.is_empty());
    ensure!(is_any, "nothing was written at all");
    let mut tasks = JoinSet::new();
    for (connection, numbers) in files {
        tasks.spawn(unreadable_of(door.clone(), shape, connection, numbers));
    }
    let mut unreadable = 0;
    while let Some(ended) = tasks.join_next().await {
        unreadable += ended??;
    }
    Ok(f64::from(unreadable))
}

async fn unreadable_of(
    door: Door,
    shape: Shape,
    connection: u64,
    numbers: Vec<u64>,
) -> Result<u32> {
    let mut http = door.connect();
    let mut unreadable = 0;
    for number in numbers {
        let content = shape.content(connection, number);
        let path = door.file(&shape.path(connection, number));
        match timeout(PATIENCE, http.get(&path, content)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is::<WrongBytes>() => return Err(error),
            _ => {
                unreadable += 1;
                http = door.connect();
            }
        }
    }
    Ok(unreadable)
}

fn failed(courses: &[Course]) -> f64 {
    courses.iter().map(|course| course.failed).sum::<u64>() as f64
}

fn stall(courses: &[Course]) -> f64 {
    courses
        .iter()
        .map(|course| course.stall)
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SHAPE: Shape = Shape {
        series: 1,
        connections: 1,
        len: 10,
    };

    /// A server that gives each connection this answer, once.
    async fn door(answer: Vec<u8>) -> Door {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1000];
                assert_ne!(stream.read(&mut request).await.unwrap(), 0);
                stream.write_all(&answer).await.unwrap();
            }
        });
        Door::new(address, "/", "")
    }

    fn file(content: &[u8]) -> Vec<u8> {
        [b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", content].concat()
    }

    #[tokio::test]
    async fn failures_are_counted_and_the_longest_time_without_success_too() {
        let right = SHAPE.content(0, 0).piece().to_vec();
        let span = Duration::from_millis(300);
        let course = one(door(file(&right)).await, SHAPE, Act::Get, 0, span, 1)
            .await
            .unwrap();
        // Each connection is good for one answer, so every second try fails, and a pause follows.
        assert!(
            course.failed > 0 && !course.succeeded.is_empty(),
            "{course:?}"
        );
        assert!(course.stall >= PAUSE.as_secs_f64(), "{course:?}");
    }

    #[tokio::test]
    async fn wrong_bytes_end_it() {
        let door = door(file(b"0123456789")).await;
        let span = Duration::from_secs(60);
        let error = one(door, SHAPE, Act::Get, 0, span, 1).await.unwrap_err();
        assert!(error.is::<WrongBytes>(), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_counted() {
        let missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
        let files = vec![(0, vec![0, 1])];
        let failed = unreadable(&door(missing).await, SHAPE, files).await;
        assert!((failed.unwrap() - 2.0).abs() < f64::EPSILON);
    }

    #[tokio::test]
    async fn a_big_file_has_a_rate_if_it_is_taken_and_comes_back() {
        let refused = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_vec();
        let rate = rate_of_big(&door(refused).await, 10).await.unwrap();
        assert!(rate.abs() < f64::EPSILON, "{rate}");

        let right = Content::new(BIG_WITH_ONE_GONE, 10).piece().to_vec();
        let rate = rate_of_big(&door(file(&right)).await, 10).await.unwrap();
        assert!(rate > 0.0, "{rate}");

        let wrong = rate_of_big(&door(file(b"0123456789")).await, 10).await;
        assert!(wrong.unwrap_err().is::<WrongBytes>());
    }
}
