// Makes a teammate.

import { h } from "../dom.js";
import { button, pageHead, panel } from "../parts/basics.js";
import { toast } from "../parts/toast.js";
import { teammateForm } from "../teammates/form.js";
import { open } from "./teammates.js";

export default async function show({ signal }) {
  const form = await teammateForm(null, {
    signal,
    label: "Make the teammate",
    extra: [button("Cancel", { href: "#/teammates" })],
    done: (made) => {
      toast(`${made.name} is there.`);
      open(made);
    },
  });
  return [
    pageHead({ title: "New teammate", crumbs: [["Teammates", "#/teammates"]] }),
    panel({ body: h("div", { class: "narrow" }, form) }),
  ];
}
