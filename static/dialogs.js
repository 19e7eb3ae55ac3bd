// Questions, each a modal <dialog>, and short news for all.

import { nameElement } from "./format.js";
import { inLanguages } from "./problems.js";
import { element } from "./rows.js";

/** Text in which `{name}` stands for a name, shown as names are. Other `values` are plain text, or nodes. */
export function withName(text, name, values = {}) {
  const all = { name: nameElement(name), ...values };
  const fragment = document.createDocumentFragment();
  // Every second part is a key.
  text.split(/\{(\w+)\}/).forEach((part, at) => fragment.append(at % 2 > 0 ? all[part] ?? `{${part}}` : part));
  return fragment;
}

/**
 * Asks, and gives the chosen action's `value`, or null. Options: `title`, `text` (nodes or strings), `actions`
 * ([{label, value, style}]; the last is what Enter does), `input` ({label, value, selectFrom, selectTo}), `checkbox` (label),
 * `submit` (async, called with {value, text, checked}; while it fails, the dialog stays and says why).
 */
export function ask({ title, text = "", actions, input, checkbox, submit = async () => {} }) {
  return new Promise((resolve) => {
    const opener = document.activeElement;
    const dialog = element("dialog");
    const heading = element("h2", { id: "dialog-title" }, title);
    const form = element("form", { method: "dialog" }, heading, element("p", {}, text));
    dialog.setAttribute("aria-labelledby", heading.id);
    let field;
    if (input) {
      field = element("input", { type: "text", dir: "auto", value: input.value, autocomplete: "off", spellcheck: false, required: true });
      form.append(element("label", {}, input.label, field));
    }
    let box;
    if (checkbox) {
      box = element("input", { type: "checkbox" });
      form.append(element("label", { className: "check" }, box, element("span", {}, checkbox)));
    }
    const error = element("p", { className: "dialog-error", hidden: true });
    error.setAttribute("role", "alert");
    const buttons = actions.map(({ label, value, style = "" }) =>
      element("button", { className: `button ${style}`, type: "button", value }, label));
    form.append(error, element("div", { className: "dialog-actions" }, ...buttons));

    let chosen = null;
    const choose = async (button) => {
      if (button.value === "cancel") {
        dialog.close();
        return;
      }
      const choice = { value: button.value, text: field?.value, checked: box?.checked ?? false };
      buttons.forEach((other) => { other.disabled = true; });
      try {
        await submit(choice);
        chosen = choice;
        dialog.close();
      } catch (failure) {
        showFailure(error, failure);
        field?.focus();
      } finally {
        buttons.forEach((other) => { other.disabled = false; });
      }
    };
    buttons.forEach((button) => button.addEventListener("click", () => choose(button)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      choose(buttons.at(-1));
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      // The list may have been drawn anew meanwhile.
      (opener?.isConnected ? opener : document.getElementById("title")).focus({ preventScroll: true });
      resolve(chosen);
    });
    dialog.append(form);
    document.body.append(dialog);
    dialog.showModal();
    if (field) {
      field.focus();
      field.setSelectionRange(input.selectFrom ?? 0, input.selectTo ?? field.value.length);
    } else {
      buttons[0].focus();
    }
  });
}

/** Shows in an element why something failed. */
export function showFailure(element, failure) {
  element.replaceChildren(...inLanguages(failure.message, failure.english));
  element.hidden = false;
}

/** Says something to those who listen to the page; these sentences in it are `english`. */
export function announce(text, english) {
  document.getElementById("announce").replaceChildren(...inLanguages(text, english));
}

const notice = document.getElementById("notice");
document.getElementById("notice-close").addEventListener("click", () => { notice.hidden = true; });

/**
 * Shows what went wrong, a text or an error, or another `message` with what of it is `english`, until it is dismissed or `clearNotice` is
 * called. What the cluster's status says already is not said twice.
 */
export function showNotice(failure) {
  const reason = document.getElementById("status-reason");
  const text = document.getElementById("notice-text");
  showFailure(text, typeof failure === "string" ? { message: failure } : failure);
  notice.hidden = reason !== null && !reason.hidden && reason.textContent === text.textContent;
}

/** The status says so from now on. */
export function leaveToStatus(text) {
  if (document.getElementById("notice-text").textContent === text) clearNotice();
}

export function clearNotice() {
  notice.hidden = true;
}
