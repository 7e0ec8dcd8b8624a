// Tabs, by pointer and by arrow keys; what a tab holds is made when it is first looked at.

import { h, newId, put } from "../dom.js";

/**
 * @param {{id: string, label: string, render: () => Node|Promise<Node>}[]} parts
 * @param {{selected?: string, onSelect?: (id: string) => void, label?: string}} [options] `onSelect` for the address
 */
export function tabs(parts, { selected = parts[0].id, onSelect = () => {}, label = "Parts of this page" } = {}) {
  const stem = newId("tabs");
  const made = new Map();
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": label, on: { keydown: onKey } });
  const place = h("div", { role: "tabpanel", tabindex: "0", id: `${stem}-panel` });
  const buttons = parts.map((part) => h("button", {
    type: "button", role: "tab", id: `${stem}-${part.id}`, "aria-controls": place.id, on: { click: () => select(part.id, true) },
  }, part.label));
  list.append(...buttons);

  async function select(id, told) {
    const index = Math.max(0, parts.findIndex((part) => part.id === id));
    buttons.forEach((each, at) => {
      each.setAttribute("aria-selected", String(at === index));
      each.tabIndex = at === index ? 0 : -1;
    });
    place.setAttribute("aria-labelledby", buttons[index].id);
    const part = parts[index];
    if (told) {
      onSelect(part.id);
    }
    if (!made.has(part.id)) {
      made.set(part.id, Promise.resolve(part.render()));
    }
    const content = await made.get(part.id);
    if (buttons[index].getAttribute("aria-selected") === "true") {
      put(place, content);
    }
  }

  function onKey(event) {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) {
      return;
    }
    event.preventDefault();
    const next = buttons[(to + buttons.length) % buttons.length];
    next.focus();
    next.click();
  }

  select(selected, false);
  return { node: h("div", null, list, place), select: (id) => select(id, true) };
}
