// The versions of a file, in a dialog: to look at, download, restore and delete them.

import * as api from "./api.js";
import { ask, announce, showFailure, withName } from "./dialogs.js";
import { formatSize, formatSpan, formatTime, machineTime, showTime } from "./format.js";
import * as past from "./past.js";
import { element } from "./rows.js";
import { PAGE, TRASH, VERSIONS, fill } from "./texts.js";

const PAGE_LEN = 50;

/** Shows them. `onChange` is called whenever the file has another content. */
export function showVersions(path, onChange) {
  new Panel(path, onChange).open();
}

class Panel {
  constructor(path, onChange) {
    this.path = path;
    this.onChange = onChange;
    this.opener = document.activeElement;
    this.heading = element("h2", { id: "versions-title", tabIndex: -1 }, withName(VERSIONS.title, path.at(-1)));
    this.list = element("ul", { className: "versions" });
    this.list.setAttribute("role", "list");
    this.about = element("p", {}, VERSIONS.loading);
    this.error = element("p", { className: "dialog-error", hidden: true });
    this.error.setAttribute("role", "alert");
    this.more = element("button", { className: "button quiet", type: "button", hidden: true }, VERSIONS.more);
    this.more.addEventListener("click", () => this.do(() => this.showOlder()));
    const close = element("button", { className: "button", type: "button" }, PAGE.close);
    close.addEventListener("click", () => this.dialog.close());
    this.dialog = element("dialog", { className: "wide" }, this.heading, this.about, this.list, this.more, this.error,
      element("div", { className: "dialog-actions" }, close));
    this.dialog.setAttribute("aria-labelledby", this.heading.id);
    this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      // The list may have been drawn anew meanwhile.
      const menu = document.querySelector(`.entry[data-name="${CSS.escape(path.at(-1))}"] summary`);
      const opener = this.opener?.isConnected ? this.opener : menu ?? document.getElementById("title");
      opener.focus({ preventScroll: true });
    });
  }

  async open() {
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.heading.focus();
    await this.do(() => this.reload());
  }

  /** Does something, and says in the dialog why it failed. */
  async do(work) {
    // The second click of a double click.
    if (this.isBusy) return;
    this.isBusy = true;
    this.error.hidden = true;
    this.dialog.classList.add("busy");
    try {
      await work();
    } catch (failure) {
      showFailure(this.error, failure);
    } finally {
      this.isBusy = false;
      this.dialog.classList.remove("busy");
    }
  }

  async reload() {
    const status = api.status().catch(() => null);
    const page = await past.listVersions(this.path, null, PAGE_LEN);
    this.keptMs = (await status)?.former_versions.kept_ms ?? null;
    this.about.textContent = page.former.length > 0 ? VERSIONS.about : `${VERSIONS.about} ${VERSIONS.only}`;
    this.list.replaceChildren(this.row(page.current), ...page.former.map((version) => this.row(version)));
    this.next(page);
  }

  async showOlder() {
    const page = await past.listVersions(this.path, this.before, PAGE_LEN);
    const rows = page.former.map((version) => this.row(version));
    this.list.append(...rows);
    this.next(page);
    rows[0]?.querySelector("a").focus();
  }

  next(page) {
    this.before = page.next;
    this.more.hidden = !page.more;
  }

  row(version) {
    const isCurrent = version.former_for_ms === undefined;
    const time = element("time", { dateTime: machineTime(version.committed_ms) });
    showTime(time);
    const stored = formatTime(new Date(version.committed_ms), { isWithin: true });
    const address = past.versionAddress(this.path, version.version);
    const link = element("a", { href: past.versionView(this.path, version.version), target: "_blank", rel: "noopener" }, time);
    link.setAttribute("aria-label", fill(VERSIONS.open, { time: stored }));
    const about = [formatSize(version.size), ...this.left(version)].join(" · ");
    const what = element("div", { className: "version-what" }, link, element("span", { className: "version-about" }, about));
    if (isCurrent) what.append(element("span", { className: "badge" }, VERSIONS.current));

    const download = element("a", { className: "button quiet", href: `${address}&download=1`, download: "" }, VERSIONS.download);
    download.setAttribute("aria-label", fill(VERSIONS.downloadOne, { time: stored }));
    const actions = element("div", { className: "version-actions" }, download);
    if (!isCurrent) {
      actions.append(
        this.button(VERSIONS.restore, fill(VERSIONS.restoreOne, { time: stored }), () => this.restore(version, stored)),
        this.button(VERSIONS.remove, fill(VERSIONS.removeOne, { time: stored }), () => this.remove(version, stored)),
      );
    }
    return element("li", {}, what, actions);
  }

  /** How long it is kept yet, by the time that the master runs. */
  left(version) {
    if (version.former_for_ms === undefined || this.keptMs === null) return [];
    return [fill(VERSIONS.left, { span: formatSpan(Math.max(0, this.keptMs - version.former_for_ms)) })];
  }

  button(label, spoken, onClick) {
    const button = element("button", { className: "button quiet", type: "button" }, label);
    button.setAttribute("aria-label", spoken);
    button.addEventListener("click", onClick);
    return button;
  }

  restore(version, stored) {
    return this.do(async () => {
      await past.restoreVersion(this.path, version.version);
      await this.changed(fill(VERSIONS.restored, { time: stored }));
    });
  }

  async remove(version, stored) {
    const chosen = await ask({
      title: VERSIONS.removeTitle,
      text: fill(VERSIONS.removeText, { time: stored, size: formatSize(version.size) }),
      actions: [{ label: PAGE.cancel, value: "cancel" }, { label: TRASH.removeNow, value: "ok", style: "danger" }],
      submit: () => past.removeVersion(this.path, version.version).catch((error) => {
        // Somebody was quicker.
        if (error.code !== "not_found") throw error;
      }),
    });
    if (chosen) await this.do(() => this.changed(VERSIONS.removed));
  }

  async changed(news) {
    await this.reload();
    this.heading.focus();
    this.about.textContent = news;
    announce(news);
    await this.onChange();
  }
}
