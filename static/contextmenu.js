// The menu under the pointer, with what a row's own menu has: by the right button, Shift+F10, the menu key, or a long press.

import * as actions from "./actions.js";
import { entryOf } from "./entryrow.js";
import { menuOf } from "./menus.js";
import { closeMenus, element } from "./rows.js";
import * as selection from "./selection.js";
import { FILES, count } from "./texts.js";

/** How long a press is long. Not all browsers make a menu event of it. */
const PRESS_MS = 550;
const MOVED_PX = 10;

let closeOpen = () => {};
let pressed = null;

export function start() {
  const rows = document.getElementById("rows");
  rows.addEventListener("contextmenu", (event) => {
    const row = event.target.closest(".entry");
    if (!row || event.target.closest("input[type=text], .menu-items")) return;
    event.preventDefault();
    const isOpenByPress = pressed === null && event.pointerType === "touch" && document.querySelector(".context-menu");
    if (!isOpenByPress) openAt(row, placeOf(event, row));
    release();
  });
  rows.addEventListener("pointerdown", (event) => {
    const row = event.target.closest(".entry");
    if (event.pointerType !== "touch" || !row || event.target.closest("input, summary, .menu-items")) return;
    release();
    const { clientX: x, clientY: y } = event;
    const timer = setTimeout(() => {
      pressed = null;
      openAt(row, [x, y]);
      // The finger that goes up opens nothing.
      addEventListener("click", swallow, { capture: true, once: true });
      addEventListener("pointerdown", () => removeEventListener("click", swallow, true), { capture: true, once: true });
    }, PRESS_MS);
    pressed = { timer, x, y };
  });
  rows.addEventListener("pointermove", (event) => {
    if (pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > MOVED_PX) release();
  });
  for (const kind of ["pointerup", "pointercancel"]) rows.addEventListener(kind, release);
}

function release() {
  clearTimeout(pressed?.timer);
  pressed = null;
}

function swallow(event) {
  event.preventDefault();
  event.stopPropagation();
}

/** For the whole selection, where the row is in it. */
function openAt(row, place) {
  const entry = entryOf(row);
  if (selection.size() > 0 && !selection.has(entry)) selection.only(entry);
  open(row, selection.has(entry) ? selection.entries() : [entry], place);
}

/** Where the pointer is; below the name, if it was a key. */
function placeOf(event, row) {
  const isByKey = event.button !== 2 && event.pointerType !== "touch";
  if (!isByKey && (event.clientX !== 0 || event.clientY !== 0)) return [event.clientX, event.clientY];
  const { left, bottom } = row.querySelector(".open").getBoundingClientRect();
  return [left, bottom];
}

function open(row, entries, [x, y]) {
  closeMenus(null);
  closeOpen();
  const items = menuOf(entries);
  const menu = element("div", { className: "context-menu menu-items" }, ...items);
  menu.setAttribute("role", "menu");
  menu.setAttribute("aria-label", entries.length === 1 ? entries[0].name : count(entries.length, FILES.selected));
  for (const item of items) {
    item.setAttribute("role", "menuitem");
    item.tabIndex = -1;
  }
  const close = (refocus) => {
    menu.remove();
    closeOpen = () => {};
    removeEventListener("pointerdown", onElsewhere, true);
    removeEventListener("scroll", onElsewhere, true);
    if (refocus) row.querySelector(".open")?.focus({ preventScroll: true });
  };
  const onElsewhere = (event) => {
    if (!menu.contains(event.target)) close(false);
  };
  closeOpen = () => close(false);
  menu.addEventListener("click", (event) => {
    const item = event.target.closest("[role=menuitem]");
    if (!item) return;
    close(true);
    if (item.dataset.action) {
      event.stopPropagation();
      actions.act(item.dataset.action, entries);
    }
  });
  menu.addEventListener("keydown", (event) => onKey(event, items, close));
  addEventListener("pointerdown", onElsewhere, true);
  addEventListener("scroll", onElsewhere, true);
  document.getElementById("files").append(menu);
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(x, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, y + height > innerHeight - 8 ? y - height : y)}px`;
  items[0].focus({ preventScroll: true });
}

function onKey(event, items, close) {
  const at = items.indexOf(document.activeElement);
  const to = {
    ArrowDown: (at + 1) % items.length,
    ArrowUp: (at - 1 + items.length) % items.length,
    Home: 0,
    End: items.length - 1,
  }[event.key];
  if (to !== undefined) items[to].focus();
  else if (event.key === "Escape" || event.key === "Tab") close(true);
  else if (event.key === " ") items[at]?.click();
  else return;
  event.preventDefault();
  event.stopPropagation();
}
