// Copies of folders within the cluster: the folders in them are made, and then their files are copied, one by one.

import * as api from "./api.js";
import * as bulk from "./bulk.js";
import { fromApi, isFolder } from "./entries.js";
import { FILES, count } from "./texts.js";

const PAGE_LEN = 1000;
/** More would take the browser an hour; the command line has all the time it needs. */
const FILES_MAX = 100_000;

/** Gives an entry another name, where there is nothing yet: all of a file, or an empty folder, which `finish` fills. */
export const begin = (from, to, entry) => (isFolder(entry) ? api.createFolder(to) : api.copy(from, to));

/** Copies what is in these folders into those that were begun for them; gives what `bulk.forEach` does, and how `many` there were. */
export async function finish(pairs) {
  const files = [];
  for (const { entry, to } of pairs) await spread(entry.path, to, files);
  const outcome = await bulk.forEach(files, FILES.copying, (file) => api.copy(file.path, file.to));
  return { ...outcome, many: files.length };
}

/** Makes the folders below, and adds the files there to `files`, each with where `to` it goes. */
async function spread(from, to, files) {
  const folders = [[from, to]];
  while (folders.length > 0) {
    const [source, target] = folders.pop();
    let after = null;
    do {
      const page = await api.browse(source, { after, limit: PAGE_LEN });
      for (const entry of page.entries.map((one) => fromApi(source, one))) {
        const place = [...target, entry.name];
        if (isFolder(entry)) {
          await api.createFolder(place);
          folders.push([entry.path, place]);
        } else {
          files.push({ ...entry, to: place });
        }
      }
      if (files.length > FILES_MAX) throw new Error(count(FILES_MAX, FILES.tooManyToCopy));
      after = page.next;
    } while (after);
  }
}
