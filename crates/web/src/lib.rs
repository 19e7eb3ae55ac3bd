//! The page at `/` and the HTTP API under `/api/v1`, over a [`Drive`]: the cluster, or a double of it.
//!
//! Every route is in [`routes()`], and nowhere else; the page uses the API and nothing but it. What holds for all routes is
//! in [`guard`]: which names this server answers to, that other sites cannot change anything, and the
//! headers that every answer carries. [`serve()`] accepts connections and bounds them.
//!
//! **Invariant:** nothing durable is kept here, and no file is ever held in memory: bytes stream through.

mod archive;
mod assets;
pub mod config;
mod drive;
mod error;
mod extract;
mod guard;
mod headers;
mod location;
pub mod memory;
mod openapi;
mod pace;
mod pages;
mod places;
mod present;
mod preview;
mod readiness;
mod receivers;
mod resumable;
mod room;
mod routes;
mod said;
mod serve;
#[cfg(test)]
mod tests;
mod texts;
mod thumbnails;
mod tickets;
mod turns;
mod watch;

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, delete, get, on, post};
use proto::master::ShareId;
use rand::RngExt;
use settings::Network;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;

pub use drive::{Content, Drafts, Drive, OpenFile, Past, Shares};
pub use error::Problem;
pub use guard::Hosts;
pub use serve::{Limits, listen, serve};

use error::Kind;
use headers::tus;
use pages::Page;
use places::Proxies;
use readiness::StatusCache;
use receivers::Receivers;
use resumable::Resumables;
use routes::shares::RECEIVERS;
use thumbnails::Thumbnails;
use tickets::Tickets;
use turns::{Transfers, Turn};
use watch::Watch;

/// What all routes share.
pub struct AppState {
    drive: Arc<dyn Drive>,
    hosts: Hosts,
    status: StatusCache,
    transfers: Transfers,
    tickets: Arc<Tickets>,
    resumables: Resumables,
    receivers: Receivers,
    /// Where receivers of share links reach this server, without a closing `/`.
    public_url: Option<String>,
    proxies: Proxies,
    /// Where files are made that go with their requests.
    temporary_folder: PathBuf,
    thumbnails: Thumbnails,
    watch: Watch,
    stopping: CancellationToken,
    patience: Duration,
    upload_request_max: Option<u64>,
    request_file_max: Option<u64>,
    appends: TaskTracker,
}

/// The state, as each route gets it.
pub(crate) type Shared = Arc<AppState>;

/// How much is done at once, and how long a peer may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub struct TransferLimits {
    /// Uploads at once; further ones wait. Each takes the memory of its chunks in flight.
    pub uploads_at_once: u32,
    /// Bytes that all downloads together may hold for their peers, about; further ones wait.
    pub download_memory: u32,
    /// Zips at once; further ones wait.
    pub zips_at_once: u32,
    /// How long a peer may move no byte.
    pub patience: Duration,
    /// The longest body that the page sends in one request, if something on the way takes no longer ones.
    pub upload_request_max: Option<u64>,
    /// The largest file that is taken by a link, if not each is that the cluster takes.
    pub request_file_max: Option<u64>,
}

impl Default for TransferLimits {
    fn default() -> Self {
        Self {
            uploads_at_once: 32,
            download_memory: 256 << 20,
            zips_at_once: 16,
            patience: Duration::from_secs(60),
            upload_request_max: None,
            request_file_max: None,
        }
    }
}

impl AppState {
    /// The state of a server for this drive, under these names.
    pub fn new(drive: Arc<dyn Drive>, hosts: Hosts, limits: TransferLimits) -> Self {
        Self {
            drive,
            hosts,
            status: StatusCache::default(),
            transfers: Transfers::new(&limits),
            tickets: Arc::default(),
            resumables: Resumables::of_owner(),
            receivers: Receivers::new(rand::rng().random(), Transfers::of_receivers(&limits)),
            public_url: None,
            proxies: Proxies(Network::loopback()),
            temporary_folder: env::temp_dir(),
            thumbnails: Thumbnails::default(),
            watch: Watch::default(),
            stopping: CancellationToken::new(),
            patience: limits.patience,
            upload_request_max: limits.upload_request_max,
            request_file_max: limits.request_file_max,
            appends: TaskTracker::new(),
        }
    }

    /// The same, with share links that begin with this address.
    #[must_use]
    pub fn with_public_url(mut self, url: Option<&str>) -> Self {
        self.public_url = url.map(|url| url.trim_end_matches('/').to_owned());
        self
    }

    /// The same, with these proxies believed where requests come from.
    #[must_use]
    pub fn with_proxies(mut self, proxies: Vec<Network>) -> Self {
        self.proxies = Proxies(proxies);
        self
    }

    /// The same, with temporary files in this folder. They may be large.
    #[must_use]
    pub fn with_temporary_folder(mut self, folder: PathBuf) -> Self {
        self.temporary_folder = folder;
        self
    }

    /// What goes on after its request is gone: what came of an upload is being stored. To be waited for when the server stops.
    pub fn appends(&self) -> TaskTracker {
        self.appends.clone()
    }

    /// What is held of uploads: of the owner's, or of those by links.
    fn resumables(&self, share: Option<ShareId>) -> &Resumables {
        match share {
            None => &self.resumables,
            Some(_) => &self.receivers.resumables,
        }
    }

    /// Waits for a turn to send a file: the owner's, or that of those who add files by a link.
    async fn upload_turns(&self, share: Option<ShareId>) -> Result<Vec<Turn>, Problem> {
        match share {
            None => Ok(vec![self.transfers.uploads.turn(1).await?]),
            Some(share) => Ok(self.receivers.upload_turn(share).await?.into()),
        }
    }

    /// What has no end of its own ends when this is cancelled.
    #[must_use]
    pub fn until(self, stopping: CancellationToken) -> Self {
        Self { stopping, ..self }
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState")
            .field("drive", &self.drive)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// Every route, with its methods.
fn routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    use routes::{
        batch, cancelling, cluster, copying, download, events, files, folders, moving, search,
        shares, thumbnails, trash, versions, zip,
    };
    let root = || get(folders::get).post(folders::post);
    let mut routes = vec![
        ("/api/v1/files", post(batch::post)),
        ("/api/v1/cancel", post(cancelling::post)),
        (
            "/api/v1/files/{*path}",
            get(download::get).put(files::put).delete(files::delete),
        ),
        ("/api/v1/thumbnails/{*path}", get(thumbnails::get)),
        ("/api/v1/folders", root()),
        ("/api/v1/folders/", root()),
        ("/api/v1/folders/{*path}", root().delete(folders::delete)),
        ("/api/v1/move", post(moving::post)),
        ("/api/v1/copy", post(copying::post)),
        ("/api/v1/trash", get(trash::list).delete(trash::empty)),
        ("/api/v1/trash/{id}", delete(trash::remove)),
        ("/api/v1/trash/{id}/restore", post(trash::restore)),
        (
            "/api/v1/versions/{*path}",
            get(versions::get)
                .post(versions::post)
                .delete(versions::delete),
        ),
        ("/api/v1/shares", get(shares::list).post(shares::create)),
        ("/api/v1/shares/{id}", delete(shares::revoke)),
        ("/api/v1/search", get(search::get)),
        ("/api/v1/zip", get(zip::get).post(zip::post)),
        ("/api/v1/zip/", get(zip::get).post(zip::post)),
        ("/api/v1/zip/{*path}", get(zip::get).post(zip::post)),
        ("/api/v1/status", get(cluster::status)),
        ("/api/v1/nodes", get(cluster::nodes)),
        ("/api/v1/events", get(events::get)),
        ("/api/v1/openapi.json", get(openapi::get)),
        ("/healthz", get(cluster::healthz)),
        ("/readyz", get(cluster::readyz)),
    ];
    routes.extend(tus_routes());
    routes.extend(page_routes());
    routes.extend(receiver_routes());
    routes
}

/// Uploads that can go on in the middle.
fn tus_routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    use routes::uploads;
    vec![
        (
            "/api/v1/uploads",
            post(uploads::create)
                .options(uploads::owner_options)
                .layer(map_response(tus::stamp)),
        ),
        (
            "/api/v1/uploads/{upload}",
            get(uploads::get)
                .head(uploads::head)
                .patch(uploads::patch)
                .delete(uploads::delete)
                .post(uploads::post)
                .options(uploads::owner_options)
                .layer(map_response(tus::stamp)),
        ),
        (
            "/api/v1/uploads/{upload}/chunks",
            post(uploads::name_chunks).layer(map_response(tus::stamp)),
        ),
    ]
}

/// What people open, and what belongs to it.
fn page_routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    use routes::language;
    vec![
        ("/", smaller(get(pages::folder))),
        ("/folder/{*path}", smaller(get(pages::folder))),
        ("/shares", smaller(get(pages::shares))),
        ("/view/{*path}", smaller(get(pages::view::view))),
        ("/cluster", smaller(get(pages::cluster::cluster))),
        ("/trash", smaller(get(pages::trash))),
        ("/search", smaller(get(pages::search::search))),
        ("/static/{*name}", smaller(get(assets::get))),
        ("/language", post(language::post)),
        ("/favicon.ico", get(assets::icon)),
    ]
}

/// What whoever has a share link reaches, and nothing else.
fn receiver_routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    use routes::language;
    use routes::receiver::{self, sending};
    vec![
        // No token looks like this.
        ("/s/language", hidden(post(language::post))),
        (
            "/s/{token}",
            hidden(get(receiver::page).post(receiver::unlock)),
        ),
        ("/s/{token}/", hidden(get(receiver::page))),
        ("/s/{token}/folder/{*path}", hidden(get(receiver::page))),
        ("/s/{token}/file", hidden(get(receiver::file))),
        ("/s/{token}/file/{*path}", hidden(get(receiver::file))),
        ("/s/{token}/zip", hidden(get(receiver::zip))),
        ("/s/{token}/zip/{*path}", hidden(get(receiver::zip))),
        ("/s/{token}/files", hidden(post(receiver::add))),
        (
            "/s/{token}/uploads",
            hidden(
                post(sending::create)
                    .options(sending::options)
                    .layer(map_response(tus::stamp)),
            ),
        ),
        (
            "/s/{token}/uploads/{upload}",
            hidden(
                on(MethodFilter::HEAD, sending::head)
                    .patch(sending::patch)
                    .delete(sending::delete)
                    .post(sending::post)
                    .options(sending::options)
                    .layer(map_response(tus::stamp)),
            ),
        ),
    ]
}

/// For whoever has a share link: nobody else is to hear of it, and nobody keeps what it shows.
fn hidden(methods: MethodRouter<Shared>) -> MethodRouter<Shared> {
    methods.layer(map_response(routes::receiver::hide))
}

/// Compressed for those who take it. Never a file: its length, ranges and version are those of its own bytes.
fn smaller(methods: MethodRouter<Shared>) -> MethodRouter<Shared> {
    methods.layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
}

/// The whole server as a service: what [`serve()`] runs and a test calls.
pub fn app(state: AppState) -> Router {
    let state = Arc::new(state);
    routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&state), guard::guard))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_failure(()),
        )
        .with_state(state)
}

/// What the log says of a request: all but the token of a share link.
fn span(request: &Request) -> Span {
    let path = logged(request.uri());
    tracing::debug_span!("request", method = %request.method(), path)
}

fn logged(uri: &Uri) -> String {
    if uri.path().starts_with(RECEIVERS) {
        return format!("{RECEIVERS}…");
    }
    uri.path().chars().take(200).collect()
}

/// A person who mistyped an address gets a page, a program a problem.
async fn no_such_route(State(state): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    if uri.path().starts_with(RECEIVERS) {
        let page = Page::new(&uri, &headers);
        let view = pages::receiver::Closed::Missing.view(&page);
        return routes::receiver::hide(view.answer()).await;
    }
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) && !uri.path().starts_with("/api/")
    {
        return pages::nothing_there(state, Page::new(&uri, &headers)).await;
    }
    let path = logged(&uri);
    let problem = Problem::new(
        Kind::NoSuchRoute,
        format!("{path} is no address of this server; /api/v1/openapi.json lists them"),
    );
    problem.into_response()
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let path = logged(&uri);
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{path} does not take {method}"),
    )
}
