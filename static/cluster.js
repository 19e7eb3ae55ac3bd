// The page of the cluster, kept up to date: each time the server says that something has changed, it draws the page anew, and the
// parts that differ take the place of the old ones. A page that nobody sees does not listen.

import { connectMenus } from "./rows.js";
import * as status from "./status.js";

const POLL_MS = 5000;
const PARTS = ["cluster-state", "cluster-figures", "cluster-copies", "cluster-nodes"];

let events = null;
let timer = null;
let isDrawing = false;
let isStale = false;

async function draw() {
  // What changes meanwhile is drawn next.
  isStale = true;
  if (isDrawing) return;
  isDrawing = true;
  while (isStale) {
    isStale = false;
    const drawn = await fetchPage();
    for (const id of PARTS) {
      const part = document.getElementById(id);
      const fresh = drawn?.getElementById(id);
      if (fresh && fresh.outerHTML !== part.outerHTML) part.replaceWith(document.importNode(fresh, true));
    }
    if (!drawn) document.getElementById("cluster-state").classList.add("stale");
  }
  isDrawing = false;
}

/** Null if the server does not answer. */
function fetchPage() {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("GET", "/cluster");
    request.responseType = "document";
    request.timeout = 15000;
    request.addEventListener("loadend", () => resolve(request.response));
    request.send();
  });
}

function listen() {
  events?.close();
  events = null;
  clearInterval(timer);
  if (document.hidden) return;
  events = new EventSource("/api/v1/events");
  events.addEventListener("cluster", ({ data }) => {
    status.tell(JSON.parse(data));
    draw();
  });
  events.addEventListener("error", () => {
    draw();
    if (events?.readyState !== EventSource.CLOSED) return;
    // There is no place among those who listen, or something between does not let events through.
    clearInterval(timer);
    timer = setInterval(draw, POLL_MS);
  });
}

connectMenus();
status.start({ onReady: () => {}, onGreen: () => {} });
listen();
document.addEventListener("visibilitychange", listen);
addEventListener("pagehide", () => events?.close());
