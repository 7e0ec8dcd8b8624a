// The steps of a run in a table, with their times as bars; rows are changed in place, so that nothing loses its focus.

import { h, put } from "../dom.js";
import { count, duration } from "../format.js";
import { badge } from "./basics.js";
import { errorText } from "./values.js";

const ROWS_MAX = 1000;

/** @param {{onOpen: (key: string) => void}} options @returns {{node: Node, update(run: Object, now: number): void}} */
export function stepTable({ onOpen }) {
  const body = h("tbody");
  const rest = h("p", { class: "small soft", hidden: true });
  const rows = new Map();
  const node = h("div", null, h("div", { class: "table-wrap" }, h("table", { class: "list folds steps-list" },
    h("caption", { class: "only-heard" }, "Steps"),
    h("thead", null, h("tr", null, ["Step", "State", "Does", "When", "Took"].map((title) => h("th", { scope: "col", class: title === "Took" && "end" }, title)))),
    body)), rest);

  function rowFor(step) {
    const place = { state: h("td", { data: { label: "State" } }), bar: h("td", { class: "bar-cell", data: { label: "When" } }), took: h("td", { class: "end number", data: { label: "Took" } }), error: h("span", { class: "sub" }) };
    const level = step.key.includes(".") ? 1 : 0;
    place.row = h("tr", null,
      h("td", { class: "lead name" }, h("div", { class: "name-cell", vars: { "--level": String(level) } }, h("button", { type: "button", class: "as-link", on: { click: () => onOpen(step.key) } }, step.key), place.error)),
      place.state,
      h("td", { data: { label: "Does" } }, h("code", null, step.operation || "–")),
      place.bar,
      place.took);
    rows.set(step.key, place);
    return place;
  }

  function update(run, now) {
    const begin = run.started_at ? Date.parse(run.started_at) : Date.parse(run.created_at);
    const end = Math.max(run.ended_at ? Date.parse(run.ended_at) : now, begin + 1);
    let before = null;
    for (const step of run.steps.slice(0, ROWS_MAX)) {
      const place = rows.get(step.key) ?? rowFor(step);
      if (place.row.parentNode !== body || (before ? before.nextSibling !== place.row : body.firstChild !== place.row)) {
        body.insertBefore(place.row, before ? before.nextSibling : body.firstChild);
      }
      before = place.row;
      fill(place, step, { begin, end, now });
    }
    rest.hidden = run.steps.length <= ROWS_MAX;
    put(rest, `${count(run.steps.length - ROWS_MAX, "further step")} not shown.`);
  }

  return { node, update };
}

function fill(place, step, span) {
  const told = `${step.status} ${Boolean(step.started_at)} ${step.attempt} ${step.error?.message ?? ""}`;
  if (place.told !== told) {
    place.told = told;
    put(place.state, step.status === "waiting" && !step.started_at ? badge("to come", { tone: "" }) : badge(step.status), step.attempt > 1 && h("span", { class: "sub" }, `attempt ${step.attempt}`));
    put(place.error, step.error && errorText({ ...step.error, step: null, path: null }));
  }
  const from = step.started_at ? Date.parse(step.started_at) : null;
  const to = step.ended_at ? Date.parse(step.ended_at) : span.now;
  put(place.took, from === null ? "–" : duration(Math.max(0, to - from)));
  const part = (ms) => `${Math.min(100, Math.max(0, (ms / (span.end - span.begin)) * 100)).toFixed(2)}%`;
  put(place.bar, from !== null && h("div", { class: "bar-row", role: "img", "aria-label": `${duration(Math.max(0, from - span.begin))} after the run began, for ${duration(Math.max(0, to - from))}` },
    h("i", { data: { state: step.status }, vars: { "--begin": part(Math.min(from, span.end) - span.begin), "--long": part(Math.max(0, to - from)) } })));
}
