// The audit trail: who asked for what, and what came of it.

import { api } from "../api.js";
import { h } from "../dom.js";
import { dateTime, shortId } from "../format.js";
import { badge, button, facts, pageHead, panel } from "../parts/basics.js";
import { dialog } from "../parts/dialog.js";
import { fieldOf } from "../parts/form.js";
import { table } from "../parts/table.js";
import { go } from "../router.js";
import { session } from "../session.js";

const OUTCOMES = [["", "All"], ["ok", "Done"], ["refused", "Refused"], ["failed", "Failed"]];
const TONES = { ok: "good", refused: "warn", failed: "bad" };

export default function show({ query, signal }) {
  const everywhere = session().platform_admin && query.get("of") === "installation";
  const path = everywhere ? "/audit-logs" : `/organizations/${encodeURIComponent(session().organization_id)}/audit-logs`;
  const asked = Object.fromEntries(["actor", "action", "target", "outcome"].map((name) => [name, query.get(name)]));
  const fields = [
    fieldOf({ name: "action", label: "Action", value: asked.action, placeholder: "api_key.*", plain: true }),
    fieldOf({ name: "actor", label: "Who, by id", value: asked.actor, plain: true }),
    fieldOf({ name: "target", label: "To what", value: asked.target, placeholder: "run:…", plain: true }),
    fieldOf({ name: "outcome", label: "Outcome", type: "select", options: OUTCOMES, value: asked.outcome ?? "" }),
    session().platform_admin && fieldOf({ name: "of", label: "Of", type: "select", options: [["", "This organization"], ["installation", "The installation"]], value: everywhere ? "installation" : "" }),
  ].filter(Boolean);
  const apply = (event) => {
    event.preventDefault();
    go("/audit", Object.fromEntries(fields.map((field) => [field.name, field.read()])));
  };
  const list = table({
    label: "Audit trail",
    load: (next) => api.page(path, { signal, next, query: asked }),
    columns: [
      { title: "Action", lead: true, cell: (row) => [h("span", { class: "name" }, row.action), row.target && h("span", { class: "sub mono", title: row.target }, shortTarget(row.target))] },
      { title: "Outcome", cell: (row) => [badge(row.outcome, { tone: TONES[row.outcome], label: row.outcome === "ok" ? "done" : row.outcome }), row.count > 1 && h("span", { class: "sub" }, `${row.count} times`)] },
      { title: "Who", cell: (row) => [row.actor.kind.replaceAll("_", " "), row.actor.id && row.actor.id !== row.actor.kind && h("span", { class: "sub mono", title: row.actor.id }, shortId(row.actor.id))] },
      { title: "From", class: "nowrap", cell: (row) => row.ip ?? "" },
      { title: "When", cell: (row) => h("time", { datetime: row.timestamp, class: "nowrap" }, dateTime(row.timestamp)) },
      { title: "More", acts: true, cell: (row) => button(`Details of row ${row.seq}`, { icon: "eye", iconOnly: true, small: true, kind: "quiet", onClick: () => { details(row); } }) },
    ],
    empty: { icon: "shield", title: "No such rows", text: "Nothing that fits these filters is on record." },
    filters: h("form", { class: "filters", on: { submit: apply } }, fields.map((field) => field.node), button("Apply", { type: "submit", icon: "filter" })),
  });
  return [
    pageHead({ title: "Audit trail", about: "Everything that was changed or refused. Rows are only ever added, and each carries a hash over the one before." }),
    panel({ flush: true, body: list.node }),
  ];
}

/** "run:01a20232-…" → "run 01a20232…c6f1b2". */
function shortTarget(target) {
  const [kind, ...id] = target.split(":");
  return `${kind} ${shortId(id.join(":"))}`;
}

function details(row) {
  dialog({
    title: row.action,
    body: facts([
      ["When", dateTime(row.timestamp)],
      ["Outcome", row.status ? `${row.outcome} (${row.status})` : row.outcome],
      ["Who", `${row.actor.kind} ${row.actor.id}`],
      ["To what", row.target],
      ["Fields given", row.changed.length ? row.changed.join(", ") : null],
      ["Route", row.route],
      ["From", row.ip],
      ["Request", row.request_id && h("code", null, row.request_id)],
      ["Row", String(row.seq)],
      ["Hash", h("code", null, row.hash)],
    ]),
  });
}
