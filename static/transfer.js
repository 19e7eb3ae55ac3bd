// What all ways to send a file share: how it is stopped, what it says of itself, which errors pass, and how fast it goes.

import { ApiError, ConnectionError } from "./api.js";

/** Somebody stopped it; `why` is "pause", "cancel" or "move". */
export class Stopped extends Error {
  constructor(why) {
    super(why);
    this.why = why;
  }
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

/** What would take longer is not worth a guess. */
export const SECONDS_LEFT_MAX = 3 * 86400;

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
