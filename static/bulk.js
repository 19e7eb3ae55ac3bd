// Does the same with many entries: a few at a time, with the progress in sight, and says which of them failed.

import { showNotice } from "./dialogs.js";
import { FILES, fill } from "./texts.js";
import { hideToast, showToast } from "./toast.js";

const AT_ONCE = 4;
/** What takes less is not worth a word. */
const SILENT_MS = 400;
const NAMES_SHOWN = 5;

/**
 * Calls `work` with each entry. `text` says what goes on, with `{done}` and `{count}`. Gives [entry, error] of those that failed; after
 * a connection that broke, and after Stop, the others are not tried.
 */
export async function forEach(entries, text, work) {
  const failed = [];
  const begun = performance.now();
  let [next, done] = [0, 0];
  let isStopped = false;
  let isShown = false;
  const show = () => {
    if (entries.length < 2 || isStopped || performance.now() - begun < SILENT_MS) return;
    isShown = true;
    const values = { done: done.toLocaleString(), count: entries.length.toLocaleString() };
    showToast(fill(text, values), { label: FILES.stop, onAct: () => { isStopped = true; hideToast(); } });
  };
  const worker = async () => {
    while (next < entries.length && !isStopped) {
      const entry = entries[next];
      next += 1;
      try {
        await work(entry);
      } catch (error) {
        failed.push([entry, error]);
        if (error.code === "connection") isStopped = true;
      }
      done += 1;
      show();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (isShown) hideToast();
  return failed;
}

/** Says what failed, by name. `text` begins the sentence, with `{failed}` and `{count}`. */
export function report(failed, many, text) {
  if (failed.length === 0) return;
  if (many === 1) {
    showNotice(failed[0][1].message);
    return;
  }
  const named = failed.slice(0, NAMES_SHOWN).map(([entry, error]) => `“${entry.name}”: ${error.message}`);
  const left = failed.length - named.length;
  if (left > 0) named.push(fill(FILES.andMore, { count: left.toLocaleString() }));
  const head = fill(text, { failed: failed.length.toLocaleString(), count: many.toLocaleString() });
  showNotice(`${head} ${named.join(" ")}`);
}

let asking = Promise.resolve();
/** One question after another, whoever asks. */
export function inTurn(question) {
  const mine = asking.then(question);
  asking = mine.catch(() => {});
  return mine;
}
