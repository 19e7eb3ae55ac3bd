// Searching by name over everything, as one types: what is found is shown in the list, as a page with its own address.
// Escape goes back to the folder.

import * as api from "./api.js";
import { announce, clearNotice } from "./dialogs.js";
import * as listing from "./listing.js";
import * as selection from "./selection.js";
import { FILES, SEARCH, fill } from "./texts.js";
import * as view from "./drawing.js";

// Rows of one page, as in pages/search.rs.
const ROWS = 50;
const PAUSE_MS = 150;

const byId = (id) => document.getElementById(id);
const field = byId("search-text");
const nextPage = byId("next-page");
let pause;
// What an older search still waits for is given up.
let fetching = new AbortController();

/** Takes over the field, and the page that the server drew. */
export function start() {
  field.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(typed, PAUSE_MS);
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(pause);
    typed();
  });
  // Before others: what Escape closes first is still open here.
  addEventListener("keydown", onKey, { capture: true });
  nextPage.addEventListener("click", (event) => {
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (listing.currentSearch() === null || !isPlain) return;
    event.preventDefault();
    event.stopPropagation();
    more();
  });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "/" && !event.target.closest("input, textarea, select, [contenteditable]")) {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "Escape" && !document.querySelector("details[open], .context-menu, .rename") && (!selection.isBegun() || event.target === field)) {
    if (event.target === field || listing.currentSearch() !== null) {
      event.preventDefault();
      leave();
    }
  }
}

function typed() {
  const text = field.value.trim();
  if (text === (listing.currentSearch() ?? "")) return;
  if (text === "") leave();
  else show({ search: text, after: null }, { push: listing.currentSearch() === null, isTyped: true });
}

/** Back to the folder that was shown before. */
function leave() {
  clearTimeout(pause);
  if (listing.currentSearch() === null) {
    clear();
    byId("title").focus({ preventScroll: true });
  } else if (history.state?.isSearch) {
    history.back();
  } else {
    listing.go({ path: listing.currentPath() }, { push: true });
  }
}

/** A folder is shown from now on. */
export function clear() {
  clearTimeout(pause);
  fetching.abort();
  field.value = "";
}

/** Shows what is found: as a new page of the history, or in the place of the present one while somebody goes on typing. */
export async function show({ search: text, after }, { push, isTyped = false }) {
  const isShown = await find(text, after, { wanted: ROWS, add: false }, () => {
    const address = api.searchAddress(text, after);
    if (push) history.pushState({ isSearch: true }, "", address);
    else if (isTyped) history.replaceState(history.state, "", address);
    if (!isTyped) field.value = text;
    listing.becomeSearch(text);
    scrollTo(0, 0);
  });
  if (isShown && !isTyped) byId("title").focus({ preventScroll: true });
}

/** The same search again, with as many rows as there are. */
export function again({ quiet }) {
  const { after } = api.readPageAddress(new URL(listing.currentAddress(), location));
  const wanted = Math.max(ROWS, view.length());
  return find(listing.currentSearch(), after, { wanted, add: false, quiet, isRefresh: true });
}

async function more() {
  const before = view.length();
  const { after } = api.readPageAddress(new URL(nextPage.href));
  if (!(await find(listing.currentSearch(), after, { wanted: ROWS, add: true }))) return;
  // The button may be gone, and who used the keyboard goes on with the first of the new rows.
  if (before < view.length()) view.focus(before);
}

/**
 * Asks until so many are there, or there are no more; each answer is shown as it comes. `begin` is called with the first. The same
 * again does not end what somebody looks for just now.
 */
function find(text, after, { wanted, add, quiet = false, isRefresh = false }, begin = () => {}) {
  if (!isRefresh) {
    fetching.abort();
    fetching = new AbortController();
  }
  const { signal } = fetching;
  if (text === "") {
    begin();
    draw([], null, { text, after, add: false });
    return true;
  }
  return listing.whileBusy({ quiet, isRefresh }, async (isLatest) => {
    let next = after;
    let left = wanted;
    let isFirst = true;
    while (isFirst || (next && left > 0)) {
      const page = await api.search(text, next, left, signal).catch((error) => {
        if (!signal.aborted) throw error;
      });
      if (signal.aborted || !isLatest()) return false;
      if (isFirst) {
        clearNotice();
        begin();
      }
      left -= page.found.length;
      next = page.next;
      draw(page.found, next, { text, after, add: add || !isFirst });
      isFirst = false;
    }
    if (!quiet) announce(byId("found").textContent);
    return true;
  });
}

function draw(found, next, { text, after, add }) {
  listing.drawFound(found, next, { add });
  const first = after ? { label: FILES.fromBeginning, address: api.searchAddress(text) } : null;
  listing.drawPager({
    first: add ? undefined : first,
    next: next ? { label: SEARCH.more, address: api.searchAddress(text, next) } : null,
  });
  byId("found").textContent = foundText(text, view.length(), next);
}

/** The same as in pages/search.rs. */
function foundText(text, count, next) {
  if (text === "") return SEARCH.hint;
  if (next) return fill(SEARCH.foundSoFar, { count });
  return count === 0 ? SEARCH.none : fill(SEARCH.found, { count });
}
