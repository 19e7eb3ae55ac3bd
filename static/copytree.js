// Copies of folders within the cluster: what is in them is found first, then folders are made for it, and then its files are copied.

import * as api from "./api.js";
import { Progress, isForAll, whileBusy } from "./bulk.js";
import { fromApi, isFolder, keyOf } from "./entries.js";
import { FILES, count } from "./texts.js";

const PAGE_LEN = 1000;
/** More would take the browser an hour; the command line has all the time it needs. */
const ENTRIES_MAX = 100_000;
/** When so many in a row are not there, the folder is not. */
const GONE_MAX = 8;

/** All that is in these folders, however deep, and behind the folders that it is in; null if somebody stopped the search. */
export async function contentOf(folders) {
  const found = [];
  let isStopped = false;
  const progress = new Progress(Infinity, FILES.lookingThrough, () => { isStopped = true; });
  const look = async ({ path }) => {
    let after = null;
    do {
      const page = await api.browse(path, { after, limit: PAGE_LEN });
      found.push(...page.entries.map((entry) => fromApi(path, entry)));
      if (found.length > ENTRIES_MAX) throw new Error(count(ENTRIES_MAX, FILES.tooManyToCopy));
      progress.show(found.length);
      after = page.next;
    } while (after && !isStopped);
  };
  try {
    for (const folder of folders) {
      if (!isStopped) await look(folder);
    }
    for (let place = 0; place < found.length && !isStopped; place += 1) {
      if (isFolder(found[place])) await look(found[place]);
    }
  } finally {
    progress.end();
  }
  return isStopped ? null : found;
}

/**
 * Makes these folders, each in the one that `places` has for the folder that it is in, and adds them there. Gives those that `failed`,
 * those that were `untried`, as they are in such a one or it `isStopped`, and whether it is: by Stop, or by what failed for all.
 */
export async function makeFolders(folders, places) {
  const [failed, untried] = [[], []];
  let isStopped = false;
  const progress = new Progress(folders.length, FILES.copying, () => { isStopped = true; });
  const make = untilGone(api.createFolder);
  await whileBusy(async () => {
    for (const [done, folder] of folders.entries()) {
      const parent = places.get(keyOf({ path: folder.path.slice(0, -1) }));
      if (isStopped || !parent) {
        untried.push(folder);
        continue;
      }
      const place = [...parent, folder.name];
      try {
        await make(place);
        places.set(keyOf(folder), place);
      } catch (error) {
        failed.push([folder, error]);
        isStopped ||= isForAll(error);
      }
      progress.show(done + 1);
    }
  });
  progress.end();
  return { failed, untried, isStopped };
}

/** Copies a file into a folder that is there. */
export const copier = () => untilGone((from, to) => api.copy(from, to, { parents: false }));

/** Does the same, and says of an error whether it is for all: so many in a row were not there that the folder they go into is gone. */
function untilGone(work) {
  let gone = 0;
  return async (...given) => {
    try {
      await work(...given);
      gone = 0;
    } catch (error) {
      gone = error.code === "not_found" ? gone + 1 : 0;
      error.isForAll = gone >= GONE_MAX;
      throw error;
    }
  };
}
