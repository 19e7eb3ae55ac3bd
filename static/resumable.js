// One large file by the tus protocol, with the stock client (vendor/tus.min.js): wherever it breaks off, it goes on there.
//
// Each call of `send` is one try; whoever calls tries again. Where an upload is, and what it is to become, is kept in the
// browser's storage under its fingerprint, so that a page that was loaded anew goes on too, once it has the file again.
// An upload is opened here, and what the cluster has of it already is named (naming.js); the client sends the rest.

import { ApiError, ConnectionError, call, pathText } from "./api.js";
import { nameChunks } from "./naming.js";
import * as remains from "./remains.js";
import { modifiedMs, parse } from "./transfer.js";

const ENDPOINT = new URL("/api/v1/uploads", location.href).href;
/** Whoever waits for it goes on, although the connection may be dead. */
const DISCARD_TIMEOUT_MS = 15000;
let loads = 0;

/** The stock client, which is loaded when the first large file is sent. */
async function client() {
  if (globalThis.tus) return globalThis.tus;
  // A browser may remember that it could not load it.
  const again = loads > 0 ? `?${loads}` : "";
  loads += 1;
  try {
    await import(`./vendor/tus.min.js${again}`);
  } catch {
    throw new ConnectionError();
  }
  return globalThis.tus;
}

/**
 * Sends what is missing of a file, which goes to `target` and was first meant for `origin`. It is refused with code
 * `precondition_failed` where `condition`, a header, does not hold. No request is longer than `requestMax`. `naming` is kept from try to try.
 */
export async function send(file, { origin, target, condition, requestMax, naming, onProgress, signal }) {
  const { Upload } = await client();
  signal.throwIfAborted();
  const fingerprint = remains.fingerprint(file, origin);
  const metadata = { path: pathText(target), modified_ms: modifiedMs(file) };
  if (!naming.isOver) {
    const stored = await name(file, { fingerprint, metadata, condition, naming, onProgress, signal });
    if (stored) return stored;
    naming.isOver = true;
  }
  return new Promise((resolve, reject) => {
    const upload = new Upload(file, {
      endpoint: ENDPOINT,
      metadata,
      fingerprint: async () => fingerprint,
      urlStorage: remains.storage,
      removeFingerprintOnSuccess: true,
      chunkSize: requestMax,
      retryDelays: null,
      onBeforeRequest: (request) => {
        if (request.getMethod() !== "POST") return;
        Object.entries(condition).forEach(([name, value]) => request.setHeader(name, value));
      },
      onAfterResponse: checkWhereItIs,
      onProgress,
      onError: (error) => reject(explain(error)),
      onSuccess: ({ lastResponse }) => {
        const [copies, wanted] = ["X-Copies", "X-Copies-Wanted"].map((name) => Number(lastResponse.getHeader(name)));
        // Whatever answers in the server's place has stored nothing.
        if (wanted > 0) resolve({ copies, wanted });
        else reject(new ConnectionError());
      },
    });
    signal.addEventListener("abort", () => {
      upload.abort();
      reject(signal.reason);
    }, { once: true });
    const before = remains.find(fingerprint);
    if (before) upload.resumeFromPreviousUpload(before);
    upload.start();
  });
}

/**
 * Has the upload take what the cluster has already. Gives the answer to the commit if that was all of it, and says then whether not a
 * byte was sent.
 */
async function name(file, { fingerprint, metadata, condition, naming, onProgress, signal }) {
  const { address, offset, key, committed } = await whereItIs(fingerprint, signal)
    ?? await open(file, { fingerprint, metadata, condition, signal });
  naming.isFromStart ??= offset === 0;
  const stored = committed ?? await nameChunks(file, { address, offset, onProgress, signal });
  if (!stored) return null;
  await remains.storage.removeUpload(key);
  return { ...stored, wasHere: naming.isFromStart };
}

/** Where the upload is that was begun before, and what its commit was answered if it came so far; nothing, if there is none any more. */
async function whereItIs(fingerprint, signal) {
  const before = remains.find(fingerprint);
  if (!before) return null;
  try {
    const { offset, version, copies, copies_wanted: wanted } = await call("GET", before.uploadUrl, undefined, signal);
    const committed = version > 0 ? { copies, wanted } : null;
    return { address: before.uploadUrl, offset, key: before.urlStorageKey, committed };
  } catch (error) {
    signal.throwIfAborted();
    if (error.status !== 404) throw error;
    await remains.storage.removeUpload(before.urlStorageKey);
    return null;
  }
}

/** Opens an upload as the client does, and remembers it as the client does. */
async function open(file, { fingerprint, metadata, condition, signal }) {
  const headers = {
    ...condition,
    "Tus-Resumable": "1.0.0",
    "Upload-Length": file.size,
    "Upload-Metadata": Object.entries(metadata).map(([key, value]) => `${key} ${base64(value)}`).join(","),
  };
  let response;
  try {
    response = await fetch(ENDPOINT, { method: "POST", headers, signal });
  } catch {
    signal.throwIfAborted();
    throw new ConnectionError();
  }
  const place = response.headers.get("Location");
  if (response.status >= 400) throw new ApiError(response.status, parse(await response.text()));
  if (response.status !== 201 || !place) throw new ConnectionError();
  const address = new URL(place, ENDPOINT).href;
  const { size } = file;
  const upload = { size, metadata, creationTime: new Date().toString(), uploadUrl: address };
  return { address, offset: 0, key: await remains.storage.addUpload(fingerprint, upload) };
}

function base64(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes));
}

/** The client would send all of it again because somebody could not tell for the moment how much is here. */
function checkWhereItIs(request, response) {
  const status = response.getStatus();
  const isGone = status === 404 || status === 410;
  if (request.getMethod() === "HEAD" && status >= 400 && !isGone) throw new ApiError(status, {});
}

function explain(error) {
  if (error.causingError instanceof ApiError) return error.causingError;
  const response = error.originalResponse;
  const status = response?.getStatus() ?? 0;
  if (status >= 400) return new ApiError(status, parse(response.getBody()));
  return error.originalRequest ? new ConnectionError() : error;
}

/** Has the server delete what was sent. Says whether there is nothing any more: it may have become a file before. */
export async function discard({ uploadUrl, urlStorageKey }) {
  let response;
  try {
    const signal = AbortSignal.timeout(DISCARD_TIMEOUT_MS);
    response = await fetch(uploadUrl, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" }, signal });
  } catch {
    throw new ConnectionError();
  }
  const isOver = response.ok || [404, 409, 410].includes(response.status);
  if (!isOver) throw new ApiError(response.status, await response.json().catch(() => ({})));
  await remains.storage.removeUpload(urlStorageKey);
  return response.status !== 409;
}
