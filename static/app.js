// Where the page begins: connects buttons, dropping and the parts that do the work.

import * as actions from "./actions.js";
import * as bulk from "./bulk.js";
import * as contextMenu from "./contextmenu.js";
import * as dragging from "./dragging.js";
import * as dropping from "./dropping.js";
import * as keyboard from "./keyboard.js";
import * as language from "./language.js";
import * as listing from "./listing.js";
import * as search from "./search.js";
import * as selection from "./selection.js";
import * as status from "./status.js";
import * as thumbnails from "./thumbnails.js";
import * as tiles from "./tiles.js";
import * as uploads from "./uploads.js";
import * as viewer from "./viewer.js";

viewer.start();
thumbnails.start();
tiles.start();
listing.start();
language.start();
selection.start();
actions.start();
keyboard.start();
contextMenu.start();
dragging.start();
search.start();
status.start({
  onReady: () => {
    uploads.goOn();
    listing.refresh({ quiet: true });
  },
  onGreen: uploads.showCopiesMade,
});
uploads.start();
dropping.start();
// Another page would end the uploads that are under way.
["shares-link", "trash-link"].forEach((id) => document.getElementById(id).addEventListener("click", (event) => {
  event.currentTarget.target = uploads.isBusy() || bulk.isBusy() ? "_blank" : "";
}));
document.querySelector("form.language")?.addEventListener("submit", (event) => {
  event.currentTarget.target = uploads.isBusy() || bulk.isBusy() ? "_blank" : "";
});
