//! Files that are added by a link and can go on in the middle: what their senders can do, and what they never learn or reach.

use std::time::Duration;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::{StreamExt, stream};
use hmac::{Hmac, KeyInit, Mac};
use proto::id::UploadId;
use proto::master::ShareId;
use serde_json::json;
use sha2::Sha256;

use super::uploads::{BYTES, CHUNK, TUS, content};
use super::{Answer, Site};
use crate::TransferLimits;
use crate::drive::{Drafts, Drive, Shares};
use crate::memory::{Faults, MemoryDrive};

impl Site {
    /// A folder for files, and the link by which they are added.
    pub(super) async fn letterbox(&self, path: &str) -> String {
        self.keep(&format!("{path}/old"), b"x");
        self.share(json!({"path": path, "upload_only": true})).await
    }

    /// Opens an upload by a link.
    pub(super) async fn offer(
        &self,
        link: &str,
        name: &str,
        size: usize,
        more: &[(&str, &str)],
    ) -> Answer {
        let metadata = format!("filename {},extra", STANDARD.encode(name));
        let size = size.to_string();
        let own = [
            TUS,
            ("upload-length", &*size),
            ("upload-metadata", &*metadata),
        ];
        let request = format!("POST {link}/uploads");
        self.send(&request, &[&own, more].concat(), "").await
    }

    /// The same, with its bytes.
    async fn sent_at_once(&self, link: &str, name: &str, size: usize, body: Body) -> Answer {
        let (size, metadata) = (
            size.to_string(),
            format!("filename {}", STANDARD.encode(name)),
        );
        let headers = [
            TUS,
            BYTES,
            ("upload-length", &*size),
            ("upload-metadata", &*metadata),
        ];
        self.send(&format!("POST {link}/uploads"), &headers, body)
            .await
    }

    /// The same, of one that is taken: where it is.
    pub(super) async fn offered(&self, link: &str, name: &str, size: usize) -> String {
        let answer = self.offer(link, name, size, &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.header("location").to_owned()
    }

    pub(super) async fn stored(&self, path: &str) -> Option<Bytes> {
        let file = self.get(&format!("/api/v1/files{path}")).await;
        (file.status == 200).then(|| file.body.unwrap())
    }

    async fn move_entry(&self, from: &str, to: &str) {
        move_in(&self.drive, from, to).await;
    }
}

async fn move_in(drive: &MemoryDrive, from: &str, to: &str) {
    let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
    Drive::move_entry(drive, &from, &to, false).await.unwrap();
}

/// A body of two pieces, between which something happens.
pub(super) fn interrupted(
    first: &[u8],
    happens: impl Future<Output = ()> + Send + 'static,
    second: &[u8],
) -> Body {
    let (first, second) = (first.to_vec(), second.to_vec());
    let second = stream::once(async move {
        happens.await;
        second
    });
    let pieces = stream::iter([first]).chain(second.boxed());
    Body::from_stream(pieces.map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece))))
}

/// What no answer to a stranger has in it.
#[track_caller]
fn expect_silent(answer: &Answer) {
    for name in ["etag", "x-copies", "x-copies-wanted"] {
        assert_eq!(answer.header(name), "", "{name}");
    }
    let said = format!("{:?} {}", answer.headers, answer.text());
    for secret in ["secret", "version", "(2)"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    assert_eq!(answer.header("cache-control"), "private, no-store");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("tus-resumable"), "1.0.0");
}

/// A film of some gigabytes began anew whenever the line broke.
#[tokio::test]
async fn a_file_goes_on_where_it_was_also_in_another_process() {
    let site = Site::new();
    let link = site.letterbox("/secret/box").await;
    let bytes = content(3 * CHUNK + 5);
    let created = site.offer(&link, "ü.bin", bytes.len(), &[]).await;
    assert_eq!(
        (created.status, created.header("upload-offset")),
        (201, "0")
    );
    expect_silent(&created);
    let address = created.header("location").to_owned();
    assert!(address.starts_with(&format!("{link}/uploads/")));
    let patched = site
        .patch(&address, 0, bytes[..2 * CHUNK + 9].to_vec())
        .await;
    assert_eq!(patched.status, 204);
    expect_silent(&patched);
    let site = site.restarted();
    let head = site.send(&format!("HEAD {address}"), &[TUS], "").await;
    let offset = (2 * CHUNK).to_string();
    assert_eq!((head.status, head.header("upload-offset")), (200, &*offset));
    assert!(head.header("upload-metadata").ends_with(",extra"));
    expect_silent(&head);
    let rest = bytes[2 * CHUNK..].to_vec();
    let last = site.patch(&address, 2 * CHUNK, rest).await;
    assert_eq!(last.status, 204, "{}", last.text());
    expect_silent(&last);
    assert!(site.stored("/secret/box/ü.bin").await.unwrap() == bytes);
    // Whoever did not hear the last answer asks again, whoever answers.
    for site in [&site, &site.restarted()] {
        let head = site.send(&format!("HEAD {address}"), &[TUS], "").await;
        let len = bytes.len().to_string();
        assert_eq!((head.status, head.header("upload-offset")), (200, &*len));
        expect_silent(&head);
        let ended = site.send(&format!("DELETE {address}"), &[TUS], "").await;
        ended.expect_problem(409, "already_exists");
        expect_silent(&ended);
    }
    let empty = site.offer(&link, "empty", 0, &[]).await;
    assert_eq!(empty.status, 201);
    assert!(site.stored("/secret/box/empty").await.unwrap().is_empty());
}

/// The page knows where to send files and how long its requests may be, and loads the client when there is something to send.
#[tokio::test]
async fn the_page_is_told_where_files_go() {
    let site = Site::limited(TransferLimits {
        upload_request_max: Some(1_000_000),
        ..TransferLimits::default()
    });
    let link = site.letterbox("/box").await;
    let page = site.get(&link).await;
    for told in [
        format!("action=\"{link}/files\""),
        format!("data-uploads=\"{link}/uploads\""),
        "data-upload-request-max=\"1000000\"".to_owned(),
    ] {
        assert!(page.text().contains(&told), "{told}");
    }
    assert!(!page.text().contains("vendor"));
    let site = Site::new();
    let link = site.letterbox("/box").await;
    let page = site.get(&link).await;
    assert!(!page.text().contains("data-upload-request-max"));
    assert!(!page.text().contains("data-has-password"));
    let share = json!({"path": "/box", "upload_only": true, "password": "right"});
    let link = site.share(share).await;
    let unlocked = site.unlock(&link, "right").await;
    let cookie = unlocked.header("set-cookie").split(';').next().unwrap();
    let page = site
        .send(&format!("GET {link}"), &[("cookie", cookie)], "")
        .await;
    assert!(page.text().contains("data-has-password"), "{}", page.text());
}

#[tokio::test]
async fn a_file_that_is_given_up_is_gone() {
    let site = Site::new();
    let link = site.letterbox("/box").await;
    let address = site.offered(&link, "f", 10).await;
    site.patch(&address, 0, "half").await;
    let override_of = |method| [TUS, ("x-http-method-override", method)];
    let post = format!("POST {address}");
    let head = site.send(&post, &override_of("HEAD"), "").await;
    assert_eq!((head.status, head.header("upload-offset")), (200, "4"));
    let ended = site.send(&post, &override_of("DELETE"), "").await;
    assert_eq!(ended.status, 204);
    let late = site.patch(&address, 4, "x").await;
    late.expect_problem(404, "not_found");
    assert_eq!(site.stored("/box/f").await, None);
}

/// Whoever knows the address of an upload, or its id, reaches it by the link that it was begun by, and by no other.
#[tokio::test]
async fn nobody_reaches_the_uploads_of_others() {
    let site = Site::new();
    let (link, other) = (site.letterbox("/box").await, site.letterbox("/other").await);
    for is_whole in [false, true] {
        let own = site.begin("/own", 4).await;
        let own = own.rsplit('/').next().unwrap();
        let by_link = site.offered(&link, "f", 4).await;
        let last = by_link.rsplit('/').next().unwrap();
        let (upload, mark) = last.split_once('.').unwrap();
        if is_whole {
            let own = format!("/api/v1/uploads/{own}");
            assert_eq!(site.patch(&own, 0, "mine").await.status, 204);
            assert_eq!(site.patch(&by_link, 0, "sent").await.status, 204);
        }
        let foreign = [
            format!("{other}/uploads/{last}"),
            format!("{other}/uploads/{upload}"),
            format!("{link}/uploads/{own}"),
            format!("{link}/uploads/{own}.{mark}"),
            format!("{link}/uploads/{upload}"),
            format!("{link}/uploads/{upload}."),
            format!("{link}/uploads/{upload}.{}", &mark[..4]),
        ];
        for address in &foreign {
            for method in ["HEAD", "DELETE"] {
                let answer = site.send(&format!("{method} {address}"), &[TUS], "").await;
                assert_eq!(answer.status, 404, "{method} {address}");
            }
            let patched = site.patch(address, 0, "evil").await;
            patched.expect_problem(404, "not_found");
        }
        if !is_whole {
            // The owner's own address of it.
            let patched = site
                .patch(&format!("/api/v1/uploads/{upload}"), 0, "x")
                .await;
            patched.expect_problem(404, "not_found");
            assert_eq!(site.patch(&by_link, 0, "sent").await.status, 204);
        }
    }
    assert_eq!(site.stored("/own").await.unwrap(), "mine");
    assert_eq!(site.stored("/box/f").await.unwrap(), "sent");
    assert_eq!(site.stored("/other/f").await, None);
}

/// An address is made of a token that many may know: whose an open upload is stands in its note.
#[tokio::test]
async fn an_open_upload_of_others_is_not_found_by_a_right_address() {
    let site = Site::new();
    let link = site.letterbox("/box").await;
    let own = site.begin("/own", 4).await;
    let upload = own.rsplit('/').next().unwrap();
    let token = link.strip_prefix("/s/").unwrap();
    let mut mark = Hmac::<Sha256>::new_from_slice(token.as_bytes()).unwrap();
    mark.update(upload.parse::<UploadId>().unwrap().uuid().as_bytes());
    let mark = BASE64_URL_SAFE_NO_PAD.encode(&mark.finalize().into_bytes()[..16]);
    let address = format!("{link}/uploads/{upload}.{mark}");
    let foreign = site.patch(&address, 0, "evil").await;
    foreign.expect_problem(404, "not_found");
    let ended = site.send(&format!("DELETE {address}"), &[TUS], "").await;
    ended.expect_problem(404, "not_found");
    assert_eq!(site.patch(&own, 0, "mine").await.status, 204);
}

#[tokio::test]
async fn a_link_that_ended_takes_no_more() {
    for ends in ["revoked", "expired"] {
        let site = Site::new();
        site.keep("/box/old", b"x");
        let expires = crate::receivers::now_ms() + 1500;
        let mut share = json!({"path": "/box", "upload_only": true});
        if ends == "expired" {
            share["expires_ms"] = json!(expires);
        }
        let link = site.share(share).await;
        let address = site.offered(&link, "f", 2 * CHUNK).await;
        let drive = site.drive.clone();
        let end = async move {
            if ends == "revoked" {
                drive.revoke_share(ShareId(1)).await.unwrap();
            }
            while ends == "expired" && crate::receivers::now_ms() < expires {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let bytes = content(2 * CHUNK);
        let body = interrupted(&bytes[..CHUNK], end, &bytes[CHUNK..]);
        let last = site.patch(&address, 0, body).await;
        last.expect_problem(400, "upload_interrupted");
        expect_silent(&last);
        assert_eq!(site.stored("/box/f").await, None, "{ends}");
        for method in ["HEAD", "DELETE", "OPTIONS"] {
            let answer = site.send(&format!("{method} {address}"), &[TUS], "").await;
            assert_eq!(answer.status, 404, "{method}");
        }
        let late = site.patch(&address, CHUNK, bytes[CHUNK..].to_vec()).await;
        late.expect_problem(404, "not_found");
        let offered = site.offer(&link, "f", 4, &[]).await;
        offered.expect_problem(404, "not_found");
    }
}

/// What was begun by a link stayed for days after its end, and whoever sent was heard out.
#[tokio::test]
async fn with_a_link_its_unfinished_files_end() {
    let site = Site::new();
    let (link, other) = (site.letterbox("/box").await, site.letterbox("/other").await);
    let resting = site.offered(&link, "f", 4).await;
    let running = site.offered(&link, "g", 2 * CHUNK).await;
    let foreign = site.offered(&other, "f", 4).await;
    let body = interrupted(&content(CHUNK), std::future::pending(), b"");
    let stopped = async {
        let stopped = site.patch(&running, 0, body).await;
        assert!(stopped.status >= 400);
    };
    let revoked = async {
        let request = "DELETE /api/v1/shares/1";
        assert_eq!(site.send(request, &[], "").await.status, 204);
    };
    tokio::time::timeout(Duration::from_secs(30), async {
        tokio::join!(stopped, revoked)
    })
    .await
    .expect("whoever sends is stopped");
    for address in [&resting, &running] {
        let upload = address.rsplit('/').next().unwrap();
        let upload = upload.split('.').next().unwrap().parse().unwrap();
        let found = site.drive.find_upload(upload).await;
        assert!(
            matches!(found, Err(client::Error::NotFound { .. })),
            "{address}"
        );
    }
    assert_eq!(site.patch(&foreign, 0, "sent").await.status, 204);
}

/// Whoever sent to a folder that lay in the trash for a while began anew: all that they had sent was forgotten.
#[tokio::test]
async fn a_file_waits_while_its_folder_is_in_the_trash() {
    let site = Site::new();
    let link = site.letterbox("/box").await;
    let address = site.offered(&link, "f", 8).await;
    assert_eq!(site.patch(&address, 0, "half").await.status, 204);
    let deleted = site.delete("/api/v1/folders/box?recursive=true").await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let head = site.send(&format!("HEAD {address}"), &[TUS], "").await;
    assert_eq!(head.status, 423, "clients forget it after 404");
    let patched = site.patch(&address, 4, "rest").await;
    patched.expect_problem(423, "locked");
    expect_silent(&patched);
    let offered = site.offer(&link, "g", 4, &[]).await;
    offered.expect_problem(404, "not_found");
    let restored = site.post("/api/v1/trash/1/restore", "{}").await;
    assert_eq!(restored.status, 200, "{}", restored.text());
    assert_eq!(site.offset(&address).await, 4);
    assert_eq!(site.patch(&address, 4, "rest").await.status, 204);
    assert_eq!(site.stored("/box/f").await.unwrap(), "halfrest");
}

/// A file that was on its way went to whatever had the old name of its folder by then.
#[tokio::test]
async fn a_file_follows_its_folder() {
    let site = Site::new();
    let link = site.letterbox("/box").await;
    let bytes = content(2 * CHUNK);
    let address = site.offered(&link, "f", bytes.len()).await;
    let drive = site.drive.clone();
    let change = async move {
        move_in(&drive, "/box", "/elsewhere").await;
        drive.put(&"/box/private".parse().unwrap(), Bytes::new(), 0);
    };
    let body = interrupted(&bytes[..CHUNK], change, &bytes[CHUNK..]);
    let broken = site.patch(&address, 0, body).await;
    broken.expect_problem(400, "upload_interrupted");
    assert_eq!(site.offset(&address).await, CHUNK);
    site.move_entry("/elsewhere", "/again").await;
    let last = site.patch(&address, CHUNK, bytes[CHUNK..].to_vec()).await;
    assert_eq!(last.status, 204, "{}", last.text());
    assert!(site.stored("/again/f").await.unwrap() == bytes);
    assert_eq!(site.stored("/box/f").await, None);
}

#[tokio::test]
async fn the_password_is_asked_for_and_not_again_by_those_who_send() {
    let site = Site::new();
    site.keep("/box/old", b"x");
    let share = json!({"path": "/box", "upload_only": true, "password": "right"});
    let link = site.share(share).await;
    let refused = site.offer(&link, "f", 4, &[]).await;
    refused.expect_problem(403, "password_needed");
    let cookie_of = |answer: &Answer| {
        let cookie = answer.header("set-cookie").split(';').next().unwrap();
        cookie.to_owned()
    };
    let cookie = cookie_of(&site.unlock(&link, "right").await);
    let offered = site.offer(&link, "f", 4, &[("cookie", &cookie)]).await;
    assert_eq!(offered.status, 201, "{}", offered.text());
    let address = offered.header("location").to_owned();
    let renewed = cookie_of(&offered);
    for (method, headers) in [
        ("HEAD", &[TUS][..]),
        ("DELETE", &[TUS]),
        ("PATCH", &[TUS, BYTES, ("upload-offset", "0")]),
    ] {
        let refused = site
            .send(&format!("{method} {address}"), headers, "sent")
            .await;
        assert_eq!(refused.status, 403, "{method}");
    }
    let headers = [TUS, BYTES, ("upload-offset", "0"), ("cookie", &*renewed)];
    let sent = site
        .send(&format!("PATCH {address}"), &headers, "sent")
        .await;
    assert_eq!(sent.status, 204, "{}", sent.text());
    assert_eq!(site.stored("/box/f").await.unwrap(), "sent");
}

/// Two who sent a file of the same name at the same time both have it, and neither is told of the other.
#[tokio::test]
async fn a_name_that_is_taken_gets_a_number_and_nothing_is_replaced() {
    let site = Site::new();
    let link = site.letterbox("/box").await;
    let [first, second, third] = [
        site.offered(&link, "a.txt", 4).await,
        site.offered(&link, "a.txt", 4).await,
        site.offered(&link, "a.txt", 4).await,
    ];
    site.keep("/box/a.txt", b"theirs");
    assert_eq!(site.patch(&first, 0, "once").await.status, 204);
    site.keep("/box/a (3).txt/in a folder", b"x");
    let drive = site.drive.clone();
    let take = async move {
        drive.put(&"/box/a (4).txt".parse().unwrap(), Bytes::new(), 0);
    };
    // What it was to be called is taken in the very moment.
    let raced = site
        .patch(&second, 0, interrupted(b"tw", take, b"ic"))
        .await;
    raced.expect_problem(423, "locked");
    expect_silent(&raced);
    assert!(!raced.text().contains("taken"));
    assert!(
        raced
            .text()
            .contains("it did not get its name; the end of it is sent again")
    );
    let offset = site.offset(&second).await;
    let again = site
        .patch(&second, offset, "twic"[offset..].to_owned())
        .await;
    assert_eq!(again.status, 204, "{}", again.text());
    expect_silent(&again);
    assert_eq!(site.patch(&third, 0, "thri").await.status, 204);
    // Of what comes with its beginning nothing is left where that fails.
    let drive = site.drive.clone();
    let take = async move {
        drive.put(&"/box/b".parse().unwrap(), Bytes::new(), 0);
    };
    let raced = site
        .sent_at_once(&link, "b", 4, interrupted(b"on", take, b"ce"))
        .await;
    raced.expect_problem(423, "locked");
    expect_silent(&raced);
    assert!(!raced.text().contains("taken"));
    assert!(
        raced
            .text()
            .contains("it did not get its name: send it again")
    );
    for (path, expected) in [
        ("a.txt", "theirs"),
        ("a (2).txt", "once"),
        ("a (4).txt", ""),
        ("a (5).txt", "twic"),
        ("a (6).txt", "thri"),
    ] {
        let stored = site
            .stored(&format!("/box/{}", path.replace(' ', "%20")))
            .await;
        assert_eq!(stored.unwrap(), expected, "{path}");
    }
}

/// Whose name was taken while the first of many pieces was on its way could not go on, whatever was sent; and was told of a name
/// outside the link where the folder had been moved.
#[tokio::test]
async fn a_name_that_is_taken_early_keeps_no_piece_from_going_on() {
    let site = Site::new();
    let link = site.letterbox("/secret/box").await;
    let bytes = content(3 * CHUNK);
    let first = site.offered(&link, "f", bytes.len()).await;
    site.keep("/secret/box/f", b"theirs");
    let moved = site.offered(&link, "g", bytes.len()).await;
    site.move_entry("/secret/box", "/secret/moved").await;
    site.keep("/secret/box/g", b"private");
    for address in [&first, &moved] {
        let mut offset = 0;
        for piece in bytes.chunks(CHUNK + CHUNK / 2) {
            let sent = site.patch(address, offset, piece.to_vec()).await;
            assert_eq!(sent.status, 204, "{}", sent.text());
            expect_silent(&sent);
            offset += piece.len();
        }
    }
    for path in ["/secret/moved/f%20(2)", "/secret/moved/g"] {
        assert!(site.stored(path).await.unwrap() == bytes, "{path}");
    }
    for (path, expected) in [("/secret/moved/f", "theirs"), ("/secret/box/g", "private")] {
        assert_eq!(site.stored(path).await.unwrap(), expected, "{path}");
    }
}

#[tokio::test]
async fn names_lead_nowhere() {
    let site = Site::new();
    let link = site.letterbox("/secret/box").await;
    let long = "x".repeat(256);
    for name in ["", ".", "..", "../f", "/f", "a/f", "a\0", &long] {
        let refused = site.offer(&link, name, 4, &[]).await;
        refused.expect_problem(400, "invalid_argument");
        assert!(!refused.text().contains("secret"), "{}", refused.text());
    }
    let request = format!("POST {link}/uploads");
    let places = ["path", "relativePath", "folder"];
    let place = |key: &str| format!("{key} {}", STANDARD.encode("/secret/f"));
    let metadata = places.map(place).join(",");
    let headers = [TUS, ("upload-length", "4"), ("upload-metadata", &*metadata)];
    let refused = site.send(&request, &headers, "").await;
    refused.expect_problem(400, "invalid_argument");
    let metadata = format!("{metadata},filename {}", STANDARD.encode("f"));
    let headers = [
        TUS,
        BYTES,
        ("upload-length", "4"),
        ("upload-metadata", &*metadata),
    ];
    assert_eq!(site.send(&request, &headers, "sent").await.status, 201);
    assert_eq!(site.stored("/secret/box/f").await.unwrap(), "sent");
    assert_eq!(site.stored("/secret/f").await, None);
}

/// What the cluster says has whole paths in it.
#[tokio::test]
async fn no_refusal_has_a_path_in_it() {
    let site = Site::new();
    let link = site.letterbox("/secret/box").await;
    let address = site.offered(&link, "f", 4).await;
    let fault = |faults: Faults| site.drive.set_faults(faults);
    fault(Faults {
        commits_refused: Some("/secret/box/f breaks a rule"),
        ..Faults::default()
    });
    let refused = site.patch(&address, 0, "sent").await;
    refused.expect_problem(400, "invalid_argument");
    expect_silent(&refused);
    fault(Faults {
        disks: Some(60_000_000),
        ..Faults::default()
    });
    let refused = site.restarted().offer(&link, "g", 70_000_000, &[]).await;
    refused.expect_problem(413, "too_large");
    assert!(!refused.text().contains("disks"), "{}", refused.text());
    fault(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let head = site.send(&format!("HEAD {address}"), &[TUS], "").await;
    assert_eq!(
        head.status, 423,
        "clients begin anew after any other answer"
    );
    let away = site.patch(&address, 0, "sent").await;
    away.expect_problem(503, "unavailable");
    expect_silent(&away);
}

/// Nobody learns whether the cluster has a content, which is told by naming it.
#[tokio::test]
async fn nothing_is_named_and_nothing_seen() {
    let site = Site::new();
    let link = site.letterbox("/box").await;
    let address = site.offered(&link, "f", 4).await;
    let json = [TUS, ("content-type", "application/json")];
    let request = format!("POST {address}/chunks");
    let named = site
        .send(&request, &json, r#"{"offset":0,"chunks":[]}"#)
        .await;
    assert_eq!(named.status, 404);
    assert_eq!(site.get(&address).await.status, 405);
    let options = site.send(&format!("OPTIONS {link}/uploads"), &[], "").await;
    assert_eq!(
        (options.status, options.header("tus-version")),
        (204, "1.0.0")
    );
    // Nor is anything added where something is only shown.
    site.keep("/shown/f", b"x");
    let shown = site.share(json!({"path": "/shown"})).await;
    let refused = site.offer(&shown, "f", 4, &[]).await;
    refused.expect_problem(404, "not_found");
    let nowhere = format!("/s/{}", "x".repeat(32));
    let refused = site.offer(&nowhere, "f", 4, &[]).await;
    refused.expect_problem(404, "not_found");
}

#[tokio::test]
async fn other_sites_add_nothing() {
    let site = Site::new();
    let link = site.letterbox("/box").await;
    let foreign = ("sec-fetch-site", "cross-site");
    let refused = site.offer(&link, "f", 4, &[foreign]).await;
    refused.expect_problem(403, "cross_site");
    assert_eq!(refused.header("tus-resumable"), "1.0.0");
    let address = site.offered(&link, "f", 4).await;
    let headers = [TUS, BYTES, ("upload-offset", "0"), foreign];
    let refused = site
        .send(&format!("PATCH {address}"), &headers, "evil")
        .await;
    refused.expect_problem(403, "cross_site");
    // A page that tells nobody where it is says so of its own scripts, too.
    let own = [TUS, BYTES, ("upload-offset", "0"), ("origin", "null")];
    let sent = site.send(&format!("PATCH {address}"), &own, "sent").await;
    assert_eq!(sent.status, 204);
}
