// One large file by the tus protocol, with the stock client (vendor/tus.min.js): wherever it breaks off, it goes on there.
//
// Each call of `send` is one try; whoever calls tries again. Where an upload is, and what it is to become, is kept in the
// browser's storage under its fingerprint, so that a page that was loaded anew goes on too, once it has the file again.

import { ApiError, ConnectionError, pathText } from "./api.js";
import * as remains from "./remains.js";
import { modifiedMs, parse } from "./transfer.js";

const ENDPOINT = new URL("/api/v1/uploads", location.href).href;
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
 * Sends what is missing of a file, which goes to `target` and was first meant for `origin`. With `onlyNew`, it is refused with code
 * `precondition_failed` where the name is taken. No request is longer than `requestMax`.
 */
export async function send(file, { origin, target, onlyNew, requestMax, onProgress, signal }) {
  const { Upload } = await client();
  signal.throwIfAborted();
  const fingerprint = remains.fingerprint(file, origin);
  return new Promise((resolve, reject) => {
    const upload = new Upload(file, {
      endpoint: ENDPOINT,
      metadata: { path: pathText(target), modified_ms: modifiedMs(file) },
      fingerprint: async () => fingerprint,
      urlStorage: remains.storage,
      removeFingerprintOnSuccess: true,
      chunkSize: requestMax,
      retryDelays: null,
      onBeforeRequest: (request) => {
        if (onlyNew && request.getMethod() === "POST") request.setHeader("If-None-Match", "*");
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
    response = await fetch(uploadUrl, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } });
  } catch {
    throw new ConnectionError();
  }
  const isOver = response.ok || [404, 409, 410].includes(response.status);
  if (!isOver) throw new ApiError(response.status, await response.json().catch(() => ({})));
  await remains.storage.removeUpload(urlStorageKey);
  return response.status !== 409;
}
