//! `dfs up`: a whole cluster on this machine, as child processes that this one watches.
//!
//! The master first, then nodes and page, which need its address; when an upload would succeed, the page's address is
//! printed. A child that ends is told, with what that means and the command that starts it again, and the others go on;
//! without the master, or without any node, nothing works, and all are stopped. None is ever started again silently.
//!
//! Each child watches its standard input, whose other end is here: closing it asks the child to stop, on every system,
//! and it closes by itself if this process is killed.

mod child;
mod plan;

use std::time::Duration;

use client::Cluster;
use proto::master::ClusterStatus;
use proto::net::Address;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::args::Up;
use crate::context::{Context, connect};
use crate::exit::{Exit, Stop};
use crate::output::{Output, span};
use client::people::count;

use child::{Child, Ended};
use plan::{Plan, Role};

/// How long a child may take until it listens: after a kill, the master writes its store anew before.
const LISTEN_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long the cluster may take until uploads work, before that is told.
const READY_PATIENCE: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(50);
/// How long the master may take to notice that a node ended.
const NOTICE_PATIENCE: Duration = Duration::from_secs(1);
/// How long a child may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// The processes, and word of those that ended.
struct Family {
    children: Vec<Child>,
    ended: mpsc::UnboundedReceiver<Ended>,
    tell_end: mpsc::UnboundedSender<Ended>,
}

/// Runs until Ctrl-C, or until the cluster cannot go on.
pub(crate) async fn run(context: &Context, arguments: &Up, is_quiet: bool) -> anyhow::Result<()> {
    let plan = Plan::make(&context.settings, &context.config, arguments, is_quiet)?;
    plan.check_ports()?;
    plan.make_folder()?;
    tell_of_left_out(context, &plan);
    let (tell_end, ended) = mpsc::unbounded_channel();
    let mut family = Family {
        children: Vec::new(),
        ended,
        tell_end,
    };
    let outcome = tokio::select! {
        outcome = live(context, &plan, &mut family) => outcome,
        () = context.stop.cancelled() => Ok(()),
    };
    if outcome.is_ok() {
        // It stops also when nobody hears of it any more.
        context.narrator.done("stopping").ok();
    }
    family.stop(context).await;
    outcome
}

/// Who starts fewer nodes than there were may not know that the others' copies are missed.
fn tell_of_left_out(context: &Context, plan: &Plan) {
    let left_out = plan.left_out();
    let (names, is) = match left_out[..] {
        [] => return,
        [only] => (format!("node{only}"), "is"),
        [first, .., last] => (format!("node{first} to node{last}"), "are"),
    };
    context.narrator.warn(&format!(
        "{} has the data of {} ({names}), which {is} not started: what only they hold is away, and copies that are missed \
         are made anew. --nodes {} starts all",
        plan.data().display(),
        count(left_out.len() as u64, "more node"),
        left_out.last().unwrap_or(&plan.nodes()),
    ));
}

async fn live(context: &Context, plan: &Plan, family: &mut Family) -> anyhow::Result<()> {
    let began = Instant::now();
    let (master, page) = family.start(plan).await?;
    let cluster = connect(&context.settings, vec![master]);
    let status = family.until_ready(&cluster, plan).await?;
    let took = began.elapsed();
    let address = plan::browsable(&page);
    let line = match &status {
        Some(status) if status.uploads_possible => format!(
            "ready after {:.1} s: open {address} in a browser; the data is in {}; Ctrl-C stops all",
            took.as_secs_f32(),
            plan.data().display()
        ),
        _ => format!(
            "started, but {}; the page is at {address}; Ctrl-C stops all",
            not_ready(status.as_ref())
        ),
    };
    // This is what was asked for: said also when quiet. The cluster goes on when nobody can hear it.
    let mut output = Output::stdout();
    output.line(&line).and_then(|()| output.flush()).ok();
    family.watch(context, &cluster, plan).await
}

fn not_ready(status: Option<&ClusterStatus>) -> String {
    let why = status.and_then(|status| status.problems.first());
    let why = why.map_or("the master does not answer", |problem| {
        problem.message.as_str()
    });
    format!("not ready after {}: {why}", span(READY_PATIENCE))
}

impl Family {
    /// Starts all, and waits until all listen. Gives the addresses of master and page.
    async fn start(&mut self, plan: &Plan) -> anyhow::Result<(Address, Address)> {
        let master = self.spawn(plan, Role::Master, None)?;
        let master = self.listening(master).await?;
        let nodes = (1..=plan.nodes()).map(Role::Node);
        let others: Vec<_> = nodes
            .chain([Role::Web])
            .map(|role| self.spawn(plan, role, Some(&master)))
            .collect::<anyhow::Result<_>>()?;
        let mut page = master.clone();
        for child in others {
            // The page is the last.
            page = self.listening(child).await?;
        }
        Ok((master, page))
    }

    fn spawn(
        &mut self,
        plan: &Plan,
        role: Role,
        master: Option<&Address>,
    ) -> anyhow::Result<usize> {
        let launch = plan.launch(role, master)?;
        self.children
            .push(Child::spawn(launch, self.tell_end.clone())?);
        Ok(self.children.len() - 1)
    }

    /// Where this child listens, once it does. Any child that ends before is an error.
    async fn listening(&mut self, child: usize) -> anyhow::Result<Address> {
        let Self {
            children, ended, ..
        } = self;
        let child = &mut children[child];
        let name = child.name().to_owned();
        tokio::select! {
            // A child that listened and then ended has ended.
            biased;
            Some(ended) = ended.recv() => Err(early_end(&ended)),
            listening = timeout(LISTEN_PATIENCE, child.listening()) => listening.map_err(|_| {
                let patience = span(LISTEN_PATIENCE);
                Stop::error(Exit::Failure, format!("{name} does not listen after {patience}; its log above may say why"))
            }),
        }
    }

    /// Waits until an upload would succeed and all nodes are there; gives what was known last when that takes too long.
    async fn until_ready(
        &mut self,
        cluster: &Cluster,
        plan: &Plan,
    ) -> anyhow::Result<Option<ClusterStatus>> {
        let deadline = Instant::now() + READY_PATIENCE;
        let mut last = None;
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.ended.recv() => return Err(early_end(&ended)),
                status = cluster.status() => last = status.ok().or(last),
            }
            let is_ready = last.as_ref().is_some_and(|status: &ClusterStatus| {
                status.uploads_possible && status.nodes.live >= u32::from(plan.nodes())
            });
            if is_ready || Instant::now() >= deadline {
                return Ok(last);
            }
            sleep(READY_POLL).await;
        }
    }

    /// Tells who ends, until nothing works any more.
    async fn watch(
        &mut self,
        context: &Context,
        cluster: &Cluster,
        plan: &Plan,
    ) -> anyhow::Result<()> {
        let mut nodes_left = plan.nodes();
        while let Some(ended) = self.ended.recv().await {
            let what = format!("{} ended ({})", ended.name, ended.why());
            let fatal = |why| {
                let message = format!("{what}: {why}; all are stopped");
                Err(Stop::error(Exit::Failure, message))
            };
            let goes_on = match ended.role {
                Role::Master => return fatal("nothing works without the master"),
                Role::Web => "the page is away until it is started again.".to_owned(),
                Role::Node(_) => {
                    nodes_left -= 1;
                    let status = status_soon(cluster).await;
                    let live = status.as_ref().map_or(0, |status| status.nodes.live);
                    if nodes_left == 0 && live == 0 {
                        return fatal("it was the last node, and nothing works without any");
                    }
                    let problem = status.iter().flat_map(|status| &status.problems).next();
                    let means = problem.map(|problem| format!(" {}", problem.message));
                    format!("the others go on.{}", means.unwrap_or_default())
                }
            };
            let again = &ended.command_line;
            context
                .narrator
                .warn(&format!("{what}; {goes_on} To start it again: {again}"));
        }
        Ok(())
    }

    /// Stops all: the page first, so that no request is cut off by a missing node, and the master last.
    async fn stop(mut self, context: &Context) {
        let is_node = |role| matches!(role, Role::Node(_));
        let groups: [&dyn Fn(Role) -> bool; 3] = [&|role| role == Role::Web, &is_node, &|role| {
            role == Role::Master
        }];
        for belongs in groups {
            let mut group: Vec<_> = self
                .children
                .iter_mut()
                .filter(|child| belongs(child.role()))
                .collect();
            for child in &mut group {
                child.ask_to_stop();
            }
            let deadline = Instant::now() + STOP_PATIENCE;
            for child in group {
                if tokio::time::timeout_at(deadline, child.ended())
                    .await
                    .is_err()
                {
                    let patience = span(STOP_PATIENCE);
                    context.narrator.warn(&format!(
                        "{} did not stop within {patience} and is killed",
                        child.name()
                    ));
                    child.kill().await;
                }
            }
        }
    }
}

/// How the cluster does after a node's end, which the master notices by the broken connection: that takes a moment.
async fn status_soon(cluster: &Cluster) -> Option<ClusterStatus> {
    sleep(NOTICE_PATIENCE).await;
    cluster.status().await.ok()
}

/// A child that ends while the cluster starts ends it all.
fn early_end(ended: &Ended) -> anyhow::Error {
    let exit = if ended.is_bad_settings {
        Exit::Usage
    } else {
        Exit::Failure
    };
    let log = match ended.last_error {
        Some(_) => "",
        None => "; its log above may say why",
    };
    let (name, why) = (&ended.name, ended.why());
    Stop::error(
        exit,
        format!("{name} ended before it was ready ({why}){log}"),
    )
}
