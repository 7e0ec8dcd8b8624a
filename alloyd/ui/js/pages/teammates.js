// The organization's AI teammates.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { count, time } from "../format.js";
import { badge, button, pageHead, panel } from "../parts/basics.js";
import { confirm } from "../parts/dialog.js";
import { menu } from "../parts/menu.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { go } from "../router.js";
import { may } from "../session.js";
import { modelText } from "../teammates/form.js";

export default function show({ signal }) {
  const create = () => may("teammate.write") && button("New teammate", { kind: "primary", icon: "plus", href: "#/teammates/new" });
  const list = table({
    label: "Teammates",
    load: (next) => api.page("/teammates", { signal, next }),
    columns: [
      { title: "Name", lead: true, cell: (each) => [h("a", { class: "name", href: hrefOf(each) }, each.name), each.role && h("span", { class: "sub" }, each.role)] },
      { title: "Model", cell: (each) => modelText(each) },
      { title: "Channel", cell: (each) => channelBadge(each.channel) },
      { title: "Tools", cell: (each) => toolsText(each) },
      { title: "Last talked to", cell: (each) => (each.last_message_at ? time(each.last_message_at) : h("span", { class: "soft" }, "never")) },
      { title: "What to do", acts: true, cell: (each) => acts(each, list) },
    ],
    empty: { icon: "robot", title: "No teammates yet", text: "An AI teammate has a role, instructions and tools. You talk to it here, workflows ask it, and other systems do by its API.", actions: [create()] },
  });
  return [
    pageHead({ title: "Teammates", about: "AI workers of this organization: each with its own instructions, tools and rights, and no more than those.", actions: [create()] }),
    panel({ flush: true, body: list.node }),
  ];
}

const hrefOf = (each, tab) => `#/teammates/${encodeURIComponent(each.id)}${tab ? `?tab=${tab}` : ""}`;

export const channelBadge = (channel) => badge(channel, { tone: channel === "none" ? "" : "good", label: { none: "no channel", webchat: "web chat", api: "API" }[channel] ?? channel });

function toolsText({ tools, storage }) {
  const folders = new Set([...storage.read, ...storage.write]).size;
  const told = [tools.length > 0 && count(tools.length, "tool"), folders > 0 && count(folders, "folder")].filter(Boolean);
  return told.length ? told.join(", ") : h("span", { class: "soft" }, "none");
}

function acts(each, list) {
  const items = [
    { label: "Talk", icon: "chat", href: hrefOf(each) },
    may("teammate.write") && { label: "Change…", icon: "pencil", href: hrefOf(each, "settings") },
    may("teammate.write") && { label: "Delete…", icon: "trash", danger: true, act: async () => { if (await deleteTeammate(each)) { list.remove(each.id); } } },
  ].filter(Boolean);
  return menu([icon("dots")], () => items, { label: `What to do with ${each.name}`, atEnd: true, kind: "quiet small only-icon" });
}

/** Ask, and delete; whether it is gone. */
export async function deleteTeammate(each) {
  const text = "Its conversations and its workflow are deleted, and the keys that are bound to it are revoked at once. This can't be undone.";
  const gone = await confirm({ title: `Delete “${each.name}”?`, text, label: "Delete", act: () => api.delete(`/teammates/${encodeURIComponent(each.id)}`) });
  if (gone) {
    toast("The teammate is deleted.");
  }
  return gone;
}

/** After it is made: to its page. */
export const open = (each) => go(`/teammates/${encodeURIComponent(each.id)}`);
