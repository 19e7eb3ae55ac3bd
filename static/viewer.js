// A file over its list: what the server draws at /view/… is shown in a dialog, with its own address, so that back, forward,
// reload and a new tab work. Arrows go to the next file of the list, Escape goes back to it.

import { announce, showNotice } from "./dialogs.js";
import { showTime } from "./format.js";
import { element } from "./rows.js";
import { PAGE, VIEWER } from "./texts.js";

const byId = (id) => document.getElementById(id);
const isView = (address) => address.startsWith("/view/");
const here = () => location.pathname + location.search;

// What is open: `dialog`, `address`, and the `place` and `title` of the list below; null while nothing is.
let open = null;
// Where the list is to which a step forward in the history belongs.
let lastPlace = null;
// Counts fetches, so that a late answer is not shown over a newer one.
let latest = 0;

/** Has to be called before anything else listens to the history. */
export function start() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#rows a[href^='/view/']");
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || event.defaultPrevented) return;
    event.preventDefault();
    view(link.getAttribute("href"));
  });
  addEventListener("popstate", (event) => {
    if (isView(location.pathname) && lastPlace !== null) {
      event.stopImmediatePropagation();
      show(here());
    } else if (open) {
      const isSameList = here() === open.place;
      leave();
      if (isSameList) event.stopImmediatePropagation();
    }
  });
}

/** Shows the file at this address of a view over the list. */
export async function view(address) {
  const place = here();
  if (!(await show(address))) return;
  lastPlace = place;
  open.place = place;
  history.pushState({ view: true }, "", address);
}

/** Says whether it could. */
async function show(address) {
  latest += 1;
  const mine = latest;
  document.body.classList.add("busy");
  try {
    const drawn = await fetchView(address);
    if (mine !== latest) return false;
    open ??= begin();
    open.address = address;
    const article = document.importNode(drawn, true);
    open.dialog.replaceChildren(article);
    connect(article);
    const { previous, next } = neighbours(address);
    step(article.querySelector("#view-previous"), previous);
    step(article.querySelector("#view-next"), next);
    const title = article.querySelector("#view-title");
    document.title = `${title.textContent} · DFS`;
    title.focus();
    announce(title.textContent);
    return true;
  } catch (error) {
    if (mine === latest) showNotice(error);
    return false;
  } finally {
    if (mine === latest) document.body.classList.remove("busy");
  }
}

/** What the server draws. As a document it stays without effect: nothing is loaded before it is part of the page. */
function fetchView(address) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.addEventListener("load", () => {
      const drawn = request.response?.getElementById("file-view");
      if (drawn) resolve(drawn);
      else reject(new Error(VIEWER.failed));
    });
    request.addEventListener("error", () => reject(new Error(PAGE.unreachable)));
    request.send();
  });
}

function begin() {
  const dialog = element("dialog", { className: "viewer" });
  dialog.setAttribute("aria-labelledby", "view-title");
  dialog.addEventListener("keydown", onKey);
  dialog.addEventListener("click", (event) => {
    const isPlain = !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (event.target === dialog) close();
    const link = event.target.closest("#view-close, #view-previous, #view-next");
    if (!link || !isPlain) return;
    event.preventDefault();
    if (link.id === "view-close") close();
    else go(link);
  });
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    close();
  });
  // A browser may close it without asking.
  dialog.addEventListener("close", () => {
    if (open?.dialog === dialog) close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, place: lastPlace, title: document.title };
}

/** Back to the list: its address comes back, and then the dialog goes. */
function close() {
  history.back();
}

function leave() {
  const { dialog, title, address } = open;
  open = null;
  // A film plays on without it.
  dialog.querySelectorAll("video, audio").forEach((player) => player.pause());
  dialog.close();
  dialog.remove();
  document.title = title;
  const link = links().find((link) => link.getAttribute("href") === address);
  (link ?? byId("title"))?.focus({ preventScroll: !link });
}

const links = () => Array.from(document.querySelectorAll("#rows a[href^='/view/']"));

/** The addresses of the files before and after this one in the list. */
function neighbours(address) {
  const addresses = [...new Set(links().map((link) => link.getAttribute("href")))];
  const at = addresses.indexOf(address);
  return at < 0 ? {} : { previous: addresses[at - 1], next: addresses[at + 1] };
}

/** Lets a link lead to a neighbour, if there is one. */
export function step(link, address) {
  if (!link) return;
  link.hidden = address === undefined;
  if (address !== undefined) link.href = address;
}

async function go(link) {
  const address = link.getAttribute("href");
  const { id } = link;
  if (!(await show(address))) return;
  history.replaceState({ view: true }, "", address);
  // So that a second click, or Enter, goes on.
  const same = byId(id);
  if (same && !same.hidden) same.focus();
}

function onKey(event) {
  const link = stepByKey(event);
  if (!link) return;
  event.preventDefault();
  go(link);
}

/** The link that a key stands for, unless it does something else where the focus is. */
export function stepByKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return null;
  if (event.target.closest("video, audio, input, select, textarea, pre")) return null;
  const link = byId({ ArrowLeft: "view-previous", ArrowRight: "view-next" }[event.key]);
  return link && !link.hidden ? link : null;
}

/** Makes what the server drew complete: times, and a word where the browser cannot show it. */
export function connect(article) {
  article.querySelectorAll("time").forEach(showTime);
  const media = article.querySelector(".view-media");
  if (!media) return;
  const fail = () => {
    media.hidden = true;
    byId("view-failed").hidden = false;
  };
  media.addEventListener("error", fail);
  if (media.error || (media.complete && media.naturalWidth === 0)) fail();
}
