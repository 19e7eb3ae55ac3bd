// The heads of the columns: links to the same folder in another order. What a search finds has one order.

import { pageAddress } from "./api.js";
import { currentPath, currentSearch, currentSort } from "./listing.js";
import { element } from "./rows.js";
import { FILES } from "./texts.js";

const TITLES = { name: FILES.columnName, size: FILES.columnSize, time: FILES.columnTime };
const heads = Array.from(document.querySelectorAll("#table th[data-sort]"));

/** Shows how the list is ordered, and how else it could be. */
export function draw() {
  const sort = currentSort();
  const isFolder = currentSearch() === null;
  for (const head of heads) {
    const column = head.dataset.sort;
    const isSorted = isFolder && sort.replace("-", "") === column;
    const direction = sort.startsWith("-") ? "descending" : "ascending";
    if (isSorted) head.setAttribute("aria-sort", direction);
    else head.removeAttribute("aria-sort");
    if (isFolder) drawLink(head, addressOf(column, isSorted, sort));
    else head.replaceChildren(TITLES[column]);
  }
}

/** The same link as before, if there was one, so that it keeps the focus. */
function drawLink(head, address) {
  let link = head.querySelector("a.sort");
  if (!link) {
    link = element("a", { className: "sort" }, TITLES[head.dataset.sort]);
    link.dataset.folder = "";
    head.replaceChildren(link);
  }
  link.href = address;
}

/** Once more the other way round; sizes and times begin with the largest. */
function addressOf(column, isSorted, sort) {
  const first = column === "name" ? "name" : `-${column}`;
  const other = first.startsWith("-") ? column : `-${column}`;
  const next = isSorted && sort === first ? other : first;
  return pageAddress(currentPath(), { sort: next });
}
