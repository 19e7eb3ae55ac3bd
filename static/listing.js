// The folder that is shown: fetches it, draws it, and does what a row's menu says. Going to another folder does not leave
// the page, so that uploads go on; each folder still has its own address.

import * as api from "./api.js";
import { ask, announce, clearNotice, showNotice, withName } from "./dialogs.js";
import { formatSize, machineTime, nameElement, showTime } from "./format.js";
import { offerUndo } from "./restoring.js";
import { cell, closeMenus, connectMenus, downloadLink, focusAfter, hiddenText, icon, menu, menuButton, placeOf } from "./rows.js";
import { hideToast } from "./toast.js";
import { showVersions } from "./versions.js";

const byId = (id) => document.getElementById(id);
export const ROOT_NAME = "All files";
const rowsMax = Number(document.body.dataset.rowsMax);

const shown = { path: [], after: null };
// Counts fetches, so that a late answer does not overwrite a newer one.
let latest = 0;

/** The folder that is shown, as a list of names. */
export const currentPath = () => shown.path;

/** Takes over what the server drew. */
export function start() {
  // Which folder that is it says itself: it reads addresses that browsers do not, for example `/folder/100%`.
  shown.path = document.body.dataset.path.split("/").filter(Boolean);
  shown.after = new URL(location.href).searchParams.get("after");
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
    if (!document.hidden) refresh({ quiet: true });
  });
}

/** Fetches the folder again. `fresh` names are shown as new. Says whether it could. */
export async function refresh({ quiet = false, fresh = [] } = {}) {
  return fetchAndDraw(shown, { quiet, fresh });
}

/** Shows another folder. */
async function go(target, { push }) {
  if (!(await fetchAndDraw(target, {}))) return;
  hideToast();
  if (push) history.pushState(null, "", api.pageAddress(target.path, target.after));
  Object.assign(shown, target);
  drawPlace();
  scrollTo(0, 0);
  byId("title").focus({ preventScroll: true });
}

async function fetchAndDraw(target, { quiet = false, fresh = [] }) {
  latest += 1;
  const mine = latest;
  document.body.classList.add("busy");
  try {
    const page = await api.list(target.path, target.after, rowsMax);
    if (mine !== latest) return false;
    clearNotice();
    draw(target, page, new Set(fresh));
    return true;
  } catch (error) {
    if (mine === latest && !quiet) showNotice(error.message);
    return false;
  } finally {
    if (mine === latest) document.body.classList.remove("busy");
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
  const first = byId("first-page");
  const next = byId("next-page");
  first.href = api.pageAddress(target.path);
  first.hidden = !target.after;
  next.hidden = !page.more;
  if (page.more) next.href = api.pageAddress(target.path, page.next);
  byId("pager").hidden = first.hidden && next.hidden;
}

const compare = (left, right) => (left < right ? -1 : left > right ? 1 : 0);

function byKindAndName(left, right) {
  return Number(left.kind === "file") - Number(right.kind === "file")
    || compare(left.name.toLowerCase(), right.name.toLowerCase())
    || compare(left.name, right.name);
}

/** Folders above, heading and title. */
function drawPlace() {
  const { path } = shown;
  const crumbs = path.map((_, depth) => {
    const above = path.slice(0, depth);
    const link = document.createElement("a");
    link.href = api.pageAddress(above);
    link.dataset.folder = "";
    link.append(nameElement(above.at(-1) ?? ROOT_NAME));
    const item = document.createElement("li");
    item.append(link);
    return item;
  });
  byId("crumbs").replaceChildren(...crumbs);
  byId("title").replaceChildren(nameElement(path.at(-1) ?? ROOT_NAME));
  document.title = `${byId("title").textContent} · DFS`;
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
  const menu = rowMenu(entry, isFile && download);
  made.append(
    cell("name", nameLine),
    cell("size", isFile ? formatSize(entry.size) : ""),
    cell("time", time),
    isFile ? cell("more", downloadLink(download, "button quiet wide-only"), menu) : cell("more", menu),
  );
  return made;
}

function rowMenu(entry, download) {
  const items = [menuButton("Rename…", "rename", ""), menuButton("Delete", "delete", "danger")];
  if (download) {
    items.splice(1, 0, menuButton("Versions…", "versions", ""));
    items.unshift(downloadLink(download, "menu-item"));
  }
  return menu(`More for ${entry.name}`, ...items);
}

// What clicks do.

function onClick(event) {
  const action = event.target.closest?.("[data-action]");
  if (action) {
    closeMenus(null);
    const row = action.closest(".entry");
    // What the dialog gives the focus back to.
    row.querySelector("summary").focus();
    const { name, kind } = row.dataset;
    if (action.dataset.action === "rename") rename(name);
    else if (action.dataset.action === "versions") showVersions([...shown.path, name], () => refresh({ quiet: true, fresh: [name] }));
    else remove(name, kind === "folder", placeOf(row));
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

function rename(name) {
  const dot = name.lastIndexOf(".");
  return ask({
    title: "Rename",
    text: withName("{name} gets another name.", name),
    input: { label: "New name", value: name, selectTo: dot > 0 ? dot : name.length },
    actions: [{ label: "Cancel", value: "cancel" }, { label: "Rename", value: "ok", style: "primary" }],
    submit: async ({ text }) => {
      if (text === name) return;
      if (text.includes("/")) throw new Error("A name cannot contain “/”.");
      await api.move([...shown.path, name], [...shown.path, text]);
      await refresh({ fresh: [text] });
      announce(`Renamed to ${text}.`);
    },
  });
}

/** Moves to the trash, without a question: there is a way back. */
async function remove(name, isFolder, place) {
  const path = [...shown.path, name];
  try {
    const { trashed } = await (isFolder ? api.removeFolder(path) : api.removeFile(path));
    await refresh();
    offerUndo(path, trashed, () => refresh({ fresh: [name] }));
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
