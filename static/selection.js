// Which entries are selected, by mouse, finger or keyboard, and the bar that says so.

import { Progress } from "./bulk.js";
import { announce, showNotice } from "./dialogs.js";
import { isFolder, keyOf } from "./entries.js";
import { entryOf } from "./entryrow.js";
import { Folder } from "./folder.js";
import { formatSize } from "./format.js";
import { FILES, count, fill } from "./texts.js";
import * as view from "./drawing.js";
import { leadToZip } from "./zipping.js";

const byId = (id) => document.getElementById(id);
const selected = new Map();
// Where a range begins: an entry, and its place in a list.
let anchor = null;
// Counts what is selected, so that what was to be fetched for it does not come after something else was.
let choices = 0;
// Which of these is being fetched.
let coming = null;

export const size = () => selected.size;
export const entries = () => Array.from(selected.values());
export const has = (entry) => selected.has(keyOf(entry));
/** Whether there is something that `clear` ends. */
export const isBegun = () => selected.size > 0 || coming === choices;

/** Connects the list and the bar. */
export function start() {
  byId("rows").addEventListener("click", onClick);
  byId("rows").addEventListener("dblclick", onDoubleClick);
  // Else a range of rows is a range of text, too.
  byId("rows").addEventListener("mousedown", (event) => {
    if (event.shiftKey && !event.target.closest("a, input")) event.preventDefault();
  });
  byId("pick-all").addEventListener("change", () => (byId("pick-all").checked ? all() : clear()));
  byId("selection-clear").addEventListener("click", clear);
}

/** Shows on a row whether it is selected. */
export function decorate(row, entry) {
  const isSelected = has(entry);
  row.classList.toggle("selected", isSelected);
  const box = row.querySelector(".pick input");
  if (box) box.checked = isSelected;
}

export function clear() {
  const wasBegun = isBegun();
  choices += 1;
  // Also one that only the focus set: in another folder, its name would begin a range.
  anchor = null;
  if (!wasBegun) return;
  selected.clear();
  changed();
}

export function toggle(entry) {
  choices += 1;
  if (!selected.delete(keyOf(entry))) selected.set(keyOf(entry), entry);
  anchor = anchored(view.placeOf(entry), entry);
  changed();
}

export function only(entry) {
  choices += 1;
  selected.clear();
  selected.set(keyOf(entry), entry);
  anchor = anchored(view.placeOf(entry), entry);
  changed();
}

/** All that the list has: of a very large folder, or of what a search finds, not every entry. */
export async function all() {
  const list = view.current();
  const isTaken = await take(list.isWhole ? list.loaded() : (isWanted) => list.all(isWanted));
  if (!isTaken || list.total !== null) return;
  showNotice(fill(list instanceof Folder ? FILES.selectedPart : FILES.selectedFound, { count: selected.size }));
}

/** From where the last one was selected to this place, and nothing else. */
export async function extendTo(place) {
  const [list, other] = [view.current(), view.at(place)];
  const begin = placeOfAnchor();
  // The list has another order since, and where the range begins in it only the cluster knows.
  const isUnknown = begin === null && anchor !== null && !list.isWhole;
  const [first, last] = [Math.min(begin ?? place, place), Math.max(begin ?? place, place)];
  anchor ??= anchored(place);
  const found = isUnknown ? null : here(first, last);
  const isTaken = await take(found ?? between(list, other, place));
  // In this order the list ends before the place where the range begins.
  if (isTaken && !found && anchor && list.isBeyond(anchor.entry)) showNotice(fill(FILES.selectedPart, { count: selected.size }));
}

/** What is from where the range begins to this entry; to what is at this place, if it is not here yet. */
const between = (list, entry, place) => async (isWanted) => {
  const end = entry ?? (await list.fetchAt(place));
  return end ? list.between(anchor?.entry ?? end, end, isWanted) : [];
};

/** Where a range begins now: an entry that was forgotten is where it was in the same list. */
function placeOfAnchor() {
  if (anchor === null) return null;
  const seen = view.placeOf(anchor.entry);
  if (seen >= 0) return seen;
  return view.current().isWhole || view.current() !== anchor.list ? null : anchor.place;
}

/** The entries between two places; null if some of them have to be fetched first. */
function here(first, last) {
  const found = [];
  for (let place = first; place <= last; place += 1) {
    const entry = view.at(place);
    if (!entry) return null;
    found.push(entry);
  }
  return found;
}

/**
 * Selects these and nothing else, at once if they are here, or when they were fetched by a function. Says whether it did: not if
 * somebody stopped it, or selected something else meanwhile.
 */
async function take(found) {
  const mine = ++choices;
  const entries = Array.isArray(found) ? found : await fetched(found, mine);
  if (mine !== choices || !entries) return false;
  selected.clear();
  for (const entry of entries) selected.set(keyOf(entry), entry);
  changed();
  return true;
}

/** What a function fetches, with the progress in sight; nothing if it fails. */
async function fetched(fetchAll, mine) {
  const isLatest = () => mine === choices;
  announce(FILES.loading);
  const progress = new Progress(Infinity, FILES.selecting, clear);
  coming = mine;
  try {
    return await fetchAll((done) => {
      progress.show(done);
      return isLatest();
    });
  } catch (error) {
    if (isLatest()) {
      showNotice(error);
      changed();
    }
    return null;
  } finally {
    progress.end();
    if (coming === mine) coming = null;
  }
}

/** Where a range begins, also if its row is forgotten meanwhile. */
function anchored(place, entry = view.at(place)) {
  return entry ? { place, entry, list: view.current() } : null;
}

/** Begins a range here, if none was begun. */
export function anchorAt(place) {
  if (selected.size === 0) anchor = anchored(place);
  else anchor ??= anchored(place);
}

/** The focus went to this place: the next range begins there, and what is selected goes along. */
export function follow(place) {
  const entry = view.at(place);
  if (!entry) return;
  if (selected.size > 0) only(entry);
  else anchor = anchored(place);
}

/** Whether this was taken out of the selection just now. */
export const isLeftOut = (entry) => !has(entry) && anchor !== null && keyOf(anchor.entry) === keyOf(entry);

/** After the list was fetched again: what is not there any more is not selected, and what changed is as it is now. */
export function keepOnly(list) {
  if (selected.size === 0 || !list.isWhole) return;
  const here = new Map(list.loaded().map((entry) => [keyOf(entry), entry]));
  for (const key of Array.from(selected.keys())) {
    if (here.has(key)) selected.set(key, here.get(key));
    else selected.delete(key);
  }
  changed();
}

/** These are gone. */
export function forget(gone) {
  for (const entry of gone) selected.delete(keyOf(entry));
  changed();
}

function onClick(event) {
  const row = event.target.closest(".entry");
  if (!row) return;
  const entry = entryOf(row);
  const isBox = event.target.closest(".pick") !== null;
  if (!isBox && event.target.closest("a, button, summary, input, label, .menu-items")) return;
  if (event.shiftKey) extendTo(view.placeOf(entry));
  else if (isBox || event.ctrlKey || event.metaKey || event.pointerType === "touch") toggle(entry);
  else only(entry);
  // Keys go on from here.
  if (!isBox) row.querySelector(".open").focus({ preventScroll: true });
}

function onDoubleClick(event) {
  const isEmptyPart = !event.target.closest("a, button, summary, input, .menu-items");
  if (isEmptyPart && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.target.closest(".entry")?.querySelector(".open").click();
  }
}

function changed() {
  for (const row of view.rowsDrawn()) decorate(row, entryOf(row));
  const number = selected.size;
  byId("selection").hidden = number === 0;
  const here = view.length();
  byId("pick-all").checked = number > 0 && number >= here;
  byId("pick-all").indeterminate = number > 0 && number < here;
  const text = number === 0 ? "" : describe();
  if (byId("selection-text").textContent !== text) {
    byId("selection-text").textContent = text;
    announce(number === 0 ? FILES.selectedNone : text);
  }
  if (number === 0) return;
  const chosen = entries();
  const isOneFile = chosen.length === 1 && !isFolder(chosen[0]);
  byId("selection-zip").hidden = isOneFile || !leadToZip(byId("selection-zip"), chosen, isAllOfFolder());
}

/** Whether nothing of the folder is left out. */
function isAllOfFolder() {
  const list = view.current();
  if (!(list instanceof Folder)) return false;
  const isShownWhole = list.after === null && list.from === null;
  return isShownWhole && list.total === selected.size;
}

function describe() {
  const chosen = entries();
  const text = count(chosen.length, FILES.selected);
  // What is in a folder is not known here.
  if (chosen.some(isFolder)) return text;
  return `${text}, ${formatSize(chosen.reduce((sum, entry) => sum + entry.size, 0))}`;
}
