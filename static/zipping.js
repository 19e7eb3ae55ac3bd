// Downloads several entries of one folder as one zip.

import { encodePath, zipAddress } from "./api.js";
import { showNotice } from "./dialogs.js";
import { element } from "./rows.js";
import { FILES } from "./texts.js";

/** Servers and what is between take no much longer addresses. */
const QUERY_LEN_MAX = 6000;

/**
 * Makes a link lead to one zip of these entries: by a form where their names are too long for an address. Says whether there is such a
 * zip: not of entries of several folders.
 */
export function leadToZip(link, entries) {
  const folder = entries[0].path.slice(0, -1);
  const place = encodePath(folder);
  if (entries.some((entry) => encodePath(entry.path.slice(0, -1)) !== place)) return false;
  const names = entries.map((entry) => ["name", entry.name]);
  const query = new URLSearchParams(names).toString();
  const isShort = query.length <= QUERY_LEN_MAX;
  link.href = isShort ? `${zipAddress(folder)}?${query}` : zipAddress(folder);
  link.onclick = isShort ? null : (event) => {
    event.preventDefault();
    post(zipAddress(folder), names);
  };
  return true;
}

/** Into a frame that nobody sees: an answer that is no zip would take the place of the page, and end its uploads. */
function post(address, fields) {
  const frame = element("iframe", { name: "zip", hidden: true });
  const inputs = fields.map(([name, value]) => element("input", { type: "hidden", name, value }));
  const form = element("form", { method: "post", action: address, target: frame.name, hidden: true }, ...inputs);
  document.getElementById("zip-frame")?.remove();
  frame.id = "zip-frame";
  document.body.append(frame, form);
  form.submit();
  form.remove();
  // What is downloaded is never shown in it.
  frame.addEventListener("load", () => showNotice(FILES.notZipped));
}
