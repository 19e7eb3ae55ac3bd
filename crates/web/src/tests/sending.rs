//! Files that are added by a link and can go on in the middle: what their senders can do, and what they never learn or reach.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt, stream};
use hmac::{Hmac, KeyInit, Mac};
use proto::id::UploadId;
use proto::master::{NOTE_LEN_MAX, ShareId};
use serde_json::json;
use sha2::Sha256;
use tower::ServiceExt;

use super::uploads::{BYTES, CHUNK, TUS, content};
use super::{Answer, Site, server};
use crate::drive::{Drafts, Drive, Shares};
use crate::memory::{Faults, MemoryDrive};
use crate::{TransferLimits, app};

impl Site {
    /// A folder for files, and the link by which they are added.
    async fn letterbox(&self, path: &str) -> String {
        self.keep(&format!("{path}/old"), b"x");
        self.share(json!({"path": path, "upload_only": true})).await
    }

    /// Opens an upload by a link.
    async fn offer(&self, link: &str, name: &str, size: usize, more: &[(&str, &str)]) -> Answer {
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
    async fn offered(&self, link: &str, name: &str, size: usize) -> String {
        let answer = self.offer(link, name, size, &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.header("location").to_owned()
    }

    async fn stored(&self, path: &str) -> Option<Bytes> {
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
fn interrupted(
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

/// The cluster keeps only so much of what is said of a file.
#[tokio::test]
async fn too_much_that_is_said_of_a_file_is_refused() {
    let site = Site::new();
    let link = site.letterbox("/box").await;
    let fits = NOTE_LEN_MAX - "1\n".len();
    for (len, expected) in [(fits, 201), (fits + 4, 400)] {
        let begin = "filename Zg==,abc ";
        let filler = "A".repeat(len - begin.len());
        let metadata = format!("{begin}{filler}");
        let headers = [TUS, ("upload-length", "4"), ("upload-metadata", &*metadata)];
        let answer = site
            .send(&format!("POST {link}/uploads"), &headers, "")
            .await;
        assert_eq!(answer.status, expected, "{}", answer.text());
        if expected == 400 {
            answer.expect_problem(400, "bad_request");
            assert!(answer.text().contains("Upload-Metadata is too long"));
        }
    }
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

/// One link could begin as many uploads as the master keeps of all.
#[tokio::test(start_paused = true)]
async fn one_link_begins_only_so_many() {
    let site = Site::new();
    let (link, other) = (site.letterbox("/box").await, site.letterbox("/other").await);
    let mut begun = Vec::new();
    let refused = loop {
        let answer = site.offer(&link, "f", 4, &[]).await;
        if answer.status != 201 {
            break answer;
        }
        begun.push(answer.header("location").to_owned());
        assert!(begun.len() < 1000, "it has no end");
        // Nothing is held of those that rest.
        tokio::time::advance(Duration::from_secs(10)).await;
    };
    refused.expect_problem(503, "busy");
    assert_eq!(begun.len(), 256);
    site.offered(&other, "f", 4).await;
    site.begin("/own", 4).await;
    assert_eq!(site.patch(&begun[0], 0, "sent").await.status, 204);
    site.offered(&link, "g", 4).await;
    let ended = site.send(&format!("DELETE {}", begun[1]), &[TUS], "").await;
    assert_eq!(ended.status, 204);
    site.offered(&link, "h", 4).await;
    site.offer(&link, "i", 4, &[])
        .await
        .expect_problem(503, "busy");
}

/// Whoever hung up while an upload was begun left one that nobody counted, as often as they liked.
#[tokio::test]
async fn an_upload_of_which_nobody_heard_is_ended() {
    let drive = MemoryDrive::default();
    let state = server(&drive);
    let appends = state.appends();
    let router = app(state);
    let site = Site { drive, router };
    let link = site.letterbox("/box").await;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let piece = stream::once(async move { receiver.await.unwrap() });
    let request = Request::post(format!("{link}/uploads"))
        .header("host", "localhost:5000")
        .header(TUS.0, TUS.1)
        .header(BYTES.0, BYTES.1)
        .header("upload-length", "4")
        .header("upload-metadata", "filename Zg==");
    let request = request.body(Body::from_stream(piece)).unwrap();
    let creating = tokio::spawn(site.router.clone().oneshot(request));
    let upload = UploadId::new(uuid::Uuid::from_u128(1));
    while site.drive.find_upload(upload).await.is_err() {
        tokio::task::yield_now().await;
    }
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    let broken = Err::<Bytes, _>(std::io::Error::other("the connection broke"));
    sender.send(broken).unwrap();
    appends.close();
    appends.wait().await;
    let found = site.drive.find_upload(upload).await;
    assert!(matches!(found, Err(client::Error::NotFound { .. })));
}

/// What is held of files that many send by one link left no room for those of others.
#[tokio::test(start_paused = true)]
async fn one_link_keeps_no_room_from_others() {
    let site = Site::new();
    let (link, other) = (site.letterbox("/box").await, site.letterbox("/other").await);
    while site.offer(&link, "f", 4, &[]).await.status == 201 {}
    site.offered(&other, "f", 4).await;
    while site.offer(&other, "f", 4, &[]).await.status == 201 {}
    site.begin("/own", 4).await;
}

/// A few who sent slowly took the turns of all.
#[tokio::test(start_paused = true)]
async fn slow_senders_keep_nobody_from_sending() {
    let site = Site::new();
    let (link, other) = (site.letterbox("/box").await, site.letterbox("/other").await);
    let mut addresses = Vec::new();
    for _ in 0..30 {
        addresses.push(site.offered(&link, "f", 10).await);
    }
    let next = site.offered(&other, "f", 4).await;
    let slow = join_all(addresses.iter().map(|address| {
        site.patch(
            address,
            0,
            interrupted(b"half", std::future::pending(), b""),
        )
    }));
    let sent = async {
        let sent = site.patch(&next, 0, "sent").await;
        assert_eq!(sent.status, 204, "{}", sent.text());
        let put = site.send("PUT /api/v1/files/own", &[], "x").await;
        assert_eq!(put.status, 201, "{}", put.text());
    };
    tokio::select! {
        biased;
        _ = slow => panic!("they go on"),
        () = sent => {}
    }
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

/// The owner says how large a file by a link may be: it is refused before its first byte, or in a form where it is longer.
#[tokio::test]
async fn files_by_links_have_a_limit() {
    let site = Site::limited(TransferLimits {
        request_file_max: Some(4),
        ..TransferLimits::default()
    });
    let link = site.letterbox("/box").await;
    let refused = site.offer(&link, "f", 5, &[]).await;
    refused.expect_problem(413, "too_large");
    assert!(refused.text().contains("f was not stored"));
    let address = site.offered(&link, "f", 4).await;
    assert_eq!(site.patch(&address, 0, "sent").await.status, 204);
    let headers = [
        ("accept", "application/json"),
        ("content-type", "multipart/form-data; boundary=XX"),
    ];
    let form = |name: &str, content: &str| {
        format!(
            "--XX\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n{content}\r\n--XX--\r\n"
        )
    };
    let request = format!("POST {link}/files");
    let refused = site.send(&request, &headers, form("g", "large")).await;
    refused.expect_problem(413, "too_large");
    assert_eq!(site.stored("/box/g").await, None);
    let added = site.send(&request, &headers, form("g", "less")).await;
    assert_eq!(added.status, 201, "{}", added.text());
    site.begin("/own", 5).await;
}

/// Clients were told of a limit above what the cluster takes.
#[tokio::test]
async fn the_smaller_limit_is_told() {
    for (limit, told) in [
        (None, "1073741824"),
        (Some(4), "4"),
        (Some(2 << 30), "1073741824"),
    ] {
        let site = Site::limited(TransferLimits {
            request_file_max: limit,
            ..TransferLimits::default()
        });
        let link = site.letterbox("/box").await;
        let options = site.send(&format!("OPTIONS {link}/uploads"), &[], "").await;
        assert_eq!(options.header("tus-max-size"), told, "{limit:?}");
    }
}
