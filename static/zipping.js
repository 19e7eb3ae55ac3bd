// Downloads several entries of one folder as one zip.

import { ApiError, ConnectionError, encodePath, zipAddress } from "./api.js";
import { showNotice } from "./dialogs.js";
import { element } from "./rows.js";
import { FILES } from "./texts.js";

/** Servers and what is between take no much longer addresses. */
const QUERY_LEN_MAX = 6000;
/** Names that are too long together, however short each is. */
const NAMES_MAX = 1000;
/** So many names the server takes in a form. */
const FORM_NAMES_MAX = Number(document.body.dataset.zipNamesMax);

/**
 * Makes a link lead to one zip of these entries: by a form where their names are too long for an address; of the folder, where they are
 * all of it, and too many for a form. Says whether there is such a zip: not of entries of several folders.
 */
export function leadToZip(link, entries, isAllOfFolder = false) {
  const folder = entries[0].path.slice(0, -1);
  const place = encodePath(folder);
  // Only a search shows entries of several.
  const isElsewhere = (entry) => entry.isFound && encodePath(entry.path.slice(0, -1)) !== place;
  if (entries.some(isElsewhere)) return false;
  const names = () => entries.map((entry) => ["name", entry.name]);
  const query = entries.length <= NAMES_MAX ? new URLSearchParams(names()).toString() : null;
  const isShort = query !== null && query.length <= QUERY_LEN_MAX;
  const byForm = (event) => {
    event.preventDefault();
    post(zipAddress(folder), names());
  };
  const isForm = !isShort && !(isAllOfFolder && entries.length > FORM_NAMES_MAX);
  // An address without the names would lead to all of the folder, for whoever copies it.
  if (isForm) link.href = "#zip";
  else link.href = isShort ? `${zipAddress(folder)}?${query}` : zipAddress(folder);
  link.onclick = isForm ? byForm : null;
  link.onauxclick = link.onclick;
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
  // What is downloaded is never shown in it; some browsers say so of the empty page that it begins with.
  frame.addEventListener("load", async () => {
    if (frame.contentDocument?.URL !== "about:blank") showNotice(await whyNot(address, fields));
  });
}

/** Why there was no zip: nobody may read what is in a frame, so it is asked for once more. */
async function whyNot(address, fields) {
  const asking = new AbortController();
  try {
    const response = await fetch(address, { method: "POST", body: new URLSearchParams(fields), signal: asking.signal });
    if (!response.ok) return new ApiError(response.status, await response.json().catch(() => ({})));
    return FILES.notZipped;
  } catch {
    return new ConnectionError();
  } finally {
    asking.abort();
  }
}
