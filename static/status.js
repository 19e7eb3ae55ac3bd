// The dot: asks every few seconds how the cluster does, as long as somebody looks.

import * as api from "./api.js";
import { leaveToStatus } from "./dialogs.js";
import { formatDuration, formatSize } from "./format.js";
import { FILES, fill } from "./texts.js";

const INTERVAL_MS = 5000;
const WORDS = { green: "Ready", yellow: "Ready, with a warning", red: "Needs attention" };
const byId = (id) => document.getElementById(id);

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
  try {
    const status = await api.status();
    const problems = status.ready ? status.problems : status.reasons;
    const sentences = problems.map((problem) => problem.message);
    show(status.ready ? status.health : "red", status.ready ? WORDS[status.health] : "Not ready", sentences);
    showFigures(figures(status));
    showStorage(status);
    return status.ready;
  } catch (error) {
    show("red", "Not ready", [error.message]);
    showFigures([]);
    return false;
  }
}

function show(colour, word, sentences) {
  byId("status").dataset.colour = colour;
  setText(byId("status-word"), word);
  const texts = sentences.length > 0 ? sentences : ["Every file has all its copies, and uploads work."];
  byId("status-sentences").replaceChildren(...texts.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  const reason = byId("status-reason");
  reason.hidden = colour === "green";
  reason.dataset.colour = colour;
  setText(reason, colour === "green" ? "" : texts[0]);
  leaveToStatus(reason.textContent);
}

/** Only when it is another one, so that it is not read out again and again. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function figures(status) {
  const count = (number, one, many) => `${number.toLocaleString()} ${number === 1 ? one : many}`;
  const rows = [
    ["Storage nodes", `${status.nodes.live} of ${status.nodes.total} here`],
    ["Files", `${count(status.files, "file", "files")}, ${count(status.folders, "folder", "folders")}`],
    ["Kept", `${formatSize(status.file_bytes)}, ${copies(status)}`],
  ];
  const { trash, former_versions: former } = status;
  if (trash.files + trash.folders > 0) rows.push(["In the trash", formatSize(trash.bytes)]);
  if (former.versions > 0) rows.push(["Former versions", formatSize(former.bytes)]);
  if (status.uploads_possible) {
    rows.push(["Room for", `about ${formatSize(status.room_bytes)} more`]);
  }
  const { running, queued, seconds_left: left } = status.repair;
  if (running + queued > 0) {
    rows.push(["Making copies", left === undefined ? "under way" : `about ${formatDuration(left)} left`]);
  }
  return rows;
}

/** The same as in pages.rs. */
function showStorage({ file_bytes: files, trash, former_versions: former, room_bytes: room }) {
  const used = formatSize(files + trash.bytes + former.bytes);
  setText(byId("storage"), fill(FILES.storage, { used, free: formatSize(room) }));
}

function copies({ chunks, rules }) {
  const wanted = `${rules.replication_factor} copies`;
  return chunks.missing_copies > 0 ? `not all of it as ${wanted} yet` : `as ${wanted}`;
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
