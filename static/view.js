// The page of one file: arrows go to the next file of its folder, Escape to the folder.

import * as api from "./api.js";
import { connectMenus } from "./rows.js";
import * as status from "./status.js";
import { connect, step, stepByKey } from "./viewer.js";

// So many names are read to find those beside this one.
const NAMES_MAX = 1000;
const byId = (id) => document.getElementById(id);

function start() {
  connect(byId("file-view"));
  connectMenus();
  status.start({ onReady: () => {}, onGreen: () => {} });
  document.addEventListener("keydown", (event) => {
    const link = stepByKey(event);
    if (link) link.click();
    else if (event.key === "Escape" && !document.querySelector("dialog[open]")) byId("view-close").click();
  });
  // From here one goes back to a list that is not in this page.
  addEventListener("popstate", () => location.reload());
  // A version has no neighbours.
  if (!location.search) drawNeighbours().catch(() => {});
}

async function drawNeighbours() {
  const target = api.readPageAddress(new URL(byId("view-close").href));
  if (!target) return;
  const { name } = byId("file-view").dataset;
  const page = await api.browse(target.path, { limit: NAMES_MAX });
  const names = page.entries.filter((entry) => entry.kind === "file").map((entry) => entry.name);
  const compare = (left, right) => (left < right ? -1 : left > right ? 1 : 0);
  names.sort((left, right) => compare(left.toLowerCase(), right.toLowerCase()) || compare(left, right));
  const at = names.indexOf(name);
  if (at < 0) return;
  const address = (name) => (name === undefined ? undefined : api.viewAddress([...target.path, name]));
  step(byId("view-previous"), address(names[at - 1]));
  step(byId("view-next"), address(names[at + 1]));
}

start();
