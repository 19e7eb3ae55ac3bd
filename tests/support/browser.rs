//! A real browser, driven by `WebDriver` as a person would use it: Chromium through `chromedriver`.
//!
//! Where there is no `chromedriver`, a test says so in a line and does nothing more, unless `DFS_TEST_BROWSER=required`.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use futures::FutureExt;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{PATIENCE, comes_true};

/// Who looks at the page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Screen {
    /// 1280 x 800, with a mouse.
    Desktop,
    /// 390 x 844, held upright, with a finger.
    Phone,
    /// A desktop whose person turned JavaScript off.
    WithoutScript,
}

/// How the page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) is_dark: bool,
}

/// Finds what keeps people from using a page: <https://github.com/dequelabs/axe-core>.
const AXE: &str = include_str!("../vendor/axe.min.js");

/// Every rule that is not an experiment; each violation with its elements and what is wrong with them.
const RUN_AXE: &str = "\
    const target = ({ target, failureSummary }) => `  ${target.join(' ')}: ${failureSummary.replace(/\\s+/g, ' ')}`; \
    return axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => \
      violations.map(({ id, help, nodes }) => [`${id}: ${help}`, ...nodes.map(target)].join('\\n')))";

/// A window of a browser with an empty profile.
pub(crate) struct Page {
    client: Client,
}

/// Opens a window, does this in it, and closes it however that ends.
pub(crate) async fn browse(screen: Screen, test: impl AsyncFnOnce(&Page)) {
    let Some((mut driver, address)) = driver().await else {
        let required = std::env::var_os("DFS_TEST_BROWSER").is_some_and(|text| text == "required");
        assert!(!required, "chromedriver cannot be started");
        println!("SKIPPED: chromedriver is not here, so the page was not tried in a browser");
        return;
    };
    let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
        .capabilities(capabilities(screen))
        .connect(&address)
        .await
        .expect("a browser starts");
    let page = Page { client };
    let ended = AssertUnwindSafe(test(&page)).catch_unwind().await;
    let closed = page.client.close().await;
    driver.start_kill().unwrap();
    driver.wait().await.unwrap();
    if let Err(panic) = ended {
        resume_unwind(panic);
    }
    closed.expect("the browser closes");
}

/// One that ends before it listens is started again, a few times.
async fn driver() -> Option<(Child, String)> {
    for _ in 0..3 {
        if let Some(started) = start_driver().await {
            return Some(started);
        }
    }
    None
}

async fn start_driver() -> Option<(Child, String)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(driver.stdout.take()?).lines();
    let port = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return Some(port.trim_end_matches('.').to_owned());
            }
        }
        None
    };
    let port = tokio::time::timeout(PATIENCE, port).await.ok()??;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Some((driver, format!("http://127.0.0.1:{port}")))
}

fn capabilities(screen: Screen) -> fantoccini::wd::Capabilities {
    let mut options = json!({
        "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--window-size=1280,800",
            // A name as in a household, for which the browser trusts the page less than for this machine's own.
            "--host-resolver-rules=MAP nas 127.0.0.1",
        ],
    });
    match screen {
        Screen::Desktop => {}
        Screen::Phone => {
            options["mobileEmulation"] = json!({
                "deviceMetrics": { "width": 390, "height": 844, "pixelRatio": 2.0, "touch": true },
            });
        }
        Screen::WithoutScript => {
            options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
        }
    }
    let capabilities = json!({ "browserName": "chrome", "goog:chromeOptions": options });
    let Value::Object(capabilities) = capabilities else {
        unreachable!("it is written as an object");
    };
    capabilities
}

/// A command to the browser's own tools.
#[derive(Debug)]
struct DevTools(Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!(
            "session/{}/goog/cdp/execute",
            session.unwrap_or("")
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}

impl Page {
    /// What the browser's own tools can do: <https://chromedevtools.github.io/devtools-protocol/>.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let command = DevTools(json!({ "cmd": command, "params": parameters }));
        self.client.issue_cmd(command).await.unwrap()
    }

    /// Shows what is open in another width, by day or by night, with nothing that moves.
    pub(crate) async fn look(&self, look: Look) {
        let height = if look.width < 700 { 844 } else { 800 };
        let metrics = json!({
            "width": look.width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        let scheme = if look.is_dark { "dark" } else { "light" };
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        self.devtools("Emulation.setEmulatedMedia", media).await;
        self.devtools("Emulation.setScrollbarsHidden", json!({ "hidden": true }))
            .await;
        self.script("return new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
            .await;
    }

    /// What axe-core finds wrong with what is shown now. It comes by `WebDriver`, which no policy of the page stops.
    pub(crate) async fn violations(&self) -> Vec<String> {
        if self.script("return typeof axe").await == json!("undefined") {
            self.script(AXE).await;
        }
        let found = self.script(RUN_AXE).await;
        let texts = found.as_array().expect("it gives a list").iter();
        texts
            .map(|text| text.as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Writes what is seen now to `target/screenshots`.
    pub(crate) async fn screenshot(&self, name: &str) {
        let this = std::env::current_exe().unwrap();
        let folder = this.ancestors().nth(3).unwrap().join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.client.screenshot().await.unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// So many bytes a second leave the browser at most, or as many as can.
    pub(crate) async fn limit_uploads(&self, rate: Option<u32>) {
        self.network(false, rate).await;
    }

    /// The network is gone, as in a train or with the lid closed, until uploads are limited anew or not at all.
    pub(crate) async fn lose_network(&self) {
        self.network(true, None).await;
    }

    async fn network(&self, is_gone: bool, rate: Option<u32>) {
        let rate = rate.map_or(-1, i64::from);
        let conditions = json!({
            "offline": is_gone, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate,
        });
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.emulateNetworkConditions", conditions)
            .await;
    }

    /// Drops files and folders onto the middle of what a selector finds, as from the system's own windows.
    pub(crate) async fn drop_onto(&self, selector: &str, paths: &[&Path]) {
        let middle = format!(
            "const box = document.querySelector(\"{selector}\").getBoundingClientRect(); \
             return [box.x + box.width / 2, box.y + box.height / 2]"
        );
        let middle = self.script(&middle).await;
        let data = json!({ "items": [], "files": paths, "dragOperationsMask": 1 });
        for kind in ["dragEnter", "dragOver", "drop"] {
            let event = json!({ "type": kind, "x": middle[0], "y": middle[1], "data": data });
            self.devtools("Input.dispatchDragEvent", event).await;
        }
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// What a script gives back: `return` something.
    pub(crate) async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits until a script's expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        let script = format!("return Boolean({expression})");
        let is_true = async || self.script(&script).await == json!(true);
        if !comes_true(is_true).await {
            let seen = self.text("body").await;
            panic!("waited for {PATIENCE:?} until {expression}; the page says:\n{seen}");
        }
    }

    /// What a person can read in the first element that a selector finds.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let found = self.client.find(Locator::Css(selector)).await.unwrap();
        found.text().await.unwrap()
    }

    /// Clicks on the first element that a selector finds.
    pub(crate) async fn click(&self, selector: &str) {
        let found = self.client.find(Locator::Css(selector)).await.unwrap();
        found.click().await.unwrap();
    }

    /// Types into a field that is empty, or whose text is replaced.
    pub(crate) async fn write(&self, selector: &str, text: &str) {
        let found = self.client.find(Locator::Css(selector)).await.unwrap();
        found.clear().await.unwrap();
        found.send_keys(text).await.unwrap();
    }

    /// Types where the focus is.
    pub(crate) async fn press(&self, keys: impl Display) {
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(&keys.to_string()).await.unwrap();
    }

    /// Chooses files, or a folder, as if in the dialog that a file input opens.
    pub(crate) async fn choose(&self, selector: &str, paths: &[&Path]) {
        let found = self.client.find(Locator::Css(selector)).await.unwrap();
        let paths: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        found.send_keys(&paths.join("\n")).await.unwrap();
    }

    /// Has the person's answer to the question that is open.
    pub(crate) async fn answer(&self, button: &str) {
        self.until("document.querySelector('dialog[open]')").await;
        let buttons = Locator::XPath("//dialog[@open]//button");
        for found in self.client.find_all(buttons).await.unwrap() {
            if found.text().await.unwrap() == button {
                found.click().await.unwrap();
                return;
            }
        }
        panic!("no button {button:?} in: {}", self.text("dialog").await);
    }
}
