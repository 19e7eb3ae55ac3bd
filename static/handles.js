// Where the files of uploads lie on this machine, kept for the page that comes after this one: a browser gives no page the files of an
// earlier one, but some give a handle that reads them again once the person allows it, with one click.
//
// Each page has one record, of what it has not brought to its end. A file is found by the handle of what was dropped or chosen, and
// by the names below that. Browsers without such handles, and pages that do not come by HTTPS or from this machine, keep nothing.

const DATABASE = "dfs-uploads";
const STORE = "sources";
// Of more than these the rest is to be chosen again.
const FILES_MAX = 10000;
const ROOTS_MAX = 200;
// No upload waits for them for long.
const HANDLES_WAIT_MAX_MS = 1000;
/** Nor does a page for a storage that another one keeps from being opened. */
const OPEN_WAIT_MAX_MS = 5000;
let database;
// What this page wrote last, so that nothing is written twice.
let written = "[]";

/** The handles of what is dropped or pasted, each or nothing, and soon. Has to be called while the event lasts. */
export function ofItems(items) {
  const tooLate = new Promise((resolve) => { setTimeout(resolve, HANDLES_WAIT_MAX_MS, null); });
  return Promise.all(items.map((item) => Promise.race([handleOf(item), tooLate])));
}

async function handleOf(item) {
  try {
    return await item.getAsFileSystemHandle?.();
  } catch (error) {
    console.debug(error);
    return null;
  }
}

/** Remembers the uploads of this page that have not ended. */
export function note(page, uploads) {
  const known = uploads.filter(({ source }) => source).slice(0, FILES_MAX);
  const roots = [...new Set(known.map(({ source }) => source.root))].slice(0, ROOTS_MAX);
  const places = new Map(roots.map((root, place) => [root, place]));
  const files = known.filter(({ source }) => places.has(source.root)).map((upload) =>
    ({ root: places.get(upload.source.root), inside: upload.source.inside, folder: upload.folder, path: pathOf(upload) }));
  const text = JSON.stringify(files);
  if (text === written) return;
  written = text;
  const keep = (store) => (files.length > 0 ? store.put({ roots, files }, page) : store.delete(page));
  change(keep).catch((error) => {
    // The next time, then.
    written = undefined;
    console.debug(error);
  });
}

/** A large one that got another name is known by the one that it was meant to have (remains.js). */
const pathOf = ({ isLarge, origin, folder, path }) => (isLarge ? origin.slice(folder.length) : path);

/** What pages other than these have left: `{ page, roots, files }` each. */
export async function left(pages) {
  if (!globalThis.FileSystemHandle || !globalThis.indexedDB) return [];
  try {
    const found = [];
    await use("readonly", (store) => {
      store.openCursor().onsuccess = ({ target: { result: cursor } }) => {
        if (!cursor) return;
        if (!pages.has(cursor.key)) found.push({ page: cursor.key, ...cursor.value });
        cursor.continue();
      };
    });
    return found;
  } catch (error) {
    console.debug(error);
    return [];
  }
}

export const forget = (page) => change((store) => store.delete(page)).catch((error) => console.debug(error));

/** This is what is left of a page's. */
export const keep = (page, { roots, files }) => change((store) => store.put({ roots, files }, page)).catch((error) => console.debug(error));

/**
 * Asks the person for what a page has left. Gives those that may and can be read as they are picked, and those that are `missing`. Has to
 * be called when the person clicks.
 */
export async function read({ roots, files }) {
  const allowed = [];
  // One question after the other, where there are several.
  for (const root of roots) allowed.push(await mayRead(root));
  const [found, missing] = [[], []];
  for (const noted of files) {
    const { root, inside, folder, path } = noted;
    const file = allowed[root] ? await fileIn(roots[root], inside).catch(() => null) : null;
    if (!file) missing.push(noted);
    else found.push({ file, path, folder, source: { root: roots[root], inside }, isUnsure: true });
  }
  return { found, missing };
}

async function mayRead(handle) {
  const may = (state) => state === "granted";
  try {
    return may(await handle.queryPermission()) || may(await handle.requestPermission());
  } catch (error) {
    console.debug(error);
    return false;
  }
}

async function fileIn(root, inside) {
  let at = root;
  for (const name of inside.slice(0, -1)) at = await at.getDirectoryHandle(name);
  if (inside.length > 0) at = await at.getFileHandle(inside.at(-1));
  return at.getFile();
}

const change = (work) => use("readwrite", work);

/** Does something with the store, and waits until it is done. */
async function use(mode, work) {
  database ??= open().catch((error) => {
    // It may only be slow: whoever comes next tries again.
    database = undefined;
    throw error;
  });
  const opened = await database;
  return new Promise((resolve, reject) => {
    const transaction = opened.transaction(STORE, mode);
    transaction.oncomplete = resolve;
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error);
    work(transaction.objectStore(STORE));
  });
}

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    setTimeout(() => reject(new Error("the storage for handles does not open")), OPEN_WAIT_MAX_MS);
  });
}
