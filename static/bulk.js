// Does the same with many entries: a few at a time, with the progress in sight, and says which of them failed or were not tried.

import { showNotice } from "./dialogs.js";
import { element } from "./rows.js";
import { FILES, count, fill } from "./texts.js";

const AT_ONCE = 4;
/** What takes less is not worth a word. */
const SILENT_MS = 400;
const NAMES_SHOWN = 5;

/**
 * Calls `work` with each entry. `text` says what goes on, with `{done}` and `{count}`. Gives those that are `done`, [entry, error] of
 * those that `failed`, those that were `untried`, and whether it `isStopped`: by a connection that broke, by another error that
 * `isForAll`, or by Stop.
 */
export async function forEach(entries, text, work) {
  const [done, failed] = [[], []];
  let next = 0;
  let isStopped = false;
  const progress = new Progress(entries.length, text, () => { isStopped = true; });
  const worker = () => whileBusy(async () => {
    while (next < entries.length && !isStopped) {
      const entry = entries[next];
      next += 1;
      try {
        await work(entry);
        done.push(entry);
      } catch (error) {
        failed.push([entry, error]);
        isStopped ||= isForAll(error);
      }
      progress.show(done.length + failed.length);
    }
  });
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  progress.end();
  return { done, failed, untried: entries.slice(next), isStopped };
}

/** Whether others would fail for the same reason. */
export const isForAll = (error) => error.code === "connection" || error.isForAll === true;

let busy = 0;

/** Whether something goes on that ends with the page. */
export const isBusy = () => busy > 0;

/** Does something that ends with the page. */
export async function whileBusy(work) {
  busy += 1;
  try {
    return await work();
  } finally {
    busy -= 1;
  }
}

/** How far it is, with a button that stops it; beside what is offered, of which it is no part. */
export class Progress {
  constructor(many, text, onStop) {
    this.many = many;
    this.text = text;
    this.line = element("p");
    const stop = element("button", { type: "button", className: "button quiet stop" }, FILES.stop);
    stop.addEventListener("click", () => {
      onStop();
      this.end();
    });
    this.element = element("div", { className: "toast" }, this.line, stop);
    this.show(0);
    if (many > 1) this.timer = setTimeout(() => document.getElementById("toasts").prepend(this.element), SILENT_MS);
  }

  show(done) {
    this.line.textContent = fill(this.text, { done, count: this.many });
  }

  end() {
    clearTimeout(this.timer);
    if (this.element.contains(document.activeElement)) document.getElementById("title").focus({ preventScroll: true });
    this.element.remove();
  }
}

/** Says what failed, by name, and how many were not tried. `text` begins the sentence, with `{failed}` and `{count}`. */
export function report({ failed, untried }, many, text) {
  if (many === 1 && failed.length === 1) {
    showNotice(failed[0][1]);
    return;
  }
  const sentences = failed.length > 0 ? [describe(failed, many, text)] : [];
  if (untried.length > 0) sentences.push(count(untried.length, FILES.untried));
  const english = failed.slice(0, NAMES_SHOWN).flatMap(([, error]) => error.english ?? []);
  if (sentences.length > 0) showNotice({ message: sentences.join(" "), english });
}

function describe(failed, many, text) {
  const named = failed.slice(0, NAMES_SHOWN).map(([entry, error]) => fill(FILES.failedOne, { name: entry.name, reason: error.message }));
  const left = failed.length - named.length;
  if (left > 0) named.push(fill(FILES.andMore, { count: left }));
  const head = fill(text, { failed: failed.length, count: many });
  return `${head} ${named.join(" ")}`;
}

let asking = Promise.resolve();
/** One question after another, whoever asks. */
export function inTurn(question) {
  const mine = asking.then(question);
  asking = mine.catch(() => {});
  return mine;
}
