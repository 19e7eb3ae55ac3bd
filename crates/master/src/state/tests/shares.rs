//! Share links: what they follow, when they end, and how they are counted.

use disk::MemoryDisk;
use proto::id::{RequestId, TokenHash};
use proto::master::{PasswordHash, Precondition, SHARES_MAX, Share, ShareId, TrashId};
use proto::{ErrorCode, WireError};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::audit::{audit, dump};
use super::bench::{Bench, chunk, code, open_on, path, rules};
use crate::command::{ClusterMillis, Command, TimedCommand};
use crate::state::tables::{HEAD_KEY, Tables};
use crate::state::{Outcome, State};

/// The wall clock of a bench, about.
const NOW_MS: u64 = 1_700_000_000_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn token(name: &str) -> TokenHash {
    TokenHash::of(name)
}

fn sharing(request: RequestId, at: &str, name: &str) -> Command {
    Command::CreateShare {
        request,
        path: path(at),
        token: token(name),
        expires_ms: None,
        password: None,
        downloads_max: None,
        upload_only: false,
    }
}

impl Bench {
    fn share(&mut self, at: &str, name: &str) -> ShareId {
        let request = self.request();
        number(self.apply(sharing(request, at, name)))
    }

    fn share_until(&mut self, at: &str, name: &str, ends: u64) -> ShareId {
        let request = self.request();
        let mut command = sharing(request, at, name);
        if let Command::CreateShare { expires_ms, .. } = &mut command {
            *expires_ms = Some(ends);
        }
        number(self.apply(command))
    }

    fn download(&mut self, share: ShareId) -> Result<Outcome, WireError> {
        let request = self.request();
        self.apply(Command::CountDownload { request, share })
    }

    fn revoke(&mut self, share: ShareId) -> Result<Outcome, WireError> {
        let request = self.request();
        self.apply(Command::RevokeShare { request, share })
    }

    fn rename(&mut self, from: &str, to: &str, replace: bool) {
        let request = self.request();
        self.apply(Command::MoveEntry {
            request,
            from: path(from),
            to: path(to),
            replace,
        })
        .unwrap();
    }

    fn restore(&mut self, trash: u64, to: Option<&str>) {
        let request = self.request();
        self.apply(Command::RestoreEntry {
            request,
            trash: TrashId(trash),
            to: to.map(path),
        })
        .unwrap();
    }

    fn found(&self, name: &str) -> Share {
        self.read().share_of(token(name)).unwrap().share
    }

    /// Where what a link shares is now.
    fn place(&self, name: &str) -> Option<String> {
        let shared = self.found(name).shared;
        shared.map(|shared| shared.path.to_string())
    }
}

fn number(outcome: Result<Outcome, WireError>) -> ShareId {
    match outcome {
        Ok(Outcome::ShareCreated(share)) => share,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_link_follows_its_file_and_its_folder() {
    let mut bench = Bench::new(3);
    bench.put("/a/b/f", &[chunk(1)]);
    bench.share("/a/b/f", "file");
    bench.share("/a/b", "folder");
    bench.share("/a", "top");
    let check = |bench: &Bench, file: Option<&str>, folder: Option<&str>| {
        assert_eq!(bench.place("file").as_deref(), file);
        assert_eq!(bench.place("folder").as_deref(), folder);
    };
    check(&bench, Some("/a/b/f"), Some("/a/b"));
    bench.rename("/a/b/f", "/a/g", false);
    check(&bench, Some("/a/g"), Some("/a/b"));
    bench.rename("/a", "/z", false);
    check(&bench, Some("/z/g"), Some("/z/b"));
    assert_eq!(bench.place("top").as_deref(), Some("/z"));
    bench.rename("/z/g", "/z/b/h", false);
    bench.rename("/z/b", "/c", false);
    check(&bench, Some("/c/h"), Some("/c"));
    // The last name stands in the list while it is in the trash.
    bench.delete("/c", false).unwrap();
    check(&bench, None, None);
    assert_eq!(bench.found("folder").name.as_str(), "c");
    assert_eq!(bench.found("file").name.as_str(), "h");
    bench.restore(1, Some("/new/d"));
    check(&bench, Some("/new/d/h"), Some("/new/d"));
    bench.delete("/new/d/h", false).unwrap();
    check(&bench, None, Some("/new/d"));
    bench.restore(2, None);
    check(&bench, Some("/new/d/h"), Some("/new/d"));
}

#[test]
fn what_is_overwritten_stays_shared_and_what_takes_its_place_is_not() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    bench.share("/f", "file");
    let second = bench.put("/f", &[chunk(2), chunk(3)]);
    let shared = bench.found("file").shared.unwrap();
    let expected = proto::master::Entry::File {
        name: shared.path.name().unwrap().clone(),
        size: 200,
        modified_ms: NOW_MS + bench.now,
        version: second.version,
    };
    assert_eq!(shared.entry, expected);

    // Another file that is moved over it was never shared.
    bench.put("/g", &[chunk(4)]);
    bench.rename("/g", "/f", true);
    assert_eq!(bench.place("file"), None);
    bench.delete("/f", false).unwrap();
    bench.put("/f", &[chunk(5)]);
    assert_eq!(bench.place("file"), None, "it only has the same name");
    bench.restore(1, Some("/back"));
    assert_eq!(bench.place("file").as_deref(), Some("/back"));
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let mut bench = Bench::new(3);
    bench.put("/a/f", &[chunk(1)]);
    bench.share("/a", "taken");
    let mut check = |at: &str, name: &str, max, only, expected| {
        let request = bench.request();
        let command = Command::CreateShare {
            request,
            path: path(at),
            token: token(name),
            expires_ms: None,
            password: None,
            downloads_max: max,
            upload_only: only,
        };
        assert_eq!(code(bench.apply(command)), expected, "{at} {name}");
    };
    check("/", "new", None, false, ErrorCode::InvalidArgument);
    check("/none", "new", None, false, ErrorCode::NotFound);
    check("/a/f", "new", None, true, ErrorCode::InvalidArgument);
    check("/a", "new", Some(1), true, ErrorCode::InvalidArgument);
    check("/a", "new", Some(0), false, ErrorCode::InvalidArgument);
    check("/a", "taken", None, false, ErrorCode::InvalidArgument);
    let unknown = bench.read().share_of(token("unknown"));
    assert!(unknown.is_err());
    assert_eq!(code(bench.download(ShareId(9))), ErrorCode::NotFound);
    assert_eq!(code(bench.revoke(ShareId(9))), ErrorCode::NotFound);
}

#[test]
fn downloads_are_counted_up_to_their_limit() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let request = bench.request();
    let mut command = sharing(request, "/f", "file");
    if let Command::CreateShare { downloads_max, .. } = &mut command {
        *downloads_max = Some(2);
    }
    let share = number(bench.apply(command));
    for downloads in [1, 2] {
        let counted = bench.download(share).unwrap();
        assert_eq!(counted, Outcome::DownloadCounted { downloads });
    }
    assert!(bench.found("file").is_used_up());
    assert_eq!(code(bench.download(share)), ErrorCode::PreconditionFailed);
    assert_eq!(bench.found("file").downloads, 2);
}

#[test]
fn a_link_ends_at_its_date_and_leaves_the_list_a_month_later() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let ends = NOW_MS + 1_000_000;
    let share = bench.share_until("/f", "file", ends);
    bench.download(share).unwrap();
    assert!(!bench.found("file").is_expired(ends - 1));
    assert!(bench.found("file").is_expired(ends));
    // The clock of a bench goes by the cluster's.
    bench.now = 1_000_000;
    assert_eq!(code(bench.download(share)), ErrorCode::PreconditionFailed);
    bench.sweep(0, 0, 0);
    assert_eq!(bench.read().shares_page(None, 9).unwrap().shares.len(), 1);
    bench.now += 30 * DAY_MS;
    bench.sweep(0, 0, 0);
    assert_eq!(bench.read().shares_page(None, 9).unwrap().shares, []);
}

#[test]
fn a_revoked_link_leads_nowhere_and_others_stay() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let first = bench.share("/f", "first");
    bench.share("/f", "second");
    bench.revoke(first).unwrap();
    assert!(bench.read().share_of(token("first")).is_err());
    bench.rename("/f", "/g", false);
    assert_eq!(bench.place("second").as_deref(), Some("/g"));
    let third = bench.share("/g", "third");
    assert_eq!(third, ShareId(3), "numbers are never used again");
}

/// The links of what is removed for good go with it, one a step, whatever the way there.
#[test]
fn a_link_goes_with_what_it_shares() {
    let mut bench = Bench::new(3);
    bench.put("/a/b/f", &[chunk(1)]);
    bench.put("/kept", &[chunk(2)]);
    for name in ["1", "2", "3"] {
        bench.share("/a/b/f", name);
        bench.share("/a/b", &format!("folder {name}"));
    }
    bench.share("/kept", "kept");
    bench.delete("/a/b/f", false).unwrap();
    bench.delete("/a", true).unwrap();
    assert_eq!(bench.place("folder 1"), None);
    bench.sweep(0, 0, 0);
    let listed = bench.read().shares_page(None, 99).unwrap().shares;
    assert_eq!(listed.len(), 4, "a file in the trash may come back");
    let before = bench.now + 1;
    bench.sweep(before, 0, 0);
    let listed = bench.read().shares_page(None, 99).unwrap().shares;
    assert_eq!(listed.len(), 1);
    assert_eq!(bench.place("kept").as_deref(), Some("/kept"));
}

#[test]
fn a_repeated_request_about_a_link_is_done_once() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let request = bench.request();
    let share = ShareId(1);
    let commands = [
        sharing(request, "/f", "file"),
        Command::CountDownload {
            request: bench.request(),
            share,
        },
        Command::RevokeShare {
            request: bench.request(),
            share,
        },
    ];
    for command in commands {
        let answer = bench.apply(command.clone()).unwrap();
        let before = dump(&bench.state);
        assert_eq!(bench.apply(command), Ok(answer));
        assert!(dump(&bench.state) == before);
    }
    let other = Command::RevokeShare { request, share };
    assert_eq!(code(bench.apply(other)), ErrorCode::InvalidArgument);
}

#[test]
fn links_are_listed_in_pages_and_what_is_secret_is_not_in_them() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let hash = PasswordHash::new("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA").unwrap();
    let request = bench.request();
    let mut command = sharing(request, "/f", "1");
    if let Command::CreateShare { password, .. } = &mut command {
        *password = Some(hash.clone());
    }
    assert!(!format!("{command:?}").contains("argon2id"));
    bench.apply(command).unwrap();
    bench.share("/f", "2");
    let page = bench.read().shares_page(None, 1).unwrap();
    assert_eq!((page.shares[0].share, page.more), (ShareId(2), true));
    let next = bench.read().shares_page(Some(ShareId(2)), 1).unwrap();
    assert_eq!((next.shares[0].share, next.more), (ShareId(1), false));
    assert!(next.shares[0].has_password);
    let found = bench.read().share_of(token("1")).unwrap();
    assert_eq!(found.password, Some(hash));
}

/// The store is filled without the bench, which reads all of it after each command.
#[test]
fn there_are_only_so_many_links() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    let commands: Vec<_> = (0..SHARES_MAX)
        .map(|number| TimedCommand {
            at: ClusterMillis(bench.now),
            wall_ms: NOW_MS,
            command: sharing(bench.request(), "/f", &number.to_string()),
        })
        .collect();
    let transaction = bench.state.write().unwrap();
    let made = transaction.run(&commands, true).unwrap();
    assert!(made.outcomes.iter().all(Result::is_ok));
    let request = bench.request();
    let one_more = TimedCommand {
        at: ClusterMillis(bench.now),
        wall_ms: NOW_MS,
        command: sharing(request, "/f", "one more"),
    };
    let transaction = bench.state.write().unwrap();
    let refused = transaction
        .run([&one_more], true)
        .unwrap()
        .outcomes
        .remove(0);
    let refusal = refused.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::PreconditionFailed);
    assert!(refusal.message.contains("revoke some"), "{refusal}");
}

/// Lets the store be as a program left it that knew of no shares.
fn make_old(state: &State) {
    let transaction = state.write().unwrap().transaction;
    let mut tables = Tables::open(&transaction).unwrap();
    let mut bytes = tables.head.encode();
    bytes[0] = 2;
    assert_eq!(bytes.pop(), Some(1), "the number of the first share");
    tables.meta.insert(HEAD_KEY, bytes.as_slice()).unwrap();
    tables.folder_names.retain(|_, _| false).unwrap();
    drop(tables);
    transaction.commit().unwrap();
}

fn old_store() -> MemoryDisk {
    let mut bench = Bench::new(3);
    bench.put("/a/b/c/f", &[chunk(1)]);
    bench.put("/trashed/d/f", &[chunk(2)]);
    bench.put("/purged/d/f", &[chunk(3)]);
    bench.delete("/trashed", false).unwrap();
    bench.delete("/purged", true).unwrap();
    make_old(&bench.state);
    drop(bench.state);
    bench.disk
}

#[test]
fn folders_of_an_older_store_can_be_shared() {
    let disk = old_store();
    for _ in 0..2 {
        let state = open_on(&disk, rules()).unwrap();
        audit(&state);
    }
    let mut bench = Bench::new(0);
    bench.state = open_on(&disk, rules()).unwrap();
    bench.disk = disk;
    bench.now = 1000;
    bench.share("/a/b", "folder");
    assert_eq!(bench.place("folder").as_deref(), Some("/a/b"));
    bench.restore(1, Some("/back"));
    bench.share("/back/d", "trashed");
    assert_eq!(bench.place("trashed").as_deref(), Some("/back/d"));
    let precondition = Precondition::Any;
    assert!(
        bench
            .try_put("/back/d/g", &[chunk(4)], precondition)
            .is_ok()
    );
    bench.sweep(0, 0, 0);
}

/// The power is cut after each of the writes in which an older store is opened: the names are found the next time.
#[test]
fn a_power_cut_while_an_older_store_is_opened_loses_no_names() {
    let disk = old_store();
    for stop_after in 0..200 {
        let disk = disk.fork();
        disk.stop_after(stop_after);
        let opened = open_on(&disk, rules());
        let was_whole = opened.is_ok();
        disk.crash(&mut StdRng::seed_from_u64(stop_after));
        drop(opened);
        audit(&open_on(&disk, rules()).unwrap());
        if was_whole {
            return;
        }
    }
    panic!("it was never opened");
}
