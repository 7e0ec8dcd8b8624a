// What a teammate did for a reply: its tool calls, each a step of the run, folded.

import { api, isAbort } from "../api.js";
import { h, icon, put } from "../dom.js";
import { duration } from "../format.js";
import { badge, waiting } from "../parts/basics.js";
import { errorText, valueBlock } from "../parts/values.js";

const CALL = /^(.+\.\d+)\.(\d+)$/;

/** The tool calls of a run, in their order: the turn of the model that asked for them tells their names and arguments. */
export function callsOf(run) {
  const steps = new Map(run.steps.map((step) => [step.key, step]));
  return run.steps.flatMap((step) => {
    const [, turn, number] = CALL.exec(step.key) ?? [];
    const asked = steps.get(turn);
    if (asked?.operation !== "ai.generate") {
      return [];
    }
    const call = asked.output?.tool_calls?.[Number(number) - 1] ?? {};
    return [{ step, name: call.name ?? step.operation, arguments: call.arguments ?? null }];
  });
}

/** Steps that come one by one: `{node, update(run)}`; what is open stays open. */
export function callList() {
  const rows = new Map();
  const node = h("div", { class: "calls" });

  function update(run) {
    for (const call of callsOf(run)) {
      const row = rows.get(call.step.key) ?? begin(call);
      if (row.status !== call.step.status) {
        row.status = call.step.status;
        put(row.summary, icon("plug"), h("span", { class: "mono" }, call.name), badge(call.step.status), h("span", { class: "small soft" }, duration(call.step.duration_ms)));
        put(row.body, bodyOf(call, run.id));
      }
    }
  }

  function begin(call) {
    const row = { summary: h("summary"), body: h("div", { class: "stack" }), status: null };
    rows.set(call.step.key, row);
    node.append(h("details", { class: "call" }, row.summary, row.body));
    return row;
  }

  return { node, update, count: () => rows.size };
}

function bodyOf(call, runId) {
  const { step } = call;
  return [
    valueBlock("Arguments", call.arguments, { always: true }),
    valueBlock("Output", step.output),
    step.error && h("p", { class: "small" }, errorText(step.error)),
    h("p", { class: "small" }, "Step ", h("code", null, step.key), " of ", runLink(runId, "this run")),
  ];
}

export const runLink = (runId, label) => h("a", { href: `#/runs/${encodeURIComponent(runId)}` }, label);

/** What was done for a message that was answered some time ago; it is looked up when it is opened. */
export function foldedCalls(runId, signal) {
  const place = h("div", { class: "stack" });
  const node = h("details", { class: "did" }, h("summary", null, "What it did"), place);
  node.addEventListener("toggle", async () => {
    put(place, waiting());
    try {
      const run = await api.get(`/workflow-runs/${encodeURIComponent(runId)}`, { signal });
      const list = callList();
      list.update(run);
      put(place, list.count() ? list.node : h("p", { class: "small soft" }, "It answered without calling a tool."), h("p", { class: "small" }, runLink(runId, "Open the run")));
    } catch (error) {
      if (!isAbort(error)) {
        put(place, h("p", { class: "small soft" }, error.status === 404 ? "The run is not kept any more." : error.message));
      }
    }
  }, { once: true });
  return node;
}
