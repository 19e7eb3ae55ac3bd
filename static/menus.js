// What can be done with entries: the items of a row's menu, and of the menu under the pointer.

import { downloadAddress, isFolder } from "./entries.js";
import { element, menuButton } from "./rows.js";
import { FILES } from "./texts.js";
import { leadToZip } from "./zipping.js";

/** Without `download` it would be a way to another page, which asks whether uploads are to end. */
const link = (address, text, style = "") => element("a", { className: `menu-item ${style}`, href: address, download: "" }, text);

/** Items for one entry, or for several at once. */
export function menuOf(entries) {
  const items = [];
  const [first] = entries;
  if (entries.length > 1) {
    const zip = link("", FILES.zip);
    if (leadToZip(zip, entries)) items.push(zip);
  } else if (isFolder(first)) {
    items.push(link(downloadAddress(first), FILES.zip));
  } else {
    items.push(link(downloadAddress(first), FILES.download, "is-in-row"));
  }
  if (entries.length === 1) {
    items.push(menuButton(FILES.share, "share", ""), menuButton(FILES.rename, "rename", ""));
  }
  items.push(menuButton(FILES.move, "move", ""), menuButton(FILES.copy, "copy", ""));
  if (entries.length === 1 && !isFolder(first)) items.push(menuButton(FILES.versions, "versions", ""));
  items.push(menuButton(FILES.remove, "delete", "danger"));
  return items;
}
