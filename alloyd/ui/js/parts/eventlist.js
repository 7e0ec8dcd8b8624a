// Events as they happen, newest first, with a bound on how many stay on the screen.

import { h, put } from "../dom.js";
import { time } from "../format.js";
import { follow } from "../live.js";
import { badge, empty } from "./basics.js";
import { jsonBlock } from "./code.js";

const ROWS_MAX = 200;

/**
 * @param {{signal: AbortSignal, kinds?: string[], keep?: number, onEvents?: (events) => void, details?: boolean,
 *   wanted?: (event) => boolean}} options `keep` rows stay; with `details` each event can be opened
 * @returns {{node: Node, state: Node, pause(paused: boolean): void, clear(): void}} `state` says whether the connection stands
 */
export function eventList({ signal, kinds = [], keep = ROWS_MAX, onEvents = () => {}, details = true, wanted = () => true }) {
  const rows = h("ol", { class: "event-list", role: "list" });
  const none = empty({ icon: "pulse", title: "Nothing has happened yet", text: "What happens from now on appears here by itself." });
  const state = h("span", { class: "row" }, badge("connecting"));
  const skipped = h("p", { class: "small soft", hidden: true });
  let paused = false;
  let missedInAll = 0;
  rows.hidden = true;

  function show(told, missed) {
    const events = told.filter(wanted);
    onEvents(events);
    if (paused) {
      missedInAll += events.length;
      tellSkipped();
      return;
    }
    missedInAll += missed + Math.max(0, events.length - keep);
    const made = events.slice(-keep).reverse().map((event) => rowOf(event, details));
    rows.prepend(...made);
    while (rows.children.length > keep) {
      rows.lastChild.remove();
    }
    none.hidden = rows.children.length > 0;
    rows.hidden = !none.hidden;
    tellSkipped();
  }

  function tellSkipped() {
    skipped.hidden = missedInAll === 0;
    put(skipped, `${missedInAll} more were not shown.`);
  }

  follow({ kinds, signal, onEvents: show, onState: (now) => put(state, badge(now)) });
  return {
    node: h("div", null, none, skipped, rows),
    state,
    pause(now) { paused = now; },
    clear() { put(rows); missedInAll = 0; tellSkipped(); none.hidden = false; rows.hidden = true; },
  };
}

function rowOf(event, details) {
  const head = [h("span", { class: "kind" }, event.kind), h("span", { class: "subject mono" }, event.subject ?? ""), time(event.timestamp)];
  if (!details) {
    return h("li", { class: "event" }, head);
  }
  const node = h("details", null, h("summary", { class: "event" }, head));
  node.addEventListener("toggle", () => { node.append(jsonBlock(event, { label: "Event" })); }, { once: true });
  return h("li", null, node);
}
