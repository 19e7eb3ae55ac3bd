// Draws the list: all rows of a short one, of a long one those that can be seen and some around them. The page scrolls as
// if all were there.

import { signOf } from "./entries.js";
import { adoptRow, entryOf, makePlaceholder, makeRow } from "./entryrow.js";
import { element } from "./rows.js";

/** Up to so many rows are all drawn, however high each is. */
const ALL_MAX = 300;
/** Rows that are drawn above and below those that can be seen. */
const BEYOND = 20;

const table = document.getElementById("table");
const body = document.getElementById("rows");
const gaps = [gap(), gap()];
let list = { length: 0, at: () => null, need: async () => {} };
let decorate = () => {};
let failed = () => {};
let fresh = new Set();
// Places of the rows that are drawn: from the first up to the end.
let drawn = [0, 0];
let rowHeight = 54;
let isWaiting = false;

/** `onRow` is called with each row that is drawn, `onFailure` with why rows could not be fetched. */
export function start({ onRow, onFailure }) {
  decorate = onRow;
  failed = onFailure;
  addEventListener("scroll", drawSoon, { passive: true });
  addEventListener("resize", drawSoon);
}

/** Rows that the server drew, with their entries in the same order. */
export function adopt(entries) {
  Array.from(body.querySelectorAll(".entry")).forEach((row, place) => adoptRow(row, entries[place]));
}

/** Shows another list, or the same with other entries. Rows of names in `freshNames` are shown as new. */
export function show(other, { freshNames = [] } = {}) {
  list = other;
  fresh = new Set(freshNames);
  draw();
}

export const isVirtual = () => list.length > ALL_MAX;
export const rowsDrawn = () => Array.from(body.querySelectorAll(".entry"));
/** The places of the rows that are drawn. */
export const range = () => drawn;
/** Rows side by side. */
export const columns = () =>
  (getComputedStyle(body).display === "grid" ? getComputedStyle(body).gridTemplateColumns.split(" ").length : 1);

function gap() {
  const made = element("tr", { className: "gap" }, element("td", { colSpan: 5 }));
  made.setAttribute("aria-hidden", "true");
  return made;
}

function drawSoon() {
  if (isWaiting || !isVirtual()) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    draw();
  });
}

/** Draws what is to be seen. */
export function draw() {
  table.classList.toggle("virtual", isVirtual());
  table.hidden = list.length === 0;
  table.setAttribute("aria-rowcount", list.next === null ? list.length + 1 : -1);
  drawRange();
  const height = measured();
  if (isVirtual() && height > 0 && Math.abs(height - rowHeight) > 0.5) {
    rowHeight = height;
    drawRange();
  }
  // What is not here is drawn when it comes.
  if (isVirtual()) list.need(...drawn).catch(failed);
}

function drawRange() {
  const [first, end] = visible();
  drawn = [first, end];
  const kept = new Map(rowsDrawn().map((row) => [row.dataset.sign, row]));
  const wanted = [];
  for (let place = first; place < end; place += 1) {
    const entry = list.at(place);
    const row = entry ? kept.get(signOf(entry)) ?? makeRow(entry) : makePlaceholder();
    row.setAttribute("aria-rowindex", place + 2);
    if (entry) {
      row.classList.toggle("fresh", fresh.has(entry.name));
      decorate(row, entry);
    }
    wanted.push(row);
  }
  const across = columns();
  setGap(gaps[0], Math.floor(first / across) * rowHeight);
  setGap(gaps[1], Math.ceil((list.length - end) / across) * rowHeight);
  place(isVirtual() ? [gaps[0], ...wanted, gaps[1]] : wanted);
}

/** Rows that stay are not moved, so that they keep the focus. */
function place(wanted) {
  const stays = new Set(wanted);
  for (const child of Array.from(body.children)) {
    if (!stays.has(child)) child.remove();
  }
  let at = body.firstElementChild;
  for (const row of wanted) {
    if (row === at) at = at.nextElementSibling;
    else body.insertBefore(row, at);
  }
}

function setGap(row, height) {
  row.firstElementChild.style.height = `${height}px`;
  row.hidden = height === 0;
}

function visible() {
  if (!isVirtual()) return [0, list.length];
  const across = columns();
  const above = -body.getBoundingClientRect().top;
  const line = (height) => Math.floor(height / rowHeight) * across;
  const first = Math.max(0, Math.min(line(above) - BEYOND * across, list.length - across));
  const end = Math.min(list.length, Math.max(first, line(above + innerHeight)) + (BEYOND + 1) * across);
  return [first - (first % across), end];
}

/** How high a line of rows is, with what is between it and the next. */
function measured() {
  const rows = body.querySelectorAll(".entry");
  const across = columns();
  if (rows.length <= across) return 0;
  return rows[across].getBoundingClientRect().top - rows[0].getBoundingClientRect().top;
}

/** Scrolls until the row at this place can be seen, and gives it; null if it is being fetched. */
export function reveal(place) {
  if (place < drawn[0] || place >= drawn[1]) {
    const top = body.getBoundingClientRect().top + scrollY + Math.floor(place / columns()) * rowHeight;
    scrollTo({ top: Math.max(0, top - innerHeight / 3), behavior: "instant" });
    draw();
  }
  const entry = list.at(place);
  const row = entry && rowsDrawn().find((drawnRow) => drawnRow.dataset.sign === signOf(entry));
  row?.scrollIntoView({ block: "nearest", behavior: "instant" });
  return row ?? null;
}

/** Gives the focus to the name at this place. Says whether it could. */
export function focus(place) {
  const row = reveal(place);
  row?.querySelector(".open")?.focus({ preventScroll: true });
  return row !== null;
}

/** Where an entry is in the list as far as it is here; -1 if it is not. */
export function placeOf(entry) {
  const sign = signOf(entry);
  for (let place = drawn[0]; place < drawn[1]; place += 1) {
    const other = list.at(place);
    if (other && signOf(other) === sign) return place;
  }
  for (let place = 0; place < list.length; place += 1) {
    const other = list.at(place);
    if (other && signOf(other) === sign) return place;
  }
  return -1;
}

/** The place of the row that has the focus; -1 if none has it. */
export function focused() {
  const row = document.activeElement?.closest?.("#rows .entry");
  return row ? placeOf(entryOf(row)) : -1;
}

/** The place of the first row that can be seen. */
export function firstSeen() {
  const place = rowsDrawn().findIndex((row) => row.getBoundingClientRect().top >= 0);
  return drawn[0] + Math.max(0, place);
}

export const length = () => list.length;
export const at = (place) => list.at(place);
export const current = () => list;
