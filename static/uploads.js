// Uploads: a queue of which a few go at once, the panel that shows them, and what can be done with all of them.
//
// A row is there for each that goes on, for the next that wait and for the last that ended: thousands of files would be thousands of
// rows. They are drawn together, a few times a second, however fast files come and go.

import * as api from "./api.js";
import * as bulk from "./bulk.js";
import { announce, showNotice } from "./dialogs.js";
import * as cutOff from "./cutoff.js";
import { formatDuration, formatSize } from "./format.js";
import * as handles from "./handles.js";
import { currentPath, refresh } from "./listing.js";
import { wake } from "./patience.js";
import * as remains from "./remains.js";
import { count, fill, UPLOADS as TEXT } from "./texts.js";
import { Rate, SECONDS_LEFT_MAX } from "./transfer.js";
import { Upload } from "./upload.js";
import { arrange } from "./uploadrow.js";

// Large files have a connection each, of the six that browsers have for a server; small ones share a few (see batch.js), and so many
// of them go that those are full.
const LARGE_AT_ONCE = 3;
const SMALL_AT_ONCE = 96;
const SMALL_BYTES_AT_ONCE = 12 << 20;
// So many questions may be open while others go on.
const ASKED_MAX = 50;
const WAITING_ROWS_MAX = 100;
const FINISHED_ROWS_MAX = 50;
const ENDED_ROWS_MAX = 200;
const DRAW_INTERVAL_MS = 100;
// Who sends so many does not watch each of them.
const DRAW_INTERVAL_OF_MANY_MS = 400;
// Each of a few is told to those who listen; of many it would be noise.
const TOLD_MAX = 5;
const NOTED_NAMES_MAX = 20;
const NOTE_INTERVAL_MS = 1000;
// Where thousands of files lie is long to write. That some are stored may be known later: they are recognized.
const SOURCES_INTERVAL_MS = 10000;
// The list is drawn anew when the last of them is there; on the way to that only now and then.
const REFRESH_AT_END_MS = 300;
const REFRESH_INTERVAL_MS = 3000;
const FRESH_MAX = 20;
// The server answers with a status that may be a second old: it may know nothing yet of uploads that ended after this.
const STATUS_AGE_MAX_MS = 2000;

const byId = (id) => document.getElementById(id);
const waiting = [];
const active = new Set();
const paused = new Set();
// Those that ended: all that may need something more, and the last of the others.
let ended = [];
// Whether none may begin.
let isHeld = false;
// What is getting another name or place, or is being deleted: meanwhile nothing below it may begin.
const moving = new Set();
// Is over when nothing is.
let moved = Promise.resolve();
let endMoves;
const sums = { waiting: 0, stored: 0, failed: 0, skipped: 0, gone: 0 };
let rateOfAll = new Rate();
let refreshTimer;
let fresh = new Set();

export function start() {
  byId("uploads-list").addEventListener("upload", ({ detail: { what, upload } }) => ACTS[what](upload));
  byId("uploads-pause").addEventListener("click", pauseAll);
  byId("uploads-resume").addEventListener("click", resumeAll);
  byId("uploads-retry").addEventListener("click", () => ended.filter(isFailed).forEach(retry));
  byId("uploads-clear").addEventListener("click", clearFinished);
  byId("uploads-cancel").addEventListener("click", cancelAll);
  addEventListener("beforeunload", (event) => {
    if (isBusy() || bulk.isBusy()) event.preventDefault();
  });
  addEventListener("pagehide", noteNow);
  addEventListener("online", goOn);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) goOn();
  });
  cutOff.start({ add });
}

/** What waits for better times tries at once. */
export const goOn = () => wake();

/** Whether any are under way, wait or pause: leaving the page would end them. */
export const isBusy = () => active.size + waiting.length + paused.size > 0;

/** Takes files with their paths below a folder. */
export function add(picked, folder = currentPath()) {
  const taken = withoutThoseUnderWay(picked, folder);
  if (taken.length === 0) return;
  if (!isBusy()) {
    rateOfAll = new Rate();
    sums.gone = 0;
    isHeld = false;
  }
  const common = {
    onChange: drawSoon,
    onAsk: pump,
    tell: (text, english) => {
      if (active.size + waiting.length + ended.length <= TOLD_MAX) announce(text, english);
    },
    hasOthers: () => active.size + waiting.length > 1,
    mayGo: () => moved,
    answers: { forAll: null },
  };
  const uploads = taken.map((one) => new Upload(one, folder, common));
  uploads.forEach(join);
  cutOff.recognize(uploads);
  announce(taken.length === 1 ? fill(TEXT.begunOne, { name: taken[0].file.name }) : count(taken.length, TEXT.begunMany));
  pump();
}

/** The same folder dropped twice would be sent twice, each file against itself. Those that paused go on. */
function withoutThoseUnderWay(picked, folder) {
  if (!isBusy()) return picked;
  const underWay = new Map([...active, ...waiting, ...paused].map((upload) => [upload.fingerprint, upload]));
  const before = ({ file, path }) => underWay.get(remains.fingerprint(file, [...folder, ...path]));
  const again = picked.map(before).filter(Boolean);
  const resting = new Set(again.filter((upload) => paused.has(upload) || (isHeld && upload.state === "waiting")));
  if (resting.size > 0) goOnWith(resting);
  else if (again.length === picked.length && again.length > 0) showNotice(TEXT.underWay);
  return picked.filter((one) => !before(one));
}

/** Those that paused, and those that wait because all do: with them the others that wait. */
function goOnWith(resting) {
  isHeld = false;
  resting.forEach((upload) => {
    if (paused.has(upload)) resume(upload);
  });
  pump();
}

function join(upload) {
  waiting.push(upload);
  sums.waiting += upload.size;
  hasNewSources = true;
}

function pump() {
  while (waiting.length > 0 && mayBegin(waiting[0])) {
    const upload = waiting.shift();
    sums.waiting -= upload.size;
    begin(upload);
  }
  drawSoon();
}

function begin(upload) {
  active.add(upload);
  upload.leaving = upload.run().then(() => left(upload));
}

const isMoving = (upload) => [...moving].some((folder) => upload.isBelow(folder));

function mayBegin(upload) {
  if (isHeld || isMoving(upload)) return false;
  const all = [...active];
  const asked = all.filter(({ state }) => state === "asking").length;
  const begun = all.filter(({ isLarge, state }) => isLarge === upload.isLarge && state !== "asking");
  if (asked >= ASKED_MAX) return false;
  if (upload.isLarge) return begun.length < LARGE_AT_ONCE;
  const bytes = begun.reduce((sum, { size }) => sum + size, 0);
  return begun.length < SMALL_AT_ONCE && bytes < SMALL_BYTES_AT_ONCE;
}

/** It is not under way any more. */
function left(upload) {
  const { state } = upload;
  active.delete(upload);
  if (state === "paused") {
    paused.add(upload);
  } else if (state === "waiting") {
    waiting.unshift(upload);
    sums.waiting += upload.size;
  } else {
    sums.gone += upload.sent;
    ended.push(upload);
    if (state === "failed") sums.failed += 1;
    if (state === "skipped") sums.skipped += 1;
    if (state === "done") {
      sums.stored += 1;
      showInList(upload);
    }
    if (!isBusy()) tellEnd();
  }
  pump();
}

function showInList({ folder, path }) {
  if (folder.join("/") !== currentPath().join("/")) return;
  fresh.add(path[0]);
  const isLast = active.size + waiting.length === 0;
  if (isLast) clearTimeout(refreshTimer);
  else if (refreshTimer) return;
  refreshTimer = setTimeout(() => {
    refreshTimer = undefined;
    refresh({ quiet: true, fresh: fresh.size <= FRESH_MAX ? [...fresh] : [] });
    fresh = new Set();
  }, isLast ? REFRESH_AT_END_MS : REFRESH_INTERVAL_MS);
}

function tellEnd() {
  const { stored, failed } = sums;
  if (stored + failed > 1) announce(fill(TEXT.allStored, { stored, failed }));
}

/** Gives an entry another name or place. What is on its way into it, if it is a folder, waits meanwhile, and follows. */
export const move = (from, to) => whileStill(from, async (inside) => {
  const answer = await api.move(from, to);
  inside().forEach((upload) => upload.follow(from, to));
  hasNewSources = true;
  return answer;
});

/**
 * Deletes a folder. What is on its way into it is cancelled: it would make the folder anew. Gives the answer, of which nothing is
 * `trashed` if the folder was gone, and how many were `cancelled`.
 */
export const removeFolder = (path) => whileStill(path, async (inside) => {
  const trashed = await trashFolder(path);
  const ends = new Set(ended);
  const going = inside().filter((upload) => !ends.has(upload));
  going.forEach(endWithFolder);
  return { trashed, cancelled: going.length };
});

/** Gives what it is in the trash; nothing if somebody was quicker, or the answer was lost and it was asked again. */
async function trashFolder(path) {
  const once = () => api.removeFolder(path);
  try {
    const { trashed } = await once().catch((error) => {
      if (error instanceof api.ConnectionError) return once();
      throw error;
    });
    return trashed;
  } catch (error) {
    if (error.code !== "not_found") throw error;
    return undefined;
  }
}

/** Does something with an entry while nothing goes on below it, and nothing of what did is on the server. */
async function whileStill(entry, work) {
  const inside = () => [...active, ...paused, ...waiting, ...ended].filter((upload) => upload.isBelow(entry));
  if (moving.size === 0) moved = new Promise((end) => { endMoves = end; });
  moving.add(entry);
  try {
    const going = [...active].filter((upload) => upload.state !== "asking" && upload.isBelow(entry));
    going.forEach((upload) => upload.stop("move"));
    await Promise.all(going.map(({ leaving }) => leaving));
    await Promise.all(inside().map((upload) => upload.leave()));
    return await work(inside);
  } finally {
    moving.delete(entry);
    if (moving.size === 0) endMoves();
    pump();
  }
}

function endWithFolder(upload) {
  // Somebody is being asked about it.
  if (active.has(upload)) {
    upload.stop("cancel");
    return;
  }
  takeOutOfLine(upload);
  paused.delete(upload);
  upload.end("cancelled", TEXT.cancelledWithFolder);
  ended.push(upload);
}

// What can be done with one, or all.

const isFailed = ({ state }) => state === "failed";
const ACTS = {
  pause: (upload) => upload.stop("pause"),
  resume,
  retry,
  cancel,
};

/** At once, however many go on: somebody wants this one. */
function resume(upload) {
  paused.delete(upload);
  if (isMoving(upload)) putFirst(upload);
  else begin(upload);
}

function retry(upload) {
  const at = ended.indexOf(upload);
  if (at < 0) return;
  ended.splice(at, 1);
  sums.failed -= Number(isFailed(upload));
  putFirst(upload);
  pump();
}

function putFirst(upload) {
  upload.show("waiting", TEXT.waiting);
  hasNewSources = true;
  waiting.unshift(upload);
  sums.waiting += upload.size;
}

function cancel(upload) {
  if (active.has(upload)) {
    upload.stop("cancel");
    return;
  }
  takeOutOfLine(upload);
  if (paused.delete(upload) || upload.wasSent) {
    // In sight, like those that go on: the server may take its time.
    active.add(upload);
    upload.leaving = upload.cancelled().then(() => left(upload));
    return;
  }
  upload.end("cancelled", TEXT.cancelledUnbegun);
  ended.push(upload);
  pump();
}

function takeOutOfLine(upload) {
  const at = waiting.indexOf(upload);
  if (at < 0) return;
  waiting.splice(at, 1);
  sums.waiting -= upload.size;
}

function cancelAll() {
  // Those of which nobody saw anything leave nothing to see, unless something of them was sent.
  const seen = waiting.filter((upload, at) => at < WAITING_ROWS_MAX || upload.wasSent);
  waiting.length = 0;
  sums.waiting = 0;
  [...seen, ...paused].forEach(cancel);
  active.forEach((upload) => upload.stop("cancel"));
  isHeld = false;
}

function pauseAll() {
  isHeld = true;
  active.forEach((upload) => {
    if (upload.state !== "asking") upload.stop("pause");
  });
  pump();
}

function resumeAll() {
  isHeld = false;
  // The first of them is the first again.
  [...paused].reverse().forEach((upload) => {
    paused.delete(upload);
    putFirst(upload);
  });
  pump();
}

function clearFinished() {
  ended = [];
  sums.stored = 0;
  sums.failed = 0;
  sums.skipped = 0;
  drawSoon();
}

/** The status that was asked for then says that every file has all its copies, also those that were stored with fewer for now. */
export function showCopiesMade(asked) {
  ended.filter(({ endedAt }) => endedAt + STATUS_AGE_MAX_MS < asked).forEach((upload) => upload.showCopiesMade());
}

// The panel, and what is remembered for a page that comes after this one.

let drawTimer;
let drawnAt = 0;
let notedAt = 0;
let sourcesNotedAt = 0;
// Whether there is something whose place a page after this one would not know.
let hasNewSources = false;

function drawSoon() {
  // Not with frames: there are none while nobody looks.
  const interval = waiting.length > WAITING_ROWS_MAX ? DRAW_INTERVAL_OF_MANY_MS : DRAW_INTERVAL_MS;
  drawTimer ??= setTimeout(draw, Math.max(0, drawnAt + interval - performance.now()));
}

function draw() {
  drawTimer = undefined;
  drawnAt = performance.now();
  trim();
  const next = waiting.slice(0, WAITING_ROWS_MAX);
  next.forEach((upload) => { upload.text = isHeld ? TEXT.held : TEXT.waiting; });
  const rowsOf = (uploads) => uploads.map(({ row }) => row);
  const last = ended.slice(-ENDED_ROWS_MAX).reverse();
  arrange(byId("uploads-list"), rowsOf([...active, ...paused, ...next]), byId("uploads-more"), rowsOf(last));
  const running = active.size + waiting.length + paused.size;
  const unseen = waiting.length - next.length;
  const hide = (id, isHidden) => { byId(id).hidden = isHidden; };
  hide("uploads", running + ended.length === 0);
  hide("uploads-clear", ended.length === 0);
  hide("uploads-cancel", running < 2);
  hide("uploads-pause", isHeld || active.size + waiting.length < 2);
  hide("uploads-resume", running === 0 || (!isHeld && paused.size < 2));
  hide("uploads-retry", ended.filter(isFailed).length < 2);
  hide("uploads-more", unseen === 0);
  byId("uploads-more").textContent = count(unseen, TEXT.more);
  byId("uploads-summary").textContent = summary(running).join(" · ");
  if (performance.now() - notedAt > NOTE_INTERVAL_MS || running === 0) noteNow();
}

/** Of those that need nothing more, only the last stay. */
function trim() {
  const isWell = ({ state }) => state === "done" || state === "skipped";
  const goes = new Set(ended.filter(isWell).slice(0, -FINISHED_ROWS_MAX));
  if (goes.size > 0) ended = ended.filter((upload) => !goes.has(upload));
}

function summary(running) {
  const parts = [];
  if (running > 0) {
    const here = [...active, ...paused];
    const left = here.reduce((sum, { size, kept }) => sum + Math.max(0, size - kept), sums.waiting);
    // While answers are awaited, or nothing can be stored, nothing is sent, and there is no rate.
    const isSending = [...active].some(({ state, isHeldUp }) => state === "sending" && !isHeldUp);
    if (!isSending) rateOfAll = new Rate();
    const rate = rateOfAll.update(here.reduce((sum, { sent }) => sum + sent, sums.gone));
    parts.push(fill(TEXT.toGo, { count: running, size: formatSize(left) }));
    if (active.size === 0) {
      parts.push(TEXT.allHeld);
    } else if (rate > 0 && left > 0) {
      parts.push(fill(TEXT.rateOfAll, { rate: formatSize(Math.round(rate)) }));
      // No sooner than the last of those that go on, which do not share the rate as they should.
      const secondsOf = ({ speed, size, sent }) => (speed > 0 ? (size - sent) / speed : 0);
      const seconds = Math.max(left / rate, ...[...active].map(secondsOf));
      if (seconds < SECONDS_LEFT_MAX) parts.push(fill(TEXT.leftOfAll, { span: formatDuration(seconds) }));
    }
  }
  if (sums.stored > 0) parts.push(fill(TEXT.countStored, { count: sums.stored }));
  if (sums.failed > 0) parts.push(fill(TEXT.countFailed, { count: sums.failed }));
  if (sums.skipped > 0) parts.push(fill(TEXT.countSkipped, { count: sums.skipped }));
  return parts;
}

/** What a page after this one can not know from the large files that were begun. */
function noteNow() {
  notedAt = performance.now();
  const small = [...active, ...paused].filter((one) => !one.isLarge || !remains.find(one.fingerprint));
  const all = small.length + waiting.length;
  if (hasNewSources || all === 0 || notedAt - sourcesNotedAt > SOURCES_INTERVAL_MS) {
    hasNewSources = false;
    sourcesNotedAt = notedAt;
    handles.note(remains.tab, [...active, ...paused, ...waiting]);
  }
  const some = [...small, ...waiting.slice(0, NOTED_NAMES_MAX)];
  remains.noteQueue(all === 0 ? null : {
    count: all,
    size: small.reduce((sum, { size }) => sum + size, sums.waiting),
    names: some.slice(0, NOTED_NAMES_MAX).map(({ name }) => name),
  });
}
