// Values as people read them, the same as the server writes them: sizes, times, rates, and names that cannot lie.

import { LOCALE, SPANS, TIMES, UNITS, count, fill, formatTenths } from "./texts.js";

const STEPS = ["kB", "MB", "GB", "TB", "PB", "EB"];

/** A number stays on one line with its unit. */
const unbroken = (text) => text.replaceAll(" ", "\u00a0");

/** A size in steps of a thousand: `1.2 MB`. */
export function formatSize(bytes) {
  if (bytes < 1000) return unbroken(count(bytes, UNITS.bytes));
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.95 && unit + 1 < STEPS.length) {
    value /= 1000;
    unit += 1;
  }
  return unbroken(`${value >= 99.95 ? Math.round(value) : formatTenths(value)} ${STEPS[unit]}`);
}

/** How long it takes, roughly: `2 min`. */
export function formatDuration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 55) return unbroken(fill(TIMES.seconds, { count: Math.max(1, Math.round(seconds)) }));
  if (seconds < 55 * 60) return unbroken(fill(TIMES.minutes, { count: Math.round(seconds / 60) }));
  const hours = seconds / 3600;
  return unbroken(fill(TIMES.hours, { count: hours < 10 ? formatTenths(hours) : Math.round(hours) }));
}

const LENGTHS = [[86400, SPANS.days], [3600, SPANS.hours], [60, SPANS.minutes], [1, SPANS.seconds]];

/** A span of time in its largest unit that says it roughly: `30 days`. */
export function formatSpan(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  const [length, forms] = LENGTHS.find(([length]) => seconds >= 2 * length) ?? LENGTHS.at(-1);
  return unbroken(count(Math.round(seconds / length), forms));
}

const CLOCK = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short" });
const DAY_AND_YEAR = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", year: "numeric" });
const FULL = new Intl.DateTimeFormat(LOCALE, { dateStyle: "full", timeStyle: "medium" });

/** A time in the person's own zone, by itself or within a sentence: today's with the clock, others with the day. */
export function formatTime(date, { isWithin = false } = {}) {
  const now = new Date();
  if (date.toDateString() === now.toDateString()) {
    return fill(isWithin ? TIMES.todayWithin : TIMES.today, { time: CLOCK.format(date) });
  }
  if (date.getFullYear() === now.getFullYear()) {
    return fill(TIMES.day, { day: DAY.format(date), time: CLOCK.format(date) });
  }
  return DAY_AND_YEAR.format(date);
}

/** Writes a time into a `<time>` that stands by itself, in full when pointed at. */
export const showTime = (element) => writeTime(element, { isWithin: false });

/** The same in the middle of a sentence. */
export const showTimeWithin = (element) => writeTime(element, { isWithin: true });

function writeTime(element, how) {
  const date = new Date(element.dateTime);
  if (Number.isNaN(date.getTime())) return;
  element.textContent = formatTime(date, how);
  element.title = FULL.format(date);
}

/** Nodes of a text in which `…` stands around what is typed. */
export const markedNodes = (text) => text.split("`").map((part, place) => {
  if (place % 2 === 0) return part;
  const code = document.createElement("code");
  code.textContent = part;
  return code;
});

/** The machine's way to write a time, within what it can write. */
export function machineTime(milliseconds) {
  return new Date(Math.min(milliseconds, 253402300799000)).toISOString();
}

// Turn the direction of writing, or have no shape: shown by their code, the same as in people.rs. Joiners are left, emoji
// need them.
const HIDDEN = /([\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}])/u;

/** A name, apart from the text around it, with characters that would not be seen, such as a space at its end, shown by their code. */
export function nameElement(name) {
  const element = document.createElement("bdi");
  const characters = Array.from(name);
  characters.forEach((character, place) => {
    const isAtEdge = place === 0 || place === characters.length - 1;
    if (!HIDDEN.test(character) && !(isAtEdge && character === " ")) {
      element.append(character);
      return;
    }
    const code = document.createElement("span");
    code.className = "hidden-character";
    code.textContent = `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    element.append(code);
  });
  // One text in place of one for each character.
  element.normalize();
  return element;
}
