// What is known of a folder's entries: pages that come one after another by the cluster's cursor, folders first, in the order in
// which they are wanted.
//
// A folder of up to WHOLE_MAX entries is fetched to its end, and sorted here, where names are compared as people read them. Of a
// larger one, which keeps the cluster's order (there names are compared by their bytes), only the pages near those that are looked at
// are kept; of the others just how many entries they have and where they begin.

import * as api from "./api.js";
import { fromApi, isFolder, keyIn, sortEntries } from "./entries.js";

/** Entries of a page. In an order that is not by name each page costs the cluster a look at the whole folder: they are longer. */
const PAGE_LEN = 500;
const SORTED_PAGE_LEN = 1000;
const UTF8 = new TextEncoder();
const WHOLE_MAX = 10000;
/** Entries of a larger folder that are kept. */
const KEPT_MAX = 12000;
/** Entries after which the list ends, to go on at another address: browsers cannot scroll through any number of rows. */
export const LENGTH_MAX = 200000;

export class Folder {
  #pages = [];
  #length = 0;
  /** Where to go on: undefined before anything came, null at the end. */
  #next = undefined;
  #fetching = null;
  #isStopped = false;
  /** Whether entries came by themselves until some could not be fetched: then they come as somebody looks at them. */
  #hasFailed = false;
  /** Ends what is fetched for somebody who does not look at it any more. */
  #stopping = new AbortController();
  #sorted = null;
  #isLarge;
  /** How many there are, where they were counted by name; null if nobody did. */
  #counted = null;
  // How the pages follow each other, and how they are shown when all are here.
  #order;
  #sort;
  #pageLen;

  /**
   * `after` and `from`: where it begins, if not with the first entry. `isLarge`: whether it is known to be too large to be here as a
   * whole. `onChange` is called whenever more is known.
   */
  constructor({ path, after = null, from = null, sort = "name", isLarge = false }) {
    this.path = path;
    this.after = after;
    this.from = from;
    this.#order = sort;
    this.#sort = sort;
    this.#isLarge = isLarge;
    this.#pageLen = keyIn(sort) ? SORTED_PAGE_LEN : PAGE_LEN;
    this.onChange = () => {};
  }

  /** Takes over entries that are known already, and where they go on. */
  adopt(entries, next) {
    this.#add({ after: this.after, from: this.from, items: entries, count: entries.length }, next);
  }

  get length() {
    return this.#length;
  }

  /** Where what follows the entries begins; null at the end. */
  get next() {
    return this.#next ?? null;
  }

  /** Whether all entries of the folder are here. */
  get isWhole() {
    const isAll = this.#next === null && this.after === null && this.from === null && this.#length <= WHOLE_MAX;
    return isAll && this.#pages.every((page) => page.items !== null);
  }

  /** How many entries there are from where it begins on; null if that is not known. */
  get total() {
    return this.#next === null ? this.#length : this.#counted;
  }

  /** Whether it is too large to be here as a whole. */
  get isLarge() {
    return this.#isLarge || this.#length > WHOLE_MAX;
  }

  /**
   * Whether more entries come by themselves, without that anybody looks at them. By size or time, pages of a folder that is large
   * anyway cost the cluster too much for that.
   */
  get isFilling() {
    const isDear = this.#isLarge && keyIn(this.#order) !== null;
    return this.#next !== null && this.#length <= WHOLE_MAX && !isDear && !this.#hasFailed;
  }

  get isFull() {
    return this.#length >= LENGTH_MAX;
  }

  get sort() {
    return this.#sort;
  }

  /** Of a folder that is whole. Another one is fetched anew to be sorted in another way. */
  set sort(sort) {
    if (!this.isWhole) return;
    this.#sort = sort;
    this.#sorted = null;
  }

  /** The entry at this place; null if it has to be fetched first. */
  at(index) {
    if (this.isWhole) {
      this.#sorted ??= sortEntries(this.loaded(), this.#sort);
      return this.#sorted[index];
    }
    const page = this.#pageAt(index);
    return page.items?.[index - page.start] ?? null;
  }

  /** All entries that are here now. */
  loaded() {
    return this.#pages.flatMap((page) => page.items ?? []);
  }

  /** The entry at this place, also if it has to be fetched. */
  async fetchAt(index) {
    const page = this.#pageAt(index);
    return this.at(index) ?? (await this.#fetchItems(page)).items[index - page.start] ?? null;
  }

  /**
   * The entries from one to another, both with them, in the cluster's order: places shift while it lasts. Those that are not here are
   * fetched, and not kept. `isWanted` is told before each page how many there are by then; where it says no, that is all.
   */
  async between(one, other, isWanted = () => true) {
    const cursors = [one, other].map((entry) => this.#cursorOf(entry));
    const [first, last] = this.#isBehind(...cursors) ? cursors.reverse() : cursors;
    const isInside = (entry) => !this.#isBehind(first, this.#cursorOf(entry)) && !this.#isBehind(this.#cursorOf(entry), last);
    const isBefore = (page) => this.#endOf(page) !== null && this.#isBehind(first, this.#endOf(page));
    const isAfter = (page) => page.after !== null && !this.#isBehind(last, page.after);
    // In another order than before, one of them may be where nobody looked yet.
    while (this.#next !== null && !this.isFull && this.#isBehind(last, this.#next) && isWanted(this.#length)) await this.#fetchNext();
    this.onChange();
    return (await this.#collect(isWanted, (page) => !isBefore(page) && !isAfter(page))).filter(isInside);
  }

  /** Whether an entry is behind the place where the list ends. */
  isBeyond(entry) {
    return this.#next !== null && this.#isBehind(this.#cursorOf(entry), this.#next);
  }

  /**
   * All entries up to the place where the list ends; `isWanted` as above. They are fetched by name, where the list has room for all:
   * in another order, one that changes meanwhile may be missed.
   */
  async all(isWanted) {
    if (keyIn(this.#order) && this.after === null && !this.isWhole) {
      const byName = new Folder({ path: this.path });
      const entries = await byName.all(isWanted);
      this.#counted = byName.total;
      if (byName.total !== null) return entries;
    }
    while (this.#next !== null && !this.isFull && isWanted(this.#length)) await this.#fetchNext();
    this.onChange();
    return this.#collect(isWanted, () => true);
  }

  /** The entries of the pages that are asked for. A page may become several meanwhile, which follow it. */
  async #collect(isWanted, isAskedFor) {
    const entries = [];
    for (let place = 0; place < this.#pages.length; place += 1) {
      const page = this.#pages[place];
      if (!isAskedFor(page)) continue;
      if (!page.items && !isWanted(entries.length)) break;
      const items = page.items ?? (await this.#fetchItems(page)).items;
      for (const entry of items) entries.push(entry);
      place = this.#pages.indexOf(page);
    }
    return entries;
  }

  /** Takes entries away for which `isGone`. */
  remove(isGone) {
    for (const page of this.#pages) {
      page.items = page.items?.filter((entry) => !isGone(entry)) ?? null;
    }
    this.#counted = null;
    this.#count();
  }

  /** Fetches the first entries, unless it is stopped before. */
  async begin() {
    while (this.#next !== null && this.#length === 0 && !this.#isStopped) await this.#fetchNext();
  }

  /** Fetches until the folder is whole, or too large for that. */
  async fill() {
    this.#isStopped = false;
    this.#hasFailed = false;
    try {
      while (this.isFilling && !this.#isStopped) {
        await this.#fetchNext();
        this.onChange();
      }
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }

  /** Nobody looks at it any more. */
  stop() {
    this.#isStopped = true;
    this.#stopping.abort();
    this.#stopping = new AbortController();
  }

  /** Sees to it that these places, and some behind them, are fetched; forgets what is far from them. */
  async need(first, last) {
    if (this.isWhole || this.isFilling) return;
    for (const page of this.#pages) {
      const isNear = page.start <= last && page.start + page.count > first;
      if (isNear && page.items === null && !page.isFetching) await this.#fetchAgain(page);
    }
    this.#forgetFarFrom(first);
    if (last + this.#pageLen <= this.#length || this.#next === null || this.isFull) return;
    await this.#fetchNext();
    this.onChange();
  }

  /** All is to be fetched again when it is looked at. */
  forget() {
    this.#counted = null;
    for (const page of this.#pages) page.isStale = true;
  }

  /** Fetches again what was forgotten and is between these places. */
  async renew(first, last) {
    for (const page of Array.from(this.#pages)) {
      const isSeen = page.start <= last && page.start + page.count > first;
      if (isSeen) await this.#fetchAgain(page);
      else if (page.isStale) page.items = null;
    }
    this.onChange();
  }

  async #fetchNext() {
    this.#fetching ??= this.#fetchPage({ after: this.#next ?? this.after, from: this.#next ? null : this.from })
      .finally(() => { this.#fetching = null; });
    await this.#fetching;
  }

  async #fetchPage({ after, from }) {
    const begun = this.#next;
    const { signal } = this.#stopping;
    const page = await this.#browse(after, from, signal).catch((error) => {
      if (!signal.aborted) throw error;
    });
    // The last page was fetched again meanwhile, and ends elsewhere.
    if (signal.aborted || this.#next !== begun) return;
    const items = page.entries.map((entry) => fromApi(this.path, entry));
    this.#add({ after, from, items, count: items.length }, page.next);
  }

  async #fetchAgain(page) {
    page.isFetching = true;
    try {
      const { items, next } = await this.#fetchItems(page);
      if (page === this.#pages.at(-1)) this.#next = next;
      this.#replace(page, items);
      this.onChange();
    } finally {
      page.isFetching = false;
    }
  }

  /**
   * What a page has now: up to where the page behind it begins, however many entries that are by now; the last one ends where it
   * ends now.
   */
  async #fetchItems(page) {
    const items = [];
    let [after, from] = [page.after, page.from];
    do {
      const { entries, next } = await this.#browse(after, from);
      items.push(...entries.map((entry) => fromApi(this.path, entry)));
      [after, from] = [next ?? null, null];
    } while (after !== null && this.#isBehind(this.#endOf(page), after));
    const end = page === this.#pages.at(-1) ? null : this.#endOf(page);
    const isInside = (entry) => end === null || !this.#isBehind(this.#cursorOf(entry), end);
    return { items: items.filter(isInside), next: after };
  }

  #browse(after, from, signal) {
    return api.browse(this.path, { after, from, limit: this.#pageLen, sort: this.#order, signal });
  }

  /** The cluster's cursor behind an entry. */
  #cursorOf(entry) {
    const key = keyIn(this.#order);
    const place = key ? `${entry[key]}/${entry.name}` : entry.name;
    return `${isFolder(entry) ? "folders" : "files"}/${place}`;
  }

  /** Whether a cursor is behind another one: files are behind folders, and within both it is as the order says. */
  #isBehind(cursor, other) {
    if (cursor === null) return false;
    const [one, two] = [readCursor(cursor), readCursor(other)];
    if (one.isFile !== two.isFile) return one.isFile;
    const place = one.key - two.key || compareBytes(one.name, two.name);
    return this.#order.startsWith("-") ? place < 0 : place > 0;
  }

  /** Where the page behind this one begins; null if none does. */
  #endOf(page) {
    const following = this.#pages[this.#pages.indexOf(page) + 1];
    return following ? following.after : this.next;
  }

  /** Gives a page other entries; what is too long for one becomes several. */
  #replace(page, items) {
    const pieces = [];
    const pieceLen = items.length > 2 * this.#pageLen ? this.#pageLen : items.length;
    for (let at = pieceLen; at < items.length; at += this.#pageLen) {
      const piece = { after: this.#cursorOf(items[at - 1]), from: null, items: items.slice(at, at + this.#pageLen) };
      pieces.push({ ...piece, isStale: false, isFetching: false });
    }
    page.items = items.slice(0, pieceLen);
    page.isStale = false;
    this.#pages.splice(this.#pages.indexOf(page) + 1, 0, ...pieces);
    this.#count();
  }

  #add(page, next) {
    this.#pages.push({ ...page, start: this.#length, isStale: false, isFetching: false });
    this.#length += page.count;
    this.#next = next ?? null;
    this.#sorted = null;
  }

  #count() {
    this.#length = 0;
    for (const page of this.#pages) {
      page.start = this.#length;
      page.count = page.items?.length ?? page.count;
      this.#length += page.count;
    }
    this.#sorted = null;
  }

  #pageAt(index) {
    let [low, high] = [0, this.#pages.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#pages[middle].start <= index) low = middle;
      else high = middle - 1;
    }
    return this.#pages[low];
  }

  #forgetFarFrom(index) {
    const kept = this.#pages.filter((page) => page.items !== null);
    const keptMax = KEPT_MAX / this.#pageLen;
    if (kept.length <= keptMax) return;
    const distance = (page) => Math.abs(page.start + page.count / 2 - index);
    kept.sort((left, right) => distance(left) - distance(right));
    for (const page of kept.slice(keptMax)) page.items = null;
  }
}

/** What a cursor says: behind which name, among those of which size or time, if the order is by one. No name has a `/`. */
function readCursor(text) {
  const parts = text.split("/");
  return { isFile: parts[0] === "files", key: parts.length > 2 ? Number(parts[1]) : 0, name: parts.at(-1) };
}

/** Names in the order of their bytes, which for some is not that of the browser. */
function compareBytes(left, right) {
  const [bytes, others] = [UTF8.encode(left), UTF8.encode(right)];
  const place = bytes.findIndex((byte, at) => byte !== others[at]);
  if (place < 0) return bytes.length - others.length;
  return place >= others.length ? 1 : bytes[place] - others[place];
}

/** What a search found so far: all of that is here. `next` is where more of it would begin; null if there is no more. */
export class Found {
  constructor(entries, next) {
    this.entries = entries;
    this.next = next;
  }

  get length() {
    return this.entries.length;
  }

  /** Null if more would be found. */
  get total() {
    return this.next === null ? this.length : null;
  }

  get isWhole() {
    return true;
  }

  get isFull() {
    return false;
  }

  at(index) {
    return this.entries[index];
  }

  loaded() {
    return this.entries;
  }

  remove(isGone) {
    this.entries = this.entries.filter((entry) => !isGone(entry));
  }

  async need() {}
}
