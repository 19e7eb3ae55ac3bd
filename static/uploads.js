// Uploads: a queue of which three go at once, a row for each of those, for the next that wait and for those that ended, and
// the question what to do where a name is taken.

import * as api from "./api.js";
import { announce, ask, withName } from "./dialogs.js";
import { formatDuration, formatSize, nameElement } from "./format.js";
import { ROOT_NAME, currentPath, refresh } from "./listing.js";
import { Cancelled, Rate, send } from "./transfer.js";

const AT_ONCE = 3;
// Smaller files are sent without asking first whether the name is free: the answer to the upload says so too.
const ASK_FIRST_FROM = 1 << 20;
// Thousands of files would be thousands of rows.
const WAITING_ROWS_MAX = 100;
const FINISHED_ROWS_MAX = 50;
const KEEP_BOTH_MAX = 1000;
// The server answers with a status that may be a second old: it may know nothing yet of uploads that ended after this.
const STATUS_AGE_MAX_MS = 2000;

const byId = (id) => document.getElementById(id);
const waiting = [];
const active = new Set();
const ended = [];
// What to do with all further names that are taken, once somebody said so.
let forAll = null;
// One question at a time.
let questions = Promise.resolve();
let refreshTimer;
let fresh = new Set();

export function start() {
  byId("uploads-clear").addEventListener("click", clearFinished);
  byId("uploads-cancel").addEventListener("click", () => {
    waiting.splice(0).forEach((upload) => upload.endUnbegun());
    active.forEach((upload) => upload.cancel());
    update();
  });
  addEventListener("beforeunload", (event) => {
    if (isBusy()) event.preventDefault();
  });
}

/** Whether any are under way, or wait. */
export const isBusy = () => active.size + waiting.length > 0;

/** Takes files with their paths below the folder that is shown. */
export function add(picked) {
  const folder = currentPath();
  if (active.size + waiting.length === 0) forAll = null;
  picked.forEach(({ file, path }) => waiting.push(new Upload(file, folder, path)));
  if (picked.length > 0) {
    announce(picked.length === 1 ? `Uploading ${picked[0].file.name}.` : `Uploading ${picked.length} files.`);
  }
  pump();
}

function pump() {
  while (active.size < AT_ONCE && waiting.length > 0) {
    const upload = waiting.shift();
    active.add(upload);
    upload.run().finally(() => {
      active.delete(upload);
      trim();
      pump();
    });
  }
  waiting.slice(0, WAITING_ROWS_MAX).forEach((upload) => upload.showWaiting());
  update();
}

class Upload {
  constructor(file, folder, path) {
    this.file = file;
    this.folder = folder;
    this.path = path;
    this.sent = 0;
    this.state = "waiting";
  }

  get name() {
    return this.path.at(-1);
  }

  get target() {
    return [...this.folder, ...this.path];
  }

  cancel() {
    const at = waiting.indexOf(this);
    if (at < 0) {
      this.abort.abort();
      return;
    }
    waiting.splice(at, 1);
    this.endUnbegun();
    pump();
  }

  /** Nothing of it is sent. */
  restart() {
    this.rate = new Rate();
    this.sent = 0;
    this.speed = 0;
    if (this.bar) this.bar.value = 0;
  }

  async run() {
    this.abort = new AbortController();
    this.restart();
    this.showRow("sending", "Starting…");
    try {
      const stored = await this.store();
      if (!stored) this.end("skipped", "Skipped: the file that was there is kept.");
      else this.stored(stored);
    } catch (error) {
      if (error instanceof Cancelled) this.end("cancelled", "Cancelled. Nothing was stored.");
      else this.end("failed", `Not stored: ${error.message}`);
    }
  }

  /** Sends it as a new file; where the name is taken, does what the person says. */
  async store() {
    if (this.replace) return this.send(false);
    const isTaken = this.file.size >= ASK_FIRST_FROM && (await api.fileExists(this.target).catch(() => false));
    if (!isTaken) {
      try {
        return await this.send(true);
      } catch (error) {
        if (!(await this.meansTaken(error))) throw error;
      }
    }
    this.restart();
    this.set("sending", "Waiting for your answer…");
    const decision = await decide(this);
    if (this.abort.signal.aborted) throw new Cancelled();
    if (decision === "replace") {
      this.replace = true;
      return this.send(false);
    }
    return decision === "both" ? this.keepBoth() : null;
  }

  /** Browsers that are still sending when the server refuses may see a broken connection instead of the answer. */
  async meansTaken(error) {
    if (error.code === "precondition_failed") return true;
    return error.code === "connection" && api.fileExists(this.target).catch(() => false);
  }

  async keepBoth() {
    const original = this.name;
    const dot = original.lastIndexOf(".");
    const [stem, extension] = dot > 0 ? [original.slice(0, dot), original.slice(dot)] : [original, ""];
    for (let number = 2; number < KEEP_BOTH_MAX; number += 1) {
      this.path = [...this.path.slice(0, -1), `${stem} (${number})${extension}`];
      if (await api.fileExists(this.target)) continue;
      try {
        this.showName();
        return await this.send(true);
      } catch (error) {
        if (error.code !== "precondition_failed") throw error;
      }
    }
    throw new Error("There are too many files of this name.");
  }

  send(onlyNew) {
    this.rate = new Rate();
    return send(api.fileAddress(this.target), this.file, {
      onlyNew,
      signal: this.abort.signal,
      onProgress: (sent) => this.progressed(sent),
    });
  }

  progressed(sent) {
    this.sent = sent;
    const { size } = this.file;
    const rate = this.rate.update(sent);
    this.bar.value = size > 0 ? sent / size : 1;
    this.speed = rate;
    if (sent >= size) {
      this.set("sending", "Making copies…");
    } else {
      const parts = [`${formatSize(sent)} of ${formatSize(size)}`];
      if (rate !== undefined) parts.push(`${formatSize(Math.round(rate))}/s`);
      if (rate > 0) parts.push(`${formatDuration((size - sent) / rate)} left`);
      this.set("sending", parts.join(" · "));
    }
  }

  stored({ copies, copies_wanted: wanted, message }) {
    this.sent = this.file.size;
    const text = copies < wanted ? `${message}.` : `Stored, ${copies} of ${wanted} copies.`;
    this.end("done", `${formatSize(this.file.size)} · ${text}`);
    this.status.prepend(pips(copies, wanted));
    this.wanted = copies < wanted ? wanted : 0;
    const isShown = this.folder.join("/") === currentPath().join("/");
    if (isShown) {
      fresh.add(this.path[0]);
      refreshSoon();
    }
  }

  /** Every file has all its copies now. */
  showCopiesMade() {
    if (!this.wanted) return;
    this.status.replaceChildren(pips(this.wanted, this.wanted), `${formatSize(this.file.size)} · Stored, all copies are made.`);
    this.wanted = 0;
  }

  // Its row.

  showWaiting() {
    if (this.state === "waiting" && this.row) return;
    this.showRow("waiting", "Waiting…");
  }

  showRow(state, text) {
    if (!this.row) {
      this.row = document.createElement("li");
      this.row.className = "upload";
      this.title = document.createElement("span");
      this.title.className = "upload-name";
      this.status = document.createElement("span");
      this.status.className = "upload-state";
      this.actions = document.createElement("span");
      this.actions.className = "upload-actions";
      this.bar = document.createElement("progress");
      this.bar.max = 1;
      this.row.append(this.title, this.status, this.actions, this.bar);
    }
    this.showName();
    this.bar.value = 0;
    this.bar.hidden = false;
    this.button("Cancel", () => this.cancel());
    this.set(state, text);
    this.place();
  }

  /** Those that go on stand first, then those that wait, then those that ended, of which the last to end is the first. */
  place() {
    const list = byId("uploads-list");
    const more = byId("uploads-more");
    const others = Array.from(list.querySelectorAll('[data-state="waiting"]')).filter((row) => row !== this.row);
    let before = more.nextElementSibling;
    if (this.state === "sending" || this === waiting[0]) before = others[0] ?? more;
    else if (this.state === "waiting") before = more;
    // Where it stands right, it is not moved: that would take the focus from its button.
    const isThere = this.row.isConnected && [this.row, this.row.nextElementSibling].includes(before);
    if (!isThere) list.insertBefore(this.row, before);
  }

  showName() {
    const folder = document.createElement("span");
    folder.className = "upload-folder";
    folder.append(" in ", nameElement(this.folder.length > 0 ? this.folder.join(" / ") : ROOT_NAME));
    this.title.replaceChildren(nameElement(this.path.join(" / ")), folder);
    this.bar.setAttribute("aria-label", `Upload of ${this.name}`);
  }

  set(state, text) {
    this.state = state;
    this.row.dataset.state = state;
    if (this.status.textContent !== text) this.status.textContent = text;
    updateSoon();
  }

  /** Cancelled while it waited. */
  endUnbegun() {
    if (this.row) this.end("cancelled", "Cancelled before it began.");
  }

  end(state, text) {
    ended.push(this);
    this.endedAt = performance.now();
    const hadFocus = this.row.contains(document.activeElement);
    this.set(state, text);
    this.place();
    this.bar.hidden = true;
    if (state === "done" || state === "skipped") {
      this.actions.replaceChildren();
    } else {
      this.button("Retry", () => this.retry());
    }
    if (hadFocus) (this.actions.querySelector("button") ?? byId("uploads-clear")).focus();
    if (state === "failed") announce(`${this.name}: ${text}`);
    if (state === "done") announce(`${this.name} is stored.`);
  }

  retry() {
    ended.splice(ended.indexOf(this), 1);
    waiting.unshift(this);
    pump();
  }

  button(label, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button quiet";
    button.textContent = label;
    button.setAttribute("aria-label", `${label} ${this.name}`);
    button.addEventListener("click", (event) => {
      // The second of a double click was meant for the button that stood here before.
      if (event.detail < 2) act();
    });
    this.actions.replaceChildren(button);
  }
}

/** The status that was asked for then says that every file has all its copies, also those that were stored with fewer for now. */
export function showCopiesMade(asked) {
  const known = ended.filter(({ endedAt }) => endedAt + STATUS_AGE_MAX_MS < asked);
  known.forEach((upload) => upload.showCopiesMade());
}

/** Dots, one for each copy: filled when it is there. */
function pips(copies, wanted) {
  const made = document.createElement("span");
  made.className = "pips";
  made.setAttribute("aria-hidden", "true");
  for (let copy = 0; copy < Math.min(wanted, 9); copy += 1) {
    const pip = document.createElement("i");
    if (copy < copies) pip.className = "kept";
    made.append(pip);
  }
  return made;
}

/** What to do where the name is taken: "replace", "both" or "skip". */
function decide(upload) {
  const answer = questions.then(async () => {
    if (forAll) return forAll;
    if (upload.abort.signal.aborted) return "skip";
    const others = active.size + waiting.length > 1;
    const choice = await ask({
      title: "This name is taken",
      text: withName("{name} is in this folder already. Replacing it keeps the old one as a former version.", upload.name),
      checkbox: others && "Do the same for all others",
      actions: [
        { label: "Skip", value: "skip" },
        { label: "Keep both", value: "both" },
        { label: "Replace", value: "replace", style: "primary" },
      ],
    });
    if (choice?.checked) forAll = choice.value;
    return choice?.value ?? "skip";
  });
  questions = answer.catch(() => {});
  return answer;
}

// The summary above the rows.

let updateAt = 0;
function updateSoon() {
  if (updateAt) return;
  updateAt = requestAnimationFrame(update);
}

function update() {
  cancelAnimationFrame(updateAt);
  updateAt = 0;
  const running = active.size + waiting.length;
  const done = ended.filter((upload) => upload.state === "done").length;
  const failed = ended.filter((upload) => upload.state === "failed").length;
  const unseen = waiting.filter((upload) => !upload.row).length;
  byId("uploads").hidden = running + ended.length === 0;
  byId("uploads-clear").hidden = ended.length === 0;
  byId("uploads-cancel").hidden = running < 2;
  byId("uploads-more").hidden = unseen === 0;
  byId("uploads-more").textContent = `${unseen.toLocaleString()} more ${unseen === 1 ? "waits" : "wait"}`;
  const parts = [];
  if (running > 0) {
    const all = [...active, ...waiting];
    const left = all.reduce((sum, upload) => sum + upload.file.size - Math.min(upload.sent, upload.file.size), 0);
    const rate = [...active].reduce((sum, upload) => sum + (upload.speed ?? 0), 0);
    parts.push(`${running} to go, ${formatSize(left)}`);
    // No sooner than the last of those that go on, which do not share the rate as they should.
    const secondsOf = (upload) => (upload.speed > 0 ? (upload.file.size - upload.sent) / upload.speed : 0);
    const seconds = Math.max(left / rate, ...[...active].map(secondsOf));
    if (rate > 0 && left > 0) parts.push(`about ${formatDuration(seconds)} left`);
  }
  if (done > 0) parts.push(`${done} stored`);
  if (failed > 0) parts.push(`${failed} not stored`);
  byId("uploads-summary").textContent = parts.join(" · ");
}

function clearFinished() {
  ended.splice(0).forEach((upload) => upload.row.remove());
  update();
}

/** Of those that need nothing more, only the last stay. */
function trim() {
  const well = ended.filter(({ state, row }) => (state === "done" || state === "skipped") && row.isConnected);
  well.slice(0, -FINISHED_ROWS_MAX).forEach((upload) => upload.row.remove());
}

function refreshSoon() {
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(() => {
    refresh({ quiet: true, fresh: [...fresh] });
    fresh = new Set();
  }, 300);
}
