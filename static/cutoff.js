// What an earlier page had begun and did not bring to its end: which uploads those are, how far they are, and what to do.
//
// Whoever chooses the same files again finds that they go on. Where the browser keeps handles of them, one click is enough.

import * as api from "./api.js";
import { showNotice } from "./dialogs.js";
import * as handles from "./handles.js";
import { formatSize, formatTime, nameElement } from "./format.js";
import { refresh } from "./listing.js";
import * as remains from "./remains.js";
import { discard } from "./resumable.js";
import { around, element } from "./rows.js";
import { count, CUT_OFF as TEXT, fill, UNITS } from "./texts.js";

const ROWS_MAX = 50;
const byId = (id) => document.getElementById(id);
// Rows by the fingerprint of their uploads, or by the key of the queue.
const rows = new Map();
// What earlier pages left of which the files can be found.
let left = [];
let goOnButton;
let isReading = false;
// Large uploads that were taken up again, also those that wait for their turn.
const recognized = new Set();

/** `add` takes files, as they are picked, into a folder. */
export async function start({ add }) {
  byId("cut-off-discard").addEventListener("click", () => {
    [...rows.values()].forEach((row) => row.drop());
    forgetAll();
  });
  goOnButton = element("button", { type: "button", className: "button primary", hidden: true }, TEXT.goOn);
  goOnButton.addEventListener("click", () => goOn(add));
  byId("cut-off-discard").before(goOnButton);
  const others = await remains.askOthers();
  const isOurs = ({ fingerprint }) => remains.isMine(fingerprint) || others.uploads.has(fingerprint);
  const uploads = remains.findAll().filter((upload) => !isOurs(upload));
  const queues = remains.queues().filter(({ tab }) => !others.tabs.has(tab));
  left = await handles.left(new Set([...others.tabs, remains.tab]));
  goOnButton.hidden = left.length === 0;
  queues.forEach(showQueue);
  // One after the other: they may be many, and none is in a hurry.
  for (const upload of uploads.slice(0, ROWS_MAX)) await showUpload(upload);
  // What they were of came through, or is gone.
  if (rows.size === 0) forgetAll();
}

/** All of it, once the person allows to read the files. */
async function goOn(add) {
  // A button that is disabled loses the focus.
  if (isReading) return;
  isReading = true;
  const read = await inOrder(left, handles.read).finally(() => { isReading = false; });
  const found = read.flatMap((one) => one.found);
  if (found.length === 0) {
    showNotice(TEXT.notAllowed);
    return;
  }
  const folders = Map.groupBy(found, ({ folder }) => api.pathText(folder));
  folders.forEach((files) => add(files, files[0].folder));
  keepOnly(read.map((one) => one.missing));
}

/** What could not be read stays for another click. */
function keepOnly(missing) {
  left = left.map(({ page, roots }, place) => ({ page, roots, files: missing[place] }));
  left.forEach((one) => (one.files.length > 0 ? handles.keep(one.page, one) : handles.forget(one.page)));
  left = left.filter(({ files }) => files.length > 0);
  goOnButton.hidden = left.length === 0;
  byId("cut-off").hidden = rows.size === 0 && left.length === 0;
  if (goOnButton.hidden) byId("title").focus({ preventScroll: true });
  const many = left.reduce((sum, { files }) => sum + files.length, 0);
  if (many > 0) showNotice(count(many, TEXT.notRead));
}

/** One after the other: a browser asks one question at a time. */
async function inOrder(all, work) {
  const done = [];
  for (const one of all) done.push(await work(one));
  return done;
}

function forgetAll() {
  left.forEach(({ page }) => handles.forget(page));
  left = [];
  goOnButton.hidden = true;
  byId("cut-off").hidden = rows.size === 0;
}

/** These are going on, or come again, and are not cut off any more. */
export function recognize(uploads) {
  for (const { fingerprint } of uploads.filter(({ isLarge }) => isLarge)) {
    recognized.add(fingerprint);
    take(fingerprint);
  }
  const names = new Set(uploads.map(({ name }) => name));
  for (const row of [...rows.values()]) {
    if (row.names?.every((name) => names.has(name))) row.drop();
  }
}

function take(key) {
  rows.get(key)?.element.remove();
  rows.delete(key);
  byId("cut-off").hidden = rows.size === 0 && left.length === 0;
}

async function showUpload(upload) {
  const state = await api.call("GET", upload.uploadUrl).catch((error) => error);
  if (remains.isMine(upload.fingerprint) || recognized.has(upload.fingerprint)) return;
  const isGone = state.status === 404 || state.status === 410;
  // It came through, and only the answer did not.
  const isStored = state.version > 0;
  if (isGone || isStored) {
    await remains.storage.removeUpload(upload.urlStorageKey);
    if (isStored) refresh({ quiet: true });
    return;
  }
  const path = upload.metadata?.path ?? "/";
  const name = api.pathNames(path).at(-1) ?? path;
  const text = state.offset === undefined ? formatSize(upload.size) : fill(TEXT.here, {
    sent: formatSize(state.offset),
    size: formatSize(upload.size),
    time: formatTime(new Date(Date.now() + state.kept_ms), { isWithin: true }),
  });
  show(upload.fingerprint, { title: nameElement(api.pathNames(path).join(" / ")), name, text, drop: async () => {
    try {
      await discard(upload);
      take(upload.fingerprint);
    } catch (error) {
      showNotice(error);
    }
  } });
}

function showQueue({ key, count: files, size, names }) {
  const [name] = names;
  const title = document.createDocumentFragment();
  const others = count(files - 1, TEXT.unbegunOthers);
  title.append(...(files > 1 ? around(fill(TEXT.unbegunTitle, { files: others }), "name", nameElement(name)) : [nameElement(name)]));
  const text = fill(TEXT.unbegun, { files: count(files, UNITS.files), size: formatSize(size) });
  show(key, { title, name, text, names, drop: () => {
    remains.forget(key);
    take(key);
  } });
}

function show(key, { title, name, text, names, drop }) {
  const button = element("button", { type: "button", className: "button quiet" }, TEXT.discard);
  button.setAttribute("aria-label", fill(TEXT.discardOne, { name }));
  button.addEventListener("click", drop);
  const row = element("li", { className: "upload" },
    element("span", { className: "upload-name" }, title),
    element("span", { className: "upload-state" }, text),
    element("span", { className: "upload-actions" }, button));
  rows.set(key, { element: row, names, drop });
  byId("cut-off-list").append(row);
  byId("cut-off").hidden = false;
}
