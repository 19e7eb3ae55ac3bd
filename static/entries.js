// Files and folders as the lists keep them, and the orders in which they are shown.
//
// An entry is { path (names from the root down), name, kind, size, modified, version, isFound }; `isFound` where a search
// found it, so that its folder is shown with it.

import { fileAddress, pageAddress, pathNames, pathText, viewAddress, zipAddress } from "./api.js";
import { LOCALE } from "./texts.js";

const COLLATOR = new Intl.Collator(LOCALE, { numeric: true });

/** Of an answer of the API. */
export function fromApi(folder, { kind, name, size = 0, modified_ms: modified, version = 0 }) {
  return { path: [...folder, name], name, kind, size, modified, version, isFound: false };
}

/** Of something that a search found. */
export function fromFound({ path, entry }) {
  return { ...fromApi(pathNames(path).slice(0, -1), entry), isFound: true };
}

/** Of a row that the server drew. */
export function fromRow(folder, row) {
  const { kind, name, path, size = "0", modified, version = "0" } = row.dataset;
  const names = path ? pathNames(path) : [...folder, name];
  const numbers = { size: Number(size), modified: Number(modified), version: Number(version) };
  return { path: names, name, kind, ...numbers, isFound: path !== undefined };
}

export const isFolder = (entry) => entry.kind === "folder";
/** What tells entries apart in all lists. */
export const keyOf = (entry) => pathText(entry.path);
/** What a row shows: equal texts, equal rows. */
export const signOf = (entry) => `${entry.kind} ${entry.size} ${entry.modified} ${entry.version} ${entry.isFound} ${keyOf(entry)}`;

/** What a click on the name opens. */
export const address = (entry) => (isFolder(entry) ? pageAddress(entry.path) : viewAddress(entry.path));
export const downloadAddress = (entry) =>
  (isFolder(entry) ? zipAddress(entry.path) : `${fileAddress(entry.path)}?download=1`);

const compareTexts = (left, right) => (left < right ? -1 : left > right ? 1 : 0);
const byName = (left, right) => COLLATOR.compare(left.name, right.name) || compareTexts(left.name, right.name);
const COLUMNS = {
  name: byName,
  size: (left, right) => left.size - right.size || byName(left, right),
  time: (left, right) => left.modified - right.modified || byName(left, right),
};

/** How a list is ordered: `name`, `size` or `time`, the other way round with `-` before it. Anything else is by name. */
export function readSort(text) {
  const column = text?.replace(/^-/, "");
  return Object.hasOwn(COLUMNS, column ?? "") ? text : "name";
}

/** By which of its numbers an entry is sorted; null where it is by name. */
export const keyIn = (sort) => ({ size: "size", time: "modified" })[sort.replace("-", "")] ?? null;

/** Folders first, whatever the order. */
export function sortEntries(entries, sort) {
  const compare = COLUMNS[sort.replace("-", "")];
  const sign = sort.startsWith("-") ? -1 : 1;
  return entries.toSorted((left, right) =>
    Number(isFolder(right)) - Number(isFolder(left)) || sign * compare(left, right));
}
