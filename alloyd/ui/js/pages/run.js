// One run: its graph coloured as it goes, its steps, what it worked on, where it comes from, what it told.

import { api } from "../api.js";
import { h, put } from "../dom.js";
import { dateTime, duration, time } from "../format.js";
import { badge, button, facts, failure, notice, pageHead, panel, tag } from "../parts/basics.js";
import { eventRows } from "../parts/event-rows.js";
import { graph } from "../parts/graph.js";
import { cancelDialog, retryDialog } from "../parts/run-actions.js";
import { ENDED, followRun } from "../parts/run-live.js";
import { openStep } from "../parts/step-dialog.js";
import { stepTable } from "../parts/step-table.js";
import { tabs } from "../parts/tabs.js";
import { toast } from "../parts/toast.js";
import { errorText, valueBlock } from "../parts/values.js";
import { workflowName } from "../parts/workflow-names.js";
import { go, remember } from "../router.js";
import { may } from "../session.js";

export default async function show({ params, query, signal, title }) {
  const path = `/workflow-runs/${encodeURIComponent(params.id)}`;
  const [run, drawing] = await Promise.all([api.get(path, { signal }), api.get(`${path}/graph`, { signal }).catch((error) => ({ error }))]);
  title(`Run ${run.id.slice(-8)}`);
  const open = (key) => openStep(view.run, key, signal).catch((error) => toast(error.message, { tone: "bad" }));
  const name = api.get(`/workflow-definitions/${encodeURIComponent(run.workflow_id)}`, { signal }).then((workflow) => new Map([[workflow.id, workflow.name]]), () => new Map());
  const view = {
    run,
    name,
    state: h("span", null, badge(run.status)),
    actions: h("div", { class: "row" }),
    notices: h("div", { class: "notices" }),
    about: h("div"),
    data: h("div", { class: "stack" }),
    live: h("span", { class: "row" }),
    steps: stepTable({ onOpen: open }),
    events: eventRows(),
    graph: drawing.error ? null : graph(drawing, { label: "Graph of the run", live: true, onOpen: (id) => (id.includes("/") ? go("/runs", { parent: run.id }) : open(id)) }), // what stands within a foreach runs for each item
  };
  refresh(view);
  const following = followRun(run, {
    signal,
    onRun: (now) => { view.run = now; refresh(view); },
    onEvents: (events, missed) => view.events.add(events, missed),
    onState: (state) => put(view.live, badge(state, state === "ended" ? { tone: "" } : {})),
  });
  view.lookSoon = following.lookSoon;
  const tick = setInterval(() => { if (!ENDED.has(view.run.status)) { view.steps.update(view.run, Date.now()); } }, 1000);
  signal.addEventListener("abort", () => clearInterval(tick), { once: true });
  const shown = tabs([
    { id: "steps", label: "Steps", render: () => h("div", { class: "stack" }, view.graph ? panel({ flush: true, body: view.graph.node }) : panel({ flush: true, body: failure(drawing.error) }), panel({ title: "Steps", flush: true, body: view.steps.node })) },
    { id: "data", label: "Data", render: () => view.data },
    { id: "lineage", label: "Lineage", render: () => lineage(view, signal) },
    { id: "events", label: "Events", render: () => panel({ title: h("span", { class: "row" }, "Events", view.live), flush: true, body: view.events.node }) },
  ], { selected: query.get("tab") ?? "steps", onSelect: (tab) => remember({ tab: tab === "steps" ? null : tab }) });
  return [
    pageHead({
      title: h("span", { class: "row" }, "Run ", h("span", { class: "mono" }, run.id.slice(-8)), view.state),
      about: h("span", null, "of ", workflowName(run.workflow_id, name), `, version ${run.workflow_version}`),
      crumbs: [["Runs", "#/runs"], run.parent_run_id && ["The run above", `#/runs/${encodeURIComponent(run.parent_run_id)}`]].filter(Boolean),
      actions: [view.actions],
    }),
    view.notices,
    h("div", { class: "split" }, shown.node, view.about),
  ];
}

/** Bring everything that shows the run up to date. */
function refresh(view) {
  const { run } = view;
  const told = JSON.stringify([run.status, run.error, run.retried_by, run.ended_at]);
  if (view.told !== told) {
    view.told = told;
    put(view.state, badge(run.status));
    put(view.notices, run.error && notice("bad", errorText(run.error)), run.retried_by && notice("info", "It was run again: ", runLink(run.retried_by)));
    put(view.actions, actionsOf(view));
    put(view.data, dataOf(run));
  }
  put(view.about, panel({ title: "About", body: factsOf(view) }));
  view.steps.update(run, Date.now());
  if (view.graph) {
    view.graph.grow(run.steps.filter((step) => step.key.includes(".")).map((step) => ({ key: step.key, parent: step.key.slice(0, step.key.indexOf(".")), operation: step.operation })));
    view.graph.setStates(new Map(run.steps.map((step) => [step.key, shownState(step, run)])));
  }
}

/** A step that has not begun says "waiting", as one does that waits for an event: only the latter is shown so. */
const shownState = (step, run) => (step.status === "waiting" && !step.started_at && !ENDED.has(run.status) ? null : step.status);

function actionsOf(view) {
  const { run } = view;
  const ended = ENDED.has(run.status);
  return [
    run.status === "pending" && may("workflow.run") && button("Start", { kind: "primary", icon: "play", onClick: () => api.post(`/workflow-runs/${encodeURIComponent(run.id)}/start`).catch((error) => toast(error.message, { tone: "bad" })) }),
    !ended && may("run.cancel") && button("Cancel", { kind: "danger", icon: "stop", onClick: async () => { if (await cancelDialog(run)) { view.lookSoon(0); } } }),
    ended && may("run.retry") && run.parent_run_id === null && button("Run again…", { icon: "retry", onClick: () => retryDialog(run) }),
  ];
}

const runLink = (id) => h("a", { class: "mono", href: `#/runs/${encodeURIComponent(id)}` }, id.slice(-8));

function factsOf({ run }) {
  const ms = run.started_at ? (run.ended_at ? Date.parse(run.ended_at) : Date.now()) - Date.parse(run.started_at) : null;
  return facts([
    ["State", badge(run.status)],
    ["Steps", `${run.progress.completed} of ${run.progress.total} done`],
    ["Took", ms === null ? null : duration(ms)],
    ["Started by", tag(run.trigger)],
    ["Queued", run.queued_at ? time(run.queued_at) : null],
    ["Began", run.started_at ? time(run.started_at) : null],
    ["Ended", run.ended_at ? time(run.ended_at) : null],
    ["Has to end by", run.deadline_at && !run.ended_at ? dateTime(run.deadline_at) : null],
    ["Retry of", run.retry_of ? runLink(run.retry_of) : null],
    ["Id", h("code", null, run.id)],
  ]);
}

function dataOf(run) {
  const blocks = [
    valueBlock("Output", run.output),
    valueBlock("Payload", run.payload, { always: true, note: "what started it" }),
    valueBlock("Context", run.context, { always: true, note: "what its steps keep for each other" }),
    valueBlock("Metadata", run.metadata),
  ].filter(Boolean);
  return blocks.map((block) => panel({ body: block }));
}

/** Where the run comes from, and what came of it. */
async function lineage({ run, name }, signal) {
  const { items, next } = await api.page("/workflow-runs", { query: { parent_run_id: run.id, limit: 20 }, signal });
  const rows = [
    ["Workflow", workflowName(run.workflow_id, name)],
    ["Started by a step of", run.parent_run_id ? h("span", null, runLink(run.parent_run_id), `, step ${run.parent_step}`) : null],
    ["Retry of", run.retry_of ? runLink(run.retry_of) : null],
    ["Run again as", run.retried_by ? runLink(run.retried_by) : null],
    ["Started by", h("span", null, tag(run.trigger), " ", h("code", null, run.started_by))],
  ];
  return h("div", { class: "stack" },
    panel({ title: "Origin", body: facts(rows) }),
    panel({
      title: "Runs that its steps started",
      flush: items.length > 0,
      body: items.length === 0 ? h("p", { class: "soft" }, "None.") : h("div", { class: "table-wrap" }, h("table", { class: "list folds" },
        h("thead", null, h("tr", null, ["Run", "Step", "State", "Began"].map((each) => h("th", { scope: "col" }, each)))),
        h("tbody", null, items.map((child) => h("tr", null,
          h("td", { class: "lead name" }, runLink(child.id)),
          h("td", { data: { label: "Step" } }, child.parent_step),
          h("td", { data: { label: "State" } }, badge(child.status)),
          h("td", { data: { label: "Began" } }, time(child.started_at ?? child.created_at))))))),
      footer: next && h("a", { href: `#/runs?parent=${encodeURIComponent(run.id)}` }, "All of them"),
    }));
}
