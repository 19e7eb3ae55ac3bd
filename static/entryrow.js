// Rows of the lists of files and folders. As tiles they are the same rows, in another style.

import { pageAddress, pathText } from "./api.js";
import { address, downloadAddress, isFolder, keyOf, signOf } from "./entries.js";
import { formatSize, machineTime, nameElement, showTime } from "./format.js";
import { menuOf } from "./menus.js";
import { around, cell, downloadLink, element, hiddenText, menu } from "./rows.js";
import { FILES, fill } from "./texts.js";
import { pictureOrIcon } from "./thumbnails.js";

const rowsOf = new WeakMap();
/** Fingers scroll, and press long for the menu. */
const isTouched = matchMedia("(pointer: coarse)");

/** The entry of a row that was made here or taken over. */
export const entryOf = (row) => rowsOf.get(row);

/** The same as templates/row.html. */
export function makeRow(entry) {
  const made = element("tr", { className: "entry" });
  made.setAttribute("role", "row");
  Object.assign(made.dataset, { kind: entry.kind, name: entry.name });
  if (entry.isFound) made.dataset.path = pathText(entry.path);

  const box = element("input", { type: "checkbox" });
  box.setAttribute("aria-label", fill(FILES.pick, { name: entry.name }));
  const link = element("a", { className: "open", href: address(entry) }, nameElement(entry.name));
  if (isFolder(entry)) {
    link.dataset.folder = "";
    link.prepend(hiddenText(FILES.folder));
  }
  const name = cell("name", element("div", {}, pictureOrIcon(entry.path, entry), link));
  if (entry.isFound) name.append(whereabouts(entry.path.slice(0, -1)));

  const time = element("time", { dateTime: machineTime(entry.modified) });
  showTime(time);
  const more = menu(fill(FILES.moreFor, { name: entry.name }), ...menuOf([entry]));
  made.append(
    cell("pick", box),
    name,
    cell("size", isFolder(entry) ? "" : formatSize(entry.size)),
    cell("time", time),
    isFolder(entry) ? cell("more", more) : cell("more", downloadLink(downloadAddress(entry), "button quiet wide-only"), more),
  );
  return adoptRow(made, entry);
}

/** From now on the row, which may be the server's, is this entry's. */
export function adoptRow(row, entry) {
  rowsOf.set(row, entry);
  row.dataset.sign = signOf(entry);
  row.draggable = !isTouched.matches;
  const link = row.querySelector(".open");
  // Where it is cut off. As it is shown, so that it cannot lie either.
  link.title = link.querySelector("bdi").textContent;
  return row;
}

/** A row in the place of an entry that is being fetched. */
export function makePlaceholder() {
  const made = element("tr", { className: "entry-awaited" }, cell("pick"), cell("name", element("div", {}, "…")));
  made.setAttribute("role", "row");
  return made;
}

function whereabouts(folder) {
  const link = element("a", { href: pageAddress(folder) }, nameElement(folder.length > 0 ? folder.join(" / ") : FILES.root));
  link.dataset.folder = "";
  return element("p", { className: "whereabouts" }, ...around(FILES.inFolder, "folder", link));
}

/** The row of an entry, if it is drawn. */
export function rowOf(entry) {
  const key = keyOf(entry);
  return Array.from(document.querySelectorAll("#rows .entry")).find((row) => keyOf(entryOf(row)) === key) ?? null;
}
