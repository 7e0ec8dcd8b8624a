// The small parts: buttons, badges, notices, headers, panels, facts, figures, and what stands for waiting or nothing.

import { h, icon, put } from "../dom.js";

/**
 * A button, or a link that looks like one.
 * @param {string} label what it says; with `iconOnly` only to who listens or points
 * @param {{kind?: "primary"|"danger"|"quiet"|string, icon?: string, iconOnly?: boolean, small?: boolean, wide?: boolean,
 *   onClick?: (event) => void|Promise<void>, href?: string, type?: string, disabled?: boolean, title?: string}} [options]
 *   while the promise of `onClick` is open the button can't be pressed again
 */
export function button(label, options = {}) {
  const { kind = "", iconOnly = false, small = false, wide = false, onClick, href, type = "button", disabled = false, title } = options;
  const props = {
    class: ["button", kind, small && "small", wide && "wide", iconOnly && "only-icon"],
    "aria-label": iconOnly ? label : null,
    title: title ?? (iconOnly ? label : null),
  };
  const children = [options.icon && icon(options.icon), !iconOnly && h("span", { class: "label" }, label)];
  if (href) {
    return h("a", { ...props, href }, children);
  }
  const node = h("button", { ...props, type, disabled }, children);
  if (onClick) {
    node.addEventListener("click", (event) => { if (!isBusy(node)) { busyWhile(node, onClick(event)); } });
  }
  return node;
}

/** Whether what `node` does is under way. */
export const isBusy = (node) => node.getAttribute("aria-busy") === "true";

/** Mark `node` as busy until `promise` is settled. It is not disabled: it would lose the focus. */
export async function busyWhile(node, promise) {
  if (!(promise instanceof Promise)) {
    return promise;
  }
  node.setAttribute("aria-busy", "true");
  try {
    return await promise;
  } finally {
    node.removeAttribute("aria-busy");
  }
}

const TONES = {
  good: ["active", "completed", "succeeded", "success", "delivered", "healthy", "enabled", "accepted", "published", "live", "ok", "installed", "allow"],
  bad: ["failed", "error", "dead", "unhealthy", "timed_out", "lost", "deny", "denied", "refused", "exhausted"],
  warn: ["retrying", "waiting", "paused", "disabled", "expiring", "degraded", "stale", "cancelling", "connecting"],
  info: ["running", "started", "pending", "queued", "in_progress", "sending"],
};
const TONE_OF = new Map(Object.entries(TONES).flatMap(([tone, states]) => states.map((state) => [state, tone])));
const MOVING = new Set(["running", "started", "sending", "in_progress", "live"]);

/** A state in its colour; `tone` ("good", "bad", "warn", "info", "") where the state's own name says too little. */
export function badge(state, { tone = TONE_OF.get(state) ?? "", label = String(state).replaceAll("_", " ") } = {}) {
  return h("span", { class: ["badge", tone, MOVING.has(state) && "live"] }, label);
}

/** A word in a frame that is no state: a role, a scope. */
export const tag = (text) => h("span", { class: "badge plain" }, text);

const NOTICE_ICONS = { bad: "error", warn: "warning", good: "check", info: "info" };

/** A line that has to be read. `tone` is "info", "good", "warn" or "bad". */
export function notice(tone, ...children) {
  return h("div", { class: ["notice", tone], role: tone === "bad" ? "alert" : null }, icon(NOTICE_ICONS[tone]), h("div", null, children));
}

/**
 * The head of a page.
 * @param {{title: string|Node, about?: string|Node, actions?: Node[], crumbs?: [string, string][]}} options `crumbs` are
 *   [label, href] of the pages above this one
 */
export function pageHead({ title, about, actions = [], crumbs = [] }) {
  return h("header", { class: "page-head" },
    h("div", null,
      crumbs.length > 0 && h("nav", { "aria-label": "Above this page" }, h("ol", { class: "crumbs" }, crumbs.map(([label, href]) => h("li", null, h("a", { href }, label))))),
      h("h1", null, title),
      about && h("p", { class: "about" }, about)),
    actions.some(Boolean) && h("div", { class: "actions" }, actions));
}

/** A framed part of a page. Without `title` and `actions` it has no head; `flush` leaves out the inner margin. */
export function panel({ title, actions = [], body = [], footer, flush = false, level = 2 } = {}) {
  const head = title || actions.some(Boolean);
  return h("section", { class: "panel" },
    head && h("header", null, h(`h${level}`, null, title), h("div", { class: "row" }, actions)),
    flush ? body : h("div", { class: "body" }, body),
    footer && h("footer", null, footer));
}

/** Names with values: [["Created", time(...)], …]; pairs whose value is null are left out. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

/** One figure with its name: `{node, set(value, note)}`. */
export function figure(name, value = "–", note = "") {
  const shown = h("div", { class: "value" }, value);
  const below = h("div", { class: "note" }, note);
  const node = h("div", { class: "panel figure" }, h("div", { class: "name" }, name), shown, below);
  return { node, below, set: (next, told = "") => { put(shown, next); put(below, told); } };
}

/** What stands where nothing is yet. */
export function empty({ icon: name = "inbox", title, text, actions = [] }) {
  return h("div", { class: "empty" }, icon(name), h("p", { class: "title" }, title), text && h("p", null, text), actions.some(Boolean) && h("div", { class: "row" }, actions));
}

/** What stands where something is on its way. */
export function waiting(label = "Loading") {
  return h("div", { class: "waiting", role: "status" }, h("span", null), h("span", null), h("span", null), h("p", { class: "only-heard" }, label));
}

/** What stands where something could not be had; `again()` tries once more. `whole`: it stands for a whole page. */
export function failure(error, again, { whole = false } = {}) {
  const gone = error.status === 404;
  return h("div", { class: "empty", role: "alert" },
    icon(gone ? "search" : "error"),
    h(whole ? "h1" : "p", { class: "title" }, gone ? "Not found" : error.status === 403 ? "Not allowed" : "This could not be loaded"),
    h("p", null, error.message),
    error.requestId && !gone && h("p", { class: "small" }, "Request ", h("code", null, error.requestId)),
    again && !gone && h("div", { class: "row" }, button("Try again", { icon: "refresh", onClick: again })));
}
