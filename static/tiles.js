// As a list or as tiles, as the person likes it in this browser.

import { FILES } from "./texts.js";
import * as view from "./drawing.js";

const KEY = "view";
const button = document.getElementById("view");

export function start() {
  show(read());
  button.addEventListener("click", () => {
    const next = document.body.dataset.view === "grid" ? "list" : "grid";
    show(next);
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // It is not kept where nothing may be.
    }
    view.draw();
  });
}

function read() {
  try {
    return localStorage.getItem(KEY) === "grid" ? "grid" : "list";
  } catch {
    return "list";
  }
}

function show(which) {
  document.body.dataset.view = which;
  button.textContent = which === "grid" ? FILES.asList : FILES.asTiles;
}
