//! The routes as callers see them: requests go through the whole router to a drive in memory.

mod batch;
mod cancelling;
mod conditions;
mod copying;
mod events;
mod files;
mod folders;
mod languages;
mod names;
mod naming;
mod past;
mod receivers;
mod search;
mod sending;
mod sending_bounds;
mod shares;
mod site;
mod thumbnails;
mod tus;
mod uploads;
mod views;
mod weight;
mod zips;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::memory::MemoryDrive;
use crate::{AppState, Hosts, Shared, TransferLimits, app};

const MODIFIED_MS: u64 = 784_111_777_000;

pub(crate) fn state() -> Shared {
    Arc::new(server(&MemoryDrive::default()))
}

fn server(drive: &MemoryDrive) -> AppState {
    limited_server(drive, TransferLimits::default())
}

fn limited_server(drive: &MemoryDrive, limits: TransferLimits) -> AppState {
    let listen = "127.0.0.1:5000".parse().unwrap();
    AppState::new(Arc::new(drive.clone()), Hosts::new(&listen, &[]), limits)
}

struct Site {
    drive: MemoryDrive,
    router: Router,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    /// Nothing when the body broke off.
    body: Option<Bytes>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(self.body.as_ref().unwrap()).unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(!problem[field].as_str().unwrap().is_empty(), "{field}");
        }
    }
}

impl Site {
    fn new() -> Self {
        Self::limited(TransferLimits::default())
    }

    fn limited(limits: TransferLimits) -> Self {
        let drive = MemoryDrive::default();
        let router = app(limited_server(&drive, limits));
        Self { drive, router }
    }

    fn keep(&self, path: &str, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.drive.put(&path.parse().unwrap(), bytes, MODIFIED_MS);
    }

    /// `request` is a method and an address.
    async fn send(&self, request: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (method, address) = request.split_once(' ').unwrap();
        let mut builder = Request::builder().method(method).uri(address);
        if !headers.iter().any(|(name, _)| *name == "host") {
            builder = builder.header("host", "localhost:5000");
        }
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .ok()
            .map(http_body_util::Collected::to_bytes);
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    async fn get(&self, address: &str) -> Answer {
        self.send(&format!("GET {address}"), &[], "").await
    }
}

/// For tests that draw what they do, and are no asynchronous functions.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}
