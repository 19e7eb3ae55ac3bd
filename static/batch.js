// Small files go together, many in one request: a browser needs about ten times as long for a request as for such a file's bytes.
//
// Each is a file of its own all the same: the server stores it or not, and says so of each. It has an id in each form, by which it can
// be cancelled (cancelling.js) as long as nobody heard what became of it.
//
// What the cluster has already is not sent: some forms (sampling.js says which) only name what is in their files, and the server stores
// those that it has all of. The others go again, with their content, and so do all where such a form failed. Whatever was in a form with
// content that failed goes again alone.

import { ApiError, ConnectionError, pathText } from "./api.js";
import { newId } from "./cancelling.js";
import { chunksOf } from "./naming.js";
import { Sampling } from "./sampling.js";
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
/** The name of a chunk in a form, and the least that one has in it. */
const NAME_LEN = 67;
const CHUNK_SIZE_MIN = 4 << 10;
/** A request has room for so many bytes beside a file's own: for a path of 4 KiB, all of it quotes, and for the form. */
export const ROOM = 9 << 10;

const queue = [];
const requests = new Set();
const encoder = new TextEncoder();
let bytesMax = BYTES_FIRST;
let sampling = new Sampling();
let timer;

/**
 * Sends a file to the path `target`, in a request of at most `requestMax` bytes, and with no others if it `isAlone`. It is refused with
 * code `precondition_failed` where `condition`, a header, does not hold. `onWait` is called when it waits for its turn, and `onBegin` when
 * that has come; `onSend` is told its id when it goes in a form, and whether it is only named there, and `onNothing` the same id when
 * nothing came of that. Meanwhile `onProgress(sent)` is called as bytes leave, and `onMove` when bytes of others in the form do, so that
 * it is not taken for stalled. `signal` stops it. Gives the answer to the commit, and whether not a byte was sent for it.
 */
export function send(file, { target, condition, requestMax, isAlone, signal, ...events }) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const conditions = Object.entries(condition).map(([name, value]) => [name.toLowerCase().replaceAll("-", "_"), value]);
    const said = { path: pathText(target), modified_ms: Number(modifiedMs(file)), ...Object.fromEntries(conditions) };
    const saidLength = FORM_LEN + encoder.encode(JSON.stringify(said)).length;
    const entry = { file, said, saidLength, requestMax, isAlone, isInFull: isAlone, signal, ...events, resolve, reject, sent: 0 };
    signal.addEventListener("abort", () => stop(entry), { once: true });
    entry.onWait();
    queue.push(entry);
    pumpSoon();
  });
}

/** When all that begin now are in the queue. */
function pumpSoon() {
  timer ??= setTimeout(() => {
    timer = undefined;
    // What comes next may be of another kind.
    if (requests.size + queue.length === 0) sampling = new Sampling();
    while (requests.size < REQUESTS_MAX && queue.length > 0) {
      const next = queue[0].isInFull ? "send" : sampling.next();
      if (next === "wait") break;
      begin(next === "ask");
    }
  }, 0);
}

const length = ({ saidLength, file }) => saidLength + file.size;
const namedLength = ({ saidLength, file }) => saidLength + NAME_LEN * (1 + Math.ceil(file.size / CHUNK_SIZE_MIN));

/** The next that have room in one request; a file at least. */
function take(lengthOf, bytes) {
  const [first] = queue;
  const most = Math.min(bytes, ...queue.slice(0, FILES_MAX).map(({ requestMax }) => requestMax));
  let [count, total] = [1, lengthOf(first)];
  const goWith = (next) => !first.isAlone && !next.isAlone && !first.isInFull === !next.isInFull;
  while (count < Math.min(FILES_MAX, queue.length) && goWith(queue[count]) && total + lengthOf(queue[count]) <= most) {
    total += lengthOf(queue[count]);
    count += 1;
  }
  return queue.splice(0, count);
}

async function begin(isAsking) {
  const request = { entries: isAsking ? take(namedLength, Infinity) : take(length, bytesMax), isNamed: isAsking };
  requests.add(request);
  request.entries.forEach(({ onBegin }) => onBegin());
  try {
    await (isAsking ? ask(request) : sendForm(request));
  } finally {
    if (isAsking) sampling.heard(request.share);
    requests.delete(request);
    pumpSoon();
  }
}

/** Names what is in files, of which the server stores those that it can. */
async function ask(request) {
  await hashAll(request);
  const wanted = request.entries.filter(({ signal }) => !signal.aborted);
  request.entries = wanted.filter(({ chunks }) => chunks);
  // What cannot be hashed is as good as new. If others could be, it may be that it cannot be read, and would break a form for all.
  const unhashed = wanted.filter(({ chunks }) => !chunks);
  if (request.entries.length > 0) unhashed.forEach((entry) => { entry.isAlone = true; });
  sendInFull(unhashed);
  if (request.entries.length > 0) await sendForm(request);
  else if (wanted.length > 0) request.share = 0;
}

/** Hashes what was not hashed before, unless the person has none of them wanted any more. */
async function hashAll(request) {
  const entries = request.entries.filter(({ chunks }) => !chunks);
  const stopping = new AbortController();
  request.abort = () => {
    if (request.entries.every(({ signal }) => signal.aborted)) stopping.abort();
  };
  const onCheck = () => request.entries.forEach(({ onMove }) => onMove());
  const hashed = await chunksOf(entries.map(({ file }) => file), { onCheck, signal: stopping.signal }).catch(() => []);
  entries.forEach((entry, at) => { entry.chunks = hashed[at] ?? undefined; });
}

function sendForm(request) {
  const { entries, isNamed } = request;
  const form = new FormData();
  for (const entry of entries) {
    const { said, file, chunks, onSend } = entry;
    entry.id = newId();
    onSend(entry.id, isNamed);
    const named = isNamed ? { by_name: { size: file.size, chunks } } : {};
    form.append("file", JSON.stringify({ ...said, id: entry.id, ...named }));
    // Any name: its own could be long, and is in what is said.
    if (!isNamed) form.append("content", file, "f");
  }
  return new Promise((resolve) => {
    const http = new XMLHttpRequest();
    const begun = performance.now();
    const at = (event, end) => http.addEventListener(event, () => {
      resolve();
      end();
    });
    request.abort = () => http.abort();
    http.upload.addEventListener("progress", ({ loaded, total }) => progressed(entries, isNamed ? 0 : loaded / total));
    at("load", () => {
      if (http.status < 400 && !isNamed) pace(performance.now() - begun);
      answered(request, http);
    });
    at("error", () => {
      if (isNamed) return failed(request);
      // Something on the way may take no requests of this length.
      bytesMax = Math.max(BYTES_MIN, bytesMax / 4);
      return entries.forEach(({ reject }) => reject(new ConnectionError()));
    });
    at("abort", () => repeat(entries));
    http.open("POST", ADDRESS);
    http.send(form);
  });
}

function progressed(entries, part) {
  const total = entries.reduce((sum, entry) => sum + length(entry), 0);
  let left = part * total;
  for (const entry of entries) {
    const sent = Math.floor(Math.min(entry.file.size, Math.max(0, left - entry.saidLength)));
    if (sent !== entry.sent) entry.onProgress(sent);
    entry.sent = sent;
    left -= length(entry);
    entry.onMove();
  }
}

function answered(request, http) {
  const { entries, isNamed } = request;
  const answer = parse(http.responseText);
  const isRefused = http.status >= 400;
  // Whatever answers in the server's place, a proxy with a page of its own for example, has stored nothing.
  const isStrange = !isRefused && answer.files?.length !== entries.length;
  if (isNamed && (isRefused || isStrange)) {
    failed(request);
    return;
  }
  const missing = [];
  let [known, all] = [0, 0];
  entries.forEach((entry, at) => {
    const { file, chunks, resolve, reject } = entry;
    if (isRefused) return reject(new ApiError(http.status, answer));
    const { status, stored, problem } = (!isStrange && answer.files[at]) || {};
    const isMissing = isNamed && problem?.code === "content_not_here";
    all += file.size;
    if (isMissing) return missing.push(entry);
    if (stored || problem?.code === "precondition_failed") known += file.size;
    if (stored) return resolve({ copies: stored.copies, wanted: stored.copies_wanted, wasHere: isNamed && chunks.length > 0 });
    return reject(problem ? new ApiError(status, problem) : new ConnectionError());
  });
  // Empty files tell nothing.
  request.share = all > 0 ? known / all : 0;
  missing.forEach(({ onNothing, id }) => onNothing(id));
  sendInFull(missing);
}

/** A form in which files were only named was lost, or refused as a whole: with their content they may do better. */
function failed(request) {
  request.share = 0;
  sendInFull(request.entries.filter(({ signal }) => !signal.aborted));
}

/** The request was given up for one of them: the others go again. */
function repeat(entries) {
  goAgain(entries.filter(({ signal }) => !signal.aborted));
}

function sendInFull(entries) {
  entries.forEach((entry) => { entry.isInFull = true; });
  goAgain(entries);
}

/** Before those that wait. */
function goAgain(entries) {
  for (const entry of entries) {
    entry.sent = 0;
    entry.onProgress(0);
    entry.onWait();
  }
  queue.unshift(...entries);
  pumpSoon();
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
