// The row of one upload in the panel: what it says, and what can be done with it. It shows what the upload is when it is drawn, and
// touches only what is another than it was.

import { formatDuration, formatSize, nameElement } from "./format.js";
import { ROOT_NAME } from "./listing.js";
import { inLanguages } from "./problems.js";
import { element } from "./rows.js";
import { whyNotReady } from "./status.js";
import { fill, UPLOADS as TEXT } from "./texts.js";
import { SECONDS_LEFT_MAX } from "./transfer.js";

const ACTIONS = {
  waiting: ["cancel"],
  sending: ["pause", "cancel"],
  asking: ["cancel"],
  stuck: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  failed: ["retry"],
  cancelled: ["retry"],
};
const HAVE_BARS = ["waiting", "sending", "asking", "stuck", "paused"];

export class Row {
  constructor(upload) {
    this.upload = upload;
    this.title = element("span", { className: "upload-name" });
    this.status = element("span", { className: "upload-state" });
    this.actions = element("span", { className: "upload-actions" });
    this.bar = element("progress", { max: 1, value: 0 });
    this.element = element("li", { className: "upload" }, this.title, this.status, this.actions, this.bar);
  }

  draw() {
    const { state, path, kept, size, isHeldUp } = this.upload;
    if (this.path !== path) this.drawName();
    if (this.state !== state) this.drawState();
    const value = size > 0 ? kept / size : 0;
    if (this.bar.value !== value) this.bar.value = value;
    const { text = progressText(this.upload), english } = isHeldUp ? heldUp() : this.upload;
    if (this.text === text) return;
    this.text = text;
    const { copies } = this.upload;
    this.status.replaceChildren(...(copies ? [pips(copies)] : []), ...inLanguages(text, english));
  }

  drawName() {
    const { folder, path, name } = this.upload;
    this.path = path;
    const whereabouts = element("span", { className: "upload-folder" });
    whereabouts.append(TEXT.in, nameElement(folder.length > 0 ? folder.join(" / ") : ROOT_NAME));
    this.title.replaceChildren(nameElement(path.join(" / ")), whereabouts);
    this.bar.setAttribute("aria-label", fill(TEXT.progress, { name }));
  }

  drawState() {
    const { state } = this.upload;
    this.state = state;
    this.element.dataset.state = state;
    this.bar.hidden = !HAVE_BARS.includes(state);
    const wanted = ACTIONS[state] ?? [];
    const had = Array.from(this.actions.children, ({ value }) => value);
    if (had.join() !== wanted.join()) this.actions.replaceChildren(...wanted.map((what) => this.button(what)));
  }

  button(what) {
    const label = TEXT[what];
    const button = element("button", { type: "button", className: "button quiet", value: what }, label);
    button.setAttribute("aria-label", fill(TEXT.one, { what: label, name: this.upload.name }));
    button.addEventListener("click", (event) => {
      const detail = { what, upload: this.upload };
      // The second of a double click was meant for the button that stood here before.
      if (event.detail < 2) this.element.dispatchEvent(new CustomEvent("upload", { bubbles: true, detail }));
    });
    return button;
  }

  /** Its button for this, or else the first. */
  buttonFor(what) {
    const buttons = Array.from(this.actions.children);
    return buttons.find(({ value }) => value === what) ?? buttons[0];
  }
}

/** Has the list show just these rows before and behind `middle`, and leaves the focus where it was. */
export function arrange(list, before, middle, behind) {
  const focused = document.activeElement;
  const focusedRow = [...before, ...behind].find((row) => row.actions.contains(focused));
  [...before, ...behind].forEach((row) => row.draw());
  const wanted = [...before.map((row) => row.element), middle, ...behind.map((row) => row.element)];
  const stays = new Set(wanted);
  Array.from(list.children).filter((child) => !stays.has(child)).forEach((child) => child.remove());
  let at = list.firstElementChild;
  for (const next of wanted) {
    // One that went to another place is taken out, rather than all others moved by one.
    if (at && at !== next && at.nextElementSibling === next) {
      at.remove();
      at = next;
    }
    if (at === next) at = at.nextElementSibling;
    else list.insertBefore(next, at);
  }
  if (!focusedRow || document.activeElement === focused) return;
  (focusedRow.buttonFor(focused.value) ?? document.getElementById("uploads-clear")).focus({ preventScroll: true });
}

function heldUp() {
  const { reason, english } = whyNotReady();
  return { text: fill(TEXT.notReady, { reason }), english };
}

function progressText({ sent, size, speed }) {
  if (sent >= size) return TEXT.copying;
  const parts = [fill(TEXT.sent, { sent: formatSize(sent), size: formatSize(size) })];
  if (speed !== undefined) parts.push(fill(TEXT.rate, { rate: formatSize(Math.round(speed)) }));
  const seconds = (size - sent) / speed;
  if (seconds < SECONDS_LEFT_MAX) parts.push(fill(TEXT.left, { span: formatDuration(seconds) }));
  return parts.join(" · ");
}

/** Dots, one for each copy: filled when it is there. */
function pips({ copies, wanted }) {
  const made = element("span", { className: "pips" });
  made.setAttribute("aria-hidden", "true");
  for (let copy = 0; copy < Math.min(wanted, 9); copy += 1) {
    made.append(element("i", { className: copy < copies ? "kept" : "" }));
  }
  return made;
}
