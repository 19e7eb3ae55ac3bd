// Small files go together, many in one request: a browser needs about ten times as long for a request as for such a file's bytes.
//
// Each is a file of its own all the same: the server stores it or not, and says so of each. It has an id in each form, by which it can
// be cancelled (cancelling.js) as long as nobody heard what became of it.

import { ApiError, ConnectionError, pathText } from "./api.js";
import { newId } from "./cancelling.js";
import { modifiedMs, parse } from "./transfer.js";

const ADDRESS = "/api/v1/files";
/** Browsers have six connections for a server, and large files want some. */
const REQUESTS_MAX = 3;
const FILES_MAX = 64;
/** Bytes of a request: as many as go in about a second, so that a slow connection shows its files one by one. */
const BYTES_MIN = 1 << 18;
const BYTES_FIRST = 1 << 20;
const BYTES_MAX = 1 << 22;
const QUICK_MS = 500;
const SLOW_MS = 2000;
/** What a form has between the fields of a file, and says of it beside its path and its condition, at most. */
const FORM_LEN = 600;
/** A request has room for so many bytes beside a file's own: for a path of 4 KiB, all of it quotes, and for the form. */
export const ROOM = 9 << 10;

const queue = [];
const requests = new Set();
const encoder = new TextEncoder();
let bytesMax = BYTES_FIRST;
let timer;

/**
 * Sends a file to the path `target`, in a request of at most `requestMax` bytes, and with no others if it `isAlone`. It is refused with
 * code `precondition_failed` where `condition`, a header, does not hold. `onWait` is called when it waits for its turn, and `onSend` is
 * told its id when it goes in a form; meanwhile `onProgress(sent)` is called as bytes leave, and `onMove` when bytes of others in the
 * form do, so that it is not taken for stalled. `signal` stops it.
 */
export function send(file, { target, condition, requestMax, isAlone, onWait, onSend, onProgress, onMove, signal }) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const conditions = Object.entries(condition).map(([name, value]) => [name.toLowerCase().replaceAll("-", "_"), value]);
    const said = { path: pathText(target), modified_ms: Number(modifiedMs(file)), ...Object.fromEntries(conditions) };
    const length = FORM_LEN + encoder.encode(JSON.stringify(said)).length + file.size;
    const entry = { file, said, length, requestMax, isAlone, onWait, onSend, onProgress, onMove, signal, resolve, reject, sent: 0 };
    signal.addEventListener("abort", () => stop(entry), { once: true });
    onWait();
    queue.push(entry);
    pumpSoon();
  });
}

/** When all that begin now are in the queue. */
function pumpSoon() {
  timer ??= setTimeout(() => {
    timer = undefined;
    while (requests.size < REQUESTS_MAX && queue.length > 0) begin(take());
  }, 0);
}

/** The next that have room in one request; a file at least. */
function take() {
  const most = Math.min(bytesMax, ...queue.slice(0, FILES_MAX).map(({ requestMax }) => requestMax));
  let [count, length] = [1, queue[0].length];
  const hasRoom = (next) => !queue[0].isAlone && !next.isAlone && length + next.length <= most;
  while (count < Math.min(FILES_MAX, queue.length) && hasRoom(queue[count])) {
    length += queue[count].length;
    count += 1;
  }
  return queue.splice(0, count);
}

function begin(entries) {
  const request = { entries };
  requests.add(request);
  sendForm(request).finally(() => {
    requests.delete(request);
    pumpSoon();
  });
}

function sendForm(request) {
  const { entries } = request;
  const form = new FormData();
  for (const { said, file, onSend } of entries) {
    const id = newId();
    onSend(id);
    form.append("file", JSON.stringify({ ...said, id }));
    // Any name: its own could be long, and is in what is said.
    form.append("content", file, "f");
  }
  return new Promise((resolve) => {
    const http = new XMLHttpRequest();
    const begun = performance.now();
    const at = (event, end) => http.addEventListener(event, () => {
      resolve();
      end();
    });
    request.abort = () => http.abort();
    http.upload.addEventListener("progress", ({ loaded, total }) => progressed(entries, loaded / total));
    at("load", () => {
      if (http.status < 400) pace(performance.now() - begun);
      answered(entries, http);
    });
    at("error", () => {
      // Something on the way may take no requests of this length.
      bytesMax = Math.max(BYTES_MIN, bytesMax / 4);
      entries.forEach(({ reject }) => reject(new ConnectionError()));
    });
    at("abort", () => repeat(entries));
    http.open("POST", ADDRESS);
    http.send(form);
  });
}

function progressed(entries, part) {
  const total = entries.reduce((sum, { length }) => sum + length, 0);
  let left = part * total;
  for (const entry of entries) {
    const sent = Math.floor(Math.min(entry.file.size, Math.max(0, left - (entry.length - entry.file.size))));
    if (sent !== entry.sent) entry.onProgress(sent);
    entry.sent = sent;
    left -= entry.length;
    entry.onMove();
  }
}

function answered(entries, http) {
  const answer = parse(http.responseText);
  const isRefused = http.status >= 400;
  // Whatever answers in the server's place, a proxy with a page of its own for example, has stored nothing.
  const isStrange = !isRefused && answer.files?.length !== entries.length;
  entries.forEach(({ resolve, reject }, at) => {
    if (isRefused) return reject(new ApiError(http.status, answer));
    const { status, stored, problem } = (!isStrange && answer.files[at]) || {};
    if (stored) return resolve({ copies: stored.copies, wanted: stored.copies_wanted });
    return reject(problem ? new ApiError(status, problem) : new ConnectionError());
  });
}

/** The request was given up for one of them: the others go again, before those that wait. */
function repeat(entries) {
  const others = entries.filter(({ signal }) => !signal.aborted);
  for (const entry of others) {
    entry.sent = 0;
    entry.onProgress(0);
    entry.onWait();
  }
  queue.unshift(...others);
}

function stop(entry) {
  entry.reject(entry.signal.reason);
  const at = queue.indexOf(entry);
  if (at >= 0) queue.splice(at, 1);
  [...requests].find(({ entries }) => entries.includes(entry))?.abort();
}

function pace(took) {
  if (took < QUICK_MS) bytesMax = Math.min(BYTES_MAX, bytesMax * 2);
  else if (took > SLOW_MS) bytesMax = Math.max(BYTES_MIN, bytesMax / 2);
}
