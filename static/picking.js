// What a person chose or dropped, as files with their paths below the folder that is shown.

import { fill, UPLOADS } from "./texts.js";

/** Files of an `<input type=file>`; of a whole folder, with its name. */
export function fromInput(input) {
  return Array.from(input.files, (file) => ({
    file,
    path: (file.webkitRelativePath || file.name).split("/"),
  }));
}

/**
 * What was dropped: `files`, also of folders, the paths of `emptyFolders`, and the `errors` of what could not be read. Has to be
 * called while the event lasts.
 */
export async function fromDrop(transfer) {
  const entries = Array.from(transfer.items, (item) => item.kind === "file" && item.webkitGetAsEntry?.());
  const plain = Array.from(transfer.files, (file) => ({ file, path: [file.name] }));
  if (!entries.some((entry) => entry?.isDirectory)) return { files: plain, emptyFolders: [], errors: [] };
  const found = { files: [], emptyFolders: [], errors: [] };
  for (const entry of entries) {
    if (entry) await collect(entry, [], found).catch((error) => found.errors.push(error));
  }
  return found;
}

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
