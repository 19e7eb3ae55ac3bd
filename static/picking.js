// What a person chose or dropped, as files with their paths below the folder that is shown.

/** Files of an `<input type=file>`; of a whole folder, with its name. */
export function fromInput(input) {
  return Array.from(input.files, (file) => ({
    file,
    path: (file.webkitRelativePath || file.name).split("/"),
  }));
}

/** What was dropped: files, and folders with all that is in them. Has to be called while the event lasts. */
export async function fromDrop(transfer) {
  const entries = Array.from(transfer.items, (item) => item.kind === "file" && item.webkitGetAsEntry?.());
  const plain = Array.from(transfer.files, (file) => ({ file, path: [file.name] }));
  if (!entries.some((entry) => entry?.isDirectory)) return plain;
  const found = [];
  for (const entry of entries) {
    if (entry) await collect(entry, [], found);
  }
  return found;
}

async function collect(entry, folders, found) {
  const path = [...folders, entry.name];
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, path });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A folder comes in parts; an empty part is the end.
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) return;
    for (const child of part) await collect(child, path, found);
  }
}
