// Sends files to a folder that somebody shared for that: one after another, each with its row. Without a script the form does it.

import { formatDuration, formatSize, nameElement } from "./format.js";
import { wake } from "./patience.js";
import { inLanguages } from "./problems.js";
import { around, element } from "./rows.js";
import { Link, Sending } from "./sending.js";
import { count, fill, RECEIVER, UNITS, UPLOADS } from "./texts.js";
import { SECONDS_LEFT_MAX } from "./transfer.js";

const form = document.getElementById("adding");
const input = document.getElementById("chosen");
const button = form.querySelector("button");
const summary = document.getElementById("send-summary");
const list = document.getElementById("sent");
const link = new Link(new URL(form.dataset.uploads, location.href).href, Number(form.dataset.uploadRequestMax ?? Infinity),
  "hasPassword" in form.dataset);

const ACTIONS = { waiting: "cancel", sending: "cancel", stuck: "cancel", failed: "retry", cancelled: "retry" };
const HAVE_BARS = ["waiting", "sending", "stuck"];
const all = [];
const waiting = [];
let going;
// What was last said of one that did not arrive, which is said again at the end.
let last;

/** What one is, and what can be done with it. */
class Row {
  constructor(file) {
    this.status = element("span", { className: "upload-state" }, RECEIVER.waiting);
    this.actions = element("span", { className: "upload-actions" });
    this.bar = element("progress", { max: Math.max(1, file.size), value: 0 });
    this.bar.setAttribute("aria-label", fill(UPLOADS.progress, { name: file.name }));
    const name = element("span", { className: "upload-name" }, nameElement(file.name));
    this.element = element("li", { className: "upload" }, name, this.status, this.actions, this.bar);
    list.append(this.element);
  }

  draw(sending) {
    const { state, text = progressText(sending), english, sent } = sending;
    this.bar.value = sent;
    if (this.text !== text) this.status.replaceChildren(...inLanguages(text, english));
    this.text = text;
    // Once for all tries until it moves again.
    if (state === "stuck" && !this.isStuck) this.tell(sending);
    if (this.isStuck && sending.text === undefined) tell(RECEIVER.sending);
    this.isStuck = state === "stuck" || (this.isStuck && state === "sending" && sending.text !== undefined);
    if (this.state === state) return;
    this.state = state;
    this.element.dataset.state = state;
    this.bar.hidden = !HAVE_BARS.includes(state);
    this.drawAction(sending, ACTIONS[state]);
    if (state === "failed" || state === "cancelled") last = sending;
    if (state === "failed") this.tell(sending);
  }

  tell(sending) {
    summary.replaceChildren(...saidOf(sending));
  }

  drawAction(sending, what) {
    if (this.what === what) return;
    this.what = what;
    const hadFocus = this.actions.contains(document.activeElement);
    this.actions.replaceChildren();
    if (what) {
      const made = element("button", { type: "button", className: "button quiet" }, UPLOADS[what]);
      made.setAttribute("aria-label", fill(UPLOADS.one, { what: UPLOADS[what], name: sending.file.name }));
      made.addEventListener("click", (event) => {
        // The second of a double click was meant for the button that stood here before.
        if (event.detail < 2) act(sending, what);
      });
      this.actions.append(made);
    }
    if (hadFocus) (this.actions.firstElementChild ?? button).focus({ preventScroll: true });
  }
}

function progressText({ sent, speed, file: { size } }) {
  const parts = [fill(RECEIVER.progress, { sent: formatSize(sent), size: formatSize(size) })];
  if (speed > 0 && sent < size) {
    parts.push(fill(UPLOADS.rate, { rate: formatSize(Math.round(speed)) }));
    const seconds = (size - sent) / speed;
    if (seconds < SECONDS_LEFT_MAX) parts.push(fill(UPLOADS.left, { span: formatDuration(seconds) }));
  }
  return parts.join(" · ");
}

/** What happens to a file, with its name apart from the text around it. */
const saidOf = ({ file, text, english }) => [nameElement(file.name), ": ", ...inLanguages(text, english)];

/** For those who listen as well. */
const tell = (text, english) => summary.replaceChildren(...inLanguages(text, english));

function act(sending, what) {
  if (what === "cancel") {
    const at = waiting.indexOf(sending);
    if (at >= 0) waiting.splice(at, 1);
    sending.cancel();
    if (!going) tellEnd();
    return;
  }
  waiting.push(sending);
  sending.show("waiting", RECEIVER.waiting);
  goOn();
}

function take(files) {
  for (const file of files) {
    const row = new Row(file);
    const sending = new Sending(file, link, (changed) => row.draw(changed));
    all.push(sending);
    waiting.push(sending);
  }
  goOn();
}

async function goOn() {
  if (going) return;
  last = undefined;
  tell(RECEIVER.sending);
  while (waiting.length > 0) {
    going = waiting.shift();
    await going.run();
  }
  going = undefined;
  tellEnd();
}

function tellEnd() {
  const countOf = (wanted) => all.filter(({ state }) => state === wanted).length;
  const [done, failed] = [countOf("done"), countOf("failed")];
  const arrived = count(done, UNITS.files);
  if (failed > 0) tell(fill(RECEIVER.some, { arrived, failed: count(failed, UNITS.files) }));
  else tell(done > 0 ? fill(RECEIVER.thanks, { files: arrived }) : "");
  if (last && ACTIONS[last.state] === "retry") summary.append(" ", ...saidOf(last));
}

addEventListener("beforeunload", (event) => {
  if (going) event.preventDefault();
});
addEventListener("online", wake);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) wake();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  take(Array.from(input.files));
  form.reset();
});
const names = link.unfinished();
if (names.length > 0) {
  const apart = names.flatMap((name, place) => (place > 0 ? [", ", nameElement(name)] : [nameElement(name)]));
  summary.replaceChildren(...around(RECEIVER.unfinished, "names", apart).flat());
}
