// What this browser remembers of uploads, so that a page that was loaded anew knows what was cut off: of each large one where it
// is at the server, as the stock client asks for it, and of each page that has others to do, which ones.
//
// The storage belongs to all tabs. Each tells the others when asked which uploads it has itself. One that is frozen does not answer, but
// holds locks all the same, where the browser has them: on pages that come by HTTPS or from this very machine.

import { pathText } from "./api.js";
import { attempt, entries, Kept } from "./stock.js";
import { modifiedMs } from "./transfer.js";

const UPLOADS = "tus::";
const QUEUES = "dfs::queue::";
const ANSWERS_AFTER_MS = 300;
/** Names this page. */
export const tab = `${Date.now()}-${Math.random().toString(36).slice(2)}`;
// Who has each upload that this page has.
const mine = new Map();
const channel = new BroadcastChannel("dfs-uploads");
const TAB_LOCK = "dfs-tab::";
const UPLOAD_LOCK = "dfs-upload::";
hold(TAB_LOCK + tab);

/** Names one content on its way to one place: the same file, chosen again, has it too. */
export const fingerprint = (file, origin) =>
  JSON.stringify([pathText(origin), file.size, modifiedMs(file)]).replaceAll(":", "\\u003a");

/** Where each upload of this browser is. */
export const storage = new Kept(UPLOADS);
/** Where the upload with this fingerprint is. */
export const find = (wanted) => storage.find(wanted);
/** All uploads that were begun, with their fingerprints. */
export const findAll = () => storage.all();

/** What other pages had to do when they were last heard of: `{ key, tab, count, size, names }`. */
export const queues = () => entries(QUEUES).map((queue) => ({ ...queue, key: queue.urlStorageKey }))
  .filter((queue) => queue.tab !== tab);

export const forget = (key) => attempt(() => localStorage.removeItem(key));

/** What this page has to do; nothing, if it has nothing. */
export function noteQueue(queue) {
  if (queue) attempt(() => localStorage.setItem(QUEUES + tab, JSON.stringify({ ...queue, tab })));
  else forget(QUEUES + tab);
}

/** Says whether the upload with this fingerprint is `owner`'s from now on, and not somebody else's of this page. */
export function claim(wanted, owner) {
  if (!mine.has(wanted)) mine.set(wanted, { owner, letGo: hold(UPLOAD_LOCK + wanted) });
  return mine.get(wanted).owner === owner;
}

export function release(wanted, owner) {
  const held = mine.get(wanted);
  if (held?.owner !== owner) return;
  held.letGo();
  mine.delete(wanted);
}

export const isMine = (wanted) => mine.has(wanted);

channel.addEventListener("message", ({ data }) => {
  if (data.asks) channel.postMessage({ to: data.asks, tab, has: [...mine.keys()] });
});

/** What the other tabs have: `tabs`, and the fingerprints of their uploads. */
export function askOthers() {
  const others = { tabs: new Set(), uploads: new Set() };
  return new Promise((resolve) => {
    const listen = ({ data }) => {
      if (data.to !== tab) return;
      others.tabs.add(data.tab);
      data.has.forEach((one) => others.uploads.add(one));
    };
    channel.addEventListener("message", listen);
    channel.postMessage({ asks: tab });
    setTimeout(async () => {
      channel.removeEventListener("message", listen);
      for (const name of await heldByOthers()) {
        if (name.startsWith(TAB_LOCK)) others.tabs.add(name.slice(TAB_LOCK.length));
        else if (name.startsWith(UPLOAD_LOCK)) others.uploads.add(name.slice(UPLOAD_LOCK.length));
      }
      resolve(others);
    }, ANSWERS_AFTER_MS);
  });
}

/** Holds a lock as long as the page is there; gives what lets it go before. */
function hold(name) {
  let letGo;
  const held = new Promise((resolve) => { letGo = resolve; });
  navigator.locks?.request(name, () => held).catch((error) => console.debug(error));
  return letGo;
}

/** The locks that other tabs hold. */
async function heldByOthers() {
  try {
    const { held = [] } = (await navigator.locks?.query()) ?? {};
    const here = held.find(({ name }) => name === TAB_LOCK + tab)?.clientId;
    // Without its own it cannot tell which those of others are.
    return here ? held.filter(({ clientId }) => clientId !== here).map(({ name }) => name) : [];
  } catch (error) {
    console.debug(error);
    return [];
  }
}
