//! When a process is to stop: Ctrl-C, a signal to terminate, a closed console, or the end of standard input.
//!
//! The last is how `dfs up` stops its children on every system, and why they end when it is killed: the pipe
//! closes with it. Such a child leaves Ctrl-C, which the console sends to all, to its parent.

use std::io::{IsTerminal, Read};

use tokio_util::sync::CancellationToken;

/// The exit code of a process that a second Ctrl-C ended.
const EXIT_INTERRUPTED: i32 = 130;

/// A token that is cancelled when this process is to stop. A second Ctrl-C ends the process at once.
///
/// Call it within the runtime.
///
/// `stop_with_stdin` is for a pipe: on a terminal, where a person repeated a child's command line, Ctrl-C counts.
pub fn token(stop_with_stdin: bool) -> CancellationToken {
    let stop_with_stdin = stop_with_stdin && !std::io::stdin().is_terminal();
    let token = CancellationToken::new();
    if stop_with_stdin {
        watch_stdin(token.clone());
    }
    let cancelled = token.clone();
    tokio::spawn(async move {
        loop {
            let is_interrupt = signal().await;
            match (is_interrupt, stop_with_stdin, cancelled.is_cancelled()) {
                (true, true, _) => {}
                (true, false, true) => std::process::exit(EXIT_INTERRUPTED),
                _ => cancelled.cancel(),
            }
        }
    });
    token
}

/// A thread of its own, which the process' end does not wait for, as it would for the runtime's.
fn watch_stdin(token: CancellationToken) {
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        let mut stdin = std::io::stdin().lock();
        while !matches!(stdin.read(&mut ignored), Ok(0) | Err(_)) {}
        token.cancel();
    });
}

/// Waits for any of them; true if it was Ctrl-C.
#[cfg(unix)]
async fn signal() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut hangup)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ) else {
        return wait_for_ctrl_c().await;
    };
    tokio::select! {
        interrupt = wait_for_ctrl_c() => interrupt,
        _ = terminate.recv() => false,
        _ = hangup.recv() => false,
    }
}

/// Waits for any of them; true if it was Ctrl-C.
#[cfg(windows)]
async fn signal() -> bool {
    use tokio::signal::windows::{ctrl_break, ctrl_close, ctrl_shutdown};
    let (Ok(mut close), Ok(mut shutdown), Ok(mut stop)) =
        (ctrl_close(), ctrl_shutdown(), ctrl_break())
    else {
        return wait_for_ctrl_c().await;
    };
    tokio::select! {
        interrupt = wait_for_ctrl_c() => interrupt,
        _ = close.recv() => false,
        _ = shutdown.recv() => false,
        _ = stop.recv() => false,
    }
}

#[cfg(not(any(unix, windows)))]
async fn signal() -> bool {
    wait_for_ctrl_c().await
}

async fn wait_for_ctrl_c() -> bool {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler nothing will ever come.
        std::future::pending::<()>().await;
    }
    true
}
