// Moves entries into another folder, or copies them there: asks where to, and what to do where a name is taken.

import * as api from "./api.js";
import * as bulk from "./bulk.js";
import * as copytree from "./copytree.js";
import { announce, ask, showNotice, withName } from "./dialogs.js";
import { isFolder, keyOf } from "./entries.js";
import * as listing from "./listing.js";
import { chooseFolder } from "./picker.js";
import { FILES, count, fill } from "./texts.js";
import { showToast } from "./toast.js";
import * as uploads from "./uploads.js";

const NAMES_TRIED_MAX = 100;
const folderOf = (path) => path.slice(0, -1);
const isSame = (left, right) => left.length === right.length && left.every((name, depth) => name === right[depth]);

/** Asks where to, and moves. */
export async function move(entries) {
  const folder = await chooseFolder({ title: titleOf(entries, FILES.moveOne, FILES.moveMany), action: FILES.moveHere, isAllowed: mayTake(entries) });
  if (folder) await moveTo(entries, folder);
}

/** Asks where to, and copies. */
export async function copyInto(entries) {
  const folder = await chooseFolder({ title: titleOf(entries, FILES.copyOne, FILES.copyMany), action: FILES.copyHere, isAllowed: isOutside(entries) });
  if (!folder) return;
  const { done, ...outcome } = await transfer(entries, folder, FILES.copying, copytree.begin);
  await listing.refreshIfShown(folder, done.map(({ to }) => to.at(-1)));
  bulk.report(outcome, entries.length, FILES.notCopied);
  try {
    const { many, ...inside } = await copytree.finish(done.filter(({ entry }) => isFolder(entry)));
    bulk.report(inside, many, FILES.notCopied);
    if (done.length > 0 && inside.done.length === many) announce(fill(FILES.copied, { path: api.pathText(folder) }));
  } catch (error) {
    showNotice(error);
  }
}

const titleOf = (entries, one, many) =>
  (entries.length === 1 ? withName(one, entries[0].name) : count(entries.length, many));

/** A folder goes neither into itself nor where everything is already. */
export function mayTake(entries) {
  const isElsewhere = isOutside(entries);
  return (folder) => isElsewhere(folder) && entries.some((entry) => !isSame(folderOf(entry.path), folder));
}

/** Whether a folder is neither one of these nor in one of them. */
function isOutside(entries) {
  const folders = entries.filter(isFolder).map((entry) => `${keyOf(entry)}/`);
  return (folder) => !folders.some((path) => `${api.pathText(folder)}/`.startsWith(path));
}

/** Moves, and offers a way back. */
export async function moveTo(entries, folder) {
  const shown = listing.currentPath();
  const moved = entries.filter((entry) => !isSame(folderOf(entry.path), folder));
  const { done, ...outcome } = await transfer(moved, folder, FILES.moving, uploads.move);
  listing.forget(done.map(({ entry }) => entry));
  if (done.length > 0) offerWayBack(done, folder, shown);
  await listing.refresh({ quiet: true });
  bulk.report(outcome, moved.length, FILES.notMoved);
}

/** Calls `send` for each entry with a name that is free in the folder, or that the person agreed to. */
async function transfer(entries, folder, text, send) {
  const done = [];
  let forAll = null;
  const { failed, untried } = await bulk.forEach(entries, text, async (entry) => {
    let to = [...folder, entry.name];
    try {
      await send(entry.path, to, entry);
    } catch (error) {
      if (error.code !== "already_exists" && error.code !== "is_a_folder") throw error;
      const choice = forAll ?? await bulk.inTurn(() => forAll ?? askAboutTaken(entry, folder, entries.length > 1));
      if (choice?.checked) forAll = choice;
      if (choice?.value !== "both") return;
      to = await underAnotherName(entry, folder, send);
    }
    done.push({ name: entry.name, entry, to });
  });
  return { done, failed, untried };
}

function askAboutTaken(entry, folder, isOneOfMany) {
  return ask({
    title: FILES.takenTitle,
    text: withName(FILES.taken, entry.name, { folder: folder.at(-1) ?? FILES.root }),
    checkbox: isOneOfMany ? FILES.forAll : undefined,
    actions: [
      { label: FILES.skip, value: "skip" },
      { label: FILES.keepBoth, value: "both", style: "primary" },
    ],
  });
}

async function underAnotherName(entry, folder, send) {
  const dot = isFolder(entry) ? -1 : entry.name.lastIndexOf(".");
  const [stem, extension] = dot > 0 ? [entry.name.slice(0, dot), entry.name.slice(dot)] : [entry.name, ""];
  for (let number = 2; ; number += 1) {
    const to = [...folder, `${stem} (${number})${extension}`];
    try {
      await send(entry.path, to, entry);
      return to;
    } catch (error) {
      const isTaken = error.code === "already_exists" || error.code === "is_a_folder";
      if (!isTaken || number >= NAMES_TRIED_MAX) throw error;
    }
  }
}

/** What stays moved is offered again. */
function offerWayBack(done, folder, shown) {
  const place = folder.at(-1) ?? FILES.root;
  const text = done.length === 1
    ? withName(FILES.movedOne, done[0].name, { folder: place })
    : count(done.length, FILES.movedMany, { folder: place });
  const undo = async (close) => {
    const outcome = await bulk.forEach(done, FILES.moving, ({ entry, to }) => uploads.move(to, entry.path));
    const left = [...outcome.failed.map(([one]) => one), ...outcome.untried];
    if (left.length > 0) offerWayBack(left, folder, shown);
    else close();
    await listing.refreshIfShown(shown, done.map(({ name }) => name));
    bulk.report(outcome, done.length, FILES.notMoved);
    if (left.length === 0) announce(FILES.movedBack);
  };
  showToast(text, { label: FILES.undo, onAct: undo, isUndo: true });
  announce(document.getElementById("toast-text").textContent);
}
