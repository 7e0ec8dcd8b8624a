// A list of runs that keeps itself up to date: states change in their rows, new runs appear at the top.

import { api, isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { duration, time } from "../format.js";
import { follow } from "../live.js";
import { badge, tag } from "./basics.js";
import { table } from "./table.js";
import { workflowName } from "./workflow-names.js";

const KIND = /^workflow\.run\.(\w+)$/;
const STATE_OF = { created: "pending", started: "running", resumed: "running" };
const ENDED = new Set(["completed", "failed", "cancelled"]);
const LOOK_MS = 1000;
const LOOK_LIMIT = 50;

/**
 * @param {{signal: AbortSignal, query: () => Object, names?: Promise<Map>, filters?: Node, empty?: Object, onState?: (state) => void}} options
 *   `query()` are the filters now; without `names` the workflow has no column
 * @returns {{node: Node, reload(): Promise<void>}}
 */
export function runList({ signal, query, names = null, filters = null, empty, onState = () => {} }) {
  const shown = new Map();
  let looking = false;
  let lookAgain = false;

  function stateCell(run) {
    const place = h("span", null, badge(run.status));
    shown.set(run.id, { place, took: null, status: run.status });
    return place;
  }

  function tookCell(run) {
    const place = h("span", null, tookOf(run));
    shown.get(run.id).took = place;
    return place;
  }

  const list = table({
    label: "Runs",
    load: (next) => api.page("/workflow-runs", { query: { ...query(), summary: true }, signal, next }),
    columns: [
      { title: "Run", lead: true, cell: (run) => [h("a", { class: "name", href: `#/runs/${encodeURIComponent(run.id)}` }, names ? "Run " : "", h("span", { class: "mono" }, run.id.slice(-8))), run.parent_run_id && h("span", { class: "sub" }, `of step ${run.parent_step}`)] },
      names && { title: "Workflow", cell: (run) => workflowName(run.workflow_id, names) },
      { title: "State", cell: stateCell },
      { title: "Started by", cell: (run) => tag(run.trigger) },
      { title: "Began", cell: (run) => time(run.started_at ?? run.created_at) },
      { title: "Took", end: true, cell: tookCell },
    ].filter(Boolean),
    filters,
    empty: empty ?? { icon: "play", title: "No runs", text: "Runs appear here as soon as a workflow is started." },
  });

  /** Have the newest ones, at most once a second: whatever their number, one request. */
  async function look() {
    if (looking) {
      lookAgain = true;
      return;
    }
    looking = true;
    try {
      const { items } = await api.page("/workflow-runs", { query: { ...query(), summary: true, limit: LOOK_LIMIT }, signal });
      for (const run of items.reverse()) {
        const known = shown.get(run.id);
        if (!known) {
          list.put(run);
        } else {
          bring(known, run.status, run);
        }
      }
      const there = new Set(list.items().map((run) => run.id));
      for (const id of shown.keys()) {
        if (!there.has(id)) {
          shown.delete(id); // the list is full: its oldest row is gone
        }
      }
    } catch (error) {
      if (!isAbort(error)) {
        onState("stale");
      }
    }
    setTimeout(() => {
      looking = false;
      if (lookAgain && !signal.aborted) {
        lookAgain = false;
        look();
      }
    }, LOOK_MS);
  }

  follow({ kinds: ["workflow.run."], signal, onState, onEvents: (events, missed) => {
    let unknown = missed > 0;
    for (const event of events) {
      const state = stateAfter(event.kind);
      const known = shown.get(event.run_id ?? event.subject);
      if (known && state) {
        bring(known, state, null);
      }
      unknown ||= !known || ENDED.has(state);
    }
    if (unknown) {
      look();
    }
  } });
  return { node: list.node, reload: () => { shown.clear(); return list.reload(); } };
}

/** What a row says is changed in its place: the focus stays where it is. */
function bring(known, status, run) {
  if (ENDED.has(known.status) && !ENDED.has(status)) {
    return; // an older event than what was read
  }
  if (known.status !== status) {
    known.status = status;
    put(known.place, badge(status));
  }
  if (run && known.took) {
    put(known.took, tookOf(run));
  }
}

/** The state of a run after an event of this kind, null for one that changes none. */
export function stateAfter(kind) {
  const word = KIND.exec(kind)?.[1];
  return word ? STATE_OF[word] ?? word : null;
}

const tookOf = (run) => (run.started_at && run.ended_at ? duration(new Date(run.ended_at) - new Date(run.started_at)) : "–");
