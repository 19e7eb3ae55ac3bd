//! Files of forms that somebody cancels: after the answer it is decided what becomes of each.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::batch::{FORM, file, form, send, statuses};
use super::{Answer, Site};
use crate::memory::{Faults, Hold};

impl Site {
    /// Uploads are held before somebody is asked whether they are still wanted.
    pub(super) fn hold_unasked(&self) -> Arc<Hold> {
        let hold = Arc::new(Hold::default());
        self.drive.set_faults(Faults {
            unasked_held: Some(Arc::clone(&hold)),
            ..Faults::default()
        });
        hold
    }

    /// Uploads are held when they are getting their names.
    pub(super) fn hold_commits(&self) -> Arc<Hold> {
        let hold = Arc::new(Hold::default());
        self.drive.set_faults(Faults {
            commits_held: Some(Arc::clone(&hold)),
            ..Faults::default()
        });
        hold
    }

    async fn expect_no_file(&self) {
        let answer = self.get("/api/v1/files/a").await;
        answer.expect_problem(404, "not_found");
    }
}

async fn cancel(site: &Site, ids: &[Uuid]) -> Answer {
    let json = [("content-type", "application/json")];
    let ids = json!({ "ids": ids }).to_string();
    site.send("POST /api/v1/cancel", &json, ids).await
}

pub(super) async fn outcome(site: &Site, id: Uuid) -> Value {
    let answer = cancel(site, &[id]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["files"][0].clone()
}

fn one(id: Uuid) -> String {
    form(&[(json!({"path": "/a", "id": id}), "a")])
}

/// Sends a form whose answer nobody reads, until it is held.
async fn send_until_held(site: &Site, hold: &Hold, form: String) -> tokio::task::JoinHandle<()> {
    let router = site.router.clone();
    let sending = tokio::spawn(async move {
        let request = Request::post("/api/v1/files")
            .header("host", "localhost:5000")
            .header(FORM[0].0, FORM[0].1);
        router
            .oneshot(request.body(Body::from(form)).unwrap())
            .await
            .unwrap();
    });
    hold.until_one_came().await;
    sending
}

#[tokio::test]
async fn a_file_that_is_cancelled_before_it_gets_its_name_is_not_stored() {
    let site = Site::new();
    let (hold, id) = (site.hold_unasked(), Uuid::new_v4());
    let sending = send_until_held(&site, &hold, one(id)).await;
    assert_eq!(outcome(&site, id).await["outcome"], "not_stored");
    hold.let_one_go();
    sending.await.unwrap();
    site.expect_no_file().await;
    assert_eq!(outcome(&site, id).await["outcome"], "not_stored");
}

/// Its request was given up in the moment in which it got its name: it was stored, and nobody could tell.
#[tokio::test]
async fn a_file_that_gets_its_name_is_stored_although_its_form_broke_off() {
    let site = Site::new();
    let (hold, id) = (site.hold_commits(), Uuid::new_v4());
    let sending = send_until_held(&site, &hold, one(id)).await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    let (said, ()) = tokio::join!(outcome(&site, id), async { hold.let_one_go() });
    assert_eq!(
        said,
        json!({"id": id, "outcome": "stored", "version": 1, "copies": 3, "copies_wanted": 3})
    );
    assert_eq!(site.get("/api/v1/files/a").await.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn whoever_cancels_does_not_wait_for_ever_for_a_commit() {
    let site = Site::new();
    let (hold, id) = (site.hold_commits(), Uuid::new_v4());
    let sending = send_until_held(&site, &hold, one(id)).await;
    assert_eq!(outcome(&site, id).await["outcome"], "committing");
    hold.let_one_go();
    sending.await.unwrap();
    assert_eq!(outcome(&site, id).await["outcome"], "stored");
}

/// A form that broke off went on with files that nobody had said they wanted any more.
#[tokio::test]
async fn what_has_no_name_when_its_form_breaks_off_is_withdrawn() {
    let site = Site::new();
    let (hold, id) = (site.hold_unasked(), Uuid::new_v4());
    let sending = send_until_held(&site, &hold, one(id)).await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    hold.let_one_go();
    assert_eq!(outcome(&site, id).await["outcome"], "not_stored");
    site.expect_no_file().await;
}

/// A connection that breaks in the middle stops nobody who reads from it: the form only cannot be read any more. What had come of it
/// was stored all the same.
#[tokio::test]
async fn what_has_no_name_when_its_form_cannot_be_read_on_is_withdrawn() {
    let site = Site::new();
    let (hold, id) = (site.hold_unasked(), Uuid::new_v4());
    let whole = file(&json!({"path": "/a", "id": id}), "a") + "--XX\r\n";
    let broken = async move {
        hold.until_one_came().await;
        hold.let_one_go();
        Err(io::Error::other("connection reset"))
    };
    let pieces = stream::iter([Ok(whole)]).chain(stream::once(broken));
    let answer = send(&site, Body::from_stream(pieces)).await;
    answer.expect_problem(400, "upload_interrupted");
    assert_eq!(outcome(&site, id).await["outcome"], "not_stored");
    site.expect_no_file().await;
}

/// Nobody may say of it that it is not stored: the master may have stored it, and died before it could say so.
#[tokio::test]
async fn a_file_whose_commit_nobody_answered_is_unsure() {
    let site = Site::new();
    let (hold, id) = (site.hold_commits(), Uuid::new_v4());
    let sending = send_until_held(&site, &hold, one(id)).await;
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    hold.let_one_go();
    sending.await.unwrap();
    assert_eq!(outcome(&site, id).await["outcome"], "unsure");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_comes_after_it_was_cancelled_is_refused() {
    let site = Site::new();
    let id = Uuid::new_v4();
    assert_eq!(outcome(&site, id).await["outcome"], "unsure");
    let answer = send(&site, one(id)).await;
    assert_eq!(statuses(&answer), [409]);
    assert_eq!(answer.json()["files"][0]["problem"]["code"], "cancelled");
    assert_eq!(outcome(&site, id).await["outcome"], "unsure");
    site.expect_no_file().await;
    // Only for a while; it is forgotten when another one is cancelled.
    tokio::time::advance(std::time::Duration::from_secs(601)).await;
    outcome(&site, Uuid::new_v4()).await;
    assert_eq!(statuses(&send(&site, one(id)).await), [201]);
}

#[tokio::test]
async fn what_has_ended_is_told_as_it_ended() {
    let site = Site::new();
    site.keep("/taken", b"before");
    let [stored, refused, twice] = [(); 3].map(|()| Uuid::new_v4());
    let form = form(&[
        (json!({"path": "/a", "id": stored}), "a"),
        (
            json!({"path": "/taken", "if_none_match": "*", "id": refused}),
            "b",
        ),
        (json!({"path": "/c", "id": twice}), "c"),
        (json!({"path": "/d", "id": twice}), "d"),
        (json!({"path": "/e", "id": "e"}), "e"),
    ]);
    assert_eq!(
        statuses(&send(&site, form).await),
        [201, 412, 201, 400, 400]
    );
    let answer = cancel(&site, &[stored, refused, twice]).await.json();
    let outcomes = answer["files"].as_array().unwrap().iter();
    let outcomes: Vec<_> = outcomes
        .map(|file| file["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["stored", "not_stored", "stored"]);
    let many = vec![stored; 513];
    cancel(&site, &many)
        .await
        .expect_problem(400, "bad_request");
}
