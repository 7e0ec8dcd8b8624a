// The files of runs, and what all files of the organization take.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { bytes, count, number, percent, time } from "../format.js";
import { badge, button, figure, pageHead, panel } from "../parts/basics.js";
import { shareBar } from "../parts/bars.js";
import { fieldOf } from "../parts/form.js";
import { table } from "../parts/table.js";
import { go } from "../router.js";

export default async function show({ query, signal }) {
  const runId = query.get("run");
  const usage = await api.get("/storage-usage", { signal });
  const run = fieldOf({ name: "run", label: "Of the run, by id", value: runId, plain: true });
  const apply = (event) => {
    event.preventDefault();
    go("/objects", { run: run.read() });
  };
  const list = table({
    label: "Files of runs",
    load: (next) => api.page("/objects", { signal, next, query: { workflow_run_id: runId } }),
    columns: [
      { title: "Name", lead: true, cell: (object) => h("a", { class: "name", href: contentOf(object), download: object.filename }, object.filename) },
      { title: "Of a run as", cell: (object) => badge(object.direction, { tone: object.direction === "input" ? "info" : "good" }) },
      { title: "Size", end: true, cell: (object) => bytes(object.size_bytes) },
      { title: "Type", cell: (object) => object.content_type },
      { title: "Run", cell: (object) => (object.workflow_run_id ? h("a", { href: `#/runs/${encodeURIComponent(object.workflow_run_id)}` }, object.workflow_run_id.slice(0, 8)) : "–") },
      { title: "Made", cell: (object) => time(object.created_at) },
      { title: "What to do", acts: true, cell: (object) => h("a", { class: "button quiet small only-icon", href: contentOf(object), download: object.filename, "aria-label": `Download ${object.filename}`, title: "Download" }, icon("download")) },
    ],
    empty: { icon: "box", title: "No files of runs", text: runId ? "This run has none, or they went with it." : "Files that come with a trigger or that a step makes are kept here for as long as their run." },
    filters: h("form", { class: "filters", on: { submit: apply } }, run.node, button("Apply", { type: "submit", icon: "filter" })),
  });
  return [
    pageHead({ title: "Objects", about: "The files of runs: what they were started with, and what they made. They go with their runs. Downloads here need your session; an object’s own link needs nothing, so share it with care." }),
    h("div", { class: "stack" },
      h("div", { class: "figures four" }, figures(usage)),
      byWorkflow(usage.objects),
      panel({ title: "Newest first", flush: true, body: h("div", { class: "corner-acts" }, list.node) })),
  ];
}

const contentOf = (object) => api.url(`/objects/${encodeURIComponent(object.id)}/content`);

function figures({ objects, disk }) {
  const made = (name, value, note) => {
    const one = figure(name);
    one.set(value, note);
    return one.node;
  };
  return [
    made("Files of runs", bytes(objects.size_bytes), count(objects.files, "file")),
    made("Inputs", bytes(objects.input_bytes), "what runs were started with"),
    made("Outputs", bytes(objects.output_bytes), "what they made"),
    made("On the disk", bytes(disk.size_bytes), `${count(disk.files, "file")}, storage and assets too`),
  ];
}

function byWorkflow(objects) {
  if (objects.by_workflow.length === 0) {
    return null;
  }
  const part = (share) => (objects.size_bytes ? share.size_bytes / objects.size_bytes : 0);
  return panel({ title: "By workflow", flush: true, body: h("div", { class: "table-wrap" }, h("table", { class: "list folds" },
    h("caption", { class: "only-heard" }, "Files of runs by workflow"),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Workflow"), h("th", { scope: "col", class: "end" }, "Size"), h("th", { scope: "col", class: "end" }, "Files"), h("th", { scope: "col" }, "Share"))),
    h("tbody", null, objects.by_workflow.map((share) => h("tr", null,
      h("td", { class: "lead name", data: { label: "Workflow" } }, h("a", { href: `#/workflows/${encodeURIComponent(share.workflow_id)}` }, share.workflow_name)),
      h("td", { class: "end number", data: { label: "Size" } }, bytes(share.size_bytes)),
      h("td", { class: "end number", data: { label: "Files" } }, number(share.files)),
      h("td", { data: { label: "Share" } }, h("div", { class: "share" }, h("span", { class: "number small" }, percent(part(share))), shareBar(part(share))))))))) });
}
