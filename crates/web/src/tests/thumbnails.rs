//! Small pictures: of what they are made, what they look like, and what hostile images cost.

use std::io::Cursor;

use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use super::Site;

/// Red on the left, blue on the right.
fn two_colours(width: u32, height: u32) -> DynamicImage {
    let colour = |x| {
        if x < width / 2 {
            Rgb([220, 20, 20])
        } else {
            Rgb([20, 20, 220])
        }
    };
    RgbImage::from_fn(width, height, |x, _| colour(x)).into()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A JPEG that says that it has to be turned.
fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let len = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], b"\xff\xe1", &len, &exif, &jpeg[2..]].concat()
}

async fn small(site: &Site, path: &str) -> DynamicImage {
    let answer = site.get(&format!("/api/v1/thumbnails{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    image::load_from_memory(answer.body.as_ref().unwrap()).unwrap()
}

#[tokio::test]
async fn every_kind_of_image_has_a_small_picture() {
    let site = Site::new();
    let image = two_colours(1000, 500);
    for (name, format) in [
        ("a.jpg", ImageFormat::Jpeg),
        ("a.png", ImageFormat::Png),
        ("a.gif", ImageFormat::Gif),
        ("a.webp", ImageFormat::WebP),
        ("a.bmp", ImageFormat::Bmp),
        // What it is counts, and not what it is called.
        ("a.txt", ImageFormat::Png),
    ] {
        let image = if format == ImageFormat::Gif {
            image.to_rgba8().into()
        } else {
            image.clone()
        };
        site.keep(&format!("/{name}"), &encoded(&image, format));
        let small = small(&site, &format!("/{name}")).await;
        assert_eq!(small.dimensions(), (320, 160), "{name}");
        let [red, _, blue, _] = small.get_pixel(20, 80).0;
        assert!(red > 180 && blue < 80, "{name}");
        let [red, _, blue, _] = small.get_pixel(300, 80).0;
        assert!(red < 80 && blue > 180, "{name}");
    }
    // One that is small stays as it is.
    site.keep("/tiny.png", &encoded(&two_colours(10, 6), ImageFormat::Png));
    assert_eq!(small(&site, "/tiny.png").await.dimensions(), (10, 6));
}

#[tokio::test]
async fn a_picture_stands_upright_and_keeps_what_shines_through() {
    let site = Site::new();
    let jpeg = encoded(&two_colours(640, 320), ImageFormat::Jpeg);
    // A quarter turn to the right: what was left is above.
    site.keep("/turned.jpg", &turned(&jpeg, 6));
    let upright = small(&site, "/turned.jpg").await;
    assert_eq!(upright.dimensions(), (160, 320));
    assert!(upright.get_pixel(80, 20).0[0] > 180);
    assert!(upright.get_pixel(80, 300).0[2] > 180);
    let glass = RgbaImage::from_pixel(400, 400, Rgba([0, 200, 0, 100]));
    site.keep("/glass.png", &encoded(&glass.into(), ImageFormat::Png));
    let glass = site.get("/api/v1/thumbnails/glass.png").await;
    assert_eq!(glass.header("content-type"), "image/webp");
    let glass = image::load_from_memory(glass.body.as_ref().unwrap()).unwrap();
    assert_eq!(glass.get_pixel(5, 5).0[3], 100);
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    (!crc).to_be_bytes()
}

/// Images of a few bytes that claim to be of gigabytes; others that are none, or only half. Nothing of it takes memory or
/// ends anything, and each gets a sentence.
#[tokio::test]
async fn what_cannot_be_drawn_is_refused_with_a_sentence() {
    let site = Site::new();
    let image = two_colours(64, 64);
    let mut png = encoded(&image, ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let sum = crc(&png[12..29]);
    png[29..33].copy_from_slice(&sum);
    let mut gif = encoded(&image.to_rgba8().into(), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0xff; 4]);
    let mut bmp = encoded(&image, ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
    let mut jpeg = encoded(&image, ImageFormat::Jpeg);
    let frame = jpeg
        .windows(2)
        .position(|marker| marker == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let half = encoded(&two_colours(2000, 2000), ImageFormat::Png);
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
    for (name, bytes, words) in [
        ("bomb.png", &png[..], "too large"),
        ("bomb.gif", &gif, "too large"),
        ("bomb.bmp", &bmp, "too large"),
        ("bomb.jpg", &jpeg, "too large"),
        ("half.png", &half[..half.len() / 2], "damaged"),
        ("head.png", &half[..20], "damaged"),
        ("mark.jpg", b"\xff\xd8\xff\xe0aaaaaaaaaaaaaaaa", "damaged"),
        ("words.png", b"these are only words", "no JPEG"),
        ("evil.svg", svg, "no JPEG"),
        ("short.png", b"x", "no JPEG"),
        ("empty.png", b"", "empty"),
    ] {
        site.keep(&format!("/{name}"), bytes);
        let answer = site.get(&format!("/api/v1/thumbnails/{name}")).await;
        answer.expect_problem(415, "no_thumbnail");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{name}: {detail}");
    }
    site.drive
        .put_zeros(&"/zeros.png".parse().unwrap(), 1 << 40);
    let zeros = site.get("/api/v1/thumbnails/zeros.png").await;
    zeros.expect_problem(415, "no_thumbnail");
    site.get("/api/v1/thumbnails/none.png")
        .await
        .expect_problem(404, "not_found");
}

/// Bytes that were damaged anywhere give a picture or a sentence.
#[test]
fn damaged_images_never_end_anything() {
    use crate::thumbnails::draw_for_tests;
    let image = two_colours(200, 100);
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Bmp,
    ] {
        let whole = encoded(&image, format);
        for at in (0..whole.len()).step_by(1 + whole.len() / 150) {
            for change in [0xff, 0x01, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                drop(draw_for_tests(bytes.clone()));
                bytes.truncate(at);
                drop(draw_for_tests(bytes));
            }
        }
    }
}

#[tokio::test]
async fn a_picture_is_that_of_its_version_and_sent_once() {
    let site = Site::new();
    site.keep("/a.png", &encoded(&two_colours(400, 400), ImageFormat::Png));
    let first = site.get("/api/v1/thumbnails/a.png").await;
    assert_eq!(first.header("cache-control"), "private, no-cache");
    assert_eq!(
        first.header("content-security-policy"),
        site.get("/healthz").await.header("content-security-policy")
    );
    let known = [("if-none-match", first.header("etag"))];
    let again = site.send("GET /api/v1/thumbnails/a.png", &known, "").await;
    assert_eq!(
        (again.status, again.body.as_ref().map(bytes::Bytes::len)),
        (304, Some(0))
    );
    let version = first.header("etag").trim_matches(['"', 'v']).to_owned();
    // It is replaced by another one.
    site.keep("/a.png", &encoded(&two_colours(400, 200), ImageFormat::Png));
    let changed = site.send("GET /api/v1/thumbnails/a.png", &known, "").await;
    assert_eq!(changed.status, 200);
    assert_eq!(small(&site, "/a.png").await.dimensions(), (320, 160));
    let former = site
        .get(&format!("/api/v1/thumbnails/a.png?version={version}"))
        .await;
    assert!(former.header("cache-control").contains("immutable"));
    assert_eq!(former.body, first.body);
}
