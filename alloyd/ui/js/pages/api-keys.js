// API keys: make one and see it once, rotate, disable, revoke.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { time } from "../format.js";
import { badge, button, notice, pageHead, panel, tag } from "../parts/basics.js";
import { secret } from "../parts/copy.js";
import { confirm, dialog, formDialog } from "../parts/dialog.js";
import { menu } from "../parts/menu.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { may, organization, session } from "../session.js";

const RANKS = ["viewer", "member", "admin", "owner"];
const SCOPES = [
  ["control", "control: the whole /v1"],
  ["private", "private: files and triggers"],
  ["embedded", "embedded: end users"],
];
const DAY_MS = 86_400_000;
const LIVES = [["", "Never"], ["7", "In 7 days"], ["30", "In 30 days"], ["90", "In 90 days"], ["365", "In a year"]];
const GRACES = [["0", "At once"], [String(3_600_000), "In an hour"], [String(DAY_MS), "In a day"], [String(7 * DAY_MS), "In a week"]];

export default function show({ signal }) {
  const list = table({
    label: "API keys",
    load: (next) => api.page("/api-keys", { signal, next }),
    columns: [
      { title: "Name", lead: true, cell: (key) => [h("span", { class: "name" }, key.name), h("span", { class: "sub mono" }, `alloy_${key.prefix.replace(/^alloy_/, "")}…`)] },
      { title: "State", cell: (key) => badge(key.status) },
      { title: "Role", cell: (key) => tag(key.role) },
      { title: "Opens", cell: (key) => (key.teammate_id ? "one teammate’s channel" : key.scopes.join(", ")) },
      { title: "Made", cell: (key) => time(key.created_at) },
      { title: "Last used", cell: (key) => (key.last_used_at ? time(key.last_used_at) : h("span", { class: "soft" }, "never")) },
      { title: "Ends", cell: (key) => (key.expires_at ? time(key.expires_at) : h("span", { class: "soft" }, "–")) },
      { title: "What to do", acts: true, cell: (key) => acts(key, list) },
    ],
    empty: { icon: "key", title: "No keys yet", text: "Programs call alloyd with a key. It is shown once, when it is made." },
  });
  const create = may("api_key.create") && button("New key", { kind: "primary", icon: "plus", onClick: () => makeKey(list, signal) });
  return [
    pageHead({ title: "API keys", about: "What programs call alloyd with. A key acts for this organization, with a role and for what its scopes open.", actions: [create] }),
    panel({ flush: true, body: list.node }),
  ];
}

async function makeKey(list, signal) {
  const ranks = RANKS.slice(0, RANKS.indexOf(organization()?.role ?? "viewer") + 1);
  const teams = await choices(`/organizations/${encodeURIComponent(session().organization_id)}/teams`, "team.read", signal);
  const teammates = await choices("/teammates", "teammate.read", signal);
  const issued = await formDialog({
    title: "New API key",
    label: "Make the key",
    fields: [
      { name: "name", label: "Name", required: true, hint: "What it is for, such as “nightly import”." },
      { name: "scopes", label: "Opens", type: "checks", options: SCOPES, value: ["control", "private"], optional: false },
      { name: "role", label: "Role", type: "select", options: ranks, value: ranks.includes("member") ? "member" : ranks[0] },
      { name: "days", label: "Ends", type: "select", options: LIVES, value: "" },
      teams.length > 0 && { name: "team_id", label: "Acts for a team", type: "select", options: [["", "The whole organization"], ...teams], value: "" },
      teammates.length > 0 && { name: "teammate_id", label: "Only for a teammate’s channel", type: "select", options: [["", "No: for what is chosen above"], ...teammates], value: "" },
      { name: "description", label: "Description" },
    ].filter(Boolean),
    submit: ({ days, scopes, ...values }) => api.post("/api-keys", {
      ...values,
      ...(values.teammate_id ? {} : { scopes }),
      expires_at: days ? new Date(Date.now() + Number(days) * DAY_MS).toISOString() : null,
    }),
  });
  if (issued) {
    list.put(issued);
    await showOnce(issued);
  }
}

/** [id, name] of what may be chosen; nothing where the API has none of it, or the user may not see it. */
async function choices(path, action, signal) {
  if (!may(action)) {
    return [];
  }
  const page = await api.page(path, { signal, query: { limit: 200 } }).catch(() => ({ items: [] }));
  return page.items.map((each) => [each.id, each.name]);
}

/** The raw key, this once. */
export function showOnce(issued) {
  const opened = dialog({
    title: `The key “${issued.name}”`,
    body: [
      notice("warn", "Copy it now. It is not stored, and nobody can show it again."),
      secret(issued.key, "API key"),
    ],
    footer: [button("Done", { kind: "primary", onClick: () => opened.close() })],
  });
  return opened.closed;
}

function acts(key, list) {
  if (key.status === "revoked" || key.status === "expired") {
    return null;
  }
  const items = [
    may("api_key.rotate") && key.status === "active" && { label: "Rotate…", icon: "rotate", act: () => rotate(key, list) },
    may("api_key.disable") && key.status === "active" && { label: "Disable…", icon: "pause", act: () => disable(key, list) },
    may("api_key.revoke") && { label: "Revoke…", icon: "trash", danger: true, act: () => revoke(key, list) },
  ].filter(Boolean);
  return items.length ? menu([icon("dots")], () => items, { label: `What to do with ${key.name}`, atEnd: true, kind: "quiet small only-icon" }) : null;
}

async function rotate(key, list) {
  const issued = await formDialog({
    title: `Rotate “${key.name}”`,
    label: "Make the new key",
    before: [h("p", null, "A new key like this one is made. The old one ends when you say.")],
    fields: [{ name: "grace_ms", label: "The old key ends", type: "select", options: GRACES, value: "0" }],
    submit: ({ grace_ms: grace }) => api.post(`/api-keys/${encodeURIComponent(key.id)}/rotate`, { grace_ms: Number(grace) }),
  });
  if (issued) {
    await list.reload();
    await showOnce(issued);
  }
}

async function disable(key, list) {
  const text = "Whatever calls with it is refused at once, and open streams close. A disabled key can't be enabled again, only revoked.";
  if (await confirm({ title: `Disable “${key.name}”?`, text, label: "Disable", act: async () => list.put(await api.post(`/api-keys/${encodeURIComponent(key.id)}/disable`)) })) {
    toast("The key is disabled.");
  }
}

async function revoke(key, list) {
  const text = "Whatever calls with it is refused at once, and open streams close. This can't be undone.";
  if (await confirm({ title: `Revoke “${key.name}”?`, text, label: "Revoke", act: async () => list.put(await api.delete(`/api-keys/${encodeURIComponent(key.id)}`)) })) {
    toast("The key is revoked.");
  }
}
