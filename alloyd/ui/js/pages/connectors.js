// The applications that steps and teammates can act in.

import { api } from "../api.js";
import { h } from "../dom.js";
import { button, pageHead, panel, tag } from "../parts/basics.js";
import { formDialog } from "../parts/dialog.js";
import { table } from "../parts/table.js";
import { go } from "../router.js";
import { may } from "../session.js";

const SAMPLE = {
  name: "own-crm",
  title: "CRM",
  reference: "https://crm.example.com/docs",
  base_url: "https://api.crm.example.com/v1",
  auth: [{ kind: "bearer" }],
  actions: [{ key: "list_deals", title: "List deals", method: "GET", path: "/deals", parameters: { limit: { type: "integer", in: "query" } } }],
};
const KINDS = { api_key: "API key", bearer: "token", basic: "username and password", oauth2: "OAuth 2" };

/** The ways to prove who one is, in words. */
export const waysOf = (connector) => (connector.auth.length ? h("span", { class: "row" }, connector.auth.map((kind) => tag(KINDS[kind] ?? kind))) : h("span", { class: "soft" }, "none"));

/** Ask for the definition of one of the organization's own connectors; the connector, or null. */
export const writeConnector = (definition = null) => formDialog({
  title: definition ? `Change ${definition.name}` : "New connector",
  large: true,
  label: "Save",
  before: [h("p", { class: "soft" }, "A connector is an application’s actions as data: where it is reached, how one proves who one is, what it can be asked to do. Its name begins with own-.")],
  fields: [{ name: "definition", label: "Definition", type: "json", required: true, rows: 18, value: definition ?? SAMPLE }],
  submit: (values) => api.post("/connectors", values),
});

export default function show({ signal }) {
  const list = table({
    label: "Connectors",
    load: (next) => api.page("/connectors", { signal, next }),
    columns: [
      { title: "Application", lead: true, cell: (one) => [h("a", { class: "name", href: `#/connectors/${encodeURIComponent(one.id)}` }, one.title), one.description && h("span", { class: "sub" }, one.description)] },
      { title: "Signs in with", cell: waysOf },
      { title: "Actions", end: true, cell: (one) => one.actions.length },
      { title: "From", cell: (one) => (one.organization_id ? tag("your own") : h("span", { class: "soft" }, "alloyd")) },
    ],
  });
  const create = async () => {
    const made = await writeConnector();
    if (made) {
      go(`/connectors/${encodeURIComponent(made.id)}`);
    }
  };
  return [
    pageHead({
      title: "Connectors",
      about: "The applications that steps and teammates can act in, with each action that they take.",
      actions: [may("connector.write") && button("New connector", { kind: "primary", icon: "plus", onClick: create })],
    }),
    panel({ flush: true, body: list.node }),
  ];
}
