// The stock client of tus (vendor/tus.min.js), as the page uses it: how it is loaded, where it keeps what it began, what its errors
// mean, and how what it sent is given up.

import { ApiError, ConnectionError } from "./api.js";
import { parse } from "./transfer.js";

/** Whoever waits for it goes on, although the connection may be dead. */
const DISCARD_TIMEOUT_MS = 15000;
let loads = 0;

/** The client, which is loaded when the first file is sent by it. */
export async function client() {
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

/** What was begun, in the browser's storage under a prefix. Where that is full, or forbidden, it is known as long as the page is there. */
export class Kept {
  #prefix;
  #unkept = new Map();

  constructor(prefix) {
    this.#prefix = prefix;
  }

  // As the client asks for them.
  findAllUploads = async () => this.all();
  findUploadsByFingerprint = async (wanted) => this.#entries(`${wanted}::`);
  removeUpload = async (key) => {
    this.#unkept.delete(key);
    attempt(() => localStorage.removeItem(key));
  };
  addUpload = async (wanted, upload) => {
    const key = `${this.#prefix}${wanted}::${Math.random().toString(36).slice(2)}`;
    this.#unkept.set(key, upload);
    attempt(() => localStorage.setItem(key, JSON.stringify(upload)));
    return key;
  };

  /** Somebody goes on with it: the server keeps it for as long again. */
  touch({ urlStorageKey: key, ...upload }) {
    const used = { ...upload, usedMs: Date.now() };
    if (this.#unkept.has(key)) this.#unkept.set(key, used);
    attempt(() => localStorage.setItem(key, JSON.stringify(used)));
  }

  /** Where the upload with this fingerprint is. */
  find(wanted) {
    return this.#entries(`${wanted}::`)[0];
  }

  /** All of them, with their fingerprints. */
  all() {
    return this.#entries("").map((upload) => {
      const key = upload.urlStorageKey;
      return { ...upload, fingerprint: key.slice(this.#prefix.length, key.lastIndexOf("::")) };
    });
  }

  #entries(begin) {
    return entries(this.#prefix + begin, this.#unkept);
  }
}

/** What is in the storage under a prefix, and what should be. */
export function entries(prefix, unkept = new Map()) {
  const found = new Map(Array.from(unkept).filter(([key]) => key.startsWith(prefix)));
  attempt(() => {
    const keys = Array.from({ length: localStorage.length }, (_, at) => localStorage.key(at));
    for (const key of keys.filter((key) => key?.startsWith(prefix))) {
      attempt(() => found.set(key, JSON.parse(localStorage.getItem(key))));
    }
  });
  return Array.from(found, ([key, value]) => ({ ...value, urlStorageKey: key }));
}

/** A person may have forbidden the storage, or filled it. */
export function attempt(work) {
  try {
    work();
  } catch (error) {
    console.debug(error);
  }
}

/** The client would send all of it again because somebody could not tell for the moment how much is here. */
export function checkWhereItIs(request, response) {
  const status = response.getStatus();
  const isGone = status === 404 || status === 410;
  if (request.getMethod() === "HEAD" && status >= 400 && !isGone) throw new ApiError(status, {});
}

/** What the client's error means. */
export function explain(error) {
  if (error.causingError instanceof ApiError) return error.causingError;
  const response = error.originalResponse;
  const status = response?.getStatus() ?? 0;
  if (status >= 400) return new ApiError(status, parse(response.getBody()));
  return error.originalRequest ? new ConnectionError() : error;
}

/** Has the server delete what was sent. Says whether there is nothing any more: it may have become a file before. */
export async function discard({ uploadUrl, urlStorageKey }, kept) {
  let response;
  try {
    const signal = AbortSignal.timeout(DISCARD_TIMEOUT_MS);
    response = await fetch(uploadUrl, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" }, signal });
  } catch {
    throw new ConnectionError();
  }
  const isOver = response.ok || [404, 409, 410].includes(response.status);
  if (!isOver) throw new ApiError(response.status, await response.json().catch(() => ({})));
  await kept.removeUpload(urlStorageKey);
  return response.status !== 409;
}
