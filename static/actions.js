// Does what menus, keys and the bar of the selection say, with one entry or with several.

import * as api from "./api.js";
import * as bulk from "./bulk.js";
import { copy } from "./copying.js";
import { showNotice } from "./dialogs.js";
import { isFolder } from "./entries.js";
import { entryOf, rowOf } from "./entryrow.js";
import * as listing from "./listing.js";
import { copyInto, move } from "./moving.js";
import { rename } from "./renaming.js";
import { offerUndo } from "./restoring.js";
import { closeMenus } from "./rows.js";
import * as selection from "./selection.js";
import { share } from "./sharing.js";
import { FILES, UPLOADS, count } from "./texts.js";
import * as uploads from "./uploads.js";
import { showVersions } from "./versions.js";
import * as view from "./drawing.js";

/** Connects the menus of rows, and the bar of the selection. */
export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-action]");
    if (!button) return;
    closeMenus(null);
    const row = button.closest(".entry");
    if (row) {
      // What a dialog gives the focus back to.
      row.querySelector("summary").focus();
      act(button.dataset.action, [entryOf(row)]);
    } else if (button.closest("#selection")) {
      act(button.dataset.action, selection.entries());
    }
  });
}

/** `action` is `share`, `rename`, `move`, `copy`, `versions` or `delete`. */
export function act(action, entries) {
  const [first] = entries;
  if (action === "share") share(first.path, isFolder(first));
  else if (action === "rename") rename(first);
  else if (action === "move") move(entries);
  else if (action === "copy" && (entries.length > 1 || isFolder(first))) copyInto(entries);
  else if (action === "copy") copy(first.path);
  else if (action === "versions") showVersions(first.path, () => listing.refresh({ quiet: true, fresh: [first.name] }));
  else if (action === "delete") remove(entries);
}

/** Moves to the trash, without a question: there is a way back. */
async function remove(entries) {
  const place = view.placeOf(entries[0]);
  const folder = listing.currentPath();
  const trashed = [];
  const gone = [];
  let cancelled = 0;
  const outcome = await bulk.forEach(entries, FILES.deleting, async (entry) => {
    try {
      const answer = await (isFolder(entry) ? uploads.removeFolder(entry.path) : api.removeFile(entry.path));
      cancelled += answer.cancelled ?? 0;
      if (answer.trashed === undefined) gone.push(entry);
      else trashed.push({ trash: answer.trashed, path: entry.path, name: entry.name });
    } catch (error) {
      if (error.code !== "not_found") throw error;
      // Somebody was quicker, or the answer to this was lost on the way and it was asked again.
      gone.push(entry);
    }
  });
  if (trashed.length > 0) {
    offerUndo(trashed, () => listing.refreshIfShown(folder, trashed.map(({ name }) => name)));
  }
  const isSelected = entries.some(selection.has);
  listing.forget(outcome.done);
  const hadFocus = isSelected || document.activeElement === document.body || rowOf(entries[0])?.contains(document.activeElement);
  if (hadFocus) focusAfter(place);
  await listing.refresh({ quiet: true });
  if (hadFocus && document.activeElement === document.body) focusAfter(place);
  if (outcome.done.length < entries.length) bulk.report(outcome, entries.length, FILES.notDeleted);
  else if (cancelled > 0) showNotice(count(cancelled, UPLOADS.cancelledWithFolders));
  else if (gone.length > 0) showNotice(FILES.goneAlready);
}

/** Gives the focus to what came into the place of what went, or to the heading. */
function focusAfter(place) {
  const next = Math.min(place, view.length() - 1);
  if (next < 0 || !view.focus(next)) document.getElementById("title").focus({ preventScroll: true });
}
