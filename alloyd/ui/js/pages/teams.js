// Teams: members who belong together, maybe with a higher role where the team is concerned.

import { api } from "../api.js";
import { h } from "../dom.js";
import { time } from "../format.js";
import { button, pageHead, panel } from "../parts/basics.js";
import { formDialog } from "../parts/dialog.js";
import { table } from "../parts/table.js";
import { go } from "../router.js";
import { may, session } from "../session.js";

/** What a team is called. */
export const fieldsOf = (team = null) => [
  { name: "name", label: "Name", required: true, value: team?.name },
  { name: "slug", label: "Short name", required: true, value: team?.slug, hint: "Lower case letters, digits and hyphens; unique in the organization.", placeholder: "core" },
];

export default function show({ signal }) {
  const list = table({
    label: "Teams",
    load: (next) => api.page(`/organizations/${encodeURIComponent(session().organization_id)}/teams`, { signal, next }),
    columns: [
      { title: "Name", lead: true, cell: (team) => h("a", { class: "name", href: `#/teams/${encodeURIComponent(team.id)}` }, team.name) },
      { title: "Short name", cell: (team) => h("code", null, team.slug) },
      { title: "Made", cell: (team) => time(team.created_at) },
      { title: "Changed", cell: (team) => time(team.updated_at) },
    ],
    empty: { icon: "team", title: "No teams yet", text: "A team brings members together. Somebody may have a higher role in a team than in the organization.", actions: [createButton()] },
  });

  function createButton() {
    return may("team.create") && button("New team", { kind: "primary", icon: "plus", onClick: create });
  }

  async function create() {
    const made = await formDialog({ title: "New team", label: "Make the team", fields: fieldsOf(), submit: (values) => api.post("/teams", values) });
    if (made) {
      go(`/teams/${encodeURIComponent(made.id)}`);
    }
  }

  return [
    pageHead({ title: "Teams", about: "Members who belong together. In what belongs to a team, the higher of the two roles counts: of the team, and of the organization.", actions: [createButton()] }),
    panel({ flush: true, body: list.node }),
  ];
}
