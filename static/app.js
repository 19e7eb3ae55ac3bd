// Where the page begins: connects buttons, dropping and the parts that do the work.

import * as actions from "./actions.js";
import * as contextMenu from "./contextmenu.js";
import * as dragging from "./dragging.js";
import * as keyboard from "./keyboard.js";
import * as listing from "./listing.js";
import * as picking from "./picking.js";
import * as search from "./search.js";
import * as selection from "./selection.js";
import * as status from "./status.js";
import * as tiles from "./tiles.js";
import * as uploads from "./uploads.js";
import { showNotice } from "./dialogs.js";

const byId = (id) => document.getElementById(id);

function connectInput(buttonId, inputId) {
  const input = byId(inputId);
  byId(buttonId).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    uploads.add(picking.fromInput(input));
    // So that the same file can be chosen again.
    input.value = "";
  });
}

function connectDropping() {
  const hasFiles = (event) => Array.from(event.dataTransfer?.types ?? []).includes("Files");
  // Entering an inner element leaves the outer one: count them.
  let inside = 0;
  const show = () => document.body.classList.toggle("dragging", inside > 0);
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    inside += 1;
    show();
  });
  addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    inside = Math.max(0, inside - 1);
    show();
  });
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    inside = 0;
    show();
    try {
      const { files, emptyFolders } = await picking.fromDrop(event.dataTransfer);
      uploads.add(files);
      await listing.addFolders(emptyFolders);
    } catch (error) {
      showNotice(`Not all that was dropped could be taken: ${error.message}`);
    }
  });
}

tiles.start();
listing.start();
selection.start();
actions.start();
keyboard.start();
contextMenu.start();
dragging.start();
search.start();
status.start({ onReady: () => listing.refresh({ quiet: true }), onGreen: uploads.showCopiesMade });
uploads.start();
connectInput("choose-files", "file-input");
connectInput("choose-folder", "folder-input");
// Another page would end the uploads that are under way.
["shares-link", "trash-link"].forEach((id) => byId(id).addEventListener("click", (event) => {
  event.currentTarget.target = uploads.isBusy() ? "_blank" : "";
}));
// Some phones cannot choose folders.
byId("choose-folder").hidden = !("webkitdirectory" in byId("folder-input"));
connectDropping();
