// One connector: how it is reached, and each of its actions with what it takes.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { time } from "../format.js";
import { button, facts, pageHead, panel, tag } from "../parts/basics.js";
import { jsonBlock } from "../parts/code.js";
import { newCredential } from "../parts/credential-form.js";
import { confirm, dialog } from "../parts/dialog.js";
import { fieldOf } from "../parts/form.js";
import { menu } from "../parts/menu.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { go, render } from "../router.js";
import { may } from "../session.js";
import { waysOf, writeConnector } from "./connectors.js";

export default async function show({ params, signal, title }) {
  const one = await api.get(`/connectors/${encodeURIComponent(params.id)}`, { signal });
  title(one.title);
  const settings = Object.entries(one.definition.settings ?? {});
  return [
    pageHead({ title: one.title, about: one.description, crumbs: [["Connectors", "#/connectors"]], actions: actionsOf(one, signal) }),
    h("div", { class: "stack" },
      panel({ title: "About", body: facts([
        ["Name", h("code", null, one.name)],
        ["Reference", outside(one.reference, one.reference)],
        ["Reached at", h("code", null, one.base_url)],
        ["Signs in with", waysOf(one)],
        ["Asks for", settings.length ? h("ul", null, settings.map(([name, setting]) => h("li", null, h("code", null, name), ": ", setting.title))) : null],
        ["From", one.organization_id ? "your organization" : "alloyd"],
        ["Changed", one.updated_at ? time(one.updated_at) : null],
      ]) }),
      actionList(one)),
  ];
}

/** A link that leaves the page, in a tab of its own. */
const outside = (href, ...label) => h("a", { href, target: "_blank", rel: "noopener noreferrer" }, label);

function actionsOf(one, signal) {
  const connect = () => newCredential({ connectors: [one], signal, made: () => toast("The credential is made.") });
  const items = [
    { label: "Change…", icon: "pencil", act: async () => (await writeConnector(one.definition)) && render() },
    { label: "Delete…", icon: "trash", danger: true, act: () => remove(one) },
  ];
  return [
    may("credential.read") && button("Credentials", { icon: "lock", href: `#/credentials?connector=${encodeURIComponent(one.name)}` }),
    may("credential.write") && one.auth.length > 0 && button("New credential", { kind: "primary", icon: "plus", onClick: connect }),
    may("connector.write") && one.organization_id && menu([icon("dots")], () => items, { label: "More", atEnd: true, kind: "quiet only-icon" }),
  ];
}

async function remove(one) {
  const text = "Steps that use it fail from now on. While it has credentials it can’t be deleted.";
  if (await confirm({ title: `Delete “${one.title}”?`, text, label: "Delete", act: () => api.delete(`/connectors/${encodeURIComponent(one.id)}`) })) {
    toast("The connector is deleted.");
    go("/connectors");
  }
}

function actionList(one) {
  const search = fieldOf({ name: "q", label: "Search", type: "search", placeholder: "Part of its name", plain: true });
  const matching = () => {
    const part = (search.read() ?? "").toLowerCase();
    return one.action_schemas.filter((action) => `${action.key} ${action.title} ${action.description}`.toLowerCase().includes(part));
  };
  const list = table({
    label: "Actions",
    key: (action) => action.key,
    load: async () => ({ items: matching(), next: null }),
    columns: [
      { title: "Action", lead: true, cell: (action) => [h("span", { class: "name" }, action.title), h("span", { class: "sub mono" }, action.key)] },
      { title: "Request", cell: (action) => [tag(action.method), " ", h("code", null, action.path)] },
      { title: "Takes", cell: (action) => paramsOf(action) },
      { title: "What to do", acts: true, cell: (action) => h("span", { class: "row" },
        action.reference && h("a", { class: "button quiet small only-icon", href: action.reference, target: "_blank", rel: "noopener noreferrer", "aria-label": `Reference of ${action.title}`, title: "Reference" }, icon("external")),
        button("Details", { small: true, kind: "quiet", onClick: () => openAction(one, action) })) },
    ],
    filters: h("div", { class: "filters" }, search.node),
    empty: { icon: "search", title: "No such action" },
  });
  search.control.addEventListener("input", () => list.reload());
  return panel({ title: "Actions", flush: true, body: list.node });
}

function paramsOf(action) {
  const required = new Set(action.params.required ?? []);
  const names = Object.keys(action.params.properties ?? {});
  const first = names.filter((name) => required.has(name));
  const others = names.length - first.length;
  return [first.map((name) => [h("code", null, name), " "]), others > 0 && h("span", { class: "soft small" }, first.length ? `and ${others} more` : `${others}, none needed`)];
}

function openAction(one, action) {
  const step = { key: "step", operation: "connector.action", config: { connector: one.name, action: action.key, params: sampleOf(action.params) } };
  dialog({ title: action.title, large: true, body: [
    action.description && h("p", null, action.description),
    facts([
      ["Action", h("code", null, action.key)],
      ["Request", h("span", null, tag(action.method), " ", h("code", null, action.path))],
      ["Pages", action.pages ? "its answer is a list that goes on: page_all fetches all" : null],
      ["Reference", action.reference ? outside(action.reference, action.reference) : null],
    ]),
    jsonBlock(step, { label: "As a step", titled: true }),
    jsonBlock(action.params, { label: "What it takes", titled: true }),
  ] });
}

/** What is needed, with a stand-in for each. */
const sampleOf = (schema) => Object.fromEntries((schema.required ?? []).map((name) => [name, { string: "…", integer: 1, number: 1, boolean: true, array: [], object: {} }[schema.properties?.[name]?.type] ?? "…"]));
