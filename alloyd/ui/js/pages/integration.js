// One integration: its workflows with their releases and who is on which, and its installations.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { time } from "../format.js";
import { button, facts, pageHead, panel } from "../parts/basics.js";
import { confirm, formDialog } from "../parts/dialog.js";
import { install, installationList, spreadCell } from "../parts/installation-list.js";
import { menu } from "../parts/menu.js";
import { compareReleases, publishRelease } from "../parts/releases.js";
import { table } from "../parts/table.js";
import { tabs } from "../parts/tabs.js";
import { toast } from "../parts/toast.js";
import { workflowNames } from "../parts/workflow-names.js";
import { go, remember, render } from "../router.js";
import { may } from "../session.js";
import { fieldsOf } from "./integrations.js";

export default async function show({ params, query, signal, title }) {
  const path = `/integrations/${encodeURIComponent(params.id)}`;
  const one = await api.get(path, { signal });
  title(one.name);
  const names = workflowNames(signal);
  names.catch(() => {});
  const view = { path, one, names, signal };
  const shown = tabs([
    { id: "workflows", label: "Workflows", render: () => workflowsTab(view) },
    may("installation.read") && { id: "installations", label: "Installations", render: () => installationsTab(view) },
    { id: "about", label: "About", render: () => aboutTab(one) },
  ].filter(Boolean), { selected: query.get("tab") ?? "workflows", onSelect: (tab) => remember({ tab: tab === "workflows" ? null : tab }) });
  return [
    pageHead({ title: one.name, about: one.description, crumbs: [["Integrations", "#/integrations"]], actions: actionsOf(view) }),
    shown.node,
  ];
}

function actionsOf({ path, one }) {
  if (!may("integration.write")) {
    return [];
  }
  const edit = async () => {
    const changed = await formDialog({ title: `Change “${one.name}”`, fields: fieldsOf(one), submit: (values) => api.patch(path, values) });
    if (changed) {
      render();
    }
  };
  return [
    button("Edit", { icon: "pencil", onClick: edit }),
    menu([icon("dots")], () => [{ label: "Delete…", icon: "trash", danger: true, act: () => remove(path, one) }], { label: "More", atEnd: true, kind: "quiet only-icon" }),
  ];
}

async function remove(path, one) {
  const text = h("div", { class: "stack" },
    h("p", null, "It is not offered any more. Its workflows stay, and whoever has installed one of them keeps it."),
    h("p", { class: "soft" }, "To end what runs, uninstall it first: that cancels its runs."));
  if (await confirm({ title: `Delete “${one.name}”?`, text, label: "Delete", act: () => api.delete(path) })) {
    toast("The integration is deleted.");
    go("/integrations");
  }
}

function workflowsTab({ path, one, names, signal }) {
  const list = table({
    label: "Workflows of the integration",
    key: (each) => each.workflow_id,
    load: (next) => api.page(`${path}/workflows`, { signal, next }),
    columns: [
      { title: "Workflow", lead: true, cell: (each) => h("a", { class: "name", href: `#/workflows/${encodeURIComponent(each.workflow_id)}` }, each.name) },
      { title: "Newest release", cell: (each) => (each.newest_release ? h("span", { class: "mono" }, each.newest_release) : h("span", { class: "soft" }, "a draft")) },
      { title: "Installed at", cell: (each) => spreadCell(each) },
      { title: "Added", cell: (each) => time(each.added_at) },
      { title: "What to do", acts: true, cell: (each) => actsOn(each, { path, names, list, signal }) },
    ],
    empty: { icon: "flow", title: "No workflows in it yet", text: "Add those that your end users may install.", actions: [addButton()] },
  });

  function addButton() {
    return may("integration.write") && button("Add a workflow", { small: true, icon: "plus", onClick: () => add({ path, one, names, list }) });
  }

  const about = h("p", { class: "small soft" }, "Who installs gets the newest release. A newer one moves nobody by itself: installations are upgraded one by one. Only dotted numbers, such as 1.2.0, are releases for end users.");
  return panel({ title: "Workflows", actions: [addButton()], flush: true, body: list.node, footer: about });
}

async function add({ path, one, names, list }) {
  const there = new Set(list.items().map((each) => each.workflow_id));
  const known = [...(await names.catch(() => new Map()))].filter(([id]) => !there.has(id)).sort((a, b) => a[1].localeCompare(b[1]));
  if (known.length === 0) {
    toast(there.size ? "Every workflow is in it." : "There is no workflow yet: make one first.", { tone: "bad" });
    return;
  }
  const added = await formDialog({
    title: `Add a workflow to ${one.name}`,
    label: "Add",
    fields: [{ name: "workflow_id", label: "Workflow", type: "select", options: known, value: known[0][0] }],
    submit: (values) => api.post(`${path}/workflows`, values),
  });
  if (added) {
    list.put(added);
  }
}

function actsOn(each, { path, names, list, signal }) {
  const id = encodeURIComponent(each.workflow_id);
  const refresh = (made) => made && list.reload();
  const items = [
    may("installation.read") && { label: "Who has it", icon: "person", href: `#/installations?workflow=${id}` },
    may("workflow.read") && { label: "Compare releases", icon: "eye", act: () => compareReleases(each.workflow_id, each.name, signal) },
    may("workflow.write") && { label: "Publish a release…", icon: "rocket", act: async () => refresh(await publishRelease(each, signal)) },
    may("installation.write") && each.newest_release && { label: "Install for an end user…", icon: "download", act: async () => refresh(await install({ names, workflows: [[each.workflow_id, each.name]] })) },
    may("integration.write") && { label: "Take out…", icon: "trash", danger: true, act: () => takeOut(each, path, list) },
  ].filter(Boolean);
  return items.length ? menu([icon("dots")], () => items, { label: `What to do with ${each.name}`, atEnd: true, kind: "quiet small only-icon" }) : null;
}

async function takeOut(each, path, list) {
  const act = () => api.delete(`${path}/workflows/${encodeURIComponent(each.workflow_id)}`);
  if (await confirm({ title: `Take “${each.name}” out?`, text: "Nobody can install it from here any more. Who has installed it keeps it.", label: "Take out", act })) {
    list.remove(each.workflow_id);
  }
}

function installationsTab({ one, names, signal }) {
  const list = installationList({ signal, names, query: () => ({ integration_id: one.id }), empty: { icon: "rocket", title: "Nobody has installed anything of it", text: "Your end users install its workflows in your product." } });
  return panel({ title: "Installations", actions: [button("All filters", { small: true, icon: "filter", href: `#/installations?integration=${encodeURIComponent(one.id)}` })], flush: true, body: list.node });
}

function aboutTab(one) {
  return panel({ body: facts([
    ["Id", h("code", null, one.id)],
    ["Category", one.category],
    ["Icon", one.icon_url && h("a", { href: one.icon_url, target: "_blank", rel: "noopener noreferrer" }, one.icon_url)],
    ["Description", one.description],
    ["Made", time(one.created_at)],
    ["Changed", time(one.updated_at)],
  ]) });
}
