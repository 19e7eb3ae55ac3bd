// The HTTP API, as the page uses it. A path is a list of names from the root down.

import { saidOf } from "./problems.js";
import { PAGE } from "./texts.js";

// A network that is gone lets one wait for minutes, in which the last status would be shown.
const STATUS_TIMEOUT_MS = 15000;

/**
 * An answer that is not a success: `code` to decide by, the message for a person, and `lang` where that is not in the page's language, of
 * which the sentences in `english` are not.
 */
export class ApiError extends Error {
  constructor(status, problem) {
    const said = saidOf(problem, status);
    super(said.text);
    this.lang = said.lang;
    this.english = said.english;
    this.status = status;
    this.code = problem.code || "";
    this.title = problem.title || "";
    this.reasons = problem.reasons || [];
  }
}

/** The connection broke, or there was none. */
export class ConnectionError extends Error {
  constructor() {
    super(PAGE.unreachable);
    this.code = "connection";
  }
}

const encodeName = (name) => encodeURIComponent(name);
export const encodePath = (path) => path.map((name) => `/${encodeName(name)}`).join("");

export const fileAddress = (path) => `/api/v1/files${encodePath(path)}`;
/** Where a file can be looked at. */
export const viewAddress = (path) => `/view${encodePath(path)}`;
/** Of a folder with all that is in it. */
export const zipAddress = (path) => `/api/v1/zip${encodePath(path)}`;
const folderAddress = (path) => `/api/v1/folders${encodePath(path)}`;
export const pathText = (path) => `/${path.join("/")}`;
export const pathNames = (text) => text.split("/").filter(Boolean);

/** The page of a folder: from a cursor or from a name on, or in an order, if that is said. */
export function pageAddress(path, { after, from, sort } = {}) {
  const address = path.length === 0 ? "/" : `/folder${encodePath(path)}`;
  const query = new URLSearchParams();
  if (after) query.set("after", after);
  if (from) query.set("from", from);
  if (sort && sort !== "name") query.set("sort", sort);
  return query.size > 0 ? `${address}?${query}` : address;
}

/** The page of a search, or of what follows in it. */
export function searchAddress(text, after) {
  const address = `/search?text=${encodeName(text)}`;
  return after ? `${address}&after=${encodeName(after)}` : address;
}

/**
 * Which folder an address is the page of, from where on and in which order, or what is searched there; nothing if it is
 * another page or has a stray `%`.
 */
export function readPageAddress(url) {
  const [after, from, sort] = ["after", "from", "sort"].map((field) => url.searchParams.get(field));
  if (url.pathname === "/search") return { search: url.searchParams.get("text") ?? "", after };
  const isRoot = url.pathname === "/";
  if (!isRoot && !url.pathname.startsWith("/folder/")) return null;
  const names = isRoot ? [] : url.pathname.slice("/folder/".length).split("/").filter(Boolean);
  try {
    return { path: names.map(decodeURIComponent), after, from, sort };
  } catch {
    return null;
  }
}

/** `more` are options of `fetch`: a `signal`, a `priority`. */
export async function call(method, address, body, more) {
  const options = { method, headers: {}, cache: "no-store", ...more };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new ConnectionError();
  }
  const json = await response.json().catch((error) => {
    if (error instanceof SyntaxError) return {};
    throw new ConnectionError();
  });
  if (!response.ok) throw new ApiError(response.status, json);
  return json;
}

// What the API calls the orders of lists.
const ORDERS = { name: "folders_first", time: "modified", "-time": "-modified" };

/** A page of a folder, folders first, ordered as an address says it: behind a cursor, or by name from a name on. */
export function browse(path, { after, from, limit, sort = "name", signal }) {
  const query = new URLSearchParams({ order: ORDERS[sort] ?? sort, limit });
  if (after) query.set("after", after);
  if (from) query.set("from", from);
  return call("GET", `${folderAddress(path)}?${query}`, undefined, { signal });
}

/** What has all words of the text in its name, and where to go on: fewer than `limit` may come although more follow. */
export function search(text, after, limit, signal) {
  const query = new URLSearchParams({ text, limit });
  if (after) query.set("after", after);
  return call("GET", `/api/v1/search?${query}`, undefined, { signal });
}

export const status = () => call("GET", "/api/v1/status", undefined, { signal: AbortSignal.timeout(STATUS_TIMEOUT_MS) });
export const createFolder = (path) => call("POST", folderAddress(path));
export const move = (from, to) => call("POST", "/api/v1/move", { from: pathText(from), to: pathText(to) });
/** Makes missing folders, unless `parents` is false. */
export const copy = (from, to, { parents } = {}) => call("POST", "/api/v1/copy", { from: pathText(from), to: pathText(to), parents });
export const removeFile = (path) => call("DELETE", fileAddress(path));
export const removeFolder = (path) => call("DELETE", `${folderAddress(path)}?recursive=true`);

/** With those above it; those that are there are left as they are. */
export const createFolders = (path) => call("POST", `${folderAddress(path)}?parents=true`);

/** Whether a file is there. */
export const fileExists = async (path) => (await head(path)).ok;

/** The version of a file, as a condition names it; nothing if there is none. */
export async function versionOf(path) {
  const { ok, headers } = await head(path);
  return ok ? headers.get("ETag") : null;
}

/** Whether a file is there with the very bytes of this one, which is small. */
export async function isThere(path, file) {
  const mine = new Uint8Array(await file.arrayBuffer());
  const { ok, status, headers } = await head(path);
  if (status >= 500) throw new ConnectionError();
  if (!ok || Number(headers.get("Content-Length")) !== mine.length) return false;
  let theirs;
  try {
    const response = await fetch(fileAddress(path), { cache: "no-store" });
    if (!response.ok) return false;
    theirs = new Uint8Array(await response.arrayBuffer());
  } catch {
    throw new ConnectionError();
  }
  return theirs.length === mine.length && theirs.every((byte, at) => byte === mine[at]);
}

async function head(path) {
  try {
    return await fetch(fileAddress(path), { method: "HEAD", cache: "no-store" });
  } catch {
    throw new ConnectionError();
  }
}
