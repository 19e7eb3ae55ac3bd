//! The page over a drive in memory, to work on it without a cluster: `cargo run -p web --example page [PORT]`.
//!
//! Faults are given in `PAGE_FAULT`: `node_down`, `not_ready`, `unreachable`, `slow`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::{DeleteOptions, Password, ShareOptions};
use proto::net::Address;
use tokio_util::sync::CancellationToken;
use web::memory::{Faults, MemoryDrive};
use web::{AppState, Drive, Hosts, Limits, Shares as _, TransferLimits, app, serve};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "5000".into());
    let listen: Address = format!("127.0.0.1:{port}").parse()?;
    let fault = std::env::var("PAGE_FAULT").unwrap_or_default();
    let drive = MemoryDrive::default();
    fill(&drive)?;
    fill_the_past(&drive).await?;
    share_some(&drive).await?;
    drive.set_faults(Faults {
        unreachable: fault == "unreachable",
        node_down: fault == "node_down",
        not_ready: fault == "not_ready",
        pause: (fault == "slow").then_some(Duration::from_millis(30)),
        ..Faults::default()
    });
    let state = AppState::new(
        Arc::new(drive),
        Hosts::new(&listen, &[]),
        TransferLimits::default(),
    );
    let listener = web::listen(&listen).await?;
    println!("listening on {}", listener.local_addr()?);
    serve(
        listener,
        app(state),
        Limits::default(),
        CancellationToken::new(),
    )
    .await;
    Ok(())
}

fn fill(drive: &MemoryDrive) -> anyhow::Result<()> {
    const YEAR_2026_MS: u64 = 1_767_225_600_000;
    const DAY_MS: u64 = 86_400_000;
    let long = format!(
        "/{} the end.txt",
        "a very long name that goes on and on ".repeat(6)
    );
    let files = [
        ("/Photos/2024/summer.jpg", 3_400_000),
        ("/Letters/to the bank.odt", 48_000),
        ("/Recipes/bread.txt", 1_200),
        ("/Film of the holidays.mp4", 73_400_321),
        ("/Household accounts 2025.ods", 182_400),
        ("/Rental contract.pdf", 812_345),
        ("/notes.txt", 0),
        ("/résumé — final (2).docx", 61_200),
        ("/“quoted” & <b>bold<b>.txt", 1),
        ("/🎉 party list 🥳.txt", 999),
        ("/photo\u{202e}gpj.exe", 40_000),
        ("/קובץ בעברית.txt", 2_048),
        (long.as_str(), 123_456),
    ];
    for (number, (path, len)) in (0..).zip(files) {
        let modified_ms = YEAR_2026_MS - 40 * DAY_MS + number * 17 * DAY_MS + number * 3_723_000;
        drive.put(&path.parse()?, Bytes::from(vec![b'x'; len]), modified_ms);
    }
    for (folder, count) in [
        ("Many files", 450),
        ("More files", 3_000),
        ("Very many files", 25_000),
    ] {
        for number in 0..count {
            let path = format!("/{folder}/scan {number}.txt");
            let modified_ms = YEAR_2026_MS + (number * 7919) % 25_000 * 1000;
            drive.put(&path.parse()?, Bytes::from("scan"), modified_ms);
        }
    }
    Ok(())
}

/// Links of each kind, whose addresses are printed.
async fn share_some(drive: &MemoryDrive) -> anyhow::Result<()> {
    let open = ShareOptions::default();
    let locked = ShareOptions {
        password: Some(Password::new("open")?),
        ..open.clone()
    };
    let limited = ShareOptions {
        downloads_max: Some(3),
        expires_ms: Some(4_000_000_000_000),
        ..open.clone()
    };
    let adding = ShareOptions {
        upload_only: true,
        ..open.clone()
    };
    for (path, options) in [
        ("/Photos", open),
        ("/Film of the holidays.mp4", limited),
        ("/Rental contract.pdf", locked),
        ("/Letters", adding),
    ] {
        let made = drive.share(&path.parse()?, options).await?;
        println!("{path}: /s/{}", made.token.as_str());
    }
    Ok(())
}

/// Something in the trash, and a file with versions.
async fn fill_the_past(drive: &MemoryDrive) -> anyhow::Result<()> {
    const YEAR_2026_MS: u64 = 1_767_225_600_000;
    for (number, len) in (0..).zip([900, 1_100, 4_200, 1_200]) {
        let recipe = Bytes::from(vec![b'x'; len]);
        drive.put(
            &"/Recipes/bread.txt".parse()?,
            recipe,
            YEAR_2026_MS + number,
        );
    }
    let deleted = [
        "/Old photos/1998/beach.jpg",
        "/Drafts/love letter (final).txt",
        "/photo\u{202e}gpj.exe",
    ];
    for path in deleted {
        drive.put(
            &path.parse()?,
            Bytes::from(vec![b'x'; 34_000]),
            YEAR_2026_MS,
        );
        let deleted = path.trim_end_matches("/1998/beach.jpg").parse()?;
        let options = DeleteOptions {
            recursive: true,
            ..DeleteOptions::default()
        };
        drive.delete(&deleted, options).await?;
    }
    Ok(())
}
