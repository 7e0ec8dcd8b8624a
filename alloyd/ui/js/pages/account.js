// The user's own: name, organizations, and where it is signed in.

import { api } from "../api.js";
import { h } from "../dom.js";
import { badge, button, facts, pageHead, panel, tag } from "../parts/basics.js";
import { confirm, formDialog } from "../parts/dialog.js";
import { toast } from "../parts/toast.js";
import { render } from "../router.js";
import { changePassword, load, organization, session, signOut, switchTo } from "../session.js";

export default function show() {
  const { email, display_name: name, platform_admin: admin } = session();
  return [
    pageHead({ title: "Your account" }),
    h("div", { class: "stack" },
      panel({ title: "You", body: facts([
        ["Name", name],
        ["E-mail", email],
        ["Installation", admin ? "You administer it." : null],
      ]) }),
      organizations(),
      signedIn()),
  ];
}

function organizations() {
  const here = organization();
  const rows = session().organizations.map((each) => h("tr", null,
    h("td", { class: "lead name" }, h("span", { class: "name" }, each.name), h("span", { class: "sub mono" }, each.slug)),
    h("td", { data: { label: "Your role" } }, tag(each.role)),
    h("td", { class: "acts" }, each.id === here?.id ? badge("active", { label: "you act here" }) : button("Act here", { small: true, onClick: () => act(each) }))));
  const create = button("New organization", { icon: "plus", small: true, onClick: newOrganization });
  return panel({ title: "Your organizations", actions: [create], flush: rows.length > 0, body: rows.length
    ? h("div", { class: "table-wrap" }, h("table", { class: "list folds" }, h("caption", { class: "only-heard" }, "Your organizations"),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Name"), h("th", { scope: "col" }, "Your role"), h("th", { scope: "col", class: "end" }, h("span", { class: "only-heard" }, "What to do")))),
      h("tbody", null, rows)))
    : h("p", { class: "soft" }, "None. Make one, or ask somebody for an invitation.") });
}

async function act(each) {
  await switchTo(each.id);
  toast(`You act in ${each.name} now.`);
  render();
}

async function newOrganization() {
  const made = await formDialog({
    title: "New organization",
    label: "Make it",
    before: [h("p", null, "It has its own workflows, files, keys and members. You will own it.")],
    fields: [
      { name: "name", label: "Name", required: true },
      { name: "slug", label: "Short name", required: true, hint: "For addresses and commands: small letters, digits and hyphens." },
    ],
    submit: (values) => api.post("/organizations", values),
  });
  if (made) {
    await load();
    await act(made);
  }
}

function signedIn() {
  const everywhere = button("Sign out everywhere", { kind: "danger", icon: "exit", onClick: () => confirm({
    title: "Sign out everywhere?",
    text: "Every browser and every token that you are signed in with ends at once, this one too. API keys go on.",
    label: "Sign out everywhere",
    act: () => signOut({ everywhere: true }),
  }) });
  return panel({ title: "Signed in", body: h("div", { class: "stack" },
    h("p", { class: "soft" }, "A session ends when the page was not used for a while, when your password changes elsewhere, and when you sign out."),
    h("div", { class: "row" }, button("Change password…", { icon: "key", onClick: newPassword }), button("Sign out", { icon: "exit", onClick: () => signOut() }), everywhere)) });
}

async function newPassword() {
  const changed = await formDialog({
    title: "Change your password",
    label: "Change it",
    before: [h("p", null, "Other browsers and tokens that you are signed in with end at once.")],
    fields: [
      { name: "current_password", label: "Your password now", type: "password", required: true, autocomplete: "current-password" },
      { name: "new_password", label: "New password", type: "password", required: true, autocomplete: "new-password" },
      { name: "again", label: "New password, once more", type: "password", required: true, autocomplete: "new-password" },
    ],
    submit: async ({ current_password: current, new_password: next, again }) => {
      if (next !== again) {
        throw Object.assign(new Error("again: not the same as above"), { field: "again" });
      }
      await changePassword(current, next);
    },
  });
  if (changed) {
    toast("Your password is changed.");
    render();
  }
}
