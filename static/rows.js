// What rows of all lists are made of: cells, icons, and menus.

import { FILES, PAGE } from "./texts.js";

/** An element with properties and children. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function cell(name, ...children) {
  const made = element("td", { className: name }, ...children.filter((child) => child !== ""));
  made.setAttribute("role", "cell");
  return made;
}

/** A text with a node in the place of its `{key}`. */
export function around(text, key, node) {
  const [before, after = ""] = text.split(`{${key}}`);
  return [before, node, after];
}

/** Text for those who listen to the page. */
export const hiddenText = (text) => element("span", { className: "visually-hidden" }, text);

export function icon(kind) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", `icon ${kind}`);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${kind}`);
  svg.append(use);
  return svg;
}

/** A row's menu with these items; `label` says what it is for. */
export function menu(label, ...items) {
  const summary = element("summary", { className: "button quiet" }, PAGE.more);
  summary.setAttribute("aria-label", label);
  return element("details", { className: "menu" }, summary, element("div", { className: "menu-items" }, ...items));
}

export function menuButton(label, action, style) {
  const button = element("button", { type: "button", className: `menu-item ${style}` }, label);
  button.dataset.action = action;
  return button;
}

export function downloadLink(address, style) {
  return element("a", { className: style, href: address, download: "" }, FILES.download);
}

/** Closes menus when something else is clicked, or with Escape, and opens them upwards where there is no room below. */
export function connectMenus() {
  document.addEventListener("click", (event) => {
    // What is clicked in this menu is hidden with it, and the focus would be nowhere.
    event.target.closest?.(".lesser[open] + .lesser-items")?.previousElementSibling.querySelector("summary").focus();
    closeMenus(event.target.closest?.(".menu, .status, .lesser"));
  });
  document.addEventListener("toggle", onToggle, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeMenus(null, true);
  });
}

export function closeMenus(except, refocus = false) {
  document.querySelectorAll("details[open]").forEach((open) => {
    if (open === except) return;
    const around = open.closest(".lessers") ?? open;
    if (refocus && around.contains(document.activeElement)) open.querySelector("summary").focus();
    open.open = false;
  });
}

function onToggle(event) {
  const opened = event.target;
  if (!opened.open || !opened.classList.contains("menu")) return;
  opened.classList.remove("up");
  const { bottom } = opened.querySelector(".menu-items").getBoundingClientRect();
  opened.classList.toggle("up", bottom > innerHeight && innerHeight > 320);
}

/** Gives the focus to what a person would do next after a row went: the row that came into its place, or the heading. */
export function focusAfter(place) {
  const rows = document.querySelectorAll("#rows .entry");
  const next = rows[Math.min(place, rows.length - 1)];
  (next?.querySelector("summary") ?? document.getElementById("title")).focus({ preventScroll: true });
}

/** Where a row is among all, before it goes. */
export const placeOf = (row) => Array.from(document.querySelectorAll("#rows .entry")).indexOf(row);
