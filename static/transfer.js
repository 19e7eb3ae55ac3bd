// One small file in one request: a PUT whose progress can be seen, which only XMLHttpRequest has.

import { ApiError, ConnectionError } from "./api.js";

/** Somebody stopped it; `why` is "pause", "cancel" or "move". */
export class Stopped extends Error {
  constructor(why) {
    super(why);
    this.why = why;
  }
}

/**
 * Sends a file. It is refused with code `precondition_failed` where `condition`, a header, does not hold.
 * `onProgress(sent)` is called as bytes leave; `signal` stops it, with a `Stopped` as its reason.
 */
export function put(address, file, { condition, onProgress, signal }) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("load", () => {
      const answer = parse(request.responseText);
      if (request.status >= 400) reject(new ApiError(request.status, answer));
      // Whatever answers in the server's place, a proxy with a page of its own for example, has stored nothing.
      else if (answer.version === undefined) reject(new ConnectionError());
      else resolve({ copies: answer.copies, wanted: answer.copies_wanted });
    });
    request.addEventListener("error", () => reject(new ConnectionError()));
    request.addEventListener("abort", () => reject(signal.reason ?? new ConnectionError()));
    request.open("PUT", address);
    request.setRequestHeader("X-Modified-Ms", modifiedMs(file));
    Object.entries(condition).forEach(([name, value]) => request.setRequestHeader(name, value));
    request.send(file);
  });
}

/** When its content was changed last, as the API wants it. */
export const modifiedMs = (file) => String(Math.max(0, Math.floor(file.lastModified)));

/** What an answer says in JSON, if it does. */
export function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

const PASSING = [408, 423, 425, 429, 502, 503, 504];
// Said with one of these, it does not pass by itself.
const LASTING = ["corrupt", "refused"];

/** Whether the same may succeed later: the connection was lost, or the server says that it cannot for now. */
export function isPassing(error) {
  if (error instanceof ConnectionError) return true;
  if (!(error instanceof ApiError)) return false;
  return error.code === "offset_mismatch" || (PASSING.includes(error.status) && !LASTING.includes(error.code));
}

/** How fast it goes, over the last few seconds. */
export class Rate {
  #samples = [];

  /** So many bytes have left by now; gives bytes a second, or nothing as long as it is too early to tell. */
  update(sent, now = performance.now()) {
    const last = this.#samples.at(-1);
    // A few samples a second are enough, however often it is asked.
    if (last && this.#samples.length > 1 && now - this.#samples.at(-2)[0] < 200) this.#samples.pop();
    this.#samples.push([now, sent]);
    while (this.#samples.length > 2 && now - this.#samples[0][0] > 6000) this.#samples.shift();
    const [since, before] = this.#samples[0];
    const seconds = (now - since) / 1000;
    return seconds < 0.5 ? undefined : (sent - before) / seconds;
  }
}
