// The names of workflows, for lists that only have their ids.

import { api } from "../api.js";
import { h } from "../dom.js";

const PAGE = 200;
const NAMES_MAX = 2000;
/** What the runs of jobs name as their workflow. */
const JOBS = "00000000-0000-7000-8000-000000000001";

/** Names by id; of an organization with very many workflows, the newest ones. */
export async function workflowNames(signal) {
  const names = new Map();
  for await (const workflow of api.items("/workflow-definitions", { query: { limit: PAGE }, signal })) {
    names.set(workflow.id, workflow.name);
    if (names.size >= NAMES_MAX) {
      break;
    }
  }
  return names;
}

/** A place that shows the workflow's name once `names`, a promise of the map, is there; a link where it is known. */
export function workflowName(id, names) {
  if (id === JOBS) {
    return h("span", { class: "soft" }, "a job");
  }
  const shown = h("span", { class: "workflow-name" }, "…");
  names.then((known) => {
    const name = known.get(id);
    shown.replaceChildren(name === undefined ? h("span", { class: "soft mono", title: id }, `${id.slice(0, 8)}…`) : h("a", { href: `#/workflows/${encodeURIComponent(id)}` }, name));
  }, () => shown.replaceChildren(h("span", { class: "soft mono" }, id)));
  return shown;
}
