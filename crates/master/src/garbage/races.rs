//! A file is deleted and its chunk collected, while another file with that chunk is uploaded.

use threads::races::{Happened, check, draw};
use threads::spawn;

use crate::races::{Beginning, World, chunk, join_all};

/// After a refusal it asks again, as a client does.
const TRIES: usize = 3;

#[test]
fn an_upload_of_a_chunk_that_is_being_collected() {
    let beginning = Beginning::with_file("/old", 1);
    let (uploaded, collected) = (Happened::default(), Happened::default());
    let counts = (uploaded.clone(), collected.clone());
    check(fuzz::cases(300), move || {
        let beginning = beginning.fork();
        let (uploaded, collected) = counts.clone();
        async move {
            let world = World::open(&beginning).await;
            if draw().is_multiple_of(2) {
                // Then it is not known to be stored, and is sent to nodes that may have it.
                world.doubt_all();
            }
            let (uploading, deleting) = (world.clone(), world.clone());
            let upload = spawn(async move {
                for _ in 0..TRIES {
                    if uploading.upload(2, "/new", &[1, 2]).await.is_ok() {
                        return true;
                    }
                }
                false
            });
            let collect = spawn(async move {
                deleting.delete("/old").await;
                deleting.collect().await;
                deleting.collect().await;
                collected.note(deleting.recorded(&chunk(1)).is_empty());
            });
            join_all(vec![collect]).await;
            let is_there = threads::join(upload).await.unwrap();
            uploaded.note(is_there);
            for number in [1, 2] {
                let copies = world.check_copies(&chunk(number));
                assert!(!is_there || copies.len() >= 2, "a file has lost its chunk");
            }
            world.collect().await;
            let copies = world.check_copies(&chunk(1));
            assert!(!is_there || copies.len() >= 2, "a file has lost its chunk");
        }
    });
    uploaded.expect("was the file uploaded");
    collected.expect("was the chunk collected before it was needed");
}
