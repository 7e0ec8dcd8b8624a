// The organization's workflows.

import { api } from "../api.js";
import { h, put } from "../dom.js";
import { time } from "../format.js";
import { follow } from "../live.js";
import { badge, button, pageHead, panel, tag } from "../parts/basics.js";
import { fieldOf } from "../parts/form.js";
import { stateAfter } from "../parts/run-list.js";
import { runNow } from "../parts/run-now.js";
import { table } from "../parts/table.js";
import { remember } from "../router.js";
import { may } from "../session.js";

const TYPED_MS = 250;
const TRIGGERS = { api: "by request", event: "by an event", schedule: "by the clock", webhook: "by a webhook", storage: "by a file" };

export default function show({ query, signal }) {
  const runs = new Map();
  let wanted = query.get("q") ?? "";
  const search = fieldOf({ name: "q", label: "Name", type: "search", value: wanted, plain: true, placeholder: "Part of a name" });
  search.node.classList.add("wide");
  const list = table({
    label: "Workflows",
    load: (next) => api.page("/workflow-definitions", { query: { q: wanted, last_run: true }, signal, next }),
    columns: [
      { title: "Name", lead: true, cell: (workflow) => h("a", { class: "name", href: hrefOf(workflow) }, workflow.name) },
      { title: "State", cell: (workflow) => (workflow.published_version === null ? badge("draft", { tone: "" }) : badge("published")) },
      { title: "Version", end: true, cell: (workflow) => workflow.published_version ?? workflow.version },
      { title: "Started", cell: (workflow) => tag(TRIGGERS[workflow.trigger] ?? workflow.trigger) },
      { title: "Last run", cell: (workflow) => lastRunCell(workflow, runs) },
      { title: "Changed", cell: (workflow) => time(workflow.updated_at) },
      { title: "What to do", acts: true, cell: (workflow) => runButton(workflow, signal) },
    ],
    filters: h("div", { class: "filters" }, search.node),
    empty: { icon: "flow", title: "No workflows here", text: "A workflow is a set of steps that runs by itself once it is started.", actions: [newButton("primary")] },
  });
  let timer = null;
  search.control.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      wanted = search.read() ?? "";
      remember({ q: wanted });
      runs.clear();
      list.reload();
    }, TYPED_MS);
  });
  follow({ kinds: ["workflow.run."], signal, onEvents: (events) => {
    for (const event of events) {
      const place = runs.get(event.workflow_id);
      const status = stateAfter(event.kind);
      if (place && status) {
        put(place, lastRun({ id: event.run_id ?? event.subject, status, created_at: event.timestamp }));
      }
    }
  } });
  return [
    pageHead({ title: "Workflows", about: "What runs by itself: by request, by the clock, or as something happens.", actions: [newButton("primary")] }),
    panel({ flush: true, body: list.node }),
  ];
}

const hrefOf = (workflow) => `#/workflows/${encodeURIComponent(workflow.id)}`;

const newButton = (kind) => may("workflow.write") && button("New workflow", { kind, icon: "plus", href: "#/workflows/new" });

/** Kept by the workflow's id, so that events reach it. */
function lastRunCell(workflow, runs) {
  const place = h("span", { class: "row" }, workflow.last_run ? lastRun(workflow.last_run) : h("span", { class: "soft" }, "never"));
  runs.set(workflow.id, place);
  return place;
}

const lastRun = (run) => [h("a", { href: `#/runs/${encodeURIComponent(run.id)}`, "aria-label": `Last run, ${run.status}` }, badge(run.status)), time(run.created_at)];

function runButton(workflow, signal) {
  if (workflow.published_version === null || !may("workflow.run")) {
    return null;
  }
  return button("Run", { icon: "play", small: true, onClick: async () => runNow(await api.get(`/workflow-definitions/${encodeURIComponent(workflow.id)}`, { query: { version: workflow.published_version }, signal })) });
}
