// The first user, made with the link that the daemon printed.

import { notice } from "../parts/basics.js";
import { form } from "../parts/form.js";
import { gate } from "../parts/gate.js";
import { go } from "../router.js";
import { session, setUp, state } from "../session.js";

export default async function show({ params }) {
  if (session()) {
    go("/", {}, { replace: true });
    return null;
  }
  const { setup_due: due } = await state();
  if (!due) {
    return gate({ title: "Already set up", lead: "There is a user already. Sign in instead.", body: [form({ fields: [], label: "Go to sign in", wide: true, submit: async () => go("/sign-in") }).node] });
  }
  const fields = [
    { name: "display_name", label: "Your name", autocomplete: "name" },
    { name: "email", label: "E-mail", type: "email", required: true, autocomplete: "username" },
    { name: "password", label: "Password", type: "password", required: true, autocomplete: "new-password", hint: "At least 12 characters. A few words that belong to nobody else are good." },
    { name: "again", label: "Password, once more", type: "password", required: true, autocomplete: "new-password" },
  ];
  const made = form({ fields, label: "Create your user", wide: true, submit: async ({ again, ...values }) => {
    if (values.password !== again) {
      throw Object.assign(new Error("again: not the same as above"), { field: "again" });
    }
    await setUp({ token: params.token, ...values });
    go("/", {}, { replace: true });
  } });
  return gate({
    title: "Set up alloyd",
    lead: "You are the first here. Your user will own the organization “Default” and administer this installation.",
    body: [made.node, notice("info", "This link works once, for 24 hours.")],
  });
}
