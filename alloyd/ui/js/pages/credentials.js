// What steps and teammates prove with who they are, and the OAuth clients that accounts are connected with.

import { api } from "../api.js";
import { h } from "../dom.js";
import { time } from "../format.js";
import { badge, button, pageHead, panel } from "../parts/basics.js";
import { credentialList } from "../parts/credential-list.js";
import { confirm } from "../parts/dialog.js";
import { table } from "../parts/table.js";
import { tabs } from "../parts/tabs.js";
import { toast } from "../parts/toast.js";
import { remember } from "../router.js";
import { may } from "../session.js";

export default function show({ query, signal }) {
  const connector = query.get("connector") ?? "";
  const list = credentialList({ signal, connector, onConnector: (name) => remember({ connector: name }) });
  const shown = tabs([
    { id: "credentials", label: "Credentials", render: () => list.node },
    { id: "clients", label: "OAuth clients", render: () => clients(signal) },
  ], { selected: query.get("tab") ?? "credentials", onSelect: (tab) => remember({ tab: tab === "credentials" ? null : tab }) });
  return [
    pageHead({
      title: "Credentials",
      about: "The accounts that steps and teammates use at other applications. What a credential holds is sealed and shown by nothing.",
      actions: [may("credential.write") && button("New credential", { kind: "primary", icon: "plus", onClick: async () => { await list.create(); shown.select("credentials"); } })],
    }),
    shown.node,
  ];
}

function clients(signal) {
  const list = table({
    label: "OAuth clients",
    key: (one) => one.connector,
    load: (next) => api.page("/credentials/oauth/clients", { signal, next }),
    columns: [
      { title: "Application", lead: true, cell: (one) => h("span", { class: "name" }, one.connector) },
      { title: "Client id", cell: (one) => h("code", null, one.client_id) },
      { title: "Secret", cell: (one) => (one.has_secret ? badge("sealed", { tone: "good" }) : badge("none", { tone: "" })) },
      { title: "Changed", cell: (one) => time(one.updated_at) },
      { title: "What to do", acts: true, cell: (one) => may("credential.write") && button("Forget", { small: true, kind: "danger", onClick: () => forget(one, list) }) },
    ],
    empty: { icon: "lock", title: "No OAuth clients", text: "The client with which you connect the first account of an application is remembered here, for the next ones." },
  });
  return panel({ flush: true, body: list.node });
}

async function forget(one, list) {
  const text = "Connecting another account asks for the client again. Accounts that are connected keep a sealed copy, and go on.";
  if (await confirm({ title: `Forget the client for ${one.connector}?`, text, label: "Forget", act: () => api.delete(`/credentials/oauth/clients/${encodeURIComponent(one.connector)}`) })) {
    list.remove(one.connector);
    toast("The client is forgotten.");
  }
}
