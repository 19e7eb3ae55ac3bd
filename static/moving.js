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
const isWithin = (path, folder) => `${api.pathText(path)}/`.startsWith(`${api.pathText(folder)}/`);
const isSame = (left, right) => left.length === right.length && left.every((name, depth) => name === right[depth]);

/** Asks where to, and moves. */
export async function move(entries) {
  const folder = await chooseFolder({ title: titleOf(entries, FILES.moveOne, FILES.moveMany), action: FILES.moveHere, isAllowed: mayTake(entries) });
  if (folder) await moveTo(entries, folder);
}

/** Asks where to, and copies, folders with all that is in them. */
export async function copyInto(entries) {
  const folder = await chooseFolder({ title: titleOf(entries, FILES.copyOne, FILES.copyMany), action: FILES.copyHere, isAllowed: isOutside(entries) });
  if (!folder) return;
  const content = await copytree.contentOf(entries.filter(isFolder)).catch(showNotice);
  if (content) await copyAll(entries, content, folder);
}

/** Copies entries, with the content of those that are folders, into another folder, and tells of all that was not copied. */
async function copyAll(entries, content, folder) {
  const folders = entries.filter(isFolder);
  const begun = await transfer(folders, () => folder, FILES.copying, (_, to) => api.createFolder(to));
  const names = begun.done.map(({ to }) => to.at(-1));
  await listing.refreshIfShown(folder, names);
  const isWanted = isOutside(begun.skipped);
  const inside = content.filter(({ path }) => isWanted(folderOf(path)));
  const places = new Map(begun.done.map(({ entry, to }) => [keyOf(entry), to]));
  const made = await unlessStopped(begun, inside.filter(isFolder), (left) => copytree.makeFolders(left, places));
  const files = [...entries, ...inside].filter((entry) => !isFolder(entry));
  const chosen = new Set(entries);
  const placeOf = (entry) => (chosen.has(entry) ? folder : places.get(keyOf({ path: folderOf(entry.path) })));
  const copied = await unlessStopped(made, files.filter(placeOf), (left) => transfer(left, placeOf, FILES.copying, copytree.copier()));
  const failed = [begun, made, copied].flatMap((part) => part.failed);
  const untried = [...[begun, made, copied].flatMap((part) => part.untried), ...files.filter((file) => !placeOf(file))];
  const isInside = begun.done.some(({ to }) => isWithin(listing.currentPath(), to));
  const fresh = [...names, ...copied.done.filter(({ entry }) => chosen.has(entry)).map(({ to }) => to.at(-1))];
  await (isInside ? listing.refresh({ quiet: true }) : listing.refreshIfShown(folder, fresh));
  bulk.report({ failed, untried }, folders.length + inside.filter(isFolder).length + files.length, FILES.notCopied);
  if (failed.length + untried.length === 0 && fresh.length > 0) announce(fill(FILES.copied, { path: api.pathText(folder) }));
}

/** Goes on with these, unless what came before was stopped. */
const unlessStopped = ({ isStopped }, entries, work) => (isStopped ? { done: [], failed: [], untried: entries, isStopped } : work(entries));

const titleOf = (entries, one, many) =>
  (entries.length === 1 ? withName(one, entries[0].name) : count(entries.length, many));

/** A folder goes neither into itself nor where everything is already. */
export function mayTake(entries) {
  const isElsewhere = isOutside(entries);
  return (folder) => isElsewhere(folder) && entries.some((entry) => !isSame(folderOf(entry.path), folder));
}

/** Whether a folder is neither one of these nor in one of them. */
function isOutside(entries) {
  const folders = entries.filter(isFolder);
  return (folder) => !folders.some(({ path }) => isWithin(folder, path));
}

/** Moves, and offers a way back. */
export async function moveTo(entries, folder) {
  const shown = listing.currentPath();
  const moved = entries.filter((entry) => !isSame(folderOf(entry.path), folder));
  const { done, ...outcome } = await transfer(moved, () => folder, FILES.moving, uploads.move);
  listing.forget(done.map(({ entry }) => entry));
  if (done.length > 0) offerWayBack(done, folder, shown);
  await listing.refresh({ quiet: true });
  bulk.report(outcome, moved.length, FILES.notMoved);
}

/** Calls `send` for each entry with a name that is free in its new folder, or that the person agreed to, who may have some `skipped`. */
async function transfer(entries, placeOf, text, send) {
  const [done, skipped] = [[], []];
  let forAll = null;
  const outcome = await bulk.forEach(entries, text, async (entry) => {
    const folder = placeOf(entry);
    let to = [...folder, entry.name];
    try {
      await send(entry.path, to);
    } catch (error) {
      if (error.code !== "already_exists" && error.code !== "is_a_folder") throw error;
      const choice = forAll ?? await bulk.inTurn(() => forAll ?? askAboutTaken(entry, folder, entries.length > 1));
      if (choice?.checked) forAll = choice;
      if (choice?.value !== "both") {
        skipped.push(entry);
        return;
      }
      to = await underAnotherName(entry, folder, send);
    }
    done.push({ name: entry.name, entry, to });
  });
  return { ...outcome, done, skipped };
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
      await send(entry.path, to);
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
