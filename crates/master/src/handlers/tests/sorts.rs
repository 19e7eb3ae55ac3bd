//! Who waits for a turn to look at all entries of a folder, and for how long.

use std::task::Poll;

use futures::FutureExt;
use futures::future::join_all;
use proto::master::BrowseOrder;

use super::*;
use crate::handlers::sorts::{Sorts, WAIT_MAX, WAITING_MAX};
use world::Told;

/// One turn at a time, and a folder of three files.
async fn files_with_one_turn() -> Files<Told> {
    let files = Files {
        sorts: Sorts::new(1),
        ..files().await
    };
    for number in 1..=3 {
        files.put(&format!("/f/{number}"), number).await;
    }
    files
}

/// A folder of more than `rows` entries is a large one.
async fn browse(files: &Files<Told>, order: &str, rows: u32) -> Result<usize, WireError> {
    let request = BrowseFolder {
        path: path("/f"),
        order: BrowseOrder::try_from(order.to_owned()).unwrap(),
        after: None,
        from: None,
        limit: 10,
        rows,
    };
    let browsed = files.browse_folder(&caller(), request).await;
    browsed.map(|page| page.entries.len())
}

/// Whoever wanted a folder by size while others were sorted waited without end, and so did everything else that came by the
/// same connection as soon as all of its places were taken; a folder of three files waited with folders of millions.
#[tokio::test(start_paused = true)]
async fn only_a_large_folder_waits_for_a_turn() {
    let files = files_with_one_turn().await;
    let turn = files.sorts.turn().await.unwrap();
    for (order, rows) in [("name", 1), ("-name", 2), ("size", 3), ("-modified", 3)] {
        let answer = browse(&files, order, rows).now_or_never();
        let answer = answer.unwrap_or_else(|| panic!("{order} waits"));
        assert!(answer.is_ok());
    }
    let mut waiting = Box::pin(browse(&files, "size", 2));
    assert_eq!(futures::poll!(&mut waiting), Poll::Pending);
    drop(turn);
    assert_eq!(waiting.await, Ok(3));
    let at_once = browse(&files, "size", 2).now_or_never();
    assert_eq!(at_once, Some(Ok(3)), "the turn was given back");
}

#[tokio::test(start_paused = true)]
async fn few_wait_for_a_turn_and_none_for_long() {
    let files = files_with_one_turn().await;
    let turn = files.sorts.turn().await.unwrap();
    let large = || browse(&files, "size", 2);
    let mut waiting = Box::pin(join_all((0..WAITING_MAX).map(|_| large())));
    assert!(futures::poll!(&mut waiting).is_pending());
    let refused = large().now_or_never().unwrap().unwrap_err();
    assert_eq!(refused.code, ErrorCode::Busy);

    let begun = tokio::time::Instant::now();
    for answer in waiting.await {
        assert_eq!(answer.unwrap_err().code, ErrorCode::Busy);
    }
    assert!(begun.elapsed() < 2 * WAIT_MAX);

    // Who goes away leaves its place to others.
    let mut gone = Box::pin(join_all((0..WAITING_MAX).map(|_| large())));
    assert!(futures::poll!(&mut gone).is_pending());
    drop(gone);
    let mut waiting = Box::pin(large());
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(turn);
    assert_eq!(waiting.await, Ok(3));
}
