// Putting back what was deleted, from wherever that is asked for.

import { pathText } from "./api.js";
import { ask, announce, showNotice, withName } from "./dialogs.js";
import * as past from "./past.js";
import { TRASH, fill } from "./texts.js";
import { hideToast, showToast } from "./toast.js";

/** Says that something went to the trash, with a way back. `onBack` is called with its path when it is back. */
export function offerUndo(path, trash, onBack) {
  const name = path.at(-1);
  const undo = async () => {
    hideToast();
    try {
      const restored = await putBack({ trash, path: pathText(path), name });
      if (!restored) return;
      await onBack(restored);
      announce(fill(TRASH.restoredSpoken, { name, path: restored }));
    } catch (error) {
      showNotice(error.message);
    }
  };
  showToast(withName(TRASH.deleted, name), { label: TRASH.undo, onAct: undo, isUndo: true });
  announce(fill(TRASH.deletedSpoken, { name }));
}

/** Puts something back to where it was, or asks where to if that place is taken. Gives its path, or null if the person gave up. */
export async function putBack(row) {
  try {
    return (await past.restore(row.trash)).path;
  } catch (error) {
    if (error.code !== "already_exists" && error.code !== "not_a_folder") throw error;
    const [before, after] = TRASH.whereTaken.split("{reason}");
    const text = document.createDocumentFragment();
    text.append(withName(before, row.name), error.message, after);
    return putElsewhere(row, text);
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
    actions: [{ label: TRASH.cancel, value: "cancel" }, { label: TRASH.restore, value: "ok", style: "primary" }],
    submit: async ({ text: to }) => {
      restored = (await past.restore(trash, to.startsWith("/") ? to : `/${to}`)).path;
    },
  });
  return restored;
}
