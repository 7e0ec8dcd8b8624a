// The events of one run, newest first, with a bound on how many stay.

import { h, put } from "../dom.js";
import { dateTime } from "../format.js";
import { empty } from "./basics.js";
import { jsonBlock } from "./code.js";

const ROWS_MAX = 200;

/** @returns {{node: Node, add(events: Object[], missed: number): void}} */
export function eventRows() {
  const rows = h("ol", { class: "event-list", role: "list" });
  const none = empty({ icon: "pulse", title: "Nothing has happened yet", text: "What the run does appears here." });
  const older = h("p", { class: "more", hidden: true });
  let gone = 0;

  function add(events, missed) {
    gone += missed + Math.max(0, events.length - ROWS_MAX);
    rows.prepend(...events.slice(-ROWS_MAX).reverse().map(rowOf));
    while (rows.children.length > ROWS_MAX) {
      rows.lastChild.remove();
      gone += 1;
    }
    none.hidden = rows.children.length > 0;
    older.hidden = gone === 0;
    put(older, `${gone} older ones are not shown.`);
  }

  return { node: h("div", null, none, rows, older), add };
}

function rowOf(event) {
  const node = h("details", null, h("summary", { class: "event" }, h("span", { class: "kind" }, event.kind), h("span", { class: "subject mono" }, event.node_key ?? ""), h("time", { datetime: event.timestamp, class: "nowrap" }, dateTime(event.timestamp))));
  node.addEventListener("toggle", () => node.append(jsonBlock(event, { label: "Event" })), { once: true });
  return h("li", null, node);
}
