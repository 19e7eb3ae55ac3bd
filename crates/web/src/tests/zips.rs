//! Zips, read by another library than the one that writes them.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tower::ServiceExt;
use zip::ZipArchive;

use super::{MODIFIED_MS, Site, server};
use crate::memory::{Faults, MemoryDrive};
use crate::routes::zip::NAMES_MAX;
use crate::{TransferLimits, app};

/// What is in a zip: names with their bytes, those of folders end with `/`.
fn unpacked(bytes: &Bytes) -> BTreeMap<String, Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut found = BTreeMap::new();
    for place in 0..archive.len() {
        let mut member = archive.by_index(place).unwrap();
        let name = member.name().unwrap().into_owned();
        assert!(member.enclosed_name().is_some(), "{name}");
        let mut content = Vec::new();
        // Fails where the checksum is another one.
        member.read_to_end(&mut content).unwrap();
        let before = found.insert(name.clone(), content);
        assert!(before.is_none(), "{name} is there twice");
    }
    found
}

async fn names(site: &Site, address: &str) -> Vec<String> {
    let answer = site.get(address).await;
    assert_eq!(answer.status, 200, "{address}");
    unpacked(&answer.body.unwrap()).into_keys().collect()
}

#[tokio::test]
async fn a_folder_comes_with_all_that_is_in_it() {
    let site = Site::new();
    let long = vec![7; 200_000];
    site.keep("/Photos/2026/summer.jpg", &long);
    site.keep("/Photos/empty", b"");
    site.keep("/Photos/résumé 🎉.txt", b"words");
    site.keep("/other", b"x");
    site.send("POST /api/v1/folders/Photos/none", &[], "").await;
    let zip = site.get("/api/v1/zip/Photos").await;
    assert_eq!(zip.status, 200);
    assert_eq!(zip.header("content-type"), "application/zip");
    assert_eq!(zip.header("cache-control"), "no-store");
    assert_eq!(zip.header("x-content-type-options"), "nosniff");
    let disposition = "attachment; filename=\"Photos.zip\"; filename*=UTF-8''Photos.zip";
    assert_eq!(zip.header("content-disposition"), disposition);
    let expected: BTreeMap<String, Vec<u8>> = [
        ("Photos/", &b""[..]),
        ("Photos/2026/", b""),
        ("Photos/2026/summer.jpg", &long),
        ("Photos/empty", b""),
        ("Photos/none/", b""),
        ("Photos/résumé 🎉.txt", b"words"),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
    .into();
    assert!(unpacked(zip.body.as_ref().unwrap()) == expected);
    let head = site.send("HEAD /api/v1/zip/Photos", &[], "").await;
    assert_eq!(head.header("content-disposition"), disposition);
    assert!(head.body.unwrap().is_empty());
}

#[tokio::test]
async fn entries_may_be_chosen() {
    let site = Site::new();
    site.keep("/a/b/c", b"x");
    site.keep("/a/d e", b"x");
    site.keep("/a/f", b"x");
    let chosen = "/api/v1/zip/a?name=b&name=d%20e&name=b";
    assert_eq!(names(&site, chosen).await, ["b/", "b/c", "d e"]);
    let zip = site.get(chosen).await;
    assert!(zip.header("content-disposition").contains("\"a.zip\""));
    let one = site.get("/api/v1/zip/a?name=f").await;
    assert!(one.header("content-disposition").contains("\"f.zip\""));
    for address in ["/api/v1/zip", "/api/v1/zip/"] {
        let all = ["a/", "a/b/", "a/b/c", "a/d e", "a/f"];
        assert_eq!(names(&site, address).await, all);
        let zip = site.get(address).await;
        let title = zip.header("content-disposition");
        assert!(title.contains("\"All files.zip\""), "{title}");
    }
    let german = [("accept-language", "de")];
    let zip = site.send("GET /api/v1/zip", &german, "").await;
    let title = zip.header("content-disposition");
    assert!(title.contains("\"Alle Dateien.zip\""), "{title}");
    let at_root = names(&site, "/api/v1/zip?name=a").await;
    assert_eq!(at_root.len(), 5);
    assert!(names(&Site::new(), "/api/v1/zip").await.is_empty());
}

/// Some two thousand chosen files had names that no address can have, and the download failed.
#[tokio::test]
async fn more_entries_may_be_chosen_than_an_address_can_name() {
    let site = Site::new();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let chosen: Vec<String> = (0..3000).map(|n| format!("photo {n:06}.jpg")).collect();
    for name in &chosen {
        site.keep(&format!("/a/{name}"), b"x");
    }
    site.keep("/a/other", b"x");
    let fields: Vec<String> = chosen.iter().map(|name| format!("name={name}")).collect();
    let body = fields.join("&").replace(' ', "+");
    let zip = site.send("POST /api/v1/zip/a", &[form], body).await;
    assert_eq!(zip.status, 200, "{}", zip.text());
    let names: Vec<String> = unpacked(&zip.body.unwrap()).into_keys().collect();
    assert_eq!(names, chosen);
    for (headers, body, status, code) in [
        (&[][..], "name=other", 415, "unsupported_media_type"),
        (&[form], "names=other", 400, "bad_request"),
        (&[form], "name=none", 404, "not_found"),
        (
            &[form, ("sec-fetch-site", "cross-site")],
            "",
            403,
            "cross_site",
        ),
    ] {
        let answer = site.send("POST /api/v1/zip/a", headers, body).await;
        answer.expect_problem(status, code);
    }
}

/// However few bytes each has: a form of nothing but `&` would become millions of fields.
#[tokio::test]
async fn too_many_chosen_entries_are_refused_in_words() {
    let site = Site::new();
    site.keep("/a/b", b"x");
    let form = ("content-type", "application/x-www-form-urlencoded");
    for body in [
        "name=b&".repeat(NAMES_MAX),
        "&".repeat(NAMES_MAX),
        "name=b&".repeat(3 << 20),
    ] {
        let long = site.send("POST /api/v1/zip/a", &[form], body).await;
        long.expect_problem(413, "request_too_large");
        let detail = long.json()["detail"].to_string();
        assert!(detail.contains("at most 20,000 entries"), "{detail}");
    }
    let most = "name=b&".repeat(NAMES_MAX - 1) + "name=b";
    let zip = site.send("POST /api/v1/zip/a", &[form], most).await;
    assert_eq!(zip.status, 200, "{}", zip.text());
}

/// Thousands of connections could have 16 MiB of names each in memory, before any of them had its turn.
#[tokio::test(start_paused = true)]
async fn no_name_is_read_before_a_zip_has_its_turn() {
    let site = Site::limited(TransferLimits {
        zips_at_once: 1,
        ..TransferLimits::default()
    });
    site.keep("/a/b", b"x");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let send = |body: Body| site.send("POST /api/v1/zip/a", &form, body);
    let begin = stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"name="))]);
    let stopped = Body::from_stream(begin.chain(stream::pending()));
    let is_read = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_read);
    let waiting = Body::from_stream(stream::once(async move {
        flag.store(true, Ordering::Relaxed);
        Ok::<_, io::Error>(Bytes::from_static(b"name=b"))
    }));
    let (stopped, waiting) = tokio::join!(send(stopped), send(waiting));
    waiting.expect_problem(503, "busy");
    assert!(!is_read.load(Ordering::Relaxed));
    // Nor is the turn held for ever.
    stopped.expect_problem(408, "too_slow");
    let zip = send(Body::from("name=b")).await;
    assert_eq!(zip.status, 200, "{}", zip.text());
}

/// Above 2 MiB, which is the library's own limit, the form was refused, although the page sends ones of up to 15 MiB.
#[tokio::test]
async fn as_many_names_as_the_page_shows_may_be_chosen_however_long_each_is() {
    let site = Site::new();
    let form = ("content-type", "application/x-www-form-urlencoded");
    // Nearly every byte is escaped, as in most languages.
    let chosen: Vec<String> = (0..NAMES_MAX)
        .map(|n| format!("{n:05}{}", "ü".repeat(125)))
        .collect();
    for name in &chosen {
        site.keep(&format!("/a/{name}"), b"");
    }
    let fields: Vec<String> = chosen
        .iter()
        .map(|name| format!("name={}", utf8_percent_encode(name, NON_ALPHANUMERIC)))
        .collect();
    let body = fields.join("&");
    assert!(body.len() > 15_000_000);
    let zip = site.send("POST /api/v1/zip/a", &[form], body).await;
    assert_eq!(zip.status, 200, "{}", zip.text());
    let archive = ZipArchive::new(Cursor::new(zip.body.unwrap())).unwrap();
    assert_eq!(archive.len(), chosen.len());
}

#[tokio::test]
async fn what_is_not_there_is_said_before_a_byte_is_sent() {
    let site = Site::new();
    site.keep("/a/b", b"x");
    for (address, status, code) in [
        ("/api/v1/zip/none", 404, "not_found"),
        ("/api/v1/zip/a/b", 409, "not_a_folder"),
        ("/api/v1/zip/a?name=b&name=c", 404, "not_found"),
        ("/api/v1/zip/a?name=../b", 400, "invalid_argument"),
        ("/api/v1/zip/..%2fa", 400, "invalid_argument"),
        ("/api/v1/zip/a?names=b", 400, "bad_request"),
    ] {
        site.get(address).await.expect_problem(status, code);
    }
    site.drive.set_faults(Faults {
        unreachable: true,
        ..Faults::default()
    });
    let answer = site.get("/api/v1/zip/a").await;
    answer.expect_problem(503, "unavailable");
}

/// An unpacker on Windows would take `:` for the name of a disk or of a stream, and `\` for what stands between folders.
#[tokio::test]
async fn no_name_leads_out_of_the_unpackers_folder() {
    let site = Site::new();
    for name in [
        "C:evil",
        "..\\evil",
        "\\\\server\\share",
        "C%3Aevil",
        "C%253Aevil",
        "\u{202e}gpj.exe",
        "...",
        "-rf",
    ] {
        site.keep(&format!("/a/{name}"), name.as_bytes());
    }
    let zip = site.get("/api/v1/zip/a").await;
    let unpacked = unpacked(zip.body.as_ref().unwrap());
    let name_of = |content: &str| {
        let mut all = unpacked.iter();
        let found = all.find(|(_, bytes)| **bytes == content.as_bytes());
        found.unwrap().0.as_str()
    };
    assert_eq!(name_of("C:evil"), "a/C%3Aevil");
    assert_eq!(name_of("C%3Aevil"), "a/C%253Aevil");
    assert_eq!(name_of("C%253Aevil"), "a/C%25253Aevil");
    assert_eq!(name_of("..\\evil"), "a/..%5Cevil");
    assert_eq!(name_of("\\\\server\\share"), "a/%5C%5Cserver%5Cshare");
    assert_eq!(name_of("..."), "a/...");
    assert_eq!(unpacked.len(), 9);
}

/// Names that were made up were remembered, in memory without a bound; more than 1000 that met each other ended the zip.
#[tokio::test]
async fn names_that_are_escaped_meet_no_others_however_many_they_are() {
    let site = Site::new();
    let mut escaped = "a%3Ab".to_owned();
    while escaped.len() <= 255 {
        site.keep(&format!("/{escaped}"), b"");
        escaped = escaped.replacen('%', "%25", 1);
    }
    let longest = ":".repeat(255);
    for name in ["a:b", "a\\b", &longest] {
        site.keep(&format!("/{name}"), name.as_bytes());
    }
    let zip = site.get("/api/v1/zip").await;
    let unpacked = unpacked(&zip.body.unwrap());
    assert_eq!(unpacked["a%3Ab"], b"a:b");
    assert_eq!(unpacked[&escaped], b"");
    assert_eq!(unpacked["a%5Cb"], b"a\\b");
    assert_eq!(unpacked[&"%3A".repeat(255)], longest.as_bytes());
}

#[tokio::test]
async fn times_are_those_of_the_files() {
    let site = Site::new();
    site.keep("/a", b"x");
    site.drive
        .put(&"/old".parse().unwrap(), Bytes::from_static(b"x"), 0);
    let zip = site.get("/api/v1/zip").await.body.unwrap();
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    let time = |archive: &mut ZipArchive<Cursor<Bytes>>, name: &str| {
        let time = archive.by_name(name).unwrap().last_modified().unwrap();
        let clock = (time.hour(), time.minute(), time.second());
        (time.year(), time.month(), time.day(), clock)
    };
    assert_eq!(MODIFIED_MS, 784_111_777_000);
    assert_eq!(time(&mut archive, "a"), (1994, 11, 6, (8, 49, 36)));
    assert_eq!(time(&mut archive, "old"), (1980, 1, 1, (0, 0, 0)));
}

/// A zip that ended early and cleanly would look as if it were whole.
#[tokio::test]
async fn a_file_that_cannot_be_read_breaks_the_zip_off() {
    let site = Site::new();
    site.keep("/a/first", b"x");
    let long = vec![0; 200_000];
    site.keep("/a/second", &long);
    site.drive.set_faults(Faults {
        reads_fail_after: Some(100_000),
        ..Faults::default()
    });
    let zip = site.get("/api/v1/zip/a").await;
    assert_eq!((zip.status, zip.body), (200, None));
}

/// What was left of a folder that got another name meanwhile was passed over file by file, and the zip looked whole.
#[tokio::test]
async fn a_folder_that_is_moved_halfway_breaks_the_zip_off() {
    let site = Site::new();
    for number in 0..9 {
        site.keep(&format!("/a/{number}"), &[b'x'; 1000]);
    }
    let request = Request::get("/api/v1/zip/a").header("host", "localhost");
    let request = request.body(Body::empty()).unwrap();
    let response = site.router.clone().oneshot(request).await.unwrap();
    let mut zip = response.into_body().into_data_stream();
    // The folder, and its first file.
    for _ in 0..2 {
        zip.try_next().await.unwrap().unwrap();
    }
    let json = ("content-type", "application/json");
    let body = r#"{"from": "/a", "to": "/b"}"#;
    let moved = site.send("POST /api/v1/move", &[json], body).await;
    assert_eq!(moved.status, 200);
    while let Ok(bytes) = zip.try_next().await {
        assert!(bytes.is_some(), "it came to an end");
    }
}

/// A zip as its pieces came: of a file of zeros they are all the same memory.
struct Pieces {
    /// Each with where it begins.
    placed: Vec<(u64, Bytes)>,
    len: u64,
    at: u64,
}

impl Pieces {
    async fn of(site: &Site, address: &str) -> Self {
        let request = Request::get(address).header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        let response = site.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body().into_data_stream();
        let (mut placed, mut len) = (Vec::new(), 0);
        while let Some(bytes) = body.try_next().await.unwrap() {
            let begin = len;
            len += bytes.len() as u64;
            placed.push((begin, bytes));
        }
        Self { placed, len, at: 0 }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let behind = self.placed.partition_point(|(begin, _)| *begin <= self.at);
        let Some((begin, bytes)) = self.placed[..behind].last() else {
            return Ok(0);
        };
        let skipped = usize::try_from(self.at - begin).unwrap();
        let rest = bytes.get(skipped..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Pieces {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// What has more than 4 GiB, and lies behind so much, needs fields of 64 bits. So many files lie there that the list does not fit in
/// memory.
#[tokio::test]
async fn a_file_of_more_than_4_gib_is_whole_and_so_is_what_follows() {
    let site = Site::new();
    let len = (4 << 30) + 12_345;
    site.drive.put_zeros(&"/a/large".parse().unwrap(), len);
    for number in 0..6000 {
        site.keep(&format!("/a/many/{number:04}"), b"");
    }
    site.keep("/a/small", b"words");
    let pieces = Pieces::of(&site, "/api/v1/zip/a").await;
    assert!(pieces.len > len);
    let mut archive = ZipArchive::new(pieces).unwrap();
    assert_eq!(archive.len(), 6004);
    for number in [0, 3000, 5999] {
        let name = format!("a/many/{number:04}");
        let mut empty = archive.by_name(&name).unwrap();
        assert!(empty.header_start() > len);
        assert_eq!(empty.read(&mut [0]).unwrap(), 0);
    }
    let large = archive.by_name("a/large").unwrap();
    assert_eq!((large.size(), large.compressed_size()), (len, len));
    drop(large);
    let mut words = String::new();
    let mut small = archive.by_name("a/small").unwrap();
    small.read_to_string(&mut words).unwrap();
    assert_eq!(words, "words");
}

/// The web server decides where it is, not each route.
#[tokio::test]
async fn a_list_that_is_too_long_for_memory_is_in_the_servers_folder() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let drive = MemoryDrive::default();
    let router = app(server(&drive).with_temporary_folder(missing));
    let site = Site { drive, router };
    site.keep("/few/0", b"");
    for number in 0..5000 {
        site.keep(&format!("/many/{number:04}"), b"");
    }
    assert!(site.get("/api/v1/zip/few").await.body.is_some());
    let many = site.get("/api/v1/zip/many").await;
    assert!(many.status == 200 && many.body.is_none());
}

/// So many entries have no place in the field that used to count them.
#[tokio::test]
async fn more_entries_than_16_bits_can_count_are_all_there() {
    let site = Site::new();
    for number in 0..66_000 {
        site.keep(&format!("/{}/{number}", number / 1000), b"");
    }
    let zip = site.get("/api/v1/zip").await.body.unwrap();
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    assert_eq!(archive.len(), 66_066);
    assert!(archive.by_name("0/0").is_ok());
    assert!(archive.by_name("65/65999").is_ok());
}
