// What can be done with an outgoing webhook: its form, its secret, and the menu of both of its pages.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { time } from "../format.js";
import { may } from "../session.js";
import { badge, button, notice } from "./basics.js";
import { secret } from "./copy.js";
import { confirm, dialog, formDialog } from "./dialog.js";
import { menu } from "./menu.js";
import { toast } from "./toast.js";

const HOUR_MS = 3_600_000;
const GRACES = [["0", "At once"], [String(HOUR_MS), "In an hour"], [String(24 * HOUR_MS), "In a day"], [String(7 * 24 * HOUR_MS), "In a week"]];
const REASONS = { failing: "nothing but failures for long", gone: "its server answered 410", backlog: "too many deliveries were waiting", archived: "the organization is archived", by_request: "by hand" };
const KINDS_HINT = "One kind in each line: order.paid, workflow.run.* for all that begin so, or * for everything.";

export const pathOf = (webhook) => `/webhooks/${encodeURIComponent(webhook.id)}`;

/** Its state in words and colour. */
export function stateOf(webhook) {
  if (!webhook.enabled) {
    return h("div", { class: "state-cell" }, badge("disabled"), webhook.disabled_reason && h("span", { class: "small soft" }, REASONS[webhook.disabled_reason] ?? webhook.disabled_reason));
  }
  return webhook.failing_since
    ? h("div", { class: "state-cell" }, badge("failing", { tone: "bad" }), h("span", { class: "small soft" }, "since ", time(webhook.failing_since)))
    : badge("enabled");
}

const fieldsOf = (webhook = {}) => [
  { name: "url", label: "Address", type: "url", required: true, value: webhook.url, placeholder: "https://example.com/hook", hint: "Events are sent there as POST requests, signed with the secret." },
  { name: "events", label: "Events", type: "textarea", required: true, rows: 4, value: (webhook.events ?? []).join("\n"), placeholder: "workflow.run.failed", hint: KINDS_HINT },
  { name: "description", label: "Description", value: webhook.description },
];

const bodyOf = (values) => ({ ...values, events: (values.events ?? "").split(/[\s,]+/).filter(Boolean) });

/** Make one; the webhook, or null. Its secret has been shown then. */
export async function makeWebhook() {
  const made = await formDialog({
    title: "New webhook",
    label: "Make the webhook",
    fields: [...fieldsOf(), { name: "secret", label: "Secret", type: "password", hint: "Empty to have one made. 16 to 256 visible ASCII characters.", autocomplete: "new-password" }],
    submit: (values) => api.post("/webhooks", bodyOf(values)),
  });
  if (made) {
    await showSecret(made);
  }
  return made;
}

function showSecret(webhook) {
  const opened = dialog({
    title: "The webhook’s secret",
    body: [
      notice("warn", "Copy it now: it is not shown again. With it the receiver checks that requests come from here."),
      secret(webhook.secret, "Webhook secret"),
    ],
    footer: [button("Done", { kind: "primary", onClick: () => opened.close() })],
  });
  return opened.closed;
}

/** The menu; `onChange(webhook)` after it has changed, `onGone()` when it is deleted. */
export function webhookMenu(webhook, { onChange, onGone }) {
  if (!may("webhook.write")) {
    return null;
  }
  const items = () => [
    webhook.enabled && { label: "Send a test", icon: "send", act: () => sendTest(webhook, onChange) },
    { label: "Edit…", icon: "pencil", act: () => edit(webhook, onChange) },
    { label: "Replace the secret…", icon: "rotate", act: () => rotate(webhook, onChange) },
    webhook.enabled ? { label: "Disable…", icon: "pause", act: () => disable(webhook, onChange) } : { label: "Enable", icon: "play", act: () => enable(webhook, onChange) },
    { label: "Delete…", icon: "trash", danger: true, act: () => remove(webhook, onGone) },
  ].filter(Boolean);
  return menu([icon("dots")], items, { label: `What to do with ${webhook.url}`, atEnd: true, kind: "quiet small only-icon" });
}

/** Have a `webhook.test` sent to it. */
export async function sendTest(webhook, onChange) {
  try {
    await api.post(`${pathOf(webhook)}/test`);
    toast("A webhook.test is on its way.");
    onChange(webhook);
  } catch (error) {
    toast(error.message, { tone: "bad" });
  }
}

async function edit(webhook, onChange) {
  const next = await formDialog({ title: "Edit the webhook", fields: fieldsOf(webhook), submit: (values) => api.patch(pathOf(webhook), bodyOf(values)) });
  if (next) {
    onChange(next);
    toast("The webhook is changed.");
  }
}

async function rotate(webhook, onChange) {
  const next = await formDialog({
    title: "Replace the secret",
    label: "Make the new secret",
    before: [h("p", null, "A new secret is made. Until the old one ends, requests are signed with both, so that the receiver can change over.")],
    fields: [{ name: "grace_ms", label: "The old secret ends", type: "select", options: GRACES, value: String(24 * HOUR_MS) }],
    submit: (values) => api.post(`${pathOf(webhook)}/rotate-secret`, { grace_ms: Number(values.grace_ms) }),
  });
  if (next) {
    await showSecret(next);
    onChange(next);
  }
}

async function disable(webhook, onChange) {
  let next = null;
  const text = "What is pending for it is cancelled, and events that happen meanwhile are not kept for it.";
  if (await confirm({ title: "Disable the webhook?", text, label: "Disable", act: async () => { next = await api.patch(pathOf(webhook), { enabled: false }); } })) {
    onChange(next);
  }
}

async function enable(webhook, onChange) {
  try {
    onChange(await api.patch(pathOf(webhook), { enabled: true }));
    toast("The webhook is enabled.");
  } catch (error) {
    toast(error.message, { tone: "bad" });
  }
}

async function remove(webhook, onGone) {
  const text = "What is pending for it is cancelled, and its log is no more to be seen. This can’t be undone.";
  if (await confirm({ title: "Delete the webhook?", text, label: "Delete", act: () => api.delete(pathOf(webhook)) })) {
    toast("The webhook is deleted.");
    onGone();
  }
}
