// Credentials in a list, without what they hold: made, given new content, deleted.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { dateTime, time } from "../format.js";
import { may } from "../session.js";
import { badge, button, panel, tag } from "./basics.js";
import { dataFields, membersOf, newCredential, settingFields } from "./credential-form.js";
import { confirm, formDialog } from "./dialog.js";
import { fieldOf } from "./form.js";
import { keepRows } from "./live-rows.js";
import { menu } from "./menu.js";
import { table } from "./table.js";
import { toast } from "./toast.js";

const pathOf = (one) => `/credentials/${encodeURIComponent(one.id)}`;

/**
 * @param {{signal: AbortSignal, endUser?: Object|null, connector?: string, onConnector?: (name) => void}} options `endUser`: only theirs;
 *   `connector` is the filter at first, `onConnector` hears of another
 * @returns {{node: Node, create: (connector?: string) => Promise<void>}}
 */
export function credentialList({ signal, endUser = null, connector = "", onConnector = () => {} }) {
  let wanted = connector;
  const known = api.page("/connectors", { signal }).then(({ items }) => items.sort((a, b) => a.title.localeCompare(b.title)));
  known.catch(() => {});
  const filter = fieldOf({ name: "connector", label: "Application", type: "select", options: [["", "Any application"]], value: "" });
  known.then((connectors) => {
    filter.control.append(...connectors.map((each) => h("option", { value: each.name }, each.title)));
    filter.control.value = wanted;
  }, () => {});
  const list = table({
    label: "Credentials",
    load: (next) => api.page("/credentials", { query: { connector: wanted, end_user_id: endUser?.id }, signal, next }),
    columns: [
      { title: "Label", lead: true, cell: (one) => [h("span", { class: "name" }, one.label), h("span", { class: "sub" }, one.connector)] },
      { title: "State", cell: (one) => [badge(one.status), one.fault && h("span", { class: "sub" }, one.fault)] },
      { title: "Kind", cell: (one) => tag(one.kind) },
      !endUser && { title: "Whose", cell: (one) => (one.end_user_id ? h("a", { href: `#/end-users/${encodeURIComponent(one.end_user_id)}` }, "an end user’s") : h("span", { class: "nowrap" }, "the organization’s")) },
      { title: "Last used", cell: (one) => (one.last_used_at ? time(one.last_used_at) : h("span", { class: "soft" }, "never")) },
      { title: "Token ends", cell: (one) => (one.expires_at ? h("span", { title: dateTime(one.expires_at) }, one.refreshable ? "renewed by itself" : time(one.expires_at)) : h("span", { class: "soft" }, "–")) },
      { title: "Made", cell: (one) => time(one.created_at) },
      { title: "What to do", acts: true, cell: (one) => acts(one, list) },
    ].filter(Boolean),
    filters: endUser ? null : h("div", { class: "filters" }, filter.node),
    empty: { icon: "lock", title: "No credentials here", text: "With a credential, steps and teammates use an application’s account. What it holds is sealed and shown by nothing." },
  });
  keepRows({ list, kinds: "credential.", gone: "credential.deleted", path: (id) => `/credentials/${encodeURIComponent(id)}`, signal });
  filter.control.addEventListener("change", () => {
    wanted = filter.read() ?? "";
    onConnector(wanted);
    list.reload();
  });

  async function create() {
    let connectors;
    try {
      connectors = (await known).filter((each) => each.auth.length > 0);
    } catch (error) {
      toast(error.message, { tone: "bad" });
      return;
    }
    newCredential({ connectors, connector: wanted || undefined, endUser, signal, made: (credential) => { list.put(credential); toast("The credential is made."); } });
  }

  const actions = [endUser && may("credential.write") && button("New credential", { small: true, icon: "plus", onClick: create })];
  return { node: panel({ title: endUser ? "Credentials" : undefined, actions, flush: true, body: list.node }), create };
}

function acts(one, list) {
  if (!may("credential.write")) {
    return null;
  }
  const items = [
    { label: "Rename…", icon: "pencil", act: () => rename(one, list) },
    { label: "Replace the secret…", icon: "rotate", act: () => replace(one, list) },
    { label: "Delete…", icon: "trash", danger: true, act: () => remove(one, list) },
  ];
  return menu([icon("dots")], () => items, { label: `What to do with ${one.label}`, atEnd: true, kind: "quiet small only-icon" });
}

async function rename(one, list) {
  const changed = await formDialog({ title: `Rename “${one.label}”`, fields: [{ name: "label", label: "Label", required: true, value: one.label }], submit: (values) => api.patch(pathOf(one), values) });
  if (changed) {
    list.put(changed);
  }
}

async function replace(one, list) {
  let connector;
  try {
    connector = await api.get(`/connectors/${encodeURIComponent(one.connector)}`);
  } catch (error) {
    toast(error.message, { tone: "bad" });
    return;
  }
  const changed = await formDialog({
    title: `Replace what “${one.label}” holds`,
    label: "Replace",
    before: [h("p", null, "What is there is not shown. From now on what you give here takes its place.")],
    fields: [...dataFields(one.kind), ...settingFields(connector, one.settings)],
    submit: (values) => api.patch(pathOf(one), { data: membersOf(values, "data"), settings: membersOf(values, "settings") }),
  });
  if (changed) {
    list.put(changed);
    toast("What it holds is replaced.");
  }
}

async function remove(one, list) {
  const text = "Steps and teammates that use it fail from now on. The account itself stays at the other side: end the access there too.";
  if (await confirm({ title: `Delete “${one.label}”?`, text, label: "Delete", act: () => api.delete(pathOf(one)) })) {
    list.remove(one.id);
    toast("The credential is deleted.");
  }
}
