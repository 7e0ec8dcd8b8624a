// Every end user's copies of workflows.

import { api } from "../api.js";
import { h } from "../dom.js";
import { button, pageHead, panel } from "../parts/basics.js";
import { fieldOf } from "../parts/form.js";
import { install, installationList } from "../parts/installation-list.js";
import { workflowNames } from "../parts/workflow-names.js";
import { remember } from "../router.js";
import { may } from "../session.js";

const STATES = [["", "Any state"], ["true", "Active"], ["false", "Inactive"]];
const PAGE = 200;

export default async function show({ query, signal }) {
  const names = workflowNames(signal);
  names.catch(() => {});
  const integrations = may("integration.read") ? await integrationNames(signal) : [];
  const wanted = Object.fromEntries(["user", "integration", "workflow", "active"].map((name) => [name, query.get(name) ?? ""]));
  const fields = [
    fieldOf({ name: "user", label: "End user", type: "search", value: wanted.user, placeholder: "Username or id", plain: true }),
    fieldOf({ name: "integration", label: "Integration", type: "select", options: [["", "Any integration"], ...integrations], value: wanted.integration }),
    fieldOf({ name: "workflow", label: "Workflow", type: "select", options: [["", "Any workflow"]], value: "" }),
    fieldOf({ name: "active", label: "State", type: "select", options: STATES, value: wanted.active }),
  ];
  fillWorkflows(fields[2].control, names, wanted.workflow);
  const list = installationList({
    signal,
    names,
    query: () => ({ end_user_id: wanted.user, integration_id: wanted.integration, workflow_id: wanted.workflow, active: wanted.active }),
    filters: h("form", { class: "filters", role: "search", on: { submit: apply } }, fields.map((field) => field.node), button("Apply", { type: "submit", icon: "filter" })),
    empty: { icon: "rocket", title: "No installations here", text: "An end user installs a workflow in your product, or you do it for them here. Or choose other filters." },
  });
  for (const field of fields.slice(1)) {
    field.control.addEventListener("change", apply);
  }

  function apply(event) {
    event.preventDefault();
    for (const field of fields) {
      wanted[field.name] = field.read() ?? "";
    }
    remember(wanted);
    return list.reload();
  }

  const create = may("installation.write") && button("Install", { kind: "primary", icon: "plus", onClick: async () => {
    const made = await install({ names });
    if (made) {
      list.put(made);
    }
  } });
  return [
    pageHead({ title: "Installations", about: "Every end user’s copies of workflows: at which release, and whether their events start them.", actions: [create] }),
    panel({ flush: true, body: list.node }),
  ];
}

/** [id, name] of the newest integrations. */
export async function integrationNames(signal) {
  const { items } = await api.page("/integrations", { query: { limit: PAGE }, signal });
  return items.map((each) => [each.id, each.name]);
}

async function fillWorkflows(control, names, chosen) {
  const known = await names.catch(() => new Map());
  if (chosen && !known.has(chosen)) {
    control.append(h("option", { value: chosen }, `${chosen.slice(0, 8)}…`));
  }
  control.append(...[...known].sort((a, b) => a[1].localeCompare(b[1])).map(([id, name]) => h("option", { value: id }, name)));
  control.value = chosen;
}
