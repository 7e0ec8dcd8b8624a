// One workflow: its graph, its runs, what it is defined as, and its versions.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { time } from "../format.js";
import { badge, button, empty, facts, failure, notice, pageHead, panel } from "../parts/basics.js";
import { jsonBlock, codeBlock } from "../parts/code.js";
import { confirm, dialog } from "../parts/dialog.js";
import { graph } from "../parts/graph.js";
import { menu } from "../parts/menu.js";
import { runList } from "../parts/run-list.js";
import { runNow } from "../parts/run-now.js";
import { tabs } from "../parts/tabs.js";
import { toast } from "../parts/toast.js";
import { stepsOf, triggerInWords } from "../parts/definition.js";
import { versionList } from "../parts/version-list.js";
import { go, remember } from "../router.js";
import { may } from "../session.js";

export default async function show({ params, query, signal, title }) {
  const path = `/workflow-definitions/${encodeURIComponent(params.id)}`;
  const version = query.get("version");
  const [workflow, drawing] = await Promise.all([
    api.get(path, { query: { version }, signal }),
    api.get(`${path}/graph`, { query: { version }, signal }).catch((error) => ({ error })),
  ]);
  title(workflow.name);
  const pinned = version !== null && workflow.version !== workflow.published_version;
  const view = { path, workflow, drawing, signal, version };
  const shown = tabs([
    { id: "graph", label: "Graph", render: () => graphTab(view) },
    may("run.read") && { id: "runs", label: "Runs", render: () => runsTab(view) },
    { id: "definition", label: "Definition", render: () => definitionTab(view) },
    { id: "versions", label: "Versions", render: () => versionList(view) },
  ].filter(Boolean), { selected: query.get("tab") ?? "graph", onSelect: (tab) => remember({ tab: tab === "graph" ? null : tab, version }) });
  return [
    pageHead({
      title: workflow.name,
      about: typeof workflow.definition.description === "string" ? workflow.definition.description : null,
      crumbs: [["Workflows", "#/workflows"]],
      actions: actionsOf(workflow),
    }),
    h("div", { class: "notices" },
      pinned && notice("info", `You see version ${workflow.version}. `, h("a", { href: `#/workflows/${encodeURIComponent(workflow.id)}` }, "Show the newest.")),
      workflow.status === "draft" && notice("warn", "This version is a draft: nothing starts it. It needs steps, and in the flow form a starting step.")),
    shown.node,
  ];
}

function actionsOf(workflow) {
  const id = encodeURIComponent(workflow.id);
  return [
    may("workflow.write") && button("Edit", { icon: "pencil", href: `#/workflows/${id}/edit` }),
    may("workflow.run") && workflow.published_version !== null && button("Run now", { kind: "primary", icon: "play", onClick: () => runNow(workflow) }),
    may("workflow.write") && menu([icon("dots")], () => [{ label: "Delete…", icon: "trash", danger: true, act: () => remove(workflow) }], { label: "More", atEnd: true, kind: "quiet only-icon" }),
  ];
}

async function remove(workflow) {
  const text = "Nothing starts it any more, and its schedule ends. Runs that are under way end on their version; they and their history stay.";
  const act = () => api.delete(`/workflow-definitions/${encodeURIComponent(workflow.id)}`);
  if (await confirm({ title: `Delete “${workflow.name}”?`, text, label: "Delete", act })) {
    toast("The workflow is deleted.");
    go("/workflows");
  }
}

function graphTab({ workflow, drawing }) {
  const about = panel({ title: "About", body: facts([
    ["State", badge(workflow.status, { tone: workflow.status === "draft" ? "" : "good" })],
    ["Version", `${workflow.version}${workflow.published_version && workflow.published_version !== workflow.version ? ` (version ${workflow.published_version} runs)` : ""}`],
    ["Started", triggerInWords(workflow.definition.trigger)],
    ["Mode", modeInWords(workflow.definition)],
    ["Id", h("code", null, workflow.id)],
    ["Made", time(workflow.created_at)],
    ["Changed", time(workflow.updated_at)],
  ]) });
  return h("div", { class: "stack" }, panel({ flush: true, body: graphOf(workflow, drawing) }), about);
}

function graphOf(workflow, drawing) {
  if (drawing.error) {
    return failure(drawing.error);
  }
  if (drawing.nodes.length === 0) {
    return empty({ icon: "flow", title: "No steps yet", text: "A draft has no graph.", actions: [may("workflow.write") && button("Edit", { icon: "pencil", href: `#/workflows/${encodeURIComponent(workflow.id)}/edit` })] });
  }
  const steps = stepsOf(workflow.definition);
  const names = new Map([...steps].filter(([, step]) => typeof step.name === "string").map(([id, step]) => [id, step.name]));
  return graph(drawing, { label: `Graph of ${workflow.name}`, names, onOpen: (id) => openStep(id, drawing.nodes.find((node) => node.id === id), steps.get(id)) }).node;
}

/** What the definition says of a step. */
function openStep(id, node, step) {
  dialog({ title: id, large: true, body: [
    facts([
      ["Does", h("code", null, node.operation)],
      ["After", step?.depends_on?.length ? step.depends_on.join(", ") : null],
      ["Only when", step?.when !== undefined && step?.when !== null ? h("code", null, String(step.when)) : null],
      ["If it fails", node.on_error === "continue" ? "the run goes on" : "the run fails"],
      ["Ways out", node.ports.length ? node.ports.join(", ") : null],
    ]),
    step ? jsonBlock(step, { label: "As written", titled: true }) : null,
  ] });
}

function modeInWords({ mode = "parallel", concurrency_key: key, concurrency_limit: limit }) {
  const words = { parallel: limit ? `at most ${limit} at a time` : "runs beside each other", queue: `one after the other${limit > 1 ? `, ${limit} at a time` : ""}`, restart: "a new run ends the running one" };
  return [words[mode] ?? mode, key && [" for each ", h("code", null, key)]];
}

function runsTab({ workflow, signal }) {
  const list = runList({ signal, query: () => ({ workflow_id: workflow.id, top_level: true }), empty: { icon: "play", title: "It has never run", text: "Run it by hand, or wait for what starts it." } });
  return panel({ title: "Runs", actions: [button("All filters", { small: true, icon: "filter", href: `#/runs?workflow=${encodeURIComponent(workflow.id)}` })], flush: true, body: list.node });
}

async function definitionTab({ path, workflow, version, signal }) {
  const { text } = await api.get(`${path}/text`, { query: { version }, signal });
  return panel({
    title: `Version ${workflow.version} as YAML`,
    actions: [may("workflow.write") && button("Edit", { small: true, icon: "pencil", href: `#/workflows/${encodeURIComponent(workflow.id)}/edit` })],
    body: [codeBlock(text, { label: "Definition" }), h("p", { class: "small soft" }, "Secrets are shown as ***, which keeps them when the text is saved again.")],
  });
}
