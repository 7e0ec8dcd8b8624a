// A button that opens a list of things to do or choose.

import { h, icon } from "../dom.js";

/**
 * @param {Node[]} face what the button shows
 * @param {() => {label: string, icon?: string, act?: () => void, href?: string, checked?: boolean, danger?: boolean}[]} items made at
 *   each opening
 * @param {{label: string, up?: boolean, atEnd?: boolean, kind?: string, told?: () => any}} options `label` for who listens
 */
export function menu(face, items, { label, up = false, atEnd = false, kind = "quiet", told = () => null }) {
  const opener = h("button", { type: "button", class: ["button", kind], "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": label, on: { click: toggle } }, face);
  const node = h("div", { class: "menu", on: { keydown: onKey } }, opener);
  let list = null;
  let anchor = null;

  function toggle() {
    if (list) {
      close();
    } else {
      open();
    }
  }

  function open() {
    const entries = items().map((item) => {
      const props = {
        role: item.checked === undefined ? "menuitem" : "menuitemradio", "aria-checked": item.checked === undefined ? null : String(item.checked),
        tabindex: "-1", class: item.danger ? "danger" : null, on: { click: () => { close(); opener.focus(); item.act?.(); } },
      };
      const inside = [item.checked ? icon("check") : item.icon && icon(item.icon), h("span", null, item.label)];
      return item.href ? h("a", { ...props, href: item.href }, inside) : h("button", { ...props, type: "button" }, inside);
    });
    const above = told();
    list = h("div", { class: "menu-list", popover: "manual" }, above && h("div", { class: "told" }, above), h("div", { role: "menu", "aria-label": label }, entries));
    node.append(list);
    list.showPopover(); // above everything, whatever it stands in
    place();
    opener.setAttribute("aria-expanded", "true");
    (entries.find((each) => each.getAttribute("aria-checked") === "true") ?? entries[0])?.focus();
    document.addEventListener("pointerdown", onOutside, true);
    addEventListener("scroll", onScroll, true);
    addEventListener("resize", close);
  }

  function place() {
    const around = opener.getBoundingClientRect();
    anchor = around;
    const room = document.documentElement.clientWidth;
    const { style } = list;
    style.minWidth = `${Math.min(around.width, room - 16)}px`;
    const { width, height } = list.getBoundingClientRect();
    const left = atEnd ? around.right - width : around.left;
    const below = around.bottom + 4;
    const above = around.top - height - 4;
    const fitsBelow = below + height <= innerHeight;
    style.left = `${Math.max(8, Math.min(left, room - width - 8))}px`;
    style.top = `${Math.max(8, up || !fitsBelow ? above : below)}px`;
  }

  function close() {
    list?.remove();
    list = null;
    opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", onOutside, true);
    removeEventListener("scroll", onScroll, true);
    removeEventListener("resize", close);
  }

  function onScroll(event) {
    // A scroll from before it was opened is told after it: only one that takes the button elsewhere counts.
    const now = opener.getBoundingClientRect();
    if (!list?.contains(event.target) && (now.top !== anchor.top || now.left !== anchor.left)) {
      close();
    }
  }

  function onOutside(event) {
    if (!node.contains(event.target)) {
      close();
    }
  }

  function onKey(event) {
    if (!list) {
      return;
    }
    const entries = [...list.querySelectorAll("[role^=menuitem]")];
    const at = entries.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault(); // a drawer or dialog around it stays open
      close();
      opener.focus();
    } else if (to !== undefined) {
      event.preventDefault();
      entries[(to + entries.length) % entries.length].focus();
    }
  }

  return node;
}
