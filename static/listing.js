// Which folder, or which search, is shown: fetches it, draws it, and goes to others without leaving the page, so that uploads
// go on. Each folder, order and search still has its own address.

import * as api from "./api.js";
import { ask, announce, clearNotice, showNotice } from "./dialogs.js";
import { fromFound, fromRow, keyOf, readSort } from "./entries.js";
import { Folder, Found, LENGTH_MAX } from "./folder.js";
import { nameElement, showTime } from "./format.js";
import { closeMenus, connectMenus, element } from "./rows.js";
import * as search from "./search.js";
import * as selection from "./selection.js";
import * as sorting from "./sorting.js";
import { FILES, PAGE, SEARCH, fill } from "./texts.js";
import * as view from "./drawing.js";

const byId = (id) => document.getElementById(id);
export const ROOT_NAME = FILES.root;
/** Folders that were shown before are there again at once when one goes back to them. */
const REMEMBERED = 4;

// `search` is the text that is looked for, or null while a folder is shown.
const shown = { path: [], after: null, from: null, sort: "name", search: null };
const remembered = new Map();
let folder = null;
// One whose first entries are fetched, to be shown then.
let opening = null;
// Counts what somebody goes to, so that a late answer does not take its place.
let navigations = 0;
// Counts what was shown, so that what is fetched again comes only where it was asked for.
let changes = 0;
// The address of what is shown: while one goes back, the browser's is another already.
let address = "";
// How many fetch something now.
let busy = 0;
// Where the page is to be scrolled to, as soon as it is long enough.
let wantedScroll = null;

/** The folder that is shown, or was before a search, as a list of names. */
export const currentPath = () => shown.path;
/** The text that is looked for; null while a folder is shown. */
export const currentSearch = () => shown.search;
/** The address of what is shown. */
export const currentAddress = () => address;
/** How the list is ordered. */
export const currentSort = () => shown.sort;

/** Takes over what the server drew. */
export function start() {
  const url = new URL(location.href);
  // Which folder that is it says itself: it reads addresses that browsers do not, for example `/folder/100%`.
  Object.assign(shown, api.readPageAddress(url) ?? {}, { path: api.pathNames(document.body.dataset.path), search: null });
  shown.sort = readSort(url.searchParams.get("sort"));
  const rows = view.rowsDrawn();
  const entries = rows.map((row) => fromRow(shown.path, row));
  view.start({ onRow: selection.decorate, onFailure: (error) => showNotice(error) });
  view.adopt(entries);
  rows.forEach((row) => showTime(row.querySelector("time")));
  connectMenus();
  history.scrollRestoration = "manual";
  wantedScroll = history.state?.scroll ?? null;
  if (document.body.classList.contains("searching")) {
    shown.search = url.searchParams.get("text")?.trim() ?? "";
    const next = byId("next-page");
    view.show(new Found(entries, next.hidden ? null : next.href));
  } else if (!document.querySelector("#empty.trouble")) {
    const next = byId("next-page");
    folder = new Folder(shown);
    folder.adopt(entries, next.hidden ? null : new URL(next.href).searchParams.get("after"));
    become(folder);
  }
  changed();
  connect();
}

function connect() {
  document.addEventListener("click", onClick);
  addEventListener("popstate", (event) => {
    const target = api.readPageAddress(new URL(location.href));
    if (target) go(target, { push: false, scroll: event.state?.scroll ?? 0 });
    else location.reload();
  });
  let saving;
  addEventListener("scroll", () => {
    clearTimeout(saving);
    saving = setTimeout(saveScroll, 150);
  }, { passive: true });
  addEventListener("pagehide", saveScroll);
  for (const kind of ["wheel", "touchmove", "keydown"]) {
    addEventListener(kind, () => { wantedScroll = null; }, { passive: true });
  }
  byId("refresh").addEventListener("click", async () => {
    if (await refresh()) announce(FILES.upToDate);
  });
  byId("new-folder").addEventListener("click", newFolder);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && shown.search === null) refresh({ quiet: true });
  });
}

/** Something else is shown from now on, under the address that the browser has. */
function changed() {
  changes += 1;
  address = location.pathname + location.search;
}

const saveScroll = () => history.replaceState({ ...history.state, scroll: scrollY }, "");

let isRefreshing = null;
let refreshAgain = null;

/**
 * Fetches the folder, or what is looked for, again; once more if that is asked for meanwhile. `fresh` names are shown as new,
 * the one in `focus` gets the focus. Says whether it could.
 */
export function refresh({ quiet = false, fresh = [], focus = null } = {}) {
  if (isRefreshing) {
    refreshAgain = {
      quiet: quiet && (refreshAgain?.quiet ?? true),
      fresh: [...(refreshAgain?.fresh ?? []), ...fresh],
      focus: focus ?? refreshAgain?.focus ?? null,
    };
    return isRefreshing;
  }
  isRefreshing = (async () => {
    let wanted = { quiet, fresh, focus };
    let isDone = true;
    while (wanted) {
      refreshAgain = null;
      isDone = await refreshOnce(wanted);
      wanted = refreshAgain;
    }
    return isDone;
  })().finally(() => { isRefreshing = null; });
  return isRefreshing;
}

/** The same, where this folder is still the one that is shown. */
export const refreshIfShown = (path, fresh) =>
  (keyOf({ path }) === keyOf(shown) ? refresh({ quiet: true, fresh }) : Promise.resolve(true));

function refreshOnce({ quiet, fresh, focus }) {
  if (shown.search !== null) return search.again({ quiet });
  return whileBusy({ quiet, isRefresh: true }, async (isLatest) => {
    let other = folder;
    if (folder && !folder.isWhole && !folder.isFilling) {
      folder.forget();
      await folder.renew(...view.range());
    } else {
      other = new Folder(shown);
      await other.begin();
      // What is shown goes on to be shown as far as it was.
      if (folder?.isWhole || folder?.length > other.length) await other.fill();
    }
    if (!isLatest()) return false;
    clearNotice();
    // The heading of a page with trouble may say that.
    if (!folder) drawPlace();
    become(other, { freshNames: fresh });
    if (focus) focusOn(focus);
    return true;
  });
}

function focusOn(name) {
  for (let place = 0; place < view.length(); place += 1) {
    if (view.at(place)?.name === name) {
      view.focus(place);
      return;
    }
  }
}

/** Takes entries off the list that are gone, before it is fetched again. */
export function forget(gone) {
  const keys = new Set(gone.map(keyOf));
  view.current().remove((entry) => keys.has(keyOf(entry)));
  selection.forget(gone);
  drawList();
}

/** Shows another folder, another order, or what is found. */
export async function go(target, { push, scroll = 0 }) {
  opening?.stop();
  opening = null;
  if (target.search !== undefined) {
    saveScroll();
    selection.clear();
    await search.show(target, { push });
    return;
  }
  const goal = { after: null, from: null, ...target, sort: readSort(target.sort) };
  const wanted = api.pageAddress(goal.path, goal);
  const other = await open(goal, wanted, push);
  if (!other) return;
  if (push) {
    saveScroll();
    history.pushState(null, "", wanted);
  }
  const isSamePlace = keyOf(goal) === keyOf(shown) && shown.search === null && goal.after === shown.after && goal.from === shown.from;
  Object.assign(shown, goal, { search: null });
  changed();
  search.clear();
  if (!isSamePlace) selection.clear();
  wantedScroll = isSamePlace && push ? null : scroll;
  // What stands above the list first, so that it does not move it afterwards.
  drawPlace();
  become(other);
  if (wantedScroll !== null) restoreScroll();
  if (!isSamePlace) byId("title").focus({ preventScroll: true });
}

/** The folder with its first entries: what is remembered of it, when one goes back, and fetched again behind it. */
async function open(goal, wanted, push) {
  const old = remembered.get(wanted);
  if (!push && old) {
    navigations += 1;
    old.sort = goal.sort;
    setTimeout(() => refresh({ quiet: true }));
    return old;
  }
  const isSameFolder = folder !== null && keyOf(goal) === keyOf(folder);
  if (isSameFolder && folder.isWhole && goal.after === null && goal.from === null && shown.search === null) {
    navigations += 1;
    folder.sort = goal.sort;
    return folder;
  }
  const other = new Folder({ ...goal, isLarge: isSameFolder && folder.isLarge });
  opening = other;
  const isOpen = await whileBusy({}, async (isLatest) => {
    await other.begin();
    // Somebody went elsewhere, and it was stopped.
    if (opening !== other) return false;
    opening = null;
    clearNotice();
    return isLatest();
  });
  return isOpen ? other : null;
}

/** Shows this folder from now on, and what comes of it. */
function become(other, { freshNames = [] } = {}) {
  if (folder !== other) folder?.stop();
  folder = other;
  remembered.delete(api.pageAddress(shown.path, shown));
  remembered.set(api.pageAddress(shown.path, shown), other);
  if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value);
  byId("empty").classList.remove("trouble");
  other.onChange = () => {
    if (other === folder && shown.search === null) drawList();
  };
  selection.keepOnly(other);
  drawList(freshNames);
  if (other.isFilling) {
    other.fill().catch((error) => {
      if (other === folder) showNotice(error);
    });
  }
}

function drawList(freshNames = []) {
  const list = shown.search === null ? folder : view.current();
  view.show(list, { freshNames });
  sorting.draw();
  if (shown.search !== null) return;
  byId("empty").hidden = list.length > 0;
  if (list.length === 0) {
    const isContinued = shown.after !== null || shown.from !== null;
    const [title, text] = isContinued ? [PAGE.thatWasAll, FILES.nothingMore] : [FILES.nothing, FILES.nothingText];
    byId("empty").replaceChildren(element("h2", {}, title), element("p", {}, text));
  }
  const isContinued = shown.after !== null || shown.from !== null;
  const addressOf = (after) => api.pageAddress(shown.path, { after, sort: shown.sort });
  drawPager({
    first: isContinued ? { label: FILES.fromBeginning, address: addressOf(null) } : null,
    next: list.isFull && list.next ? { label: fill(FILES.goOn, { count: LENGTH_MAX }), address: addressOf(list.next) } : null,
  });
  restoreScroll();
}

function restoreScroll() {
  if (wantedScroll === null) return;
  scrollTo({ top: wantedScroll, behavior: "instant" });
  view.draw();
  if (Math.abs(scrollY - wantedScroll) < 2 || !folder?.isFilling) wantedScroll = null;
}

/**
 * Does something that fetches, and says whether it could. What it asks is whether somebody goes elsewhere since; with `isRefresh`,
 * whether something else is shown since.
 */
export async function whileBusy({ quiet = false, isRefresh = false }, fetchAll) {
  if (!isRefresh) navigations += 1;
  const mine = isRefresh ? changes : navigations;
  const isLatest = () => mine === (isRefresh ? changes : navigations);
  busy += 1;
  document.body.classList.add("busy");
  try {
    return await fetchAll(isLatest);
  } catch (error) {
    if (isLatest() && !quiet) showNotice(error);
    if (isLatest() && !isRefresh) putAddressBack();
    return false;
  } finally {
    busy -= 1;
    document.body.classList.toggle("busy", busy > 0);
  }
}

/** Where one could not go back to: what is still shown keeps its address, which uploads and a reload go by. */
function putAddressBack() {
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
}

/** Links to other pages of the list: each with `label` and `address`, or null for none, or undefined to leave it as it is. */
export function drawPager({ first, next }) {
  const links = [[byId("first-page"), first], [byId("next-page"), next]];
  for (const [link, page] of links) {
    if (page === undefined) continue;
    link.hidden = page === null;
    if (page === null) continue;
    link.textContent = page.label;
    link.href = page.address;
  }
  byId("pager").hidden = links.every(([link]) => link.hidden);
}

/** Entries that a search found, with where each is, and where more begin; added to those that are there, or in their place. */
export function drawFound(found, next, { add }) {
  const before = add ? view.current().loaded() : [];
  const list = new Found([...before, ...found.map(fromFound)], next);
  selection.keepOnly(list);
  view.show(list);
  sorting.draw();
  byId("empty").hidden = true;
}

/** From now on it is no folder that is shown, but what is found by this text. */
export function becomeSearch(text) {
  if (shown.search === null) selection.clear();
  shown.search = text;
  changed();
  drawPlace();
}

/** Folders above, heading and title. */
function drawPlace() {
  const { path, search: text } = shown;
  const above = text === null ? path.map((_, depth) => path.slice(0, depth)) : [[]];
  const crumbs = above.map((names) => {
    const link = element("a", { href: api.pageAddress(names) }, nameElement(names.at(-1) ?? ROOT_NAME));
    link.dataset.folder = "";
    return element("li", {}, link);
  });
  byId("crumbs").replaceChildren(...crumbs);
  const title = text === null ? path.at(-1) ?? ROOT_NAME : text ? fill(SEARCH.quoted, { text }) : SEARCH.title;
  byId("title").replaceChildren(nameElement(title));
  document.title = `${byId("title").textContent} · DFS`;
  document.body.classList.toggle("searching", text !== null);
  byId("found").hidden = text === null;
  byId("caption").textContent = text === null ? FILES.caption : SEARCH.caption;
  byId("zip").href = api.zipAddress(path);
}

function onClick(event) {
  const link = event.target.closest?.("a[data-folder]");
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || event.defaultPrevented) return;
  const target = api.readPageAddress(new URL(link.href));
  if (target) {
    event.preventDefault();
    closeMenus(null);
    go(target, { push: true });
  }
}

/**
 * Goes to the first entry whose name begins with this text: in a folder that is not here as a whole, the server finds it, and the
 * list is by name from then on.
 */
export function jumpTo(text) {
  const list = view.current();
  const wanted = text.toLocaleLowerCase();
  if (list.isWhole) {
    for (let place = 0; place < list.length; place += 1) {
      if (list.at(place).name.toLocaleLowerCase().startsWith(wanted)) {
        view.focus(place);
        selection.follow(place);
        return;
      }
    }
    announce(fill(FILES.noneBegins, { text }));
  } else if (shown.search === null && !text.includes("/")) {
    const isRepeated = shown.from !== null && text.startsWith(shown.from);
    go({ path: shown.path, from: text }, { push: !isRepeated }).then(() => view.focus(0));
  }
}

function newFolder() {
  return ask({
    title: FILES.newFolder,
    input: { label: FILES.name, value: "" },
    actions: [{ label: PAGE.cancel, value: "cancel" }, { label: FILES.makeFolder, value: "ok", style: "primary" }],
    submit: async ({ text }) => {
      await api.createFolder([...shown.path, text]);
      await refresh({ fresh: [text] });
      announce(fill(FILES.folderMade, { name: text }));
    },
  });
}
