//! A node is killed in the middle of writes, and another one in the middle of reads: what fails, what stalls, and what is lost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::figures::Figures;
use crate::http::WrongBytes;
use crate::load::{self, Act, Shape};
use crate::systems::{Door, System};

/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a failure a client does not try again at once.
const PAUSE: Duration = Duration::from_millis(50);
/// For how long files are written that are read while a node is killed.
const FILL_SPAN: Duration = Duration::from_millis(500);

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

/// Has a node killed while files are written, and another one while they are read; `shapes` are for either. Nothing is
/// measured where there is one copy.
pub(crate) async fn measure(
    system: &mut dyn System,
    shapes: [Shape; 2],
    span: Duration,
    figures: &mut Figures,
) -> Result<()> {
    if system.nodes().len() < 2 {
        return Ok(());
    }
    let [new, kept] = shapes;
    let written = load::puts(system.door(), kept, FILL_SPAN).await?;
    let puts = kill_during(system, 0, new, Act::Put, span, |_| u64::MAX).await?;
    figures.add("killed_put_failed", failed(&puts));
    figures.add("killed_put_stall", stall(&puts));
    figures.add("killed_put_lost", lost(system.door(), new, puts).await?);
    let restarted = system.restart_node(0).await;
    restarted.context("start a killed node again")?;

    let there = |connection| written.of(connection);
    let gets = kill_during(system, 1, kept, Act::Get, span, there).await?;
    figures.add("killed_get_failed", failed(&gets));
    figures.add("killed_get_stall", stall(&gets));
    Ok(())
}

/// Every connection works for so long; when a quarter of that is over, the node is killed.
async fn kill_during(
    system: &mut dyn System,
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
    system.nodes()[node].kill().context("kill a node")?;
    let mut courses = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        courses.push(ended??);
    }
    Ok(courses)
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

/// How many of the files that were acknowledged cannot be read, with the node still gone.
async fn lost(door: &Door, shape: Shape, courses: Vec<Course>) -> Result<f64> {
    let is_any = courses.iter().any(|course| !course.succeeded.is_empty());
    ensure!(is_any, "nothing was written at all");
    let mut tasks = JoinSet::new();
    for course in courses {
        tasks.spawn(lost_of(door.clone(), shape, course));
    }
    let mut lost = 0;
    while let Some(ended) = tasks.join_next().await {
        lost += ended??;
    }
    Ok(f64::from(lost))
}

async fn lost_of(door: Door, shape: Shape, course: Course) -> Result<u32> {
    let mut http = door.connect();
    let mut lost = 0;
    for number in course.succeeded {
        let content = shape.content(course.connection, number);
        let path = door.file(&shape.path(course.connection, number));
        match timeout(PATIENCE, http.get(&path, content)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is::<WrongBytes>() => return Err(error),
            _ => {
                lost += 1;
                http = door.connect();
            }
        }
    }
    Ok(lost)
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
    async fn what_was_acknowledged_and_cannot_be_read_is_lost() {
        let missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
        let course = Course {
            connection: 0,
            failed: 0,
            stall: 0.0,
            succeeded: vec![0, 1],
        };
        let lost = lost(&door(missing).await, SHAPE, vec![course])
            .await
            .unwrap();
        assert!((lost - 2.0).abs() < f64::EPSILON);
    }
}
