//! Uploads that outlive their caller: how far they are, and what became of them.

use proto::master::{Precondition, UploadPlan};
use proto::{ErrorCode, WireError};

use super::bench::{Bench, LEASE, chunk, chunk_of, code, path, stored};
use crate::command::{ClusterMillis, Command};
use crate::state::KeptUpload;

#[test]
fn a_kept_upload_says_how_far_it_is_and_what_became_of_it() {
    let mut bench = Bench::new(3);
    let upload = bench.upload_id();
    let plan = UploadPlan {
        path: path("/f"),
        size: 150,
        modified_ms: Some(7),
        parents: false,
        precondition: Precondition::Absent,
        note: "a note".to_owned(),
    };
    let keep = |plan: &UploadPlan| Command::KeepUpload {
        upload,
        lease_until: ClusterMillis(9_000),
        plan: plan.clone(),
    };
    assert_eq!(
        code(bench.read().kept_upload(upload).map_err(WireError::from)),
        ErrorCode::UploadUnknown
    );
    bench.apply(keep(&plan)).unwrap();
    bench.apply(keep(&plan)).unwrap();
    let other = UploadPlan {
        size: 151,
        ..plan.clone()
    };
    assert_eq!(code(bench.apply(keep(&other))), ErrorCode::InvalidArgument);

    let chunks = [chunk(1), chunk_of(2, 50)];
    bench.allocate(upload, &chunks, &[1, 2, 3]).unwrap();
    let chunks = chunks.map(|chunk| stored(upload, &chunk, &[1, 2]));
    bench.record(upload, 0, &chunks[..1]).unwrap();
    let Ok(KeptUpload::Open(found, row)) = bench.read().kept_upload(upload) else {
        panic!("it is open");
    };
    assert_eq!((found, row.bytes), (plan, 100));
    let committed = bench.commit_if(upload, "/f", (150, 1), &chunks[1..], Precondition::Absent);
    let expected = KeptUpload::Committed(150, committed.unwrap());
    assert_eq!(bench.read().kept_upload(upload).unwrap(), expected);
    assert_eq!(code(bench.apply(keep(&other))), ErrorCode::UploadUnknown);
}

/// The answer was forgotten as soon as others, a day after the commit or sooner, and whoever came back after a week-end to hear that
/// all was well sent everything again.
#[test]
fn what_became_of_a_kept_upload_is_known_as_long_as_it_is_kept() {
    let mut bench = Bench::new(3);
    let (kept, other) = (bench.upload_id(), bench.upload_id());
    let lease_until = ClusterMillis(bench.now + 2 * LEASE);
    bench
        .apply(Command::KeepUpload {
            upload: kept,
            lease_until,
            plan: UploadPlan {
                path: path("/kept"),
                size: 100,
                modified_ms: None,
                parents: false,
                precondition: Precondition::Any,
                note: String::new(),
            },
        })
        .unwrap();
    for (upload, at) in [(kept, "/kept"), (other, "/other")] {
        bench.allocate(upload, &[chunk(1)], &[1, 2]).unwrap();
        let chunks = [stored(upload, &chunk(1), &[1, 2])];
        bench.commit(upload, at, 0, &chunks).unwrap();
    }
    let ask = |bench: &Bench, upload| bench.read().kept_upload(upload);
    bench.sweep(0, 0, lease_until.0);
    assert!(matches!(
        ask(&bench, kept),
        Ok(KeptUpload::Committed(100, _))
    ));
    assert!(ask(&bench, other).is_err(), "others are forgotten by age");
    bench.sweep(0, 0, lease_until.0 + 1);
    assert!(ask(&bench, kept).is_err());
}

#[test]
fn an_upload_that_could_not_be_committed_is_not_kept() {
    let mut bench = Bench::new(3);
    bench.put("/f", &[chunk(1)]);
    bench.put("/folder/g", &[chunk(1)]);
    let upload = bench.upload_id();
    let mut check = |at: &str, size, precondition, expected| {
        let plan = UploadPlan {
            path: path(at),
            size,
            modified_ms: None,
            parents: false,
            precondition,
            note: String::new(),
        };
        let lease_until = ClusterMillis(9_000);
        let kept = bench.apply(Command::KeepUpload {
            upload,
            lease_until,
            plan,
        });
        assert_eq!(code(kept), expected, "{at}");
    };
    check("/folder", 1, Precondition::Any, ErrorCode::IsAFolder);
    check("/none/f", 1, Precondition::Any, ErrorCode::NotFound);
    check("/f/g", 1, Precondition::Any, ErrorCode::NotAFolder);
    check("/f", 1, Precondition::Absent, ErrorCode::PreconditionFailed);
    assert_eq!(
        code(bench.read().kept_upload(upload).map_err(WireError::from)),
        ErrorCode::UploadUnknown
    );
    assert_eq!(bench.read().counters().unwrap().uploads, 0);
}
