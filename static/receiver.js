// Sends files to a folder that somebody shared for that: one after another, with progress. Without a script the form does it.

import { ApiError } from "./api.js";
import { formatSize } from "./format.js";
import { inLanguages } from "./problems.js";
import { element } from "./rows.js";
import { IS_SERVERS, RECEIVER, UNITS, count, fill } from "./texts.js";

const form = document.getElementById("adding");
const input = document.getElementById("chosen");
const summary = document.getElementById("send-summary");
const sent = document.getElementById("sent");

/** In the server's language its own sentence, which has the name in it. */
function explain({ status, response }) {
  if (!response?.detail) return new Error(RECEIVER.failed);
  return IS_SERVERS ? new Error(response.detail) : new ApiError(status, response);
}

/** Sends one file. */
function send(file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("load", () => {
      if (request.status === 201) resolve();
      else reject(explain(request));
    });
    request.addEventListener("error", () => reject(new Error(RECEIVER.connection)));
    const body = new FormData();
    body.append("files", file, file.name);
    request.send(body);
  });
}

function line(file) {
  const progress = element("progress", { max: Math.max(1, file.size), value: 0 });
  progress.setAttribute("aria-label", file.name);
  const state = element("span", { className: "upload-state" }, RECEIVER.waiting);
  const name = element("bdi", { className: "upload-name" }, file.name);
  const made = element("li", { className: "upload" }, name, state, progress);
  sent.append(made);
  return { made, progress, state };
}

async function sendAll(files) {
  const lines = files.map((file) => ({ file, ...line(file) }));
  let failed = 0;
  for (const { file, made, progress, state } of lines) {
    try {
      state.textContent = RECEIVER.sending;
      await send(file, (loaded) => {
        progress.value = Math.min(loaded, file.size);
        state.textContent = fill(RECEIVER.progress, { sent: formatSize(Math.min(loaded, file.size)), size: formatSize(file.size) });
      });
      made.dataset.state = "done";
      state.textContent = RECEIVER.arrived;
    } catch (error) {
      failed += 1;
      made.dataset.state = "failed";
      state.replaceChildren(...inLanguages(error.message, error.english));
    }
    progress.remove();
  }
  const arrived = count(files.length - failed, UNITS.files);
  summary.textContent = failed === 0
    ? fill(RECEIVER.thanks, { files: arrived })
    : fill(RECEIVER.some, { arrived, failed: count(failed, UNITS.files) });
}

let isBusy = false;
addEventListener("beforeunload", (event) => {
  if (isBusy) event.preventDefault();
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  const files = Array.from(input.files);
  button.disabled = true;
  isBusy = true;
  sent.replaceChildren();
  summary.textContent = RECEIVER.sending;
  try {
    await sendAll(files);
    form.reset();
  } finally {
    button.disabled = false;
    isBusy = false;
  }
});
