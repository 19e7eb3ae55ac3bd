// Renames in place: the name becomes a field. Enter keeps what was written, as does going elsewhere; Escape leaves it as it was.

import { announce, showFailure, showNotice } from "./dialogs.js";
import { isFolder } from "./entries.js";
import { rowOf } from "./entryrow.js";
import * as listing from "./listing.js";
import { element } from "./rows.js";
import { FILES, fill } from "./texts.js";
import * as uploads from "./uploads.js";
import * as view from "./drawing.js";

export function rename(entry) {
  const row = rowOf(entry) ?? view.reveal(view.placeOf(entry));
  if (row && !row.querySelector(".rename")) new Renaming(entry, row).begin();
}

class Renaming {
  constructor(entry, row) {
    this.entry = entry;
    this.row = row;
    this.link = row.querySelector(".open");
    this.field = element("input", { type: "text", dir: "auto", value: entry.name, autocomplete: "off", spellcheck: false });
    this.field.setAttribute("aria-label", fill(FILES.newName, { name: entry.name }));
    this.error = element("span", { className: "rename-error", id: "rename-error", hidden: true });
    this.error.setAttribute("role", "alert");
    this.field.setAttribute("aria-describedby", this.error.id);
    this.form = element("form", { className: "rename" }, this.field, this.error);
  }

  begin() {
    this.link.hidden = true;
    this.link.after(this.form);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.keep();
    });
    this.field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") this.end(true);
    });
    this.field.addEventListener("blur", () => {
      // Another window, or a question that came up: the focus comes back.
      const isAway = document.activeElement === this.field || document.querySelector("dialog[open]");
      if (!isAway) this.keep({ isElsewhere: true });
    });
    this.field.focus();
    const dot = isFolder(this.entry) ? -1 : this.entry.name.lastIndexOf(".");
    this.field.setSelectionRange(0, dot > 0 ? dot : this.entry.name.length);
  }

  /** With `isElsewhere`, the focus stays where it went; a name that cannot be, or is taken, is said there. */
  async keep({ isElsewhere = false } = {}) {
    const name = this.field.value;
    if (this.isKeeping) return;
    if (name === this.entry.name || (isElsewhere && name === "")) {
      this.end(!isElsewhere);
      return;
    }
    this.isKeeping = true;
    this.error.hidden = true;
    try {
      if (name === "" || name.includes("/")) throw new Error(FILES.nameCannotBe);
      await uploads.move(this.entry.path, [...this.entry.path.slice(0, -1), name]);
      // Until the row with the new name is there, it keeps the focus.
      this.end(!isElsewhere);
      announce(fill(FILES.renamed, { name }));
      await listing.refresh({ fresh: [name], focus: isElsewhere ? null : name });
    } catch (error) {
      if (isElsewhere) {
        this.end(false);
        showNotice(error);
        return;
      }
      showFailure(this.error, error);
      this.field.setAttribute("aria-invalid", "true");
      this.field.focus();
    } finally {
      this.isKeeping = false;
    }
  }

  end(refocus) {
    this.isKeeping = true;
    this.form.remove();
    this.link.hidden = false;
    if (refocus) this.link.focus({ preventScroll: true });
  }
}
