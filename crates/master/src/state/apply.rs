//! The one function that changes the state: every command, and where it is done.

use super::commits::Commit;
use super::error::StateError;
use super::outcome::Outcome;
use super::shares::Sharing;
use super::sweep::Ages;
use super::tables::Tables;
use super::trash::Deletion;
use super::uploads::{Allocate, Record};
use super::versions::first_of;

use super::{
    commits, kept, lineage, names, nodes, replicas, rules, shares, sweep, trash, uploads, versions,
};
use crate::command::{Command, TimedCommand};

/// Does what a command says, or refuses it and changes nothing.
#[expect(
    clippy::too_many_lines,
    reason = "a table with one entry for each command"
)]
pub(super) fn apply(tables: &mut Tables<'_>, timed: &TimedCommand) -> Result<Outcome, StateError> {
    tables.head.at = tables.head.at.max(timed.at);
    tables.head.applied += 1;
    match &timed.command {
        Command::RaiseEpoch { restored, run } => lineage::raise_epoch(tables, *restored, *run),
        Command::SetRules { rules } => rules::set_rules(tables, rules),
        Command::CreateFolder {
            request,
            path,
            parents,
        } => names::create_folder(tables, timed, *request, path, *parents),
        Command::MoveEntry {
            request,
            from,
            to,
            replace,
        } => names::move_entry(tables, timed, *request, from, to, *replace),
        Command::DeleteEntry {
            request,
            path,
            recursive,
            purge,
            precondition,
        } => {
            let deletion = Deletion {
                request: *request,
                path,
                recursive: *recursive,
                purge: *purge,
                precondition: *precondition,
            };
            trash::delete_entry(tables, timed, &deletion)
        }
        Command::RestoreEntry { request, trash, to } => {
            trash::restore_entry(tables, timed, *request, *trash, to.as_ref())
        }
        Command::EmptyTrash { request, trash } => {
            trash::empty_trash(tables, timed, *request, *trash)
        }
        Command::RestoreVersion {
            request,
            path,
            version,
            precondition,
        } => versions::restore_version(tables, timed, *request, path, *version, *precondition),
        Command::RemoveVersion {
            request,
            path,
            version,
        } => versions::remove_version(tables, timed, *request, path, *version),
        Command::CreateShare {
            request,
            path,
            token,
            expires_ms,
            password,
            downloads_max,
            upload_only,
        } => {
            let sharing = Sharing {
                request: *request,
                path,
                token: *token,
                expires_ms: *expires_ms,
                password: password.as_ref(),
                downloads_max: *downloads_max,
                upload_only: *upload_only,
            };
            shares::create_share(tables, timed, &sharing)
        }
        Command::CountDownload { request, share } => {
            shares::count_download(tables, timed, *request, *share)
        }
        Command::RevokeShare { request, share } => {
            shares::revoke_share(tables, timed, *request, *share)
        }
        Command::AllocateChunks {
            upload,
            lease_until,
            promise,
            doubtful,
            deletions_wait,
            chunks,
        } => {
            let allocation = Allocate {
                upload: *upload,
                lease_until: *lease_until,
                promise: *promise,
                doubtful,
                deletions_wait: *deletions_wait,
                chunks,
            };
            uploads::allocate_chunks(tables, &allocation)
        }
        Command::KeepUpload {
            upload,
            lease_until,
            plan,
        } => kept::keep_upload(tables, *upload, *lease_until, plan),
        Command::RecordChunks {
            upload,
            lease_until,
            block,
            place,
            doubtful,
            chunks,
        } => {
            let record = Record {
                upload: *upload,
                lease_until: *lease_until,
                first: first_of(*block, *place),
                doubtful,
                chunks,
            };
            uploads::record_chunks(tables, &record)
        }
        Command::CommitUpload {
            upload,
            path,
            size,
            modified_ms,
            blocks,
            place,
            doubtful,
            chunks,
            parents,
            precondition,
        } => {
            let commit = Commit {
                upload: *upload,
                path,
                size: *size,
                modified_ms: *modified_ms,
                recorded: first_of(*blocks, *place),
                doubtful,
                chunks,
                parents: *parents,
                precondition: *precondition,
            };
            commits::commit_upload(tables, timed, &commit)
        }
        Command::EndUpload { upload, expired_by } => {
            uploads::end_upload(tables, timed.at, *upload, *expired_by)
        }
        Command::UpsertNode {
            node,
            address,
            zone,
            receipt_key,
        } => nodes::upsert_node(tables, *node, address, zone, receipt_key),
        Command::RemoveNode { node } => nodes::remove_node(tables, *node),
        Command::AddReplicas { node, down, chunks } => {
            replicas::add_replicas(tables, *node, down, chunks)
        }
        Command::RemoveReplicas { node, chunks } => {
            replicas::remove_replicas(tables, *node, chunks)
        }
        Command::NoteFailing { node, chunks } => replicas::note_failing(tables, *node, chunks),
        Command::TrimReplicas { down, copies } => replicas::trim_replicas(tables, down, copies),
        Command::CollectGarbage {
            unreferenced_before,
            chunks,
        } => replicas::collect_garbage(tables, *unreferenced_before, chunks),
        Command::NoteUnknownChunks {
            node,
            seen_before,
            chunks,
        } => replicas::note_unknown_chunks(tables, timed.at, *node, *seen_before, chunks),
        Command::DeleteUnknownChunks {
            node,
            seen_before,
            chunks,
        } => replicas::delete_unknown_chunks(tables, timed.at, *node, *seen_before, chunks),
        Command::ConfirmDeletions { node, chunks } => {
            replicas::confirm_deletions(tables, *node, chunks)
        }
        Command::SweepSome {
            trash_before,
            versions_before,
            answers_before,
            limit,
        } => {
            let ages = Ages {
                trash: *trash_before,
                versions: *versions_before,
                answers: *answers_before,
            };
            sweep::sweep_some(tables, timed, ages, *limit)
        }
        Command::TripDeleteFuse { copies, of } => {
            tables.head.fuse.trip(*copies, *of);
            Ok(Outcome::Done)
        }
        Command::ResetDeleteFuse => {
            tables.head.fuse.reset(timed.at);
            Ok(Outcome::Done)
        }
    }
}
