// Short news at the lower edge of the page, with one thing to do about it. It stays until it is dismissed, or other news come.

const byId = (id) => document.getElementById(id);
// What is offered: { onAct, isUndo, isActing }.
let offer = null;

/** Once at a time: the second click of a double click does nothing. */
async function doIt() {
  const mine = offer;
  if (!mine || mine.isActing) return;
  mine.isActing = true;
  try {
    await mine.onAct(() => {
      if (offer === mine) hideToast();
    });
  } finally {
    mine.isActing = false;
  }
}

byId("toast-action").addEventListener("click", doIt);
byId("toast-close").addEventListener("click", hideToast);
document.addEventListener("keydown", (event) => {
  const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "z";
  const isWriting = event.target.closest?.("input, textarea, dialog");
  if (!isUndo || isWriting || !offer?.isUndo) return;
  event.preventDefault();
  doIt();
});

/**
 * Shows `text` (nodes or strings) and a button. With `isUndo`, Control Z or Command Z does the same as the button. `onAct` gets what
 * takes this offer away, but no later one.
 */
export function showToast(text, { label, onAct, isUndo = false }) {
  offer = { onAct, isUndo, isActing: false };
  byId("toast-text").replaceChildren(text);
  const button = byId("toast-action");
  button.textContent = label;
  button.removeAttribute("aria-keyshortcuts");
  if (isUndo) button.setAttribute("aria-keyshortcuts", "Control+Z Meta+Z");
  byId("toast").hidden = false;
}

function hideToast() {
  offer = null;
  const toast = byId("toast");
  if (toast.contains(document.activeElement)) byId("title").focus({ preventScroll: true });
  toast.hidden = true;
}
