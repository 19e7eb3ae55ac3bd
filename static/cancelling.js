// Takes back small files that were sent: the server says of each whether it was stored before, and stores it no more if not.

import { ConnectionError, call } from "./api.js";
import { UPLOADS as TEXT } from "./texts.js";

const IDS_MAX = 512;
/** The server waits for a commit for less. */
const TIMEOUT_MS = 15000;
const waiting = [];
let timer;

/** A file is getting its name, and the server does not know yet how that ends. */
class StillCommitting extends Error {
  constructor() {
    super(TEXT.committing);
  }
}

/** A name for one sending of one file. `crypto.randomUUID` is only there for pages that come by HTTPS or from this very machine. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [[0, 8], [8, 12], [12, 16], [16, 20], [20]].map((part) => digits.slice(...part)).join("-");
}

/**
 * Cancels one file that was sent under these ids. Says whether it `isStored`, or the server `isUnsure`: it may have been sent to another
 * process, which is gone. Fails without an answer, and where the file is getting its name for long: nothing is decided then.
 */
export function cancel(ids) {
  return new Promise((resolve, reject) => {
    waiting.push({ ids, resolve, reject });
    // Many are cancelled at once, or none.
    timer ??= setTimeout(sendAll);
  });
}

function sendAll() {
  timer = undefined;
  while (waiting.length > 0) {
    let many = 0;
    const end = waiting.findIndex(({ ids }) => (many += ids.length) > IDS_MAX);
    send(waiting.splice(0, end < 0 ? waiting.length : Math.max(1, end)));
  }
}

async function send(entries) {
  try {
    const ids = entries.flatMap((entry) => entry.ids);
    // It must not wait behind what is cancelled.
    const options = { signal: AbortSignal.timeout(TIMEOUT_MS), priority: "high" };
    const { files = [] } = await call("POST", "/api/v1/cancel", { ids }, options);
    const outcomes = new Map(files.map(({ id, outcome }) => [id, outcome]));
    entries.forEach((entry) => decided(entry, entry.ids.map((id) => outcomes.get(id))));
  } catch (error) {
    entries.forEach(({ reject }) => reject(error));
  }
}

function decided({ resolve, reject }, outcomes) {
  const isDecided = outcomes.every((outcome) => ["not_stored", "stored", "unsure"].includes(outcome));
  const isStored = outcomes.includes("stored");
  if (isStored || isDecided) resolve({ isStored, isUnsure: outcomes.includes("unsure") });
  else reject(outcomes.includes("committing") ? new StillCommitting() : new ConnectionError());
}
