//! Exit codes, one for each thing that a script may want to tell apart, and how an error is shown at the end.

use std::io::{self, Write};
use std::process::ExitCode;

use client::Error;
use proto::ErrorCode;
use settings::SettingsError;

use crate::output::shown;

/// Said by `dfs --help`.
pub(crate) const EXIT_CODES_HELP: &str = "Exit codes:
  0  done
  1  failed, for a reason that has no code of its own
  2  the arguments or the settings cannot be used
  3  not found
  4  conflict: the name is taken, a folder has entries, or things are not as was asked for
  5  the cluster cannot be reached, or too few of its nodes
  6  damaged: no copy with the right bytes could be read
  7  no space left
130  interrupted";

/// What kind of end it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Another reason.
    Failure = 1,
    /// The arguments or the settings cannot be used.
    Usage = 2,
    /// It is not there.
    NotFound = 3,
    /// Things are not as they were asked for.
    Conflict = 4,
    /// The cluster, or too few of its nodes, can be reached.
    Unavailable = 5,
    /// No copy has the right bytes.
    Damaged = 6,
    /// A disk is full, there or here.
    NoSpace = 7,
    /// By Ctrl-C.
    Interrupted = 130,
}

/// An error of the command line itself, with its own kind.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Stop {
    exit: Exit,
    message: String,
}

impl Stop {
    /// An error of this kind, which says this.
    pub(crate) fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self {
            exit,
            message: message.into(),
        })
    }

    /// The arguments cannot be used.
    pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
        Self::error(Exit::Usage, message)
    }
}

/// A refusal of the cluster with what to do about it, for somebody at this command line. It stays of its kind.
pub(crate) fn advise(error: &Error, advice: &str) -> anyhow::Error {
    Stop::error(exit_of_client(error), format!("{error}; {advice}"))
}

/// Several things were done, of which some failed; each was reported when it did.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {total} failed")]
pub(crate) struct SomeFailed {
    failed: u64,
    total: u64,
    exit: Exit,
}

impl SomeFailed {
    /// Nothing if there were no failures; their common kind, if they have one, is this error's.
    pub(crate) fn unless_none(failures: &[Exit], total: u64) -> anyhow::Result<()> {
        let Some(first) = failures.first() else {
            return Ok(());
        };
        let is_common = failures.iter().all(|exit| exit == first);
        Err(anyhow::Error::new(Self {
            failed: failures.len() as u64,
            total,
            exit: if is_common { *first } else { Exit::Failure },
        }))
    }
}

/// Prints the error's chain on one line, what to do about it on the next, and gives the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let exit = exit_of(error);
    if !reader_went_away(error) {
        let mut stderr = io::stderr().lock();
        // Where nobody reads it, the exit code still tells.
        writeln!(stderr, "error: {}", shown(&settings::chain(error))).ok();
        if let Some(hint) = hint(error, exit) {
            writeln!(stderr, "hint: {hint}").ok();
        }
    }
    ExitCode::from(exit as u8)
}

/// The kind of an error, whatever context was added to it.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stop.exit;
    }
    if let Some(failed) = error.downcast_ref::<SomeFailed>() {
        return failed.exit;
    }
    if error.downcast_ref::<SettingsError>().is_some() {
        return Exit::Usage;
    }
    if let Some(error) = error.downcast_ref::<Error>() {
        return exit_of_client(error);
    }
    let local = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    local.map_or(Exit::Failure, exit_of_local)
}

fn exit_of_client(error: &Error) -> Exit {
    match error {
        Error::NotFound { .. } => Exit::NotFound,
        Error::AlreadyExists { .. }
        | Error::IsAFolder { .. }
        | Error::NotAFolder { .. }
        | Error::FolderNotEmpty { .. }
        | Error::PreconditionFailed { .. } => Exit::Conflict,
        Error::InvalidArgument { .. } => Exit::Usage,
        Error::NoSpace { .. } => Exit::NoSpace,
        Error::NotEnoughReplicas { .. } | Error::Unavailable { .. } | Error::TimedOut { .. } => {
            Exit::Unavailable
        }
        Error::Corrupt { .. } => Exit::Damaged,
        Error::Read(error) => exit_of_local(error),
        Error::Refused(error) => match error.code {
            ErrorCode::Unauthenticated | ErrorCode::WrongCluster => Exit::Usage,
            ErrorCode::Corrupt => Exit::Damaged,
            ErrorCode::StaleEpoch => Exit::Unavailable,
            _ => Exit::Failure,
        },
        _ => Exit::Failure,
    }
}

fn exit_of_local(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::NotFound => Exit::NotFound,
        io::ErrorKind::AlreadyExists => Exit::Conflict,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::NoSpace,
        _ => Exit::Failure,
    }
}

/// Whether the reader of the output went away; a connection to the cluster that broke is another thing.
fn reader_went_away(error: &anyhow::Error) -> bool {
    settings::reader_went_away(error) && error.downcast_ref::<Error>().is_none()
}

fn hint(error: &anyhow::Error, exit: Exit) -> Option<&'static str> {
    let client_error = error.downcast_ref::<Error>()?;
    match (exit, client_error) {
        (_, Error::FolderNotEmpty { .. }) => Some("--recursive also takes what is in it"),
        (_, Error::NotEnoughReplicas { .. }) => Some("`dfs status` tells which nodes are missing"),
        (Exit::Unavailable, _) => Some(
            "if the cluster is running, `dfs status` tells what is missing; `dfs up` starts one on this machine, and \
             --master says where another is",
        ),
        (Exit::Usage, Error::Refused(_)) => Some(
            "set DFS_CLUSTER_SECRET, or cluster.secret in the configuration file, to the cluster's secret",
        ),
        (Exit::Damaged, _) => Some("`dfs explain FILE` tells how each copy is"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    fn check(error: anyhow::Error, expected: Exit) {
        assert_eq!(exit_of(&error), expected, "{error:#}");
        let with_context = Err::<(), _>(error).context("upload a.txt").context("again");
        assert_eq!(exit_of(&with_context.unwrap_err()), expected);
    }

    #[test]
    fn each_kind_of_error_has_its_code_whatever_context_it_has() {
        let message = String::new;
        check(
            Error::NotFound { message: message() }.into(),
            Exit::NotFound,
        );
        check(
            Error::AlreadyExists { message: message() }.into(),
            Exit::Conflict,
        );
        check(Error::NoSpace { message: message() }.into(), Exit::NoSpace);
        check(
            Error::Unavailable {
                what: message(),
                source: None,
            }
            .into(),
            Exit::Unavailable,
        );
        check(
            Error::Read(io::ErrorKind::NotFound.into()).into(),
            Exit::NotFound,
        );
        check(
            io::Error::from(io::ErrorKind::StorageFull).into(),
            Exit::NoSpace,
        );
        check(Stop::usage("no"), Exit::Usage);
        check(anyhow::anyhow!("whatever"), Exit::Failure);
    }

    #[test]
    fn several_failures_have_the_code_that_they_have_in_common() {
        let exit = |failures: &[Exit]| exit_of(&SomeFailed::unless_none(failures, 9).unwrap_err());
        assert_eq!(exit(&[Exit::NotFound, Exit::NotFound]), Exit::NotFound);
        assert_eq!(exit(&[Exit::NotFound, Exit::Damaged]), Exit::Failure);
        assert!(SomeFailed::unless_none(&[], 9).is_ok());
    }

    #[test]
    fn help_tells_every_code() {
        for exit in [
            Exit::Failure,
            Exit::Usage,
            Exit::NotFound,
            Exit::Conflict,
            Exit::Unavailable,
            Exit::Damaged,
            Exit::NoSpace,
            Exit::Interrupted,
        ] {
            let code = format!("\n{:>3}  ", exit as u8);
            assert!(EXIT_CODES_HELP.contains(&code), "{exit:?}");
        }
    }
}
