// Copying to the clipboard, also where the browser has no clipboard for pages without HTTPS.

import { h } from "../dom.js";
import { button } from "./basics.js";
import { announce, toast } from "./toast.js";

/** A button that copies `text` (or what `text()` gives). */
export function copyButton(text, { label = "Copy", iconOnly = false, small = true, kind = "" } = {}) {
  const node = button(label, { icon: "copy", iconOnly, small, kind, onClick: async () => {
    if (await copy(typeof text === "function" ? text() : text)) {
      announce("Copied");
      const shown = node.querySelector(".label");
      if (shown) {
        shown.textContent = "Copied";
        setTimeout(() => { shown.textContent = label; }, 1500);
      } else {
        toast("Copied");
      }
    } else {
      toast("The browser did not allow copying: select the text and copy it yourself.", { tone: "bad" });
    }
  } });
  return node;
}

/** Put `text` into the clipboard; whether that was possible. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "only-heard", readonly: true, "aria-hidden": "true" });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Something that is shown once: a key, a token, a link. */
export function secret(text, label) {
  return h("div", { class: "secret" }, h("code", { "aria-label": label }, text), copyButton(text));
}
