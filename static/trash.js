// The page of the trash: takes over what the server drew, and does what its rows' buttons say.

import * as api from "./api.js";
import { ask, announce, clearNotice, showNotice, withName } from "./dialogs.js";
import { formatSize, machineTime, nameElement, showTime } from "./format.js";
import * as past from "./past.js";
import { putBack, putElsewhere } from "./restoring.js";
import { around, cell, closeMenus, connectMenus, element, focusAfter, hiddenText, icon, menu, menuButton, placeOf } from "./rows.js";
import * as status from "./status.js";
import { FILES, PAGE, TRASH, UNITS, count, fill } from "./texts.js";
import { showToast } from "./toast.js";

const byId = (id) => document.getElementById(id);
const rowsMax = Number(document.body.dataset.rowsMax);
const before = new URL(location.href).searchParams.get("before");
// Counts fetches, so that a late answer does not overwrite a newer one.
let latest = 0;

/** Fetches the list again. Says whether it could. */
async function refresh({ quiet = false } = {}) {
  latest += 1;
  const mine = latest;
  document.body.classList.add("busy");
  try {
    const known = api.status().catch(() => null);
    const page = await past.listTrash(before, rowsMax);
    if (mine !== latest) return false;
    clearNotice();
    draw(page);
    drawSpace(await known);
    return true;
  } catch (error) {
    if (mine === latest && !quiet) showNotice(error);
    return false;
  } finally {
    if (mine === latest) document.body.classList.remove("busy");
  }
}

function draw(page) {
  byId("rows").replaceChildren(...page.entries.map(row));
  const isEmpty = page.entries.length === 0;
  byId("table").hidden = isEmpty;
  byId("empty").hidden = !isEmpty;
  byId("empty-trash").hidden = isEmpty && !before;
  if (isEmpty) {
    const [title, text] = before ? [PAGE.thatWasAll, TRASH.nothingOlder] : [TRASH.nothing, TRASH.nothingText];
    byId("empty").replaceChildren(element("h2", {}, title), element("p", {}, text));
    byId("empty").classList.remove("trouble");
  }
  byId("first-page").hidden = !before;
  byId("next-page").hidden = !page.more;
  if (page.more) byId("next-page").href = `/trash?before=${page.next}`;
  byId("pager").hidden = !before && !page.more;
}

/** The same as pages/trash.rs says. */
function drawSpace(known) {
  const space = byId("space");
  if (!space || !known) return;
  const { trash, former_versions: former } = known;
  const sentences = [];
  if (trash.files + trash.folders > 0) {
    const sums = { files: count(trash.files, UNITS.files), folders: count(trash.folders, UNITS.folders) };
    sentences.push(fill(TRASH.here, { ...sums, size: formatSize(trash.bytes) }));
  }
  if (former.versions > 0) {
    sentences.push(fill(TRASH.former, { size: formatSize(former.bytes), span: space.dataset.versionsFor }));
  }
  space.textContent = sentences.join(" ");
}

/** The same as templates/trash_row.html. */
function row({ trash, path, entry, deleted_ms: deletedMs }) {
  const { kind, name } = entry;
  const made = element("tr", { className: "entry" });
  made.setAttribute("role", "row");
  Object.assign(made.dataset, { trash, kind, path });

  const what = nameElement(name);
  what.className = "what";
  const place = element("span", { className: "place" },
    ...around(TRASH.wasIn, "folder", nameElement(path.slice(0, path.lastIndexOf("/")) || FILES.root)));
  const was = element("p", { className: "was" }, ...(kind === "folder" ? [hiddenText(FILES.folder)] : []), what, " ", place);

  const time = element("time", { dateTime: machineTime(deletedMs) });
  showTime(time);
  const restore = element("button", { className: "button quiet wide-only", type: "button" }, TRASH.restore);
  restore.dataset.action = "restore";
  restore.setAttribute("aria-label", fill(TRASH.restoreOne, { name }));
  const more = menu(fill(FILES.moreFor, { name }),
    menuButton(TRASH.restore, "restore", "narrow-only"),
    menuButton(TRASH.restoreElsewhere, "restore-elsewhere", ""),
    menuButton(TRASH.remove, "remove", "danger"));
  made.append(
    cell("name", element("div", {}, icon(kind), was)),
    cell("size", kind === "file" ? formatSize(entry.size) : ""),
    cell("time", time),
    cell("more", element("div", {}, restore, more)),
  );
  return made;
}

function onClick(event) {
  const button = event.target.closest?.("[data-action]");
  if (!button) return;
  closeMenus(null);
  const entry = button.closest(".entry");
  // What a dialog gives the focus back to.
  entry.querySelector("summary").focus();
  const { trash, path, kind } = entry.dataset;
  const item = { trash, path, name: path.slice(path.lastIndexOf("/") + 1), kind, place: placeOf(entry) };
  if (button.dataset.action === "restore") restore(item, () => putBack(item));
  else if (button.dataset.action === "restore-elsewhere") restore(item, () => putElsewhere(item));
  else remove(item);
}

async function restore(item, put) {
  try {
    const path = await put();
    if (!path) return;
    await refresh();
    focusAfter(item.place);
    const folder = path.slice(1).split("/").slice(0, -1);
    const show = () => { location.href = api.pageAddress(folder); };
    showToast(withName(TRASH.restored, item.name), { label: TRASH.show, onAct: show });
    announce(fill(TRASH.restoredSpoken, { name: item.name, path }));
  } catch (error) {
    // Somebody was quicker.
    if (error.code === "not_found") await refresh({ quiet: true });
    showNotice(error);
  }
}

async function remove(item) {
  const chosen = await ask({
    title: withName(TRASH.removeTitle, item.name),
    text: item.kind === "folder" ? TRASH.removeFolder : TRASH.removeFile,
    actions: [{ label: PAGE.cancel, value: "cancel" }, { label: TRASH.removeNow, value: "ok", style: "danger" }],
    submit: () => past.remove(item.trash).catch((error) => {
      if (error.code !== "not_found") throw error;
    }),
  });
  if (!chosen) return;
  await refresh();
  focusAfter(item.place);
  announce(fill(TRASH.gone, { name: item.name }));
}

async function emptyAll() {
  const chosen = await ask({
    title: TRASH.emptyTitle,
    text: TRASH.emptyText,
    actions: [{ label: PAGE.cancel, value: "cancel" }, { label: TRASH.emptyNow, value: "ok", style: "danger" }],
    submit: past.empty,
  });
  if (!chosen) return;
  await refresh();
  byId("title").focus({ preventScroll: true });
  announce(TRASH.emptied);
}

document.querySelectorAll("#rows time").forEach(showTime);
connectMenus();
document.addEventListener("click", onClick);
byId("refresh").addEventListener("click", async () => {
  if (await refresh()) announce(TRASH.refreshed);
});
byId("empty-trash").addEventListener("click", emptyAll);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh({ quiet: true });
});
status.start({ onReady: () => refresh({ quiet: true }), onGreen: () => {} });
