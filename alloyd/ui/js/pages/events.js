// Live events of the organization.

import { h } from "../dom.js";
import { button, pageHead, panel } from "../parts/basics.js";
import { eventList } from "../parts/eventlist.js";
import { fieldOf } from "../parts/form.js";
import { go } from "../router.js";

export default function show({ query, signal }) {
  const kinds = (query.get("kinds") ?? "").split(",").filter(Boolean);
  const list = eventList({ signal, kinds });
  const field = fieldOf({ name: "kinds", label: "Kinds that begin with", value: kinds.join(", "), placeholder: "workflow.run., storage_file.", plain: true });
  const apply = (event) => {
    event.preventDefault();
    go("/events", { kinds: (field.read() ?? "").split(/[\s,]+/).filter(Boolean).join(",") });
  };
  let paused = false;
  const pause = button("Pause", { icon: "pause", small: true, onClick: () => {
    paused = !paused;
    list.pause(paused);
    pause.querySelector(".label").textContent = paused ? "Resume" : "Pause";
  } });
  return [
    pageHead({ title: "Live events", about: "What happens in this organization, as it happens. Each of these can start a workflow or be sent to a webhook." }),
    panel({
      title: h("span", { class: "row" }, "Events", list.state),
      actions: [pause, button("Clear", { small: true, onClick: () => list.clear() })],
      flush: true,
      body: [h("form", { class: "filters", on: { submit: apply } }, field.node, button("Apply", { type: "submit", icon: "filter" })), list.node],
    }),
  ];
}
