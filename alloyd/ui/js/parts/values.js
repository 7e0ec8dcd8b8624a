// A value that a step or run had: shown at once when it is small, folded when it is not.

import { h } from "../dom.js";
import { bytes } from "../format.js";
import { jsonBlock } from "./code.js";

const OPEN_CHARS_MAX = 4000;

/** `title` with the value below; null where there is none and `always` does not want one. */
export function valueBlock(title, value, { always = false, note = null } = {}) {
  if ((value === null || value === undefined) && !always) {
    return null;
  }
  const size = (JSON.stringify(value, null, 2) ?? "").length;
  if (size <= OPEN_CHARS_MAX) {
    return h("div", null, h("p", { class: "block-title" }, title, note && h("span", { class: "soft small" }, note)), jsonBlock(value, { label: title }));
  }
  const folded = h("details", { class: "collapsed" }, h("summary", null, `${title}, ${bytes(size)}: show`));
  folded.addEventListener("toggle", () => folded.append(jsonBlock(value, { label: title })), { once: true });
  return h("div", null, h("p", { class: "block-title" }, title, note && h("span", { class: "soft small" }, note)), folded);
}

/** An error as steps and runs have it: `{code, message, path, details, step}`. */
export function errorText(error) {
  return [h("strong", null, error.code), ": ", error.message, error.path && [" (", h("code", null, error.path), ")"], error.step && [" in step ", h("code", null, error.step)]];
}
