// What is offered to end users, grouped by app.

import { api } from "../api.js";
import { h } from "../dom.js";
import { time } from "../format.js";
import { button, pageHead, panel, tag } from "../parts/basics.js";
import { formDialog } from "../parts/dialog.js";
import { table } from "../parts/table.js";
import { go } from "../router.js";
import { may } from "../session.js";

/** The page of an integration. */
export const integrationHref = (id) => `#/integrations/${encodeURIComponent(id)}`;

/** What may be said of one. The slug is in its id, and so stays. */
export const fieldsOf = (one = null) => [
  { name: "name", label: "Name", required: true, value: one?.name, hint: "Such as Shopify." },
  !one && { name: "slug", label: "Short name", required: true, hint: "Lower case letters, digits and hyphens. It stays, for the id is made of it.", placeholder: "shopify" },
  { name: "category", label: "Category", value: one?.category, hint: "Such as E-Commerce." },
  { name: "icon_url", label: "Icon", type: "url", value: one?.icon_url, hint: "The https address of a picture, for your own product to show." },
  { name: "description", label: "Description", value: one?.description },
].filter(Boolean);

export default function show({ signal }) {
  const list = table({
    label: "Integrations",
    load: (next) => api.page("/integrations", { signal, next }),
    columns: [
      { title: "Name", lead: true, cell: (one) => [h("a", { class: "name", href: integrationHref(one.id) }, one.name), one.description && h("span", { class: "sub" }, one.description)] },
      { title: "Id", cell: (one) => h("code", null, one.id) },
      { title: "Category", cell: (one) => one.category && tag(one.category) },
      { title: "Made", cell: (one) => time(one.created_at) },
      { title: "Changed", cell: (one) => time(one.updated_at) },
    ],
    empty: { icon: "plug", title: "No integrations yet", text: "An integration groups the workflows around one app, such as Shopify, which your end users install in your product.", actions: [createButton()] },
  });

  function createButton() {
    return may("integration.write") && button("New integration", { kind: "primary", icon: "plus", onClick: create });
  }

  async function create() {
    const made = await formDialog({
      title: "New integration",
      label: "Make the integration",
      fields: fieldsOf(),
      submit: (values) => api.post("/integrations", values),
    });
    if (made) {
      go(`/integrations/${encodeURIComponent(made.id)}`);
    }
  }

  return [
    pageHead({ title: "Integrations", about: "The workflows that you offer to your end users, grouped by app.", actions: [createButton()] }),
    panel({ flush: true, body: list.node }),
  ];
}
