// Stacked bars, one for each day, and the same as a table for who can't see them or wants the figures.

import { h, s } from "../dom.js";
import { number } from "../format.js";

const WIDTH = 640;
const HEIGHT = 132;

/**
 * @param {{title: string, rows: {label: string, values: number[]}[], parts: string[], tints?: number[], format?: (value) => string, head?: string}} options
 *   `values` has one figure for each of the at most three `parts`, the lowest of the bar first; `tints` are their colours: 0 the page's own, 1 another,
 *   2 that of what failed; `head` names the column of labels
 */
export function stackedBars({ title, rows, parts, tints = [0, 1, 2], format = number, head = "Day" }) {
  const sums = rows.map((row) => row.values.reduce((all, value) => all + value, 0));
  const top = Math.max(...sums, 1e-9);
  const each = WIDTH / Math.max(rows.length, 1);
  const bars = rows.map((row, at) => {
    let base = HEIGHT - 1;
    const said = `${row.label}: ${parts.map((part, index) => `${part.toLowerCase()} ${format(row.values[index])}`).join(", ")}`;
    return s("g", null,
      s("rect", { class: "ground", x: at * each, width: each, y: 0, height: HEIGHT }),
      row.values.map((value, index) => {
        const tall = value > 0 ? Math.max(1.5, (value / top) * (HEIGHT - 6)) : 0;
        base -= tall;
        return s("rect", { class: `tint-${tints[index]}`, x: at * each + each * 0.14, width: each * 0.72, y: base, height: tall });
      }),
      s("title", null, said));
  });
  const most = sums.indexOf(Math.max(...sums, 0));
  const words = rows.length === 0 ? `${title}: nothing yet` : `${title}, ${rows[0].label} to ${rows.at(-1).label}: ${format(sums.reduce((all, value) => all + value, 0))} in all, most on ${rows[Math.max(most, 0)].label} with ${format(sums[Math.max(most, 0)])}`;
  return h("figure", { class: "bars" },
    h("figcaption", { class: "row spread" }, h("span", { class: "small soft" }, title), parts.length > 1 && h("span", { class: "key" }, parts.map((part, index) => h("span", { class: `tint-${tints[index]}` }, h("i", null), part)))),
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, height: HEIGHT, preserveAspectRatio: "none", role: "img", "aria-label": words },
      bars, s("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 })),
    rows.length > 0 && h("div", { class: "axis", "aria-hidden": "true" }, h("span", null, rows[0].label), h("span", null, `most: ${format(Math.max(...sums))}`), rows.length > 1 && h("span", null, rows.at(-1).label)),
    rows.length > 0 && h("details", null, h("summary", null, "As a table"),
      h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": title }, h("table", { class: "list" },
        h("caption", { class: "only-heard" }, title),
        h("thead", null, h("tr", null, h("th", { scope: "col" }, head), parts.map((part) => h("th", { scope: "col", class: "end" }, part)))),
        h("tbody", null, rows.filter((row) => row.values.some(Boolean)).map((row) => h("tr", null, h("th", { scope: "row" }, row.label), row.values.map((value) => h("td", { class: "end number" }, format(value))))))))));
}

/** A thin bar for a share from 0 to 1 whose figure stands beside it. */
export const shareBar = (part) => h("div", { class: "meter", "aria-hidden": "true" }, h("i", { vars: { "--part": `${Math.min(100, part * 100).toFixed(1)}%` } }));
