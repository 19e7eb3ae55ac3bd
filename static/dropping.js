// Files that come from outside of the page: dropped on it or on a folder's row, pasted, or chosen by the buttons.

import * as api from "./api.js";
import { showNotice } from "./dialogs.js";
import { currentPath, refresh } from "./listing.js";
import * as picking from "./picking.js";
import { fill, UPLOADS as TEXT } from "./texts.js";
import * as uploads from "./uploads.js";

const byId = (id) => document.getElementById(id);
// Entries of the page itself, which are moved, are no files.
const hasFiles = (event) => Array.from(event.dataTransfer?.types ?? []).includes("Files");

export function start() {
  connectInput("choose-files", "file-input");
  connectInput("choose-folder", "folder-input");
  // Some phones cannot choose folders.
  byId("choose-folder").hidden = !("webkitdirectory" in byId("folder-input"));
  connectDropping();
  document.addEventListener("paste", (event) => {
    if (event.target.closest?.("input, textarea, dialog") || event.clipboardData.files.length === 0) return;
    event.preventDefault();
    take(picking.fromPaste(event.clipboardData), currentPath());
  });
}

function connectInput(buttonId, inputId) {
  const input = byId(inputId);
  byId(buttonId).addEventListener("click", () => choose(input));
  input.addEventListener("change", () => {
    uploads.add(picking.fromInput(input));
    // So that the same file can be chosen again.
    input.value = "";
  });
}

/** Files by the window that gives more than files, where there is one. For folders it would refuse some that this one takes. */
function choose(input) {
  if (input.webkitdirectory || !picking.canPick()) {
    input.click();
    return;
  }
  const picked = picking.fromPicker();
  picked.then((found) => take(found, currentPath()), (error) => {
    console.debug(error);
    input.click();
  });
}

function connectDropping() {
  // Entering an inner element leaves the outer one: count them.
  let inside = 0;
  const show = (row) => {
    document.body.classList.toggle("dragging", inside > 0);
    document.querySelector(".drop-into")?.classList.remove("drop-into");
    if (inside === 0) return;
    row?.classList.add("drop-into");
    byId("drop-text").textContent = row ? fill(TEXT.dropInto, { name: row.dataset.name }) : TEXT.dropHere;
  };
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    inside += 1;
    show(folderRow(event));
  });
  addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    inside = Math.max(0, inside - 1);
    if (inside === 0) show();
  });
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    inside = 0;
    show();
    const row = folderRow(event);
    take(picking.fromDrop(event.dataTransfer), row ? pathOf(row) : currentPath());
  });
}

/** The row of a folder that is pointed at. */
const folderRow = (event) => event.target.closest?.("#rows [data-kind=folder][data-name]");

function pathOf({ dataset: { path, name } }) {
  return path ? api.pathNames(path) : [...currentPath(), name];
}

/** Uploads what was found, and makes the folders that have nothing in them. */
async function take(finding, folder) {
  try {
    const { files, emptyFolders = [], errors } = await finding;
    uploads.add(files, folder);
    for (const path of emptyFolders) await api.createFolders([...folder, ...path]);
    if (emptyFolders.length > 0) await refresh({ fresh: emptyFolders.map(([name]) => name) });
    if (errors.length > 0) throw errors[0];
  } catch (error) {
    // A browser speaks its own language, not the page's.
    const reason = error instanceof DOMException ? TEXT.unreadable : error.message;
    showNotice({ message: fill(TEXT.notAll, { reason }), english: error.english });
  }
}
