// One large file by the tus protocol, with the stock client (vendor/tus.min.js): wherever it breaks off, it goes on there.
//
// Each call of `send` is one try; whoever calls tries again. Where an upload is, and what it is to become, is kept in the
// browser's storage under its fingerprint, so that a page that was loaded anew goes on too, once it has the file again.
// An upload is opened here, and what the cluster has of it already is named (naming.js); the client sends what is between.

import { ApiError, ConnectionError, call, pathText } from "./api.js";
import { Hasher, nameChunks } from "./naming.js";
import * as remains from "./remains.js";
import * as stock from "./stock.js";
import { modifiedMs, parse } from "./transfer.js";

const ENDPOINT = new URL("/api/v1/uploads", location.href).href;

/**
 * Sends what is missing of a file, which goes to `target` and was first meant for `origin`. It is refused with code
 * `precondition_failed` where `condition`, a header, does not hold. No request is longer than `requestMax`. `naming` is kept from try to
 * try. Gives the answer to the commit, and whether not a byte was sent for it.
 */
export async function send(file, { origin, target, naming, signal, ...options }) {
  const { Upload } = await stock.client();
  signal.throwIfAborted();
  const fingerprint = remains.fingerprint(file, origin);
  const metadata = { path: pathText(target), modified_ms: modifiedMs(file) };
  const common = { ...options, fingerprint, metadata, signal };
  const hasher = new Hasher(signal);
  try {
    let place = await whereItIs(fingerprint, signal);
    if (!place) {
      Object.assign(naming, { next: undefined, ahead: undefined });
      place = await open(file, common);
    }
    naming.isFromStart ??= place.offset === 0;
    while (!place.stored) {
      const { stored, until } = await nameChunks(file, { ...common, ...place, hasher, naming });
      naming.isFromStart &&= stored !== undefined;
      place = stored ? { stored } : await sendUntil(Upload, file, until, common);
    }
    const before = remains.find(fingerprint);
    if (before) await remains.storage.removeUpload(before.urlStorageKey);
    return { ...place.stored, wasHere: naming.isFromStart };
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    hasher.end();
  }
}

/** Has the client send bytes from where the upload is. Gives where that got to, or the answer to the commit. */
function sendUntil(Upload, file, until, { fingerprint, metadata, condition, requestMax, onProgress, signal }) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const upload = new Upload(file, {
      endpoint: ENDPOINT,
      metadata,
      fingerprint: async () => fingerprint,
      urlStorage: remains.storage,
      removeFingerprintOnSuccess: true,
      chunkSize: Math.min(requestMax, until),
      retryDelays: null,
      onBeforeRequest: (request) => {
        if (request.getMethod() !== "POST") return;
        Object.entries(condition).forEach(([name, value]) => request.setHeader(name, value));
      },
      onAfterResponse: (request, response) => {
        stock.checkWhereItIs(request, response);
        // The next request goes no further than wanted, wherever this one got to.
        const left = until - Number(response.getHeader("Upload-Offset") ?? 0);
        if (left > 0) upload.options.chunkSize = Math.min(requestMax, left);
      },
      onChunkComplete: (_, offset, size) => {
        if (offset < until || offset === size) return;
        upload.abort();
        end(() => resolve({ address: upload.url, offset }));
      },
      onProgress,
      onError: (error) => end(() => reject(stock.explain(error))),
      onSuccess: ({ lastResponse }) => {
        const [copies, wanted] = ["X-Copies", "X-Copies-Wanted"].map((name) => Number(lastResponse.getHeader(name)));
        // Whatever answers in the server's place has stored nothing.
        end(() => (wanted > 0 ? resolve({ stored: { copies, wanted } }) : reject(new ConnectionError())));
      },
    });
    const stop = () => {
      upload.abort();
      reject(signal.reason);
    };
    const end = (settle) => {
      signal.removeEventListener("abort", stop);
      settle();
    };
    signal.addEventListener("abort", stop, { once: true });
    const before = remains.find(fingerprint);
    if (before) upload.resumeFromPreviousUpload(before);
    upload.start();
  });
}

/** Where the upload is that was begun before, and what its commit was answered if it came so far; nothing, if there is none any more. */
async function whereItIs(fingerprint, signal) {
  const before = remains.find(fingerprint);
  if (!before) return null;
  try {
    const { offset, version, copies, copies_wanted: wanted } = await call("GET", before.uploadUrl, undefined, { signal });
    return { address: before.uploadUrl, offset, stored: version > 0 ? { copies, wanted } : null };
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
  await remains.storage.addUpload(fingerprint, upload);
  return { address, offset: 0 };
}

function base64(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes));
}

/** Has the server delete what was sent. Says whether there is nothing any more: it may have become a file before. */
export const discard = (before) => stock.discard(before, remains.storage);
