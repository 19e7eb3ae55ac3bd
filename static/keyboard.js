// The keys of the list: arrows move the focus from name to name and take the selection along, with Shift they extend it; letters go
// to a name.

import * as actions from "./actions.js";
import { entryOf } from "./entryrow.js";
import { jumpTo } from "./listing.js";
import { closeMenus } from "./rows.js";
import * as selection from "./selection.js";
import * as view from "./drawing.js";

/** How long one may think between two letters. */
const PAUSE_MS = 900;
const ASK_AFTER_MS = 250;
let asking;
let typed = "";
let typedAt = 0;
// The entry that had the focus last: its row may be scrolled away since.
let last = null;

export function start() {
  document.addEventListener("keydown", onKey);
  document.getElementById("rows").addEventListener("focusin", (event) => {
    const row = event.target.closest(".entry");
    if (row) last = entryOf(row);
  });
}

function onKey(event) {
  if (event.defaultPrevented || document.querySelector("dialog[open], .context-menu")) return;
  const { target } = event;
  const isInList = target.closest?.("#rows .entry") !== null;
  const isPlace = isInList || target === document.body || target.id === "title" || target.id === "files";
  const isBox = target.matches?.("#rows .pick input");
  if (!isPlace || (target.matches?.("input, textarea, select") && !isBox) || target.closest?.("details[open]")) return;
  const isCommand = (event.ctrlKey || event.metaKey) && !event.altKey;
  if (isCommand && event.key.toLowerCase() === "a" && !event.shiftKey) {
    event.preventDefault();
    selection.all();
  } else if (!isCommand && !event.altKey) {
    onPlainKey(event, isInList, isBox);
  }
}

function onPlainKey(event, isInList, isBox) {
  const row = event.target.closest?.("#rows .entry");
  if (event.key === "Escape" && selection.isBegun()) {
    event.preventDefault();
    closeMenus(null);
    selection.clear();
  } else if (event.key in STEPS) {
    move(event, isInList);
  } else if (event.key === " " && typed !== "" && performance.now() - typedAt < PAUSE_MS) {
    event.preventDefault();
    type(event.key);
  } else if (event.key === " " && row && !isBox && event.target.matches(".open")) {
    event.preventDefault();
    selection.toggle(entryOf(row));
  } else if (event.key === "Delete" || event.key === "F2") {
    const entries = chosen(row && entryOf(row));
    if (entries.length === 0 || (event.key === "F2" && entries.length > 1)) return;
    event.preventDefault();
    actions.act(event.key === "F2" ? "rename" : "delete", entries);
  } else if (event.key.length === 1 && event.key !== " " && event.key !== "/" && !isBox) {
    type(event.key);
  }
}

/** What Delete and F2 act on: what is selected, or the entry in focus, if one went on to another since. */
function chosen(entry) {
  const isElsewhere = entry && !selection.has(entry) && !selection.isLeftOut(entry);
  if (selection.size() > 0 && !isElsewhere) return selection.entries();
  return entry ? [entry] : [];
}

const STEPS = {
  ArrowDown: (place, across) => place + across,
  ArrowUp: (place, across) => place - across,
  ArrowRight: (place, across) => (across > 1 ? place + 1 : null),
  ArrowLeft: (place, across) => (across > 1 ? place - 1 : null),
  PageDown: (place, across) => place + 10 * across,
  PageUp: (place, across) => place - 10 * across,
  Home: () => 0,
  End: () => view.length() - 1,
};

function move(event, isInList) {
  if (view.length() === 0) return;
  if (!isInList && !event.key.startsWith("Arrow")) return;
  const from = isInList ? view.focused() : placeBefore(event.target);
  const wanted = from < 0 ? view.firstSeen() : STEPS[event.key](from, view.columns());
  if (wanted === null) return;
  event.preventDefault();
  const to = Math.max(0, Math.min(wanted, view.length() - 1));
  if (event.shiftKey && from >= 0) selection.anchorAt(from);
  view.focus(to);
  if (event.shiftKey) selection.extendTo(to);
  else selection.follow(to);
}

/** Where keys go on while no row has the focus: at the last that had it. From the heading they begin with what is seen. */
const placeBefore = (target) => (last && target.id !== "title" ? view.placeOf(last) : -1);

function type(letter) {
  const now = performance.now();
  typed = now - typedAt < PAUSE_MS ? typed + letter : letter;
  typedAt = now;
  // Where the server has to be asked, not for each letter.
  clearTimeout(asking);
  if (view.current().isWhole) jumpTo(typed);
  else asking = setTimeout(() => jumpTo(typed), ASK_AFTER_MS);
}
