// The dot: asks every few seconds how the cluster does, as long as somebody looks.

import * as api from "./api.js";
import { leaveToStatus } from "./dialogs.js";
import { formatDuration, formatSize, markedNodes } from "./format.js";
import { markLanguage, reasonOf } from "./problems.js";
import { PAGE, STATUS, UNITS, count, fill } from "./texts.js";

const INTERVAL_MS = 5000;
const WORDS = { green: STATUS.ready, yellow: STATUS.warning, red: STATUS.attention };
const byId = (id) => document.getElementById(id);
// Whether it is the server's word that nothing can be stored, and not only a question without an answer.
let isSaid = true;
// Counts what was told, so that an answer to an older question does not come after it.
let tellings = 0;

/** Whether anything can be stored now, as far as this page knows. */
export const isReady = () => byId("status").dataset.ready === "true";

/** Whether it is known that nothing can be stored. */
export const isRefusing = () => !isReady() && isSaid;

/** Why not: the `reason`, and what of it is `english`. */
export function whyNotReady() {
  const { textContent: reason, lang } = byId("status-reason");
  return { reason, english: lang ? [reason] : [] };
}

/** What the server tells those who watch the cluster; there is no `cluster` while the master does not answer. */
export function tell({ ready, reasons, cluster }) {
  tellings += 1;
  isSaid = true;
  if (cluster) showStatus({ ...cluster, ready, reasons });
  else showTrouble(reasons.map((reason) => reasonOf(reason, null)));
}

/** `onReady` is called when the cluster is ready again, `onGreen` with when it was asked, as often as every file has all its copies. */
export function start({ onReady, onGreen }) {
  let isAsking = false;
  const poll = async () => {
    // One that is slow to answer is not asked again meanwhile.
    if (document.hidden || isAsking) return;
    isAsking = true;
    const before = byId("status").dataset.colour;
    const asked = performance.now();
    const isReady = await update().finally(() => {
      isAsking = false;
    });
    if (isReady && before === "red") onReady();
    if (byId("status").dataset.colour === "green") onGreen(asked);
  };
  poll();
  setInterval(poll, INTERVAL_MS);
  document.addEventListener("visibilitychange", poll);
}

async function update() {
  const before = tellings;
  const [status, error] = await api.status().then((answer) => [answer], (failure) => [null, failure]);
  if (tellings !== before) return isReady();
  // A proxy's page, say, is no status.
  const failure = error ?? (status.nodes ? null : new api.ConnectionError());
  isSaid = !(failure instanceof api.ConnectionError);
  if (failure) showTrouble([{ text: failure.message, lang: failure.lang ?? "" }]);
  else showStatus(status);
  return isReady();
}

function showStatus(status) {
  const problems = status.ready ? status.problems : status.reasons;
  const sentences = problems.map((problem) => reasonOf(problem, status));
  byId("status").dataset.ready = status.ready;
  show(status.ready ? status.health : "red", status.ready ? WORDS[status.health] : STATUS.notReady, sentences);
  showFigures(figures(status));
  showStorage(status);
}

/** Nobody knows how it does. */
function showTrouble(sentences) {
  byId("status").dataset.ready = false;
  show("red", STATUS.notReady, sentences);
  showFigures([]);
}

function show(colour, word, sentences) {
  byId("status").dataset.colour = colour;
  setText(byId("status-word"), word);
  const said = sentences.length > 0 ? sentences : [{ text: STATUS.allWell, lang: "" }];
  byId("status-sentences").replaceChildren(...said.map(({ text, lang }) => {
    const item = document.createElement("li");
    markLanguage(item, lang);
    item.append(...markedNodes(text));
    return item;
  }));
  // The page of the cluster says more of it.
  const reason = byId("status-reason");
  if (!reason) return;
  reason.hidden = colour === "green";
  reason.dataset.colour = colour;
  markLanguage(reason, said[0].lang);
  setText(reason, colour === "green" ? "" : said[0].text);
  leaveToStatus(reason.textContent);
}

/** Only when it is another one, so that it is not read out again and again. */
function setText(element, text) {
  if (element.textContent !== text.replaceAll("`", "")) element.replaceChildren(...markedNodes(text));
}

function figures(status) {
  const rows = [
    [STATUS.nodes, fill(STATUS.nodesHere, status.nodes)],
    [STATUS.files, fill(STATUS.filesAndFolders, { files: count(status.files, UNITS.files), folders: count(status.folders, UNITS.folders) })],
    [STATUS.kept, kept(status)],
  ];
  const { trash, former_versions: former } = status;
  if (trash.files + trash.folders > 0) rows.push([STATUS.inTrash, formatSize(trash.bytes)]);
  if (former.versions > 0) rows.push([STATUS.former, formatSize(former.bytes)]);
  if (status.uploads_possible) {
    rows.push([STATUS.room, fill(STATUS.roomAbout, { size: formatSize(status.room_bytes) })]);
  }
  const { running, queued, seconds_left: left } = status.repair;
  if (running + queued > 0) {
    rows.push([STATUS.copying, left === undefined ? STATUS.underWay : fill(STATUS.left, { span: formatDuration(left) })]);
  }
  return rows;
}

/** The same as in pages.rs. */
function showStorage({ file_bytes: files, trash, former_versions: former, room_bytes: room }) {
  const used = formatSize(files + trash.bytes + former.bytes);
  setText(byId("storage"), fill(PAGE.storage, { used, free: formatSize(room) }));
}

function kept({ file_bytes: bytes, chunks, rules }) {
  const text = chunks.missing_copies > 0 ? STATUS.keptInPart : STATUS.keptWhole;
  return fill(text, { size: formatSize(bytes), copies: rules.replication_factor });
}

function showFigures(rows) {
  byId("status-figures").replaceChildren(...rows.flatMap(([name, value]) => {
    const term = document.createElement("dt");
    term.textContent = name;
    const description = document.createElement("dd");
    description.textContent = value;
    return [term, description];
  }));
}
