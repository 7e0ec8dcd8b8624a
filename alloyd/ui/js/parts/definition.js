// What a definition says, in whichever of its two forms: its steps by id, and its trigger in words.

import { h } from "../dom.js";

/** Steps by the id that the graph gives them: those of a foreach behind its own, as `lines/price`. */
export function stepsOf(definition) {
  const steps = new Map();
  if (Array.isArray(definition.nodes)) {
    collect(definition.nodes, "", steps);
  } else {
    for (const [key, step] of Object.entries(definition.flow ?? {})) {
      steps.set(key, step);
      collect(step?.config?.nodes, `${key}/`, steps);
    }
  }
  return steps;
}

function collect(nodes, stem, steps) {
  for (const node of Array.isArray(nodes) ? nodes : []) {
    if (node && typeof node === "object") {
      steps.set(`${stem}${node.key}`, node);
      collect(node.config?.nodes, `${stem}${node.key}/`, steps);
    }
  }
}

/** What starts the workflow. */
export function triggerInWords(trigger) {
  const code = (text) => h("code", null, String(text));
  switch (trigger?.type) {
    case "event": return h("span", null, "by the event ", code(trigger.event), trigger.match && [" where ", code(typeof trigger.match === "string" ? trigger.match : JSON.stringify(trigger.match))]);
    case "schedule": return h("span", null, "at ", code(trigger.cron), ` in ${trigger.timezone ?? "UTC"}`);
    case "webhook": return `by a signed webhook${trigger.scheme ? ` (${trigger.scheme})` : ""}`;
    case "storage": return h("span", null, `by a file that is ${(trigger.on ?? ["created", "updated"]).join(" or ")} at `, code(trigger.path ?? "/"));
    default: return "by request";
  }
}
