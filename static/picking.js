// What a person chose or dropped, as files with their paths below the folder that is shown, and with their `source`, which finds them
// again (handles.js), where the browser gives one.

import * as handles from "./handles.js";
import { fill, UPLOADS } from "./texts.js";

/** Files of an `<input type=file>`; of a whole folder, with its name. */
export function fromInput(input) {
  return Array.from(input.files, (file) => ({
    file,
    path: (file.webkitRelativePath || file.name).split("/"),
  }));
}

/** Whether files can be chosen so that they are found again. */
export const canPick = () => "showOpenFilePicker" in globalThis;

/**
 * Files that a person chooses in the browser's own window, with their sources, and the `errors` of what could not be read; none, if the
 * person closes that. Fails where there is no such window.
 */
export async function fromPicker() {
  let roots;
  try {
    roots = await showOpenFilePicker({ multiple: true });
  } catch (error) {
    if (error.name === "AbortError") return { files: [], errors: [] };
    throw error;
  }
  const found = await Promise.allSettled(roots.map(async (root) =>
    ({ file: await root.getFile(), path: [root.name], source: { root, inside: [] } })));
  return { files: found.flatMap(({ value }) => value ?? []), errors: found.flatMap(({ reason }) => reason ?? []) };
}

/**
 * What was dropped: `files`, also of folders, the paths of `emptyFolders`, and the `errors` of what could not be read. Has to be
 * called while the event lasts.
 */
export async function fromDrop(transfer) {
  const items = Array.from(transfer.items).filter(({ kind }) => kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.());
  const coming = handles.ofItems(items);
  const plain = Array.from(transfer.files, (file) => ({ file, path: [file.name] }));
  const roots = await coming;
  if (!entries.some((entry) => entry?.isDirectory)) {
    const files = plain.map((one, place) => ({ ...one, source: sourceIn(roots[place], one.path) }));
    return { files, emptyFolders: [], errors: [] };
  }
  const found = { files: [], emptyFolders: [], errors: [] };
  for (const [place, entry] of entries.entries()) {
    if (!entry) continue;
    const files = [];
    await collect(entry, [], { ...found, files }).catch((error) => found.errors.push(error));
    found.files.push(...files.map((one) => ({ ...one, source: sourceIn(roots[place], one.path) })));
  }
  return found;
}

/** Where a file is: below a folder that was dropped, or what was dropped itself. */
const sourceIn = (root, path) => root && { root, inside: path.slice(1) };

/** What was pasted, as `fromDrop` gives it. A picture that has no file has a name that tells it from others. */
export async function fromPaste(transfer) {
  const isBare = transfer.files.length === 1 && transfer.files[0].name === "image.png";
  const found = await fromDrop(transfer);
  if (!isBare) return found;
  const time = new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 19);
  const name = fill(UPLOADS.pasted, { time: time.replace("T", " ").replaceAll(":", ".") });
  return { ...found, files: found.files.map(({ file }) => ({ file, path: [name] })) };
}

async function collect(entry, folders, found) {
  const path = [...folders, entry.name];
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.files.push({ file, path });
    return;
  }
  const reader = entry.createReader();
  for (let isEmpty = true; ; isEmpty = false) {
    // A folder comes in parts; an empty part is the end.
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) {
      if (isEmpty) found.emptyFolders.push(path);
      return;
    }
    for (const child of part) await collect(child, path, found).catch((error) => found.errors.push(error));
  }
}
