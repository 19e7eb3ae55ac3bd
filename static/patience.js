// How long is waited: for a try that does not move, and before the next one.

import { ConnectionError } from "./api.js";
import { UPLOADS as TEXT } from "./texts.js";

const PAUSE_MIN_MS = 1000;
const PAUSE_MAX_MS = 30000;
/** Nothing moved for so long: the connection may be dead, as after a sleep. */
const STALLED_AFTER_MS = 60000;
const STALLED_AT_WAKE_MS = 10000;
/** The same where all is sent, and the answer to the commit is awaited. */
export const UNANSWERED_AFTER_MS = 150000;
export const WATCH_INTERVAL_MS = 5000;
/** For a proxy that takes no longer requests, and of which nobody told the server. */
export const CAUTIOUS_REQUEST_MAX = 500_000;

// Those that wait before they try again, and what looks after those that send.
const sleepers = new Set();
const watchers = new Set();

/** There is reason to believe that what failed would succeed now, and that connections are dead which nobody closed. */
export function wake() {
  sleepers.forEach((rise) => rise());
  watchers.forEach((watch) => watch(STALLED_AT_WAKE_MS));
}

/** One try, which is given up when it does not move: `isStill` says whether it did not for longer than it may, given how long. */
export async function attend(given, isStill, work) {
  const trying = new AbortController();
  const stop = () => trying.abort(given.reason);
  const watch = (longest) => {
    if (isStill(longest)) trying.abort(new ConnectionError());
  };
  given.addEventListener("abort", stop);
  watchers.add(watch);
  const timer = setInterval(watch, WATCH_INTERVAL_MS, STALLED_AFTER_MS);
  try {
    given.throwIfAborted();
    return await work(trying.signal);
  } finally {
    clearInterval(timer);
    watchers.delete(watch);
    given.removeEventListener("abort", stop);
  }
}

/** Longer after each failure, and by chance, so that not all come back at once; until somebody wakes it. */
export function sleep(failures, signal) {
  const longest = Math.min(PAUSE_MIN_MS * 2 ** failures, PAUSE_MAX_MS);
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const end = () => {
      clearTimeout(timer);
      sleepers.delete(rise);
      signal.removeEventListener("abort", stop);
    };
    const rise = () => {
      end();
      resolve();
    };
    const stop = () => {
      end();
      reject(signal.reason);
    };
    const timer = setTimeout(rise, longest * (0.5 + Math.random() / 2));
    sleepers.add(rise);
    signal.addEventListener("abort", stop);
  });
}

/** The browser says of a file that changed or went only that the connection broke. `piece` is as much of it as is read at once. */
export async function checkReadable(piece) {
  try {
    await piece.arrayBuffer();
  } catch {
    throw new Error(TEXT.unreadable);
  }
}
