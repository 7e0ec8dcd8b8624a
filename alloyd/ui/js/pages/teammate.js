// One teammate: talk to it, its API while the channel is open, and its settings.

import { api, isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { follow } from "../live.js";
import { badge, button, failure, facts, notice, pageHead, panel, tag } from "../parts/basics.js";
import { tabs } from "../parts/tabs.js";
import { toast } from "../parts/toast.js";
import { go, remember } from "../router.js";
import { may } from "../session.js";
import { channelTab } from "../teammates/channel.js";
import { chatTab } from "../teammates/chat.js";
import { modelText, teammateForm } from "../teammates/form.js";
import { channelBadge, deleteTeammate } from "./teammates.js";

export default async function show({ params, query, signal, title }) {
  const path = `/teammates/${encodeURIComponent(params.id)}`;
  let teammate = await api.get(path, { signal });
  let selected = query.get("tab") ?? "chat";
  const made = new Map();
  const ending = new Map();
  const head = h("div");
  const place = h("div");

  /** A tab is made once, and stays while others are looked at; what it follows ends when it is taken away. */
  function keep(id, make) {
    if (!made.has(id)) {
      const control = new AbortController();
      ending.set(id, control);
      made.set(id, make(AbortSignal.any([signal, control.signal])));
    }
    return made.get(id);
  }

  function drop(id) {
    ending.get(id)?.abort();
    ending.delete(id);
    made.delete(id);
  }

  function draw() {
    const focused = place.contains(document.activeElement) ? document.activeElement : null;
    title(teammate.name);
    put(head, pageHead({
      title: teammate.name,
      about: h("span", { class: "row" }, channelBadge(teammate.channel), tag(modelText(teammate)), teammate.role),
      crumbs: [["Teammates", "#/teammates"]],
    }));
    const parts = [
      { id: "chat", label: "Chat", render: () => keep("chat", (own) => chatTab(teammate, { signal: own, conversation: query.get("conversation") })) },
      teammate.channel === "api" && { id: "api", label: "API", render: () => keep("api", (own) => channelTab(teammate, own)) },
      { id: "settings", label: "Settings", render: () => keep("settings", settings) },
    ].filter(Boolean);
    if (!parts.some((part) => part.id === selected)) {
      selected = "chat";
    }
    put(place, tabs(parts, { selected, label: `Parts of ${teammate.name}`, onSelect: (id) => {
      selected = id;
      remember({ tab: id });
    } }).node);
    requestAnimationFrame(() => { if (focused?.isConnected) { focused.focus({ preventScroll: true }); } });
  }

  function adopt(next) {
    const before = teammate;
    teammate = next;
    if (before.name !== next.name) {
      drop("chat");
    }
    if (before.channel !== next.channel) {
      drop("api");
    }
    if (["name", "role", "channel", "provider", "model", "tier"].some((field) => before[field] !== next[field])) {
      draw();
    }
  }

  async function settings() {
    if (!may("teammate.write")) {
      return panel({ body: told(teammate) });
    }
    const form = await teammateForm(teammate, { signal, label: "Save", done: (saved) => {
      adopt(saved);
      toast("Saved. It holds from the next message on.");
    } }).catch((error) => failure(error, () => { drop("settings"); draw(); }));
    return h("div", { class: "stack" },
      panel({ body: h("div", { class: "narrow" }, form) }),
      panel({ title: "Delete", body: h("div", { class: "row spread" },
        h("p", null, "Its conversations and its workflow go with it, and its keys end."),
        button("Delete this teammate", { kind: "danger", icon: "trash", onClick: async () => { if (await deleteTeammate(teammate)) { go("/teammates"); } } })) }));
  }

  follow({ kinds: ["teammate.updated", "teammate.deleted"], signal, onEvents: async (events) => {
    const ours = events.filter((event) => event.subject === teammate.id);
    if (ours.some((event) => event.kind === "teammate.deleted")) {
      put(place, notice("warn", "This teammate was deleted."));
    } else if (ours.length) {
      try {
        const next = await api.get(path, { signal });
        if (selected !== "settings" && next.updated_at !== teammate.updated_at) {
          drop("settings"); // made anew, with what is so now
        }
        adopt(next);
      } catch (error) {
        if (!isAbort(error)) {
          put(place, failure(error, draw));
        }
      }
    }
  } });
  draw();
  return [head, place];
}

function told(teammate) {
  return facts([
    ["Role", teammate.role || null],
    ["Instructions", teammate.instructions ? h("div", { class: "words" }, teammate.instructions) : null],
    ["Model", modelText(teammate)],
    ["Tools", teammate.tools.length ? h("span", { class: "row" }, teammate.tools.map((tool) => tag(tool.workflow ?? `${tool.connector}: ${tool.action}`))) : "none"],
    ["May read", teammate.storage.read.join(", ") || "nothing"],
    ["May write", teammate.storage.write.join(", ") || "nothing"],
    ["Channel", badge(teammate.channel, { tone: "" })],
    ["Turns at most", teammate.max_turns],
  ]);
}
