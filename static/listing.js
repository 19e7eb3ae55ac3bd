// The list, of a folder or of what a search found: fetches a folder, draws either, and does what a row's menu says. Going to
// another folder does not leave the page, so that uploads go on; each folder, and each search, still has its own address.

import * as api from "./api.js";
import { ask, announce, clearNotice, showNotice, withName } from "./dialogs.js";
import { formatSize, machineTime, nameElement, showTime } from "./format.js";
import { copy } from "./copying.js";
import { offerUndo } from "./restoring.js";
import { cell, closeMenus, connectMenus, downloadLink, element, focusAfter, hiddenText, icon, menu, menuButton, placeOf } from "./rows.js";
import * as search from "./search.js";
import { hideToast } from "./toast.js";
import { showVersions } from "./versions.js";

const byId = (id) => document.getElementById(id);
export const ROOT_NAME = "All files";
const rowsMax = Number(document.body.dataset.rowsMax);

// `search` is the text that is looked for, or null while a folder is shown.
const shown = { path: [], after: null, search: null };
// Counts fetches, so that a late answer does not overwrite a newer one.
let latest = 0;

/** The folder that is shown, or was before a search, as a list of names. */
export const currentPath = () => shown.path;
/** The text that is looked for; null while a folder is shown. */
export const currentSearch = () => shown.search;

/** Takes over what the server drew. */
export function start() {
  // Which folder that is it says itself: it reads addresses that browsers do not, for example `/folder/100%`.
  shown.path = api.pathNames(document.body.dataset.path);
  shown.after = new URL(location.href).searchParams.get("after");
  if (document.body.classList.contains("searching")) {
    shown.search = new URL(location.href).searchParams.get("text")?.trim() ?? "";
  }
  document.querySelectorAll("#rows time").forEach(showTime);
  connectMenus();
  document.addEventListener("click", onClick);
  addEventListener("popstate", () => {
    const target = api.readPageAddress(new URL(location.href));
    if (target) go(target, { push: false });
    else location.reload();
  });
  byId("refresh").addEventListener("click", async () => {
    if (await refresh()) announce("The list is up to date.");
  });
  byId("new-folder").addEventListener("click", newFolder);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && shown.search === null) refresh({ quiet: true });
  });
}

/** Fetches the folder, or what is looked for, again. `fresh` names are shown as new. Says whether it could. */
export async function refresh({ quiet = false, fresh = [] } = {}) {
  if (shown.search !== null) return search.again({ quiet });
  return fetchAndDraw(shown, { quiet, fresh });
}

/** Shows another folder, or what is found. */
export async function go(target, { push }) {
  if (target.search !== undefined) {
    await search.show(target, { push });
    return;
  }
  if (!(await fetchAndDraw(target, {}))) return;
  hideToast();
  if (push) history.pushState(null, "", api.pageAddress(target.path, target.after));
  Object.assign(shown, target, { search: null });
  search.clear();
  drawPlace();
  scrollTo(0, 0);
  byId("title").focus({ preventScroll: true });
}

async function fetchAndDraw(target, { quiet = false, fresh = [] }) {
  return whileBusy({ quiet }, async (isLatest) => {
    const page = await api.list(target.path, target.after, rowsMax);
    if (!isLatest()) return false;
    clearNotice();
    draw(target, page, new Set(fresh));
    return true;
  });
}

/** Does something that fetches, and says whether it could; what it asks is whether nothing newer has begun since. */
export async function whileBusy({ quiet }, fetchAll) {
  latest += 1;
  const mine = latest;
  const isLatest = () => mine === latest;
  document.body.classList.add("busy");
  try {
    return await fetchAll(isLatest);
  } catch (error) {
    if (isLatest() && !quiet) showNotice(error.message);
    return false;
  } finally {
    if (isLatest()) document.body.classList.remove("busy");
  }
}

function draw(target, page, fresh) {
  const entries = page.entries.sort(byKindAndName);
  byId("rows").replaceChildren(...entries.map((entry) => row(target.path, entry, fresh.has(entry.name))));
  byId("table").hidden = entries.length === 0;
  byId("empty").hidden = entries.length > 0;
  if (entries.length === 0) {
    const title = document.createElement("h2");
    title.textContent = target.after ? "That was all" : "Nothing here yet";
    const text = document.createElement("p");
    text.textContent = target.after
      ? "There are no more files in this folder."
      : "Files that you upload appear here. Each is kept on several machines.";
    byId("empty").replaceChildren(title, text);
    byId("empty").classList.remove("trouble");
  }
  drawPager({
    first: target.after ? { label: "First page", address: api.pageAddress(target.path) } : null,
    next: page.more ? { label: "Next page", address: api.pageAddress(target.path, page.next) } : null,
  });
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

/** Entries that a search found, with where each is; added to those that are there, or in their place. */
export function drawFound(found, { add }) {
  const rows = found.map(({ path, entry }) => {
    const names = api.pathNames(path);
    const made = row(names.slice(0, -1), entry, false);
    made.dataset.path = path;
    made.querySelector(".name").append(whereabouts(names.slice(0, -1)));
    return made;
  });
  if (add) byId("rows").append(...rows);
  else byId("rows").replaceChildren(...rows);
  byId("table").hidden = byId("rows").childElementCount === 0;
  byId("empty").hidden = true;
}

function whereabouts(folder) {
  const link = folderLink(folder, folder.length > 0 ? folder.join(" / ") : ROOT_NAME);
  const made = document.createElement("p");
  made.className = "whereabouts";
  made.append("in ", link);
  return made;
}

function folderLink(path, text) {
  const link = document.createElement("a");
  link.href = api.pageAddress(path);
  link.dataset.folder = "";
  link.append(nameElement(text));
  return link;
}

/** From now on it is no folder that is shown, but what is found by this text. */
export function becomeSearch(text) {
  shown.search = text;
  drawPlace();
}

const compare = (left, right) => (left < right ? -1 : left > right ? 1 : 0);

function byKindAndName(left, right) {
  return Number(left.kind === "file") - Number(right.kind === "file")
    || compare(left.name.toLowerCase(), right.name.toLowerCase())
    || compare(left.name, right.name);
}

/** Folders above, heading and title. */
function drawPlace() {
  const { path, search: text } = shown;
  const above = text === null ? path.map((_, depth) => path.slice(0, depth)) : [[]];
  const crumbs = above.map((folder) => {
    const item = document.createElement("li");
    item.append(folderLink(folder, folder.at(-1) ?? ROOT_NAME));
    return item;
  });
  byId("crumbs").replaceChildren(...crumbs);
  const title = text === null ? path.at(-1) ?? ROOT_NAME : text ? `“${text}”` : "Search";
  byId("title").replaceChildren(nameElement(title));
  document.title = `${byId("title").textContent} · DFS`;
  document.body.classList.toggle("searching", text !== null);
  byId("found").hidden = text === null;
  byId("zip").href = api.zipAddress(path);
}

/** The same as templates/row.html. */
function row(folder, entry, fresh) {
  const path = [...folder, entry.name];
  const isFile = entry.kind === "file";
  const made = document.createElement("tr");
  made.className = fresh ? "entry fresh" : "entry";
  Object.assign(made.dataset, { kind: entry.kind, name: entry.name });
  made.setAttribute("role", "row");

  const link = document.createElement("a");
  link.href = isFile ? api.fileAddress(path) : api.pageAddress(path);
  if (!isFile) {
    link.dataset.folder = "";
    link.append(hiddenText("Folder "));
  }
  link.append(nameElement(entry.name));

  const nameLine = document.createElement("div");
  nameLine.append(icon(entry.kind), link);

  const time = document.createElement("time");
  time.dateTime = machineTime(entry.modified_ms);
  showTime(time);

  const download = `${api.fileAddress(path)}?download=1`;
  const menu = rowMenu(entry, isFile ? downloadLink(download, "menu-item") : zipLink(api.zipAddress(path)));
  made.append(
    cell("name", nameLine),
    cell("size", isFile ? formatSize(entry.size) : ""),
    cell("time", time),
    isFile ? cell("more", downloadLink(download, "button quiet wide-only"), menu) : cell("more", menu),
  );
  return made;
}

/** The first item is what downloads the entry. */
function rowMenu(entry, first) {
  const items = [first, menuButton("Rename…", "rename", ""), menuButton("Delete", "delete", "danger")];
  if (entry.kind === "file") {
    items.splice(2, 0, menuButton("Copy…", "copy", ""), menuButton("Versions…", "versions", ""));
  }
  return menu(`More for ${entry.name}`, ...items);
}

const zipLink = (address) => element("a", { className: "menu-item", href: address }, "Download as zip");

// What clicks do.

function onClick(event) {
  const action = event.target.closest?.("[data-action]");
  if (action) {
    closeMenus(null);
    const row = action.closest(".entry");
    // What the dialog gives the focus back to.
    row.querySelector("summary").focus();
    const { name, path: found, kind } = row.dataset;
    const path = found ? api.pathNames(found) : [...shown.path, name];
    if (action.dataset.action === "rename") rename(path);
    else if (action.dataset.action === "copy") copy(path);
    else if (action.dataset.action === "versions") showVersions(path, () => refresh({ quiet: true, fresh: [name] }));
    else remove(path, kind === "folder", placeOf(row));
    return;
  }
  const link = event.target.closest?.("a[data-folder]");
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain) return;
  const target = api.readPageAddress(new URL(link.href));
  if (target) {
    event.preventDefault();
    go(target, { push: true });
  }
}

/** Makes folders with these paths below the one that is shown, but for those that are there. */
export async function addFolders(paths) {
  if (paths.length === 0) return;
  const folder = shown.path;
  for (const path of paths) {
    try {
      await api.createFolder([...folder, ...path]);
    } catch (error) {
      if (error.code !== "already_exists") throw error;
    }
  }
  await refresh({ fresh: paths.map(([name]) => name) });
}

function newFolder() {
  return ask({
    title: "New folder",
    input: { label: "Name", value: "" },
    actions: [{ label: "Cancel", value: "cancel" }, { label: "Make folder", value: "ok", style: "primary" }],
    submit: async ({ text }) => {
      await api.createFolder([...shown.path, text]);
      await refresh({ fresh: [text] });
      announce(`The folder ${text} is there.`);
    },
  });
}

function rename(path) {
  const name = path.at(-1);
  const dot = name.lastIndexOf(".");
  return ask({
    title: "Rename",
    text: withName("{name} gets another name.", name),
    input: { label: "New name", value: name, selectTo: dot > 0 ? dot : name.length },
    actions: [{ label: "Cancel", value: "cancel" }, { label: "Rename", value: "ok", style: "primary" }],
    submit: async ({ text }) => {
      if (text === name) return;
      if (text.includes("/")) throw new Error("A name cannot contain “/”.");
      await api.move(path, [...path.slice(0, -1), text]);
      await refresh({ fresh: [text] });
      announce(`Renamed to ${text}.`);
    },
  });
}

/** Moves to the trash, without a question: there is a way back. */
async function remove(path, isFolder, place) {
  try {
    const { trashed } = await (isFolder ? api.removeFolder(path) : api.removeFile(path));
    await refresh();
    offerUndo(path, trashed, () => refresh({ fresh: [path.at(-1)] }));
  } catch (error) {
    // Somebody was quicker.
    if (error.code !== "not_found") {
      showNotice(error.message);
      return;
    }
    await refresh();
  }
  focusAfter(place);
}
