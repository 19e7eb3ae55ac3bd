// What a person chose or dropped, as files with their paths below the folder that is shown.

/** Files of an `<input type=file>`; of a whole folder, with its name. */
export function fromInput(input) {
  return Array.from(input.files, (file) => ({
    file,
    path: (file.webkitRelativePath || file.name).split("/"),
  }));
}

/** What was dropped: `files`, also of folders, and the paths of `emptyFolders`. Has to be called while the event lasts. */
export async function fromDrop(transfer) {
  const entries = Array.from(transfer.items, (item) => item.kind === "file" && item.webkitGetAsEntry?.());
  const plain = Array.from(transfer.files, (file) => ({ file, path: [file.name] }));
  if (!entries.some((entry) => entry?.isDirectory)) return { files: plain, emptyFolders: [] };
  const found = { files: [], emptyFolders: [] };
  for (const entry of entries) {
    if (entry) await collect(entry, [], found);
  }
  return found;
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
    for (const child of part) await collect(child, path, found);
  }
}
