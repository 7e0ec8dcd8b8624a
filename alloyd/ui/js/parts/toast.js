// Short messages at the edge of the page, and what only those hear who listen to it.

import { h, icon } from "../dom.js";

const SHOWN_MS = 6000;
const TOASTS_MAX = 4;

/** Show `text` for a few seconds. `tone` is "good" or "bad". */
export function toast(text, { tone = "good" } = {}) {
  const place = document.getElementById("toasts");
  const node = h("div", { class: ["toast", tone] }, icon(tone === "bad" ? "error" : "check"), h("span", null, text));
  place.append(node);
  while (place.children.length > TOASTS_MAX) {
    place.firstChild.remove();
  }
  setTimeout(() => node.remove(), SHOWN_MS);
}

/** Say `text` to who listens to the page; nothing is shown. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
