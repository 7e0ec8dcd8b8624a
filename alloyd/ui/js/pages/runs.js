// Runs of all workflows, filtered, live.

import { h, put } from "../dom.js";
import { badge, pageHead, panel } from "../parts/basics.js";
import { fieldOf } from "../parts/form.js";
import { runList } from "../parts/run-list.js";
import { workflowNames } from "../parts/workflow-names.js";
import { remember } from "../router.js";

const STATES = ["pending", "queued", "running", "waiting", "completed", "failed", "cancelled"];
const HOUR_MS = 3_600_000;
const SPANS = [["", "Any time"], ["1", "Last hour"], ["24", "Last day"], ["168", "Last week"]];

export default function show({ query, signal }) {
  const names = workflowNames(signal);
  names.catch(() => {});
  const parent = query.get("parent");
  const wanted = { status: query.get("status") ?? "", workflow: query.get("workflow") ?? "", hours: query.get("hours") ?? "", all: query.get("all") ?? "" };
  const state = h("span", { class: "row" });
  const fields = [
    fieldOf({ name: "status", label: "State", type: "select", options: [["", "Any state"], ...STATES], value: wanted.status }),
    fieldOf({ name: "workflow", label: "Workflow", type: "select", options: [["", "Any workflow"]], value: "" }),
    fieldOf({ name: "hours", label: "Made", type: "select", options: SPANS, value: wanted.hours }),
    !parent && fieldOf({ name: "all", label: "With the runs of foreach and call steps", type: "check", value: wanted.all === "1" }),
  ].filter(Boolean);
  fillWorkflows(fields[1].control, names, wanted.workflow);
  const list = runList({
    signal,
    names,
    query: () => ({
      status: wanted.status,
      workflow_id: wanted.workflow,
      created_from: wanted.hours && new Date(Date.now() - Number(wanted.hours) * HOUR_MS).toISOString(),
      ...(parent ? { parent_run_id: parent } : { top_level: wanted.all !== "1" }),
    }),
    filters: h("div", { class: "filters" }, fields.map((field) => field.node)),
    onState: (now) => put(state, badge(now)),
    empty: { icon: "play", title: "No runs here", text: "Start a workflow, or choose other filters." },
  });
  for (const field of fields) {
    field.control.addEventListener("change", () => {
      const value = field.read();
      wanted[field.name] = value === true ? "1" : value || "";
      remember({ ...wanted, parent });
      list.reload();
    });
  }
  return [
    pageHead({
      title: parent ? "Runs of a run" : "Runs",
      about: parent ? "What the steps of one run started: the items of a foreach, the workflows that it called." : "What workflows do and have done, newest first.",
      crumbs: parent ? [["Runs", "#/runs"], ["The run above", `#/runs/${encodeURIComponent(parent)}`]] : [],
    }),
    panel({ title: h("span", { class: "row" }, "Runs", state), flush: true, body: list.node }),
  ];
}

async function fillWorkflows(control, names, chosen) {
  const known = await names.catch(() => new Map());
  if (chosen && !known.has(chosen)) {
    control.append(h("option", { value: chosen }, `${chosen.slice(0, 8)}…`));
  }
  control.append(...[...known].sort((a, b) => a[1].localeCompare(b[1])).map(([id, name]) => h("option", { value: id }, name)));
  control.value = chosen;
}
