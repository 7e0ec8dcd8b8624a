// A teammate's request log: the runs of its workflow, newest first, kept up to date by the live events.

import { api, isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { duration, money, number, time } from "../format.js";
import { follow } from "../live.js";
import { badge } from "../parts/basics.js";
import { fieldOf } from "../parts/form.js";
import { stateAfter } from "../parts/run-list.js";
import { table } from "../parts/table.js";
import { may, organization, session } from "../session.js";

const STATES = ["queued", "running", "waiting", "completed", "failed", "cancelled"];
const LOOK_MS = 500;
const LOOK_LIMIT = 50;
const ENDED = new Set(["completed", "failed", "cancelled"]);

/** @returns {{node: Node, state: Node}} `state` says whether the list is live */
export function requestLog(teammate, signal) {
  const state = h("span", { class: "row" });
  const callerOf = callerNames(signal);
  const status = fieldOf({ name: "status", label: "State", type: "select", options: [["", "Any state"], ...STATES], value: "" });
  const query = () => ({ teammate_id: teammate.id, status: status.read() });
  const list = table({
    label: "Requests",
    load: (next) => api.page("/workflow-runs", { query: query(), signal, next }),
    columns: [
      { title: "Time", lead: true, cell: (run) => h("a", { class: "name", href: `#/runs/${encodeURIComponent(run.id)}`, "aria-label": `Open the run of ${run.created_at}` }, time(run.created_at)) },
      { title: "State", cell: (run) => badge(run.status) },
      { title: "Caller", cell: (run) => callerOf(run.started_by) },
      { title: "Took", end: true, cell: (run) => (run.started_at && run.ended_at ? duration(new Date(run.ended_at) - new Date(run.created_at)) : "–") },
      { title: "Tokens", end: true, cell: (run) => tokensOf(run.output?.usage) },
      { title: "Cost", end: true, cell: (run) => (typeof run.output?.usage?.cost_usd === "number" ? money(run.output.usage.cost_usd) : "–") },
    ],
    filters: h("div", { class: "filters" }, status.node),
    empty: { icon: "chat", title: "No requests", text: "What is said to this teammate, from here or from elsewhere, appears here by itself." },
  });
  status.control.addEventListener("change", () => list.reload());

  let looking = false;
  let lookAgain = false;
  const changed = new Set();

  /** Have the newest ones, at most twice a second: whatever happened, one request. */
  async function look() {
    if (looking) {
      lookAgain = true;
      return;
    }
    looking = true;
    const touched = new Set(changed);
    changed.clear();
    try {
      const asked = status.read();
      const { items } = await api.page("/workflow-runs", { query: { ...query(), limit: LOOK_LIMIT }, signal });
      if (asked === status.read()) {
        const before = new Map(list.items().map((run) => [run.id, run]));
        for (const run of items.reverse()) {
          const known = before.get(run.id);
          if (!known || known.status !== run.status) {
            list.put(run);
          }
          touched.delete(run.id);
        }
        for (const id of touched) {
          if (asked && before.has(id)) {
            list.remove(id); // of another state by now
          }
        }
      }
    } catch (error) {
      if (!isAbort(error)) {
        put(state, badge("stale"));
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

  follow({ kinds: ["workflow.run."], signal, onState: (now) => put(state, badge(now)), onEvents: (events, missed) => {
    const ours = events.filter((event) => event.workflow_id === teammate.workflow_id && stateAfter(event.kind));
    const known = new Set(list.items().filter((run) => ENDED.has(run.status)).map((run) => run.id));
    for (const event of ours) {
      changed.add(event.run_id);
    }
    if (missed || ours.some((event) => !known.has(event.run_id))) {
      look();
    }
  } });
  return { node: list.node, state };
}

const tokensOf = (usage) => (usage ? number((usage.input_tokens ?? 0) + (usage.output_tokens ?? 0)) : "–");

/** Fills in what keys and users are called, for who may know: users by one request, each key when it is first seen. */
function callerNames(signal) {
  const known = new Map([[session().user_id, Promise.resolve("You")]]);
  const members = may("member.read")
    ? api.page(`/organizations/${encodeURIComponent(organization().id)}/members`, { signal, query: { limit: 200 } }).then(({ items }) => new Map(items.map((each) => [each.user_id, each.display_name || each.email])))
    : Promise.resolve(new Map());
  members.catch(() => {});

  async function find(id) {
    const user = (await members).get(id);
    if (user || !may("api_key.read")) {
      return user ?? null;
    }
    return `Key ${(await api.get(`/api-keys/${encodeURIComponent(id)}`, { signal })).name}`;
  }

  return (id) => {
    const place = h("span", { title: id }, h("code", null, `${id.slice(0, 13)}…`));
    if (!known.has(id)) {
      known.set(id, find(id).catch(() => null));
    }
    known.get(id).then((name) => { if (name) { put(place, name); } });
    return place;
  };
}
