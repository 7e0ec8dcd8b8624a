// Outgoing webhooks: which events are sent where.

import { api } from "../api.js";
import { h } from "../dom.js";
import { time } from "../format.js";
import { button, pageHead, panel, tag } from "../parts/basics.js";
import { table } from "../parts/table.js";
import { makeWebhook, stateOf, webhookMenu } from "../parts/webhook-acts.js";
import { may } from "../session.js";

export default function show({ signal }) {
  const list = table({
    label: "Webhooks",
    load: (next) => api.page("/webhooks", { signal, next }),
    columns: [
      { title: "Address", lead: true, cell: (webhook) => [h("a", { href: `#/webhooks/${encodeURIComponent(webhook.id)}` }, webhook.url), webhook.description && h("span", { class: "sub" }, webhook.description)] },
      { title: "State", cell: stateOf },
      { title: "Events", cell: (webhook) => h("div", { class: "event-kinds" }, webhook.events.map(tag)) },
      { title: "Made", cell: (webhook) => time(webhook.created_at) },
      { title: "What to do", acts: true, cell: (webhook) => webhookMenu(webhook, { onChange: (next) => list.put(next), onGone: () => list.remove(webhook.id) }) },
    ],
    empty: { icon: "webhook", title: "No webhooks yet", text: "A webhook tells a server of yours what happens here: runs that end, files that come, jobs that fail." },
  });
  const create = may("webhook.write") && button("New webhook", { kind: "primary", icon: "plus", onClick: async () => {
    const made = await makeWebhook();
    if (made) {
      list.put(made);
    }
  } });
  return [
    pageHead({ title: "Webhooks", about: "Events that are sent to other servers, signed, and again until they are taken.", actions: [create] }),
    panel({ flush: true, body: list.node }),
  ];
}
