// Grants: what single members and keys may or may not do, whatever their role; and a look at what counts.

import { api } from "../api.js";
import { h, put } from "../dom.js";
import { time } from "../format.js";
import { badge, button, notice, pageHead, panel } from "../parts/basics.js";
import { confirm, formDialog } from "../parts/dialog.js";
import { form } from "../parts/form.js";
import { allPrincipals } from "../parts/people.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { may, session } from "../session.js";

const SHOWN_MAX = 1000;
const PAGE = 200;
const EFFECTS = [["deny", "deny: it is refused, whatever else allows it"], ["allow", "allow: it is granted beyond the role"]];
const RESOURCE_HINT = "Such as workflow:0198…, or workflow:* for all of them. Without it the grant holds everywhere.";

export default function show({ signal }) {
  const names = allPrincipals(signal).then((pairs) => new Map(pairs));
  names.catch(() => {});
  const list = table({
    label: "Grants",
    load: () => denyFirst(signal),
    columns: [
      { title: "Who", lead: true, cell: (grant) => whoCell(grant, names) },
      { title: "Effect", cell: (grant) => badge(grant.effect) },
      { title: "Action", cell: (grant) => h("code", { class: "nowrap" }, grant.action) },
      { title: "On", cell: (grant) => (grant.resource ? h("code", null, grant.resource) : h("span", { class: "soft" }, "everything")) },
      { title: "Made", cell: (grant) => time(grant.created_at) },
      { title: "What to do", acts: true, cell: (grant) => may("grant.write") && button("Take back", { small: true, kind: "danger", onClick: () => takeBack(grant, list) }) },
    ],
    empty: { icon: "check", title: "No grants", text: "Everybody has what their role gives. A grant allows one member or key more, or denies them something." },
  });
  const create = may("grant.write") && button("New grant", { kind: "primary", icon: "plus", onClick: () => grantSomething(names, list) });
  return [
    pageHead({ title: "Grants", about: "What single members and keys may do beyond their role, or may not do in spite of it. A deny wins over everything but an owner’s hold on the organization.", actions: [create] }),
    h("div", { class: "stack" },
      may("grant.read") && panel({ title: "Grants", flush: true, body: list.node }),
      checkPanel()),
  ];
}

/** All grants, the denying ones first, each part newest first. */
async function denyFirst(signal) {
  const found = [];
  for await (const grant of api.items("/grants", { query: { limit: PAGE }, signal })) {
    found.push(grant);
    if (found.length >= SHOWN_MAX) {
      toast(`The newest ${SHOWN_MAX} grants are shown.`);
      break;
    }
  }
  const [denied, allowed] = ["deny", "allow"].map((effect) => found.filter((grant) => grant.effect === effect));
  return { items: [...denied, ...allowed], next: null };
}

function whoCell(grant, names) {
  const principal = `${grant.principal_kind}:${grant.principal_id}`;
  const shown = h("span", { class: "name", title: principal }, "…");
  const unknown = () => put(shown, h("span", { class: "mono soft" }, principal));
  names.then((known) => (known.has(principal) ? put(shown, known.get(principal)) : unknown()), unknown);
  return shown;
}

/** Every action there is for this user to name, and all of a kind at once. */
function actionChoices() {
  const own = [...session().actions].sort();
  const kinds = [...new Set(own.map((action) => action.split(".")[0]))];
  return kinds.flatMap((kind) => [`${kind}.*`, ...own.filter((action) => action.startsWith(`${kind}.`))]);
}

async function grantSomething(names, list) {
  const people = [...(await names.catch(() => new Map()))];
  if (people.length === 0) {
    toast("There is nobody whom a grant could be about.", { tone: "bad" });
    return;
  }
  const made = await formDialog({
    title: "New grant",
    label: "Grant",
    fields: [
      { name: "principal", label: "Who", type: "select", options: people, value: people[0][0] },
      { name: "effect", label: "Effect", type: "select", options: EFFECTS, value: "deny" },
      { name: "action", label: "Action", type: "select", options: actionChoices(), value: "workflow.run" },
      { name: "resource", label: "On", hint: RESOURCE_HINT },
    ],
    submit: (values) => api.post("/grants", values),
  });
  if (made) {
    toast("It holds at once.");
    await list.reload();
  }
}

async function takeBack(grant, list) {
  const text = grant.effect === "deny" ? "What their role or another grant allows is allowed to them again, at once." : "What their role does not allow is refused to them again, at once.";
  if (await confirm({ title: "Take this grant back?", text, label: "Take back", act: () => api.delete(`/grants/${encodeURIComponent(grant.id)}`) })) {
    list.remove(grant.id);
  }
}

/** What the server itself would say, for the one who asks. */
function checkPanel() {
  const answer = h("div", { "aria-live": "polite" });
  const made = form({
    label: "Check",
    fields: [
      { name: "action", label: "Action", required: true, value: "workflow.run", hint: "Such as workflow.run." },
      { name: "resource", label: "On", hint: "Such as workflow:0198…. Without it: where no particular one is named." },
    ],
    submit: async (values) => {
      put(answer);
      const { allowed, reason } = await api.post("/authz/check", values);
      put(answer, notice(allowed ? "good" : "warn", h("strong", null, allowed ? "You may. " : "You may not. "), reason));
    },
  });
  return panel({ title: "Check access", body: h("div", { class: "stack" }, h("p", { class: "soft small" }, "Asks for you what each request is asked: organization, scopes, denies, allows, role."), made.node, answer) });
}
