// Who belongs to the organization, and who is invited.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { time } from "../format.js";
import { badge, button, notice, pageHead, panel, tag } from "../parts/basics.js";
import { secret } from "../parts/copy.js";
import { confirm, dialog, formDialog } from "../parts/dialog.js";
import { menu } from "../parts/menu.js";
import { table } from "../parts/table.js";
import { tabs } from "../parts/tabs.js";
import { toast } from "../parts/toast.js";
import { remember } from "../router.js";
import { may, organization, session } from "../session.js";

const RANKS = ["viewer", "member", "admin", "owner"];
const MEANINGS = {
  viewer: "viewer: sees everything, changes nothing",
  member: "member: runs workflows and jobs, uploads, writes definitions",
  admin: "admin: also teams, invitations, keys, integrations",
  owner: "owner: also the organization itself",
};

/** The roles that the user may give: none above the own one. */
const roles = () => RANKS.slice(0, RANKS.indexOf(organization()?.role ?? "viewer") + 1).map((role) => [role, MEANINGS[role]]);

export default function show({ query, signal }) {
  const path = `/organizations/${encodeURIComponent(session().organization_id)}`;
  const invited = may("invitation.read") ? invitations(path, signal) : null;
  const parts = [
    { id: "members", label: "Members", render: () => panel({ flush: true, body: members(path, signal).node }) },
    invited && { id: "invitations", label: "Invitations", render: () => panel({ flush: true, body: invited.node }) },
  ].filter(Boolean);
  const shown = tabs(parts, { selected: query.get("tab") ?? "members", onSelect: (tab) => remember({ tab }), label: "Members and invitations" });
  const invite = may("organization.invite") && button("Invite somebody", { kind: "primary", icon: "mail", onClick: () => inviteSomebody(invited, shown, signal) });
  return [
    pageHead({ title: "Members", about: `Who belongs to ${organization()?.name ?? "the organization"}, and as what.`, actions: [invite] }),
    shown.node,
  ];
}

function members(path, signal) {
  const list = table({
    label: "Members",
    key: (member) => member.user_id,
    load: (next) => api.page(`${path}/members`, { signal, next }),
    columns: [
      { title: "Name", lead: true, cell: (member) => [h("span", { class: "name" }, member.display_name, member.user_id === session().user_id && " (you)"), h("span", { class: "sub" }, member.email)] },
      { title: "Role", cell: (member) => tag(member.role) },
      { title: "State", cell: (member) => badge(member.disabled ? "disabled" : "active") },
      { title: "Joined", cell: (member) => time(member.joined_at) },
      { title: "What to do", acts: true, cell: (member) => acts(member, path, list) },
    ],
  });
  return list;
}

function acts(member, path, list) {
  if (!may("member.update")) {
    return null;
  }
  const own = `${path}/members/${encodeURIComponent(member.user_id)}`;
  const items = [
    { label: "Give another role…", icon: "pencil", act: async () => {
      const changed = await formDialog({
        title: `The role of ${member.display_name}`,
        fields: [{ name: "role", label: "Role", type: "select", options: roles(), value: member.role }],
        submit: (values) => api.patch(own, values),
      });
      if (changed) {
        list.put(changed);
      }
    } },
    { label: "Take out…", icon: "trash", danger: true, act: async () => {
      const text = `${member.display_name} can’t act in this organization any more, at once. What they made stays.`;
      if (await confirm({ title: `Take ${member.display_name} out?`, text, label: "Take out", act: () => api.delete(own) })) {
        list.remove(member.user_id);
        toast(`${member.display_name} is no member any more.`);
      }
    } },
  ];
  return menu([icon("dots")], () => items, { label: `What to do with ${member.display_name}`, atEnd: true, kind: "quiet small only-icon" });
}

function invitations(path, signal) {
  const list = table({
    label: "Invitations",
    load: (next) => api.page(`${path}/invitations`, { signal, next }),
    columns: [
      { title: "E-mail", lead: true, cell: (each) => h("span", { class: "name" }, each.email) },
      { title: "State", cell: (each) => badge(each.status) },
      { title: "Role", cell: (each) => tag(each.role) },
      { title: "Invited", cell: (each) => time(each.created_at) },
      { title: "Ends", cell: (each) => time(each.expires_at) },
      { title: "What to do", acts: true, cell: (each) => each.status === "pending" && may("invitation.revoke") && button("Revoke", { small: true, kind: "danger", onClick: () => revoke(each, list) }) },
    ],
    empty: { icon: "mail", title: "Nobody is invited", text: "An invitation carries a token, which you pass on yourself." },
  });
  return list;
}

async function inviteSomebody(list, shown, signal) {
  const teams = may("team.read") ? (await api.page(`/organizations/${encodeURIComponent(session().organization_id)}/teams`, { signal, query: { limit: 200 } }).catch(() => ({ items: [] }))).items : [];
  const made = await formDialog({
    title: "Invite somebody",
    label: "Make the invitation",
    fields: [
      { name: "email", label: "E-mail", type: "email", required: true },
      { name: "role", label: "Role", type: "select", options: roles(), value: "member" },
      teams.length > 0 && { name: "team_id", label: "Into a team", type: "select", options: [["", "None"], ...teams.map((team) => [team.id, team.name])], value: "" },
    ].filter(Boolean),
    submit: (values) => api.post("/invitations", values),
  });
  if (!made) {
    return;
  }
  list?.put(made);
  shown.select("invitations");
  const opened = dialog({
    title: `The invitation of ${made.email}`,
    body: [
      h("p", null, "Who is signed in with this e-mail accepts it by its id. Anybody else needs the token, which is shown this once."),
      secret(made.token, "Invitation token"),
      notice("info", "It is accepted with ", h("code", null, `POST /v1/invitations/${made.id}/accept`), "."),
    ],
    footer: [button("Done", { kind: "primary", onClick: () => opened.close() })],
  });
}

async function revoke(each, list) {
  const act = async () => list.put(await api.post(`/invitations/${encodeURIComponent(each.id)}/revoke`));
  if (await confirm({ title: `Revoke the invitation of ${each.email}?`, text: "Its token stops working at once.", label: "Revoke", act })) {
    toast("The invitation is revoked.");
  }
}
