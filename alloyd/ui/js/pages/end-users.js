// For whom workflows run in one's own product.

import { api } from "../api.js";
import { h } from "../dom.js";
import { time } from "../format.js";
import { button, pageHead, panel } from "../parts/basics.js";
import { formDialog } from "../parts/dialog.js";
import { fieldOf } from "../parts/form.js";
import { endUserHref } from "../parts/installation-list.js";
import { purgeNotices } from "../parts/purges.js";
import { table } from "../parts/table.js";
import { go, remember } from "../router.js";
import { may } from "../session.js";

export const FIELDS = [
  { name: "username", label: "Username", required: true, hint: "What your product calls this user, often an e-mail address. Nobody else has it." },
  { name: "full_name", label: "Full name" },
];

export default function show({ query, signal }) {
  let part = query.get("q") ?? "";
  const search = fieldOf({ name: "q", label: "Search", type: "search", value: part, placeholder: "Part of a name", plain: true });
  const list = table({
    label: "End users",
    load: (next) => api.page("/end-users", { query: { q: part }, signal, next }),
    columns: [
      { title: "Username", lead: true, cell: (user) => [h("a", { class: "name", href: endUserHref(user.id) }, user.username), user.full_name && h("span", { class: "sub" }, user.full_name)] },
      { title: "Id", cell: (user) => h("code", { title: user.id }, `${user.id.slice(0, 12)}…`) },
      { title: "Made", cell: (user) => time(user.created_at) },
      { title: "Changed", cell: (user) => time(user.updated_at) },
    ],
    filters: h("form", { class: "filters", role: "search", on: { submit: apply } }, search.node, button("Search", { type: "submit", icon: "search" })),
    empty: { icon: "person", title: "No end users here", text: "Your product makes them by the API, or you do it here. Or search for something else." },
  });

  function apply(event) {
    event.preventDefault();
    part = search.read() ?? "";
    remember({ q: part });
    return list.reload();
  }

  async function create() {
    const made = await formDialog({ title: "New end user", label: "Make the end user", fields: FIELDS, submit: (values) => api.post("/end-users", values) });
    if (made) {
      go(`/end-users/${encodeURIComponent(made.id)}`);
    }
  }

  return [
    pageHead({
      title: "End users",
      about: "The users of your own product, for whom workflows run with a configuration of theirs.",
      actions: [may("end_user.write") && button("New end user", { kind: "primary", icon: "plus", onClick: create })],
    }),
    purgeNotices({ signal, watched: query.get("purged") }),
    panel({ flush: true, body: list.node }),
  ];
}
