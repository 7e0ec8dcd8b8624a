// Text as a machine has it, with a button to copy it.

import { h } from "../dom.js";
import { copyButton } from "./copy.js";

const SHOWN_CHARS_MAX = 200_000;

/** A block of code. `label` says what it is, to everybody with `titled`; `wraps` breaks long lines. */
export function codeBlock(text, { label = "Code", titled = false, wraps = false } = {}) {
  const shown = text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}\n… ${text.length - SHOWN_CHARS_MAX} more characters; copying has them all` : text;
  const pre = h("pre", { tabindex: "0", role: "region", "aria-label": label }, h("code", null, shown));
  const again = copyButton(text, { label: `Copy ${label.toLowerCase()}`, iconOnly: true, kind: "quiet" });
  return titled
    ? h("div", { class: ["code", wraps && "wraps"] }, h("header", { role: "none" }, label, again), pre)
    : h("div", { class: ["code", wraps && "wraps"] }, pre, again);
}

/** Any JSON value, indented. */
export const jsonBlock = (value, options = {}) => codeBlock(JSON.stringify(value, null, 2) ?? "null", { label: "JSON", ...options });
