// Does the same with many entries: a few at a time, with the progress in sight, and says which of them failed or were not tried.

import { showNotice } from "./dialogs.js";
import { FILES, count, fill } from "./texts.js";
import { hideToast, showToast } from "./toast.js";

const AT_ONCE = 4;
/** What takes less is not worth a word. */
const SILENT_MS = 400;
const NAMES_SHOWN = 5;

/**
 * Calls `work` with each entry. `text` says what goes on, with `{done}` and `{count}`. Gives those that are
 * done, [entry, error] of those that failed, and those that were not tried: after a connection that broke, and after Stop.
 */
export async function forEach(entries, text, work) {
  const [done, failed] = [[], []];
  const begun = performance.now();
  let next = 0;
  let isStopped = false;
  let isShown = false;
  const show = () => {
    if (entries.length < 2 || isStopped || performance.now() - begun < SILENT_MS) return;
    isShown = true;
    const values = { done: (done.length + failed.length).toLocaleString(), count: entries.length.toLocaleString() };
    showToast(fill(text, values), { label: FILES.stop, onAct: () => { isStopped = true; hideToast(); } });
  };
  const worker = async () => {
    while (next < entries.length && !isStopped) {
      const entry = entries[next];
      next += 1;
      try {
        await work(entry);
        done.push(entry);
      } catch (error) {
        failed.push([entry, error]);
        if (error.code === "connection") isStopped = true;
      }
      show();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (isShown) hideToast();
  return { done, failed, untried: entries.slice(next) };
}

/** Says what failed, by name, and how many were not tried. `text` begins the sentence, with `{failed}` and `{count}`. */
export function report({ failed, untried }, many, text) {
  if (many === 1 && failed.length === 1) {
    showNotice(failed[0][1].message);
    return;
  }
  const sentences = failed.length > 0 ? [describe(failed, many, text)] : [];
  if (untried.length > 0) sentences.push(count(untried.length, FILES.untried));
  if (sentences.length > 0) showNotice(sentences.join(" "));
}

function describe(failed, many, text) {
  const named = failed.slice(0, NAMES_SHOWN).map(([entry, error]) => `“${entry.name}”: ${error.message}`);
  const left = failed.length - named.length;
  if (left > 0) named.push(fill(FILES.andMore, { count: left.toLocaleString() }));
  const head = fill(text, { failed: failed.length.toLocaleString(), count: many.toLocaleString() });
  return `${head} ${named.join(" ")}`;
}

let asking = Promise.resolve();
/** One question after another, whoever asks. */
export function inTurn(question) {
  const mine = asking.then(question);
  asking = mine.catch(() => {});
  return mine;
}
