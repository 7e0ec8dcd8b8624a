// Installations in a list: switched on and off, moved to a newer release, configured, uninstalled; kept up to date.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { time } from "../format.js";
import { may } from "../session.js";
import { badge, tag } from "./basics.js";
import { confirm, formDialog } from "./dialog.js";
import { keepRows } from "./live-rows.js";
import { menu } from "./menu.js";
import { isNewer } from "./releases.js";
import { table } from "./table.js";
import { toast } from "./toast.js";
import { workflowName } from "./workflow-names.js";

const pathOf = (one) => `/installations/${encodeURIComponent(one.id)}`;

/** The page of an end user. */
export const endUserHref = (id) => `#/end-users/${encodeURIComponent(id)}`;

/**
 * @param {{signal: AbortSignal, names: Promise<Map>, query: () => Object, filters?: Node, whose?: boolean, empty?: Object}} options `query()`
 *   are the filters now; `whose` shows the end users
 */
export function installationList({ signal, names, query, filters = null, whose = true, empty }) {
  const list = table({
    label: "Installations",
    load: (next) => api.page("/installations", { query: query(), signal, next }),
    columns: [
      whose && { title: "End user", lead: true, cell: (one) => h("a", { class: "name", href: endUserHref(one.end_user_id) }, one.username ?? one.end_user_id) },
      { title: "Workflow", lead: !whose, cell: (one) => h("span", null, workflowName(one.workflow_id, names), h("span", { class: "sub" }, one.event ? ["started by ", h("code", null, one.event)] : "no event starts it")) },
      { title: "Release", cell: releaseCell },
      { title: "State", cell: (one) => badge(one.active ? "active" : "inactive") },
      { title: "Installed", cell: (one) => time(one.created_at) },
      { title: "What to do", acts: true, cell: (one) => acts(one, list, names) },
    ].filter(Boolean),
    filters,
    empty: empty ?? { icon: "rocket", title: "Nothing is installed", text: "An end user installs a workflow in your product, or you do it for them here." },
  });
  keepRows({ list, kinds: "installation.", gone: "installation.removed", path: (id) => `/installations/${encodeURIComponent(id)}`, signal });
  return list;
}

function releaseCell(one) {
  const newer = isNewer(one.newest_release, one.release);
  return h("span", null, h("span", { class: "mono" }, one.release), newer && h("span", { class: "sub nowrap" }, `${one.newest_release} is out`));
}

function acts(one, list, names) {
  if (!may("installation.write")) {
    return null;
  }
  const change = (values, told) => async () => {
    try {
      list.put(await api.patch(pathOf(one), values));
      toast(told);
    } catch (error) {
      toast(error.message, { tone: "bad" });
    }
  };
  const items = [
    one.active
      ? { label: "Deactivate", icon: "pause", act: change({ active: false }, "No event starts it any more. Runs that wait go on waiting.") }
      : { label: "Activate", icon: "play", act: change({ active: true }, "It is active: its event starts it.") },
    isNewer(one.newest_release, one.release) && { label: `Upgrade to ${one.newest_release}`, icon: "arrow-up", act: change({ version: "latest" }, `It is at ${one.newest_release} now. Runs that are under way end on their version.`) },
    { label: "Configure…", icon: "gear", act: () => configure(one, list) },
    { label: "Uninstall…", icon: "trash", danger: true, act: () => uninstall(one, list, names) },
  ].filter(Boolean);
  return menu([icon("dots")], () => items, { label: `What to do with the installation of ${one.username ?? one.end_user_id}`, atEnd: true, kind: "quiet small only-icon" });
}

async function configure(one, list) {
  const changed = await formDialog({
    title: "Configuration",
    fields: [{ name: "configuration", label: "Configuration", type: "json", rows: 8, value: one.configuration, hint: "A JSON object. Its runs read it as {{ context.configuration }}, those that begin from now on." }],
    submit: ({ configuration }) => api.patch(pathOf(one), { configuration: configuration ?? {} }),
  });
  if (changed) {
    list.put(changed);
    toast("The configuration is changed.");
  }
}

async function uninstall(one, list, names) {
  const workflow = (await names.catch(() => new Map())).get(one.workflow_id) ?? "the workflow";
  const text = [
    h("p", null, "It is gone with its configuration. Its runs that are not done are cancelled, those that wait too, and whatever they called."),
    h("p", { class: "soft" }, "What has ended stays in the logs. Installing again begins anew, at the newest release."),
  ];
  const act = () => api.delete(pathOf(one));
  if (await confirm({ title: `Uninstall ${workflow} for ${one.username ?? one.end_user_id}?`, text: h("div", { class: "stack" }, text), label: "Uninstall", act })) {
    list.remove(one.id);
    toast("It is uninstalled.");
  }
}

/**
 * Ask what to install for whom; the installation, or null.
 * @param {{names: Promise<Map>, username?: string, workflows?: [string, string][]}} given what is settled: the user, or the workflows to
 *   choose from
 */
export async function install({ names, username = null, workflows = null }) {
  const known = workflows ?? [...(await names.catch(() => new Map()))].sort((a, b) => a[1].localeCompare(b[1]));
  if (known.length === 0) {
    toast("There is no workflow yet that could be installed.", { tone: "bad" });
    return null;
  }
  const made = await formDialog({
    title: username ? `Install for ${username}` : "Install for an end user",
    label: "Install",
    fields: [
      !username && { name: "end_user_id", label: "End user", required: true, hint: "The username or the id." },
      { name: "workflow_id", label: "Workflow", type: "select", options: known, value: known[0][0] },
      { name: "version", label: "Release", hint: "Such as 1.0.0. Without it the newest." },
      { name: "configuration", label: "Configuration", type: "json", rows: 4, hint: "A JSON object, which its runs read as {{ context.configuration }}." },
      { name: "active", label: "Active: its event starts it", type: "check", value: true },
    ].filter(Boolean),
    submit: (values) => api.post("/installations", { ...values, end_user_id: username ?? values.end_user_id, configuration: values.configuration ?? {} }),
  });
  if (made) {
    toast(`It is installed at ${made.release}.`);
  }
  return made;
}

/** A release and how many are at it, for a list of workflows. */
export const spreadCell = (workflow) => (workflow.installed.length === 0
  ? h("span", { class: "soft" }, "nobody")
  : h("span", { class: "row" }, workflow.installed.map((each) => tag(`${each.release}: ${each.installations}${each.active === each.installations ? "" : `, ${each.active} active`}`))));
