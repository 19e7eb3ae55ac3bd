//! Many small requests at once: so many connections, each of which does one thing after another.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::content::Content;
use crate::http::{Http, said};
use crate::systems::Door;

/// Files of one size that are written, and read, over so many connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// No two phases of a run have the same, so that no file's content occurs twice.
    pub(crate) series: u64,
    pub(crate) connections: u64,
    /// Bytes of each file.
    pub(crate) len: u64,
}

impl Shape {
    /// Where a connection's file of this number is.
    pub(crate) fn path(&self, connection: u64, number: u64) -> String {
        format!("small{}/{connection}/{number}", self.series)
    }

    /// What is in it.
    pub(crate) fn content(&self, connection: u64, number: u64) -> Content {
        Content::new(self.series << 48 | connection << 32 | number, self.len)
    }
}

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// It is written.
    Put,
    /// It is read and compared.
    Get,
    /// It is deleted.
    Delete,
}

impl Act {
    /// Does it.
    pub(crate) async fn to(
        self,
        door: &Door,
        http: &mut Http,
        path: &str,
        content: Content,
    ) -> Result<()> {
        match self {
            Self::Put => http.put(&door.file(path), content).await,
            Self::Get => http.get(&door.file(path), content).await,
            Self::Delete => {
                let answer = http.send("DELETE", &door.deletion(path), "", None).await?;
                let is_gone = matches!(answer.status, 200 | 202 | 204);
                ensure!(is_gone, "DELETE {path}: {}", said(&answer));
                Ok(())
            }
        }
    }
}

/// What was done in a span of time.
#[derive(Debug)]
pub(crate) struct Done {
    /// Of each connection, how often.
    pub(crate) counts: Vec<u64>,
    secs: f64,
}

impl Done {
    /// All of it.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How often in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count() as f64 / self.secs
    }
}

/// Writes new files for so long.
pub(crate) async fn puts(door: &Door, shape: Shape, span: Duration) -> Result<Done> {
    let begun = Instant::now();
    at_once(shape.connections, |connection| {
        let door = door.clone();
        async move { for_a_while(&door, shape, Act::Put, connection, begun + span, u64::MAX).await }
    })
    .await
}

/// Reads, for so long, what `written` says is there: each connection its own files, again and again.
pub(crate) async fn gets(
    door: &Door,
    shape: Shape,
    span: Duration,
    written: &Done,
) -> Result<Done> {
    let begun = Instant::now();
    at_once(shape.connections, |connection| {
        let door = door.clone();
        let there = written.of(connection);
        async move { for_a_while(&door, shape, Act::Get, connection, begun + span, there).await }
    })
    .await
}

/// Does this to files 0 to `count` of a folder.
pub(crate) async fn folder(
    door: &Door,
    name: &'static str,
    shape: Shape,
    act: Act,
    count: u64,
) -> Result<Done> {
    at_once(shape.connections, |connection| {
        let door = door.clone();
        async move {
            let mut http = door.connect();
            let mut done = 0;
            for number in (0..count).skip(usize::try_from(connection)?) {
                if number % shape.connections != connection {
                    continue;
                }
                let path = format!("{name}/{number:07}");
                act.to(&door, &mut http, &path, shape.content(0, number))
                    .await?;
                done += 1;
            }
            Ok(done)
        }
    })
    .await
}

impl Done {
    /// How many files a connection has written: one at least.
    pub(crate) fn of(&self, connection: u64) -> u64 {
        let place = usize::try_from(connection).ok();
        let count = place.and_then(|place| self.counts.get(place));
        count.copied().unwrap_or(0).max(1)
    }
}

/// One thing after another until the time is over, each number up to `there` in turn; what was begun is ended, and counts.
async fn for_a_while(
    door: &Door,
    shape: Shape,
    act: Act,
    connection: u64,
    end: Instant,
    there: u64,
) -> Result<u64> {
    let mut http = door.connect();
    let mut count = 0;
    // At least one, however late it had its turn: what reads next has a file then.
    while count == 0 || Instant::now() < end {
        let number = count % there;
        let path = shape.path(connection, number);
        act.to(door, &mut http, &path, shape.content(connection, number))
            .await?;
        count += 1;
    }
    Ok(count)
}

/// Each connection on a task of its own, so that all cores make load; the first that fails ends all.
pub(crate) async fn at_once<F>(connections: u64, work: impl Fn(u64) -> F) -> Result<Done>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for connection in 0..connections {
        let work = work(connection);
        tasks.spawn(async move { (connection, work.await) });
    }
    let mut counts = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (connection, count) = ended?;
        counts.push((connection, count?));
    }
    let secs = begun.elapsed().as_secs_f64();
    counts.sort_unstable();
    let counts = counts.into_iter().map(|(_, count)| count).collect();
    Ok(Done { counts, secs })
}
