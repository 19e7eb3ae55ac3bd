// “Share…”: a dialog that asks how something is shared, and then shows the link, which is never shown again.

import { call, pathText } from "./api.js";
import { announce, showFailure, withName } from "./dialogs.js";
import { element } from "./rows.js";
import { PAGE, SHARES, count } from "./texts.js";

const DAY_MS = 24 * 60 * 60 * 1000;
/** For how many days a link may work; 0 is for as long as it is not revoked. */
const EXPIRIES = [0, 1, 7, 30];

export const createShare = (share) => call("POST", "/api/v1/shares", share);
export const revokeShare = (share) => call("DELETE", `/api/v1/shares/${share}`);

/** Asks how, makes the link, and shows it. */
export function share(path, isFolder) {
  const opener = document.activeElement;
  const dialog = element("dialog");
  const heading = element("h2", { id: "share-title", tabIndex: -1 }, withName(SHARES.title, path.at(-1)));
  dialog.setAttribute("aria-labelledby", heading.id);
  const form = element("form", { method: "dialog" }, heading);
  dialog.append(form);
  dialog.addEventListener("close", () => {
    dialog.remove();
    (opener?.isConnected ? opener : document.getElementById("title")).focus({ preventScroll: true });
  });
  askHow(form, dialog, path, isFolder);
  document.body.append(dialog);
  dialog.showModal();
  form.querySelector("select").focus();
}

function askHow(form, dialog, path, isFolder) {
  const labelOf = (days) => (days === 0 ? SHARES.expiryNever : count(days, SHARES.expiryDays));
  const options = EXPIRIES.map((days) => element("option", { value: days }, labelOf(days)));
  const expiry = element("select", {}, ...options);
  // Not a password that a browser knows, nor one to be kept.
  const password = element("input", { type: "text", autocomplete: "off", spellcheck: false, maxLength: 200, placeholder: SHARES.none });
  const limit = element("input", { type: "number", min: 1, max: 1000000, step: 1, placeholder: SHARES.noLimit });
  const limitLabel = element("label", {}, SHARES.limit, limit);
  const adding = element("input", { type: "checkbox" });
  adding.addEventListener("change", () => { limitLabel.hidden = adding.checked; });
  const error = element("p", { className: "dialog-error", hidden: true });
  error.setAttribute("role", "alert");
  const cancel = element("button", { className: "button", type: "button" }, PAGE.cancel);
  const make = element("button", { className: "button primary", type: "submit" }, SHARES.make);
  cancel.addEventListener("click", () => dialog.close());
  form.append(element("p", {}, SHARES.text), element("label", {}, SHARES.expiry, expiry),
    element("label", {}, SHARES.password, password), limitLabel);
  if (isFolder) form.append(element("label", { className: "check" }, adding, element("span", {}, SHARES.adding)));
  form.append(error, element("div", { className: "dialog-actions" }, cancel, make));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    make.disabled = true;
    try {
      const days = Number(expiry.value);
      const made = await createShare({
        path: pathText(path),
        expires_ms: days > 0 ? Date.now() + days * DAY_MS : null,
        password: password.value || null,
        downloads_max: limit.value && !adding.checked ? Number(limit.value) : null,
        upload_only: adding.checked,
      });
      showLink(form, dialog, made.link);
    } catch (failure) {
      showFailure(error, failure);
    } finally {
      make.disabled = false;
    }
  });
}

function showLink(form, dialog, link) {
  const heading = form.querySelector("h2");
  const field = element("input", { type: "text", id: "share-link", value: link, readOnly: true });
  const copy = element("button", { className: "button primary", type: "button" }, SHARES.copy);
  const close = element("button", { className: "button", type: "button" }, PAGE.close);
  const news = element("p", { className: "share-news" });
  news.setAttribute("role", "status");
  field.addEventListener("focus", () => field.select());
  copy.addEventListener("click", async () => {
    const copied = await copyText(link, field);
    news.textContent = copied ? SHARES.copied : SHARES.copyYourself;
  });
  close.addEventListener("click", () => dialog.close());
  const made = element("form", { method: "dialog" }, heading, element("p", {}, SHARES.made),
    element("label", {}, SHARES.link, field), news, element("div", { className: "dialog-actions" }, close, copy));
  made.addEventListener("submit", (event) => event.preventDefault());
  form.replaceWith(made);
  copy.focus();
  announce(SHARES.made);
}

/** Puts text into the clipboard. Where a page may not, for example over plain HTTP, the text is selected, to be copied by hand. */
async function copyText(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    field.focus();
    field.select();
    return false;
  }
}
