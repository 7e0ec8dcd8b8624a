// One end user: what is installed, what ran, what happens, and how to delete all of it.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { time } from "../format.js";
import { badge, button, facts, notice, pageHead, panel } from "../parts/basics.js";
import { copyButton } from "../parts/copy.js";
import { credentialList } from "../parts/credential-list.js";
import { formDialog } from "../parts/dialog.js";
import { eventList } from "../parts/eventlist.js";
import { install, installationList } from "../parts/installation-list.js";
import { menu } from "../parts/menu.js";
import { runList } from "../parts/run-list.js";
import { tabs } from "../parts/tabs.js";
import { workflowNames } from "../parts/workflow-names.js";
import { go, remember, render } from "../router.js";
import { may } from "../session.js";
import { FIELDS } from "./end-users.js";

export default async function show({ params, query, signal, title }) {
  const path = `/end-users/${encodeURIComponent(params.id)}`;
  const user = await api.get(path, { signal });
  title(user.username);
  const names = workflowNames(signal);
  names.catch(() => {});
  const view = { path, user, names, signal };
  const shown = tabs([
    may("installation.read") && { id: "installations", label: "Installations", render: () => installationsTab(view) },
    may("run.read") && { id: "runs", label: "Runs", render: () => runsTab(view) },
    may("credential.read") && { id: "credentials", label: "Credentials", render: () => credentialList({ signal, endUser: user }).node },
    may("event.read") && { id: "events", label: "Live events", render: () => eventsTab(view) },
    { id: "about", label: "About", render: () => aboutTab(user) },
  ].filter(Boolean), { selected: query.get("tab") ?? "installations", onSelect: (tab) => remember({ tab: tab === "installations" ? null : tab }) });
  return [
    pageHead({ title: user.username, about: user.full_name, crumbs: [["End users", "#/end-users"]], actions: actionsOf(view) }),
    shown.node,
  ];
}

function actionsOf({ path, user }) {
  if (!may("end_user.write")) {
    return [];
  }
  const edit = async () => {
    const fields = FIELDS.map((field) => ({ ...field, value: user[field.name] }));
    const changed = await formDialog({ title: `Change ${user.username}`, fields, submit: (values) => api.patch(path, values) });
    if (changed) {
      render();
    }
  };
  return [
    button("Edit", { icon: "pencil", onClick: edit }),
    menu([icon("dots")], () => [{ label: "Delete and purge…", icon: "trash", danger: true, act: () => remove(path, user) }], { label: "More", atEnd: true, kind: "quiet only-icon" }),
  ];
}

/** Delete the user and all traces: asked for by the username, for nothing brings it back. */
async function remove(path, user) {
  const gone = await formDialog({
    title: `Delete ${user.username}`,
    label: "Delete and purge",
    danger: true,
    before: [
      notice("warn", "Everything is uninstalled, its runs are cancelled, and all that they were told, did and said is taken away. The username and the full name are erased. Nothing brings it back."),
      h("p", null, "Tokens of this user end at once. The purge goes on in the background, also after a restart."),
    ],
    fields: [{ name: "typed", label: "The username, to be sure", required: true, hint: h("span", null, "Type ", h("strong", null, user.username)) }],
    submit: ({ typed }) => {
      if (typed !== user.username) {
        throw Object.assign(new Error("That is not the username."), { field: "typed" });
      }
      return api.delete(path);
    },
  });
  if (gone) {
    go("/end-users", { purged: user.id });
  }
}

function installationsTab({ user, names, signal }) {
  const list = installationList({ signal, names, whose: false, query: () => ({ end_user_id: user.id }), empty: { icon: "rocket", title: "Nothing is installed", text: "This user installs workflows in your product, or you do it here." } });
  const act = async () => {
    const made = await install({ names, username: user.username });
    if (made) {
      list.put(made);
    }
  };
  return panel({ title: "Installations", actions: [may("installation.write") && button("Install", { small: true, icon: "plus", onClick: act })], flush: true, body: list.node });
}

function runsTab({ user, names, signal }) {
  const list = runList({ signal, names, query: () => ({ end_user_id: user.id, top_level: true }), empty: { icon: "play", title: "Nothing has run", text: "Runs begin with the events that your product sends for this user." } });
  return panel({ title: "Runs", flush: true, body: list.node });
}

function eventsTab({ user, signal }) {
  const ofUser = (event) => event.subject === user.id || event.payload?.end_user_id === user.id;
  const events = eventList({ signal, kinds: ["installation.", "end_user.", "credential.", "workflow.trigger.refused"], wanted: ofUser });
  return panel({ title: h("span", { class: "row" }, "Events of this user", events.state), flush: true, body: events.node });
}

function aboutTab(user) {
  return panel({ body: facts([
    ["Id", h("span", { class: "row" }, h("code", null, user.id), copyButton(user.id, { iconOnly: true, kind: "quiet" }))],
    ["Username", user.username],
    ["Full name", user.full_name],
    ["State", badge("active")],
    ["Made", time(user.created_at)],
    ["Changed", time(user.updated_at)],
    ["Audit trail", may("audit.read") ? h("a", { href: `#/audit?target=${encodeURIComponent(`end_user:${user.id}`)}` }, "What was done about this user") : null],
  ]) });
}
