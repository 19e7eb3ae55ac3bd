// Choosing a folder, in a dialog that shows the folders of one folder at a time.

import * as api from "./api.js";
import { showFailure } from "./dialogs.js";
import { nameElement } from "./format.js";
import { currentPath } from "./listing.js";
import { element, icon } from "./rows.js";
import { FILES, PAGE, fill } from "./texts.js";

const PAGE_LEN = 200;

/** Gives the path of the folder that was chosen, or null. `isAllowed` says of a path whether it may be. */
export function chooseFolder({ title, action, isAllowed }) {
  return new Promise((resolve) => new Picker({ title, action, isAllowed, resolve }).open());
}

class Picker {
  #path = [];
  #next = null;
  #latest = 0;

  constructor({ title, action, isAllowed, resolve }) {
    this.isAllowed = isAllowed;
    this.chosen = null;
    const opener = document.activeElement;
    const heading = element("h2", { id: "picker-title" }, title);
    this.crumbs = element("ol", { className: "crumbs" });
    this.crumbs.setAttribute("role", "list");
    const above = element("nav", {}, this.crumbs);
    above.setAttribute("aria-label", FILES.foldersAbove);
    this.list = element("ul", { className: "picker-list" });
    this.list.setAttribute("role", "list");
    this.about = element("p", { className: "picker-about" });
    this.about.setAttribute("role", "status");
    this.more = this.button(FILES.moreFolders, "quiet", () => this.load(this.#path, this.#next));
    this.done = this.button(action, "primary", () => this.choose());
    const cancel = this.button(PAGE.cancel, "", () => this.dialog.close());
    this.dialog = element("dialog", { className: "picker" }, heading, above, this.list, this.more, this.about,
      element("div", { className: "dialog-actions" }, cancel, this.done));
    this.dialog.setAttribute("aria-labelledby", heading.id);
    this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      (opener?.isConnected ? opener : document.getElementById("title")).focus({ preventScroll: true });
      resolve(this.chosen);
    });
  }

  button(label, style, onClick) {
    const made = element("button", { className: `button ${style}`, type: "button" }, label);
    made.addEventListener("click", onClick);
    return made;
  }

  open() {
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.go(currentPath());
  }

  choose() {
    this.chosen = this.#path;
    this.dialog.close();
  }

  /** Shows the folders in another folder. */
  async go(path) {
    this.#path = path;
    this.#next = null;
    this.list.replaceChildren();
    this.more.hidden = true;
    this.crumbs.replaceChildren(...[...path.keys(), path.length].map((depth) => this.crumb(path.slice(0, depth), depth === path.length)));
    this.done.disabled = !this.isAllowed(path);
    this.about.textContent = FILES.loading;
    await this.load(path, null);
    // Where one goes on by keyboard.
    (this.list.querySelector("button:not(:disabled)") ?? this.crumbs.querySelector("button:last-of-type")).focus();
  }

  crumb(path, isHere) {
    const name = nameElement(path.at(-1) ?? FILES.root);
    const made = this.button(name, "quiet", () => this.go(path));
    if (isHere) made.setAttribute("aria-current", "true");
    return element("li", {}, made);
  }

  async load(path, after) {
    this.#latest += 1;
    const mine = this.#latest;
    try {
      const page = await api.browse(path, { after, limit: PAGE_LEN });
      if (mine !== this.#latest) return;
      const folders = page.entries.filter((entry) => entry.kind === "folder");
      this.list.append(...folders.map((folder) => this.row([...path, folder.name])));
      // Where files begin, no folder follows.
      this.#next = folders.length === page.entries.length ? page.next : null;
      this.more.hidden = this.#next === null;
      this.about.textContent = this.list.childElementCount === 0 ? FILES.noFolders : "";
    } catch (error) {
      if (mine === this.#latest) showFailure(this.about, error);
    }
  }

  row(path) {
    const made = element("button", { className: "picker-folder", type: "button", disabled: !this.canGoInto(path) },
      icon("folder"), nameElement(path.at(-1)));
    made.setAttribute("aria-label", fill(FILES.openFolder, { name: path.at(-1) }));
    made.addEventListener("click", () => this.go(path));
    return element("li", {}, made);
  }

  /** What is below it may be right although it is not; below a folder that is moved nothing is. */
  canGoInto(path) {
    return this.isAllowed([...path, ""]);
  }
}
