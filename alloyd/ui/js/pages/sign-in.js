// Signing in with e-mail and password.

import { h } from "../dom.js";
import { notice } from "../parts/basics.js";
import { form } from "../parts/form.js";
import { gate } from "../parts/gate.js";
import { go } from "../router.js";
import { session, signIn, state } from "../session.js";

export default async function show({ query }) {
  if (session()) {
    go(query.get("next") ?? "/", {}, { replace: true });
    return null;
  }
  const { setup_due: due } = await state();
  const fields = [
    { name: "email", label: "E-mail", type: "email", required: true, autocomplete: "username" },
    { name: "password", label: "Password", type: "password", required: true, autocomplete: "current-password" },
  ];
  const made = form({ fields, label: "Sign in", wide: true, submit: async ({ email, password }) => {
    await signIn(email, password);
    go(query.get("next") ?? "/", {}, { replace: true });
  } });
  return gate({
    title: "Sign in",
    lead: "With the e-mail and password of your user.",
    body: [due && notice("info", "There is no user yet. Open the set-up link that the daemon printed when it started, or run ", h("code", null, "alloyd setup-link"), "."), made.node],
    foot: ["Forgotten? An operator sets a new one: ", h("code", null, "alloyd user passwd"), "."],
  });
}
