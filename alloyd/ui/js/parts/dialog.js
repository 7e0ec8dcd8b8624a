// Dialogs: the browser's own, which keeps the focus inside and closes with Escape.

import { h, newId } from "../dom.js";
import { button } from "./basics.js";
import { form } from "./form.js";

/**
 * Open a dialog.
 * @param {{title: string, body: any, footer?: Node[], large?: boolean, onClose?: () => void}} options
 * @returns {{node: HTMLDialogElement, close(): void, closed: Promise<void>}}
 */
export function dialog({ title, body, footer = [], large = false, onClose = () => {} }) {
  const id = newId("dialog");
  const shut = button("Close", { icon: "close", iconOnly: true, kind: "quiet", onClick: () => node.close() });
  const node = h("dialog", { class: ["dialog", large && "large"], "aria-labelledby": id },
    h("header", { role: "none" }, h("h2", { id }, title), shut),
    h("div", { class: "body" }, body),
    footer.length > 0 && h("footer", null, footer));
  const closed = new Promise((done) => {
    node.addEventListener("close", () => {
      node.remove();
      onClose();
      done();
    }, { once: true });
  });
  document.body.append(node);
  node.showModal();
  const first = node.querySelector("[autofocus], .body input:not([type=hidden]), .body select, .body textarea, footer .button");
  first?.focus();
  if (first instanceof HTMLTextAreaElement) {
    first.setSelectionRange(0, 0); // or a long text shows its end
    first.scrollTop = 0;
  }
  return { node, closed, close: () => node.close() };
}

/** Close whatever is open: the page is being left. */
export function closeDialogs() {
  for (const node of document.querySelectorAll("dialog[open]")) {
    node.close();
  }
}

/**
 * Ask before something is done that can't be undone; true when it was done.
 * @param {{title: string, text: any, label: string, act: () => Promise<any>, danger?: boolean}} options what `act` raises
 *   is shown in the dialog, which then stays open
 */
export async function confirm({ title, text, label, act, danger = true }) {
  let done = false;
  const made = form({
    fields: [],
    label,
    kind: danger ? "danger primary" : "primary",
    before: [typeof text === "string" ? h("p", null, text) : text],
    extra: [button("Cancel", { onClick: () => opened.close() })],
    submit: async () => {
      await act();
      done = true;
      opened.close();
    },
  });
  const opened = dialog({ title, body: made.node });
  await opened.closed;
  return done;
}

/**
 * A form in a dialog; what `submit` gave, or null when it was closed.
 * @param {{title: string, fields: Object[], submit: (values) => Promise<any>, label?: string, before?: Node[], large?: boolean, danger?: boolean}} options
 */
export async function formDialog({ title, fields, submit, label = "Save", before = [], large = false, danger = false }) {
  let result = null;
  const made = form({
    fields,
    label,
    kind: danger ? "danger primary" : "primary",
    before,
    extra: [button("Cancel", { onClick: () => opened.close() })],
    submit: async (values) => {
      result = (await submit(values)) ?? true;
      opened.close();
    },
  });
  const opened = dialog({ title, body: made.node, large });
  await opened.closed;
  return result;
}
