// Small charts, drawn here: a line over time, bars side by side. Each says in words what it shows.

import { h, s } from "../dom.js";
import { clock, number } from "../format.js";

const WIDTH = 320;

/**
 * A line over time.
 * @param {{title: string, points: {at: number|string, value: number}[], height?: number, format?: (value) => string,
 *   tone?: ""|"good"|"bad"|"info", max?: number, axis?: (at) => string, total?: string}} options `at` is a time; `total` stands beside the title
 */
export function lineChart({ title, points, height = 64, format = number, tone = "", max, axis = clock, total = null }) {
  const top = Math.max(max ?? 0, ...points.map((point) => point.value), 1e-9);
  const x = (index) => (points.length < 2 ? WIDTH : (index / (points.length - 1)) * WIDTH);
  const y = (value) => height - 2 - (value / top) * (height - 6);
  const path = points.map((point, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${height}`, height, preserveAspectRatio: "none", role: "img", "aria-label": inWords(title, points, format, axis) },
    points.length > 0 && s("path", { class: ["area", tone && `tone-${tone}`], d: `${path}L${WIDTH} ${height}L0 ${height}Z` }),
    s("line", { class: "base", x1: 0, x2: WIDTH, y1: height - 1, y2: height - 1 }),
    points.length > 0 && s("path", { class: ["line", tone && `tone-${tone}`], d: path }));
  return framed(title, drawing, points, axis, total ?? (points.length ? format(points.at(-1).value) : null));
}

/** Bars side by side, one for each of `points`: `{at|label, value}`. Options as for a line. */
export function barChart({ title, points, height = 64, format = number, tone = "", max, axis = clock, total = null }) {
  const top = Math.max(max ?? 0, ...points.map((point) => point.value), 1e-9);
  const each = WIDTH / Math.max(points.length, 1);
  const drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${height}`, height, preserveAspectRatio: "none", role: "img", "aria-label": inWords(title, points, format, axis) },
    s("line", { class: "base", x1: 0, x2: WIDTH, y1: height - 1, y2: height - 1 }),
    points.map((point, index) => {
      const tall = point.value > 0 ? Math.max(2, (point.value / top) * (height - 4)) : 0;
      return s("rect", { class: ["column", tone && `tone-${tone}`], x: index * each + each * 0.12, width: each * 0.76, y: height - 1 - tall, height: tall },
        s("title", null, `${nameOf(point, axis)}: ${format(point.value)}`));
    }));
  return framed(title, drawing, points, axis, total);
}

const nameOf = (point, axis) => point.label ?? axis(point.at);

function framed(title, drawing, points, axis, total) {
  return h("figure", { class: "chart" },
    h("figcaption", null, h("span", null, title), total !== null && h("span", { class: "number" }, total)),
    drawing,
    points.length > 1 && h("div", { class: "axis", "aria-hidden": "true" }, h("span", null, nameOf(points[0], axis)), h("span", null, nameOf(points.at(-1), axis))));
}

/** What who can't see the chart is told: from when to when, the least, the most and the last. */
function inWords(title, points, format, axis) {
  if (points.length === 0) {
    return `${title}: no values yet`;
  }
  const values = points.map((point) => point.value);
  const span = points.length > 1 ? `, ${nameOf(points[0], axis)} to ${nameOf(points.at(-1), axis)}` : "";
  return `${title}${span}: from ${format(Math.min(...values))} to ${format(Math.max(...values))}, last ${format(values.at(-1))}`;
}

/** How much of something is used; `part` from 0 to 1. */
export function meter(part, label) {
  const percent = Math.round(Math.min(1, Math.max(0, part)) * 100);
  return h("div", { class: ["meter", percent >= 90 && "bad"], role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": percent }, h("i", { vars: { "--part": `${percent}%` } }));
}
