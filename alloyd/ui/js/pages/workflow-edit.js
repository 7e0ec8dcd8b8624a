// The editor of a definition: YAML or JSON, with what publishing would say at the line it is about, and the graph beside it.

import { api, isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { count } from "../format.js";
import { badge, button, empty, pageHead, panel } from "../parts/basics.js";
import { graph } from "../parts/graph.js";
import { linedEditor } from "../parts/lined-editor.js";
import { toast } from "../parts/toast.js";
import { go } from "../router.js";

const TYPED_MS = 500;
const EXAMPLE = `name: my-workflow
description: Greets whoever starts it.
payload_schema:
  type: object
  required: [name]
  properties:
    name: {type: string, title: Name, description: Who is greeted}
nodes:
  - key: greet
    operation: transform
    config:
      values:
        greeting: Hello, {{ trigger.name }}!
  - key: finish
    operation: workflow.finish
    depends_on: [greet]
    config:
      output: "{{ steps.greet.output }}"
`;

export default async function show({ params, signal, title }) {
  const path = params.id ? `/workflow-definitions/${encodeURIComponent(params.id)}` : null;
  const [workflow, told] = path ? await Promise.all([api.get(path, { signal }), api.get(`${path}/text`, { signal })]) : [null, { text: EXAMPLE }];
  title(workflow ? `Edit ${workflow.name}` : "New workflow");
  const view = { workflow, signal, first: told.text, turn: 0, timer: null };
  view.editor = linedEditor({ label: "Definition", value: told.text, onInput: () => later(view) });
  view.state = h("span", { class: "row", role: "status" });
  view.faults = h("ul", { class: "faults", role: "list" });
  view.drawing = h("div");
  view.of = h("span", { class: "small soft" });
  view.save = button("Publish", { kind: "primary", icon: "check", onClick: () => save(view) });
  addEventListener("beforeunload", (event) => { if (isChanged(view)) { event.preventDefault(); } }, { signal });
  check(view);
  return [
    pageHead({
      title: workflow ? `Edit “${workflow.name}”` : "New workflow",
      about: "YAML or JSON. It is checked while you write; publishing makes a new version, and runs under way stay on theirs.",
      crumbs: [["Workflows", "#/workflows"], workflow && [workflow.name, `#/workflows/${encodeURIComponent(workflow.id)}`]].filter(Boolean),
      actions: [button("Operations", { icon: "book", href: "/docs#/control/get_v1_operations", title: "What steps can do" }), view.save],
    }),
    h("div", { class: "split" },
      panel({ title: "Definition", actions: [view.state], body: h("div", { class: "stack" }, view.editor.node, view.faults) }),
      panel({ title: "Graph", actions: [view.of], flush: true, body: view.drawing })),
  ];
}

const isChanged = (view) => view.editor.value() !== view.first;

function later(view) {
  clearTimeout(view.timer);
  put(view.state, badge("pending", { label: "changed" }));
  view.timer = setTimeout(() => check(view), TYPED_MS);
}

/** Ask what publishing would say; the answer, or null when it was overtaken. */
async function check(view) {
  clearTimeout(view.timer);
  const mine = (view.turn += 1);
  try {
    const read = await api.post("/workflow-definitions/read", { text: view.editor.value() }, { signal: view.signal });
    if (mine !== view.turn) {
      return null;
    }
    tell(view, read);
    return read;
  } catch (error) {
    if (!isAbort(error) && mine === view.turn) {
      tell(view, { valid: false, definition: null, graph: null, faults: [{ path: "", message: error.message, line: null }] });
    }
    return null;
  }
}

function tell(view, read) {
  const draft = read.valid && !read.graph;
  put(view.state, read.valid ? badge(draft ? "draft" : "sound", { tone: draft ? "warn" : "good", label: draft ? "a draft" : "ready to publish" }) : badge("faulty", { tone: "bad", label: count(read.faults.length, "fault") }));
  const faults = [...read.faults].sort((a, b) => (a.line ?? 0) - (b.line ?? 0));
  view.editor.mark(faults);
  put(view.faults, faults.map((fault) => faultOf(view, fault)));
  put(view.of, faults.length > 0 && "of the last text without faults");
  view.save.querySelector(".label").textContent = draft ? "Save the draft" : "Publish";
  if (read.graph) {
    put(view.drawing, graph(read.graph, { label: "Graph", onOpen: (id) => find(view, id) }).node);
  } else if (read.valid) {
    put(view.drawing, empty({ icon: "flow", title: "A draft", text: "Nothing starts it until it has steps; the flow form needs a starting_step_id as well." }));
  } else if (!view.drawing.firstChild) {
    put(view.drawing, empty({ icon: "flow", title: "No graph yet", text: "It is drawn as soon as the definition is sound." }));
  }
}

function faultOf(view, fault) {
  const where = [fault.line && `line ${fault.line}`, fault.path].filter(Boolean).join(" · ");
  return h("li", null,
    fault.line ? h("button", { type: "button", class: "as-link where", on: { click: () => view.editor.goTo(fault.line) } }, where) : where && h("span", { class: "where" }, where),
    h("span", null, fault.message));
}

/** Go to the line where a step begins. */
function find(view, id) {
  const key = id.slice(id.lastIndexOf("/") + 1).replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const lines = view.editor.value().split("\n");
  const at = lines.findIndex((line) => new RegExp(`^\\s*(?:-\\s*)?(?:[{]?\\s*"?key"?:\\s*["']?${key}["']?\\s*(?:,|}|$)|"?${key}"?:)`).test(line));
  if (at >= 0) {
    view.editor.goTo(at + 1);
  }
}

async function save(view) {
  const read = await check(view);
  if (!read) {
    return;
  }
  if (!read.valid) {
    view.faults.querySelector("button")?.focus();
    toast(`It can’t be published: ${count(read.faults.length, "fault")}.`, { tone: "bad" });
    return;
  }
  if (view.workflow && read.definition.name !== view.workflow.name) {
    tell(view, { ...read, valid: false, faults: [{ path: "name", line: 1, message: `The name is the workflow's own: with another one a new workflow would be made. Write ${view.workflow.name}, or make a new workflow.` }] });
    return;
  }
  try {
    const saved = await api.post("/workflow-definitions", read.definition, { signal: view.signal });
    view.first = view.editor.value();
    toast(saved.changed ? `Version ${saved.version} is ${saved.status === "draft" ? "saved" : "published"}.` : "Nothing has changed.");
    go(`/workflows/${encodeURIComponent(saved.id)}`);
  } catch (error) {
    const faults = Array.isArray(error.details) ? error.details : [{ path: error.field ?? "", message: error.message }];
    tell(view, { ...read, valid: false, faults: faults.map((fault) => ({ line: null, ...fault })) });
    view.editor.control.focus();
  }
}
