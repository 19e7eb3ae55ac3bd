// Drags rows into a folder: onto its row, or onto one of the folders above. By keyboard, "Move…" does the same.

import { pathNames, readPageAddress } from "./api.js";
import { isFolder } from "./entries.js";
import { entryOf } from "./entryrow.js";
import { mayTake, moveTo } from "./moving.js";
import { element } from "./rows.js";
import * as selection from "./selection.js";
import { FILES, count } from "./texts.js";

const TYPE = "application/x-dfs-entries";
// What is being dragged; another tab's is not taken, and files from elsewhere are not it.
let dragged = null;
let over = null;

export function start() {
  document.addEventListener("dragstart", onStart);
  document.addEventListener("dragover", onOver);
  document.addEventListener("drop", onDrop);
}

const isOurs = (event) => dragged !== null && Array.from(event.dataTransfer?.types ?? []).includes(TYPE);

function onStart(event) {
  end();
  const row = event.target.closest?.("#rows .entry");
  if (!row || row.querySelector(".rename")) return;
  // At the row itself: it may be taken out of the document before.
  row.addEventListener("dragend", end, { once: true });
  const entry = entryOf(row);
  dragged = selection.has(entry) ? selection.entries() : [entry];
  event.dataTransfer.setData(TYPE, String(dragged.length));
  event.dataTransfer.effectAllowed = "move";
  if (dragged.length > 1) {
    const badge = element("div", { className: "drag-badge" }, count(dragged.length, FILES.dragged));
    document.body.append(badge);
    event.dataTransfer.setDragImage(badge, -8, -8);
    setTimeout(() => badge.remove());
  }
  document.body.classList.add("dragging-rows");
}

/** Where it may be dropped: the element, and the folder that it stands for. */
function targetOf(event) {
  const link = event.target.closest?.(".crumbs a[data-folder], .brand");
  const row = event.target.closest?.("#rows .entry[data-kind=folder]");
  if (link) return [link, readPageAddress(new URL(link.href))?.path ?? pathNames("/")];
  return row && isFolder(entryOf(row)) ? [row, entryOf(row).path] : [null, null];
}

function onOver(event) {
  if (!isOurs(event)) return;
  const [target, folder] = targetOf(event);
  const isRight = target !== null && mayTake(dragged)(folder);
  mark(isRight ? target : null);
  if (!isRight) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "move";
}

async function onDrop(event) {
  if (!isOurs(event)) return;
  const [target, folder] = targetOf(event);
  const entries = dragged;
  const isRight = target !== null && mayTake(entries)(folder);
  end();
  if (!isRight) return;
  event.preventDefault();
  await moveTo(entries, folder);
}

function mark(target) {
  if (over === target) return;
  over?.classList.remove("drop-target");
  target?.classList.add("drop-target");
  over = target;
}

function end() {
  mark(null);
  dragged = null;
  document.body.classList.remove("dragging-rows");
}
