// Putting back what was deleted, from wherever that is asked for.

import { pathText } from "./api.js";
import { forEach, report } from "./bulk.js";
import { ask, announce, showNotice, withName } from "./dialogs.js";
import * as past from "./past.js";
import { PAGE, TRASH, count, fill } from "./texts.js";
import { showToast } from "./toast.js";

/** Says what went to the trash, each { trash, path, name }, with a way back. `onBack` is called when it is back. */
export function offerUndo(deleted, onBack) {
  const [{ name }] = deleted;
  const undo = (close) => (deleted.length === 1 ? undoOne(deleted[0], onBack, close) : undoMany(deleted, onBack, close));
  const many = count(deleted.length, TRASH.deletedMany);
  const text = deleted.length === 1 ? withName(TRASH.deleted, name) : many;
  showToast(text, { label: TRASH.undo, onAct: undo, isUndo: true });
  announce(deleted.length === 1 ? fill(TRASH.deletedSpoken, { name }) : many);
}

async function undoOne({ trash, path, name }, onBack, close) {
  try {
    const restored = await putBack({ trash, path: pathText(path), name });
    if (!restored) return;
    close();
    await onBack();
    announce(fill(TRASH.restoredSpoken, { name, path: restored }));
  } catch (error) {
    showNotice(error);
  }
}

/** The offer stays for those that are not back. */
async function undoMany(deleted, onBack, close) {
  const outcome = await forEach(deleted, TRASH.restoring, ({ trash }) => past.restore(trash));
  const left = [...outcome.failed.map(([row]) => row), ...outcome.untried];
  if (left.length > 0) offerUndo(left, onBack);
  else close();
  await onBack();
  report(outcome, deleted.length, TRASH.notRestored);
  if (left.length === 0) announce(count(deleted.length, TRASH.restoredMany));
}

/** Puts something back to where it was, or asks where to if that place is taken. Gives its path, or null if the person gave up. */
export async function putBack(row) {
  try {
    return (await past.restore(row.trash)).path;
  } catch (error) {
    if (error.code !== "already_exists" && error.code !== "not_a_folder") throw error;
    return putElsewhere(row, withName(TRASH.whereTaken, row.name, { reason: error.message }));
  }
}

/** Asks where to put something back. Gives its path, or null. */
export async function putElsewhere({ trash, path }, text = TRASH.whereFreely) {
  let restored = null;
  const end = path.lastIndexOf("/") + 1;
  const dot = path.lastIndexOf(".");
  await ask({
    title: TRASH.where,
    text,
    input: { label: TRASH.whereLabel, value: path, selectFrom: end, selectTo: dot > end ? dot : path.length },
    actions: [{ label: PAGE.cancel, value: "cancel" }, { label: TRASH.restore, value: "ok", style: "primary" }],
    submit: async ({ text: to }) => {
      restored = (await past.restore(trash, to.startsWith("/") ? to : `/${to}`)).path;
    },
  });
  return restored;
}
