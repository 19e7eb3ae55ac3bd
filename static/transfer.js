// One upload: a PUT whose progress can be seen, which only XMLHttpRequest has.

import { ApiError, ConnectionError } from "./api.js";

/** Somebody cancelled it. */
export class Cancelled extends Error {}

/**
 * Sends a file. With `onlyNew`, it is refused with code `precondition_failed` where the name is taken.
 * `onProgress(sent)` is called as bytes leave; `signal` cancels.
 */
export function send(address, file, { onlyNew, onProgress, signal }) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(new Cancelled());
      return;
    }
    const request = new XMLHttpRequest();
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("load", () => {
      const answer = parse(request.responseText);
      const isSuccess = request.status >= 200 && request.status < 300;
      if (!isSuccess) reject(new ApiError(request.status, answer));
      // Whatever answers in the server's place, a proxy with a page of its own for example, has stored nothing.
      else if (answer.version === undefined) reject(new ConnectionError());
      else resolve(answer);
    });
    request.addEventListener("error", () => reject(new ConnectionError()));
    request.addEventListener("abort", () => reject(new Cancelled()));
    request.open("PUT", address);
    request.setRequestHeader("X-Modified-Ms", String(Math.max(0, Math.floor(file.lastModified))));
    if (onlyNew) request.setRequestHeader("If-None-Match", "*");
    request.send(file);
  });
}

function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** How fast it goes, over the last few seconds. */
export class Rate {
  #samples = [];

  /** So many bytes have left by now; gives bytes a second, or nothing as long as it is too early to tell. */
  update(sent, now = performance.now()) {
    this.#samples.push([now, sent]);
    while (this.#samples.length > 2 && now - this.#samples[0][0] > 6000) this.#samples.shift();
    const [since, before] = this.#samples[0];
    const seconds = (now - since) / 1000;
    return seconds < 0.5 ? undefined : (sent - before) / seconds;
  }
}
