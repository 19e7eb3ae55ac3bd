// Short news at the lower edge of the page, with one thing to do about it. It stays until it is dismissed, or other news come.

const byId = (id) => document.getElementById(id);
let act = null;
let isUndoable = false;
let isActing = false;

/** Once at a time: the second click of a double click does nothing. */
async function doIt() {
  if (!act || isActing) return;
  isActing = true;
  try {
    await act();
  } finally {
    isActing = false;
  }
}

byId("toast-action").addEventListener("click", doIt);
byId("toast-close").addEventListener("click", hideToast);
document.addEventListener("keydown", (event) => {
  const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "z";
  const isWriting = event.target.closest?.("input, textarea, dialog");
  if (!isUndo || isWriting || !act || !isUndoable) return;
  event.preventDefault();
  doIt();
});

/** Shows `text` (nodes or strings) and a button. With `isUndo`, Control Z or Command Z does the same as the button. */
export function showToast(text, { label, onAct, isUndo = false }) {
  act = onAct;
  isUndoable = isUndo;
  byId("toast-text").replaceChildren(text);
  const button = byId("toast-action");
  button.textContent = label;
  button.removeAttribute("aria-keyshortcuts");
  if (isUndo) button.setAttribute("aria-keyshortcuts", "Control+Z Meta+Z");
  byId("toast").hidden = false;
}

export function hideToast() {
  act = null;
  const toast = byId("toast");
  if (toast.contains(document.activeElement)) byId("title").focus({ preventScroll: true });
  toast.hidden = true;
}
