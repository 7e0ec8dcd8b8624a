// One team: who is in it, and as what.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { time } from "../format.js";
import { button, pageHead, panel, tag } from "../parts/basics.js";
import { confirm, formDialog } from "../parts/dialog.js";
import { menu } from "../parts/menu.js";
import { allMembers } from "../parts/people.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { go, render } from "../router.js";
import { may, organization } from "../session.js";
import { fieldsOf } from "./teams.js";

const RANKS = ["viewer", "member", "admin", "owner"];
/** The roles that may be given: none above one's own here; none of the team's own is a choice too. */
const roles = (own) => [["", "None of the team’s own"], ...RANKS.slice(0, RANKS.indexOf(own) + 1)];

export default async function show({ params, signal, title }) {
  const path = `/teams/${encodeURIComponent(params.id)}`;
  const [team, mine] = await Promise.all([api.get(path, { signal }), ownRole(params.id, signal)]);
  const leads = may("team.update") || RANKS.indexOf(mine) >= RANKS.indexOf("admin");
  title(team.name);
  const list = table({
    label: "Members of the team",
    key: (member) => member.user_id,
    load: (next) => api.page(`${path}/members`, { signal, next }),
    columns: [
      { title: "Name", lead: true, cell: (member) => [h("span", { class: "name" }, member.display_name), h("span", { class: "sub" }, member.email)] },
      { title: "Role that counts", cell: (member) => tag(member.role) },
      { title: "In the team", cell: (member) => (member.team_role ? tag(member.team_role) : h("span", { class: "soft" }, "none of its own")) },
      { title: "In the organization", cell: (member) => tag(member.organization_role) },
      { title: "Joined", cell: (member) => time(member.joined_at) },
      { title: "What to do", acts: true, cell: (member) => leads && acts(member, { path, team, mine, list }) },
    ],
    empty: { icon: "team", title: "Nobody is in it yet", text: "Members of the organization can be added." },
  });
  return [
    pageHead({ title: team.name, about: h("span", null, "Short name ", h("code", null, team.slug)), crumbs: [["Teams", "#/teams"]], actions: leads ? actionsOf({ path, team, mine, list, signal }) : [] }),
    panel({ title: "Members", flush: true, body: list.node }),
  ];
}

/** The role that counts for the user in the team: that of the team, or of the organization. */
async function ownRole(id, signal) {
  for await (const team of api.items("/me/teams", { query: { limit: 200 }, signal })) {
    if (team.id === id) {
      return team.role;
    }
  }
  return organization()?.role ?? "viewer";
}

function actionsOf({ path, team, mine, list, signal }) {
  const edit = async () => {
    if (await formDialog({ title: `Change “${team.name}”`, fields: fieldsOf(team), submit: (values) => api.patch(path, values) })) {
      render();
    }
  };
  const items = [
    { label: "Rename…", icon: "pencil", act: edit },
    { label: "Delete…", icon: "trash", danger: true, act: () => remove(path, team) },
  ];
  return [
    button("Add a member", { kind: "primary", icon: "plus", onClick: () => add({ path, team, mine, list, signal }) }),
    menu([icon("dots")], () => items, { label: "More", atEnd: true, kind: "quiet only-icon" }),
  ];
}

async function remove(path, team) {
  const text = "Its members stay in the organization, with the role that they have there. Invitations into it end. A team that a working API key acts for can’t be deleted.";
  if (await confirm({ title: `Delete “${team.name}”?`, text, label: "Delete", act: () => api.delete(path) })) {
    toast("The team is deleted.");
    go("/teams");
  }
}

async function add({ path, team, mine, list, signal }) {
  const there = new Set(list.items().map((member) => member.user_id));
  let members;
  try {
    members = await allMembers(signal);
  } catch (error) {
    toast(error.message, { tone: "bad" });
    return;
  }
  const others = members.filter((member) => !there.has(member.user_id)).map((member) => [member.user_id, `${member.display_name} (${member.email})`]);
  if (others.length === 0) {
    toast("Every member of the organization is in it.", { tone: "bad" });
    return;
  }
  const added = await formDialog({
    title: `Add a member to ${team.name}`,
    label: "Add",
    fields: [
      { name: "user_id", label: "Member", type: "select", options: others, value: others[0][0] },
      { name: "role", label: "Role in the team", type: "select", options: roles(mine), value: "" },
    ],
    submit: (values) => api.post(`${path}/members`, values),
  });
  if (added) {
    list.put(added);
  }
}

function acts(member, { path, team, mine, list }) {
  const own = `${path}/members/${encodeURIComponent(member.user_id)}`;
  const items = [
    { label: "Give another role…", icon: "pencil", act: async () => {
      const changed = await formDialog({
        title: `${member.display_name} in ${team.name}`,
        fields: [{ name: "role", label: "Role in the team", type: "select", options: roles(mine), value: member.team_role ?? "" }],
        submit: (values) => api.put(own, values),
      });
      if (changed) {
        list.put(changed);
      }
    } },
    { label: "Take out…", icon: "trash", danger: true, act: async () => {
      if (await confirm({ title: `Take ${member.display_name} out of ${team.name}?`, text: "They stay in the organization, with the role that they have there.", label: "Take out", act: () => api.delete(own) })) {
        list.remove(member.user_id);
      }
    } },
  ];
  return menu([icon("dots")], () => items, { label: `What to do with ${member.display_name}`, atEnd: true, kind: "quiet small only-icon" });
}
