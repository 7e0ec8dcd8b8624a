// Chooses what a teammate may call: workflows, and actions of connectors.

import { h, icon, newId, put } from "../dom.js";
import { button } from "../parts/basics.js";

const TOOLS_MAX = 64;

/**
 * @param {{tools: Object[], workflows: {id: string, name: string}[], connectors: Object[], credentials: Object[]}} given `tools` as the API has them
 * @returns {{control: Node, read(): Object[]}} a field of one's own for `form()`
 */
export function toolPicker({ tools, workflows, connectors, credentials }) {
  const names = new Map(workflows.map((each) => [each.id, each.name]));
  const chosen = tools.map((tool) => ({ ...tool }));
  const list = h("ul", { role: "list", class: "tools" });

  function draw() {
    put(list, chosen.map((tool) => {
      const title = titleOf(tool, names);
      return h("li", null,
        icon(tool.type === "workflow" ? "flow" : "plug"),
        h("div", { class: "tool" },
          h("span", { class: "name" }, title, tool.credential && h("span", { class: "small soft" }, ` with ${labelOf(tool.credential, credentials)}`)),
          h("input", { class: "input", "aria-label": `When to use ${title}`, placeholder: "When to use it (its own description unless given)", maxlength: "1024", value: tool.description ?? "", on: { input: (event) => { tool.description = event.target.value.trim() || null; } } })),
        button(`Take ${title} away`, { icon: "close", iconOnly: true, kind: "quiet", small: true, onClick: () => { chosen.splice(chosen.indexOf(tool), 1); draw(); } }));
    }));
    list.hidden = chosen.length === 0;
  }

  function add(tool) {
    const twice = chosen.some((each) => each.type === tool.type && each.workflow === tool.workflow && each.connector === tool.connector && each.action === tool.action && each.credential === tool.credential);
    if (!twice && chosen.length < TOOLS_MAX) {
      chosen.push(tool);
      draw();
    }
  }

  draw();
  return {
    control: h("div", { class: "stack", tabindex: "-1" }, list, workflowAdder(workflows, add), connectors.length > 0 && connectorAdder(connectors, credentials, add)),
    read: () => chosen.map((tool) => ({ ...tool, description: tool.description ?? null })),
  };
}

function titleOf(tool, names) {
  return tool.type === "workflow" ? names.get(tool.workflow) ?? tool.workflow : `${tool.connector}: ${tool.action}`;
}

const labelOf = (id, credentials) => credentials.find((each) => each.id === id)?.label ?? id;

/** By name, also one that is not among the names that are offered. */
function workflowAdder(workflows, add) {
  const id = newId("workflows");
  const name = h("input", { class: "input", list: id, "aria-label": "Workflow", placeholder: "Name of a workflow", maxlength: "200", autocomplete: "off", on: { keydown: (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      take();
    }
  } } });

  function take() {
    if (name.value.trim()) {
      add({ type: "workflow", workflow: name.value.trim(), description: null });
      name.value = "";
    }
    name.focus();
  }

  return h("div", { class: "adder" }, name, h("datalist", { id }, workflows.map((each) => h("option", { value: each.name }))), button("Add workflow", { icon: "plus", onClick: take }));
}

function connectorAdder(connectors, credentials, add) {
  const connector = h("select", { class: "select", "aria-label": "Connector", on: { change: fill } }, connectors.map((each) => h("option", { value: each.name }, each.title)));
  const action = h("select", { class: "select", "aria-label": "Action" });
  const credential = h("select", { class: "select", "aria-label": "Credential" });

  function fill() {
    const found = connectors.find((each) => each.name === connector.value);
    put(action, found.actions.map((key) => h("option", { value: key }, key)));
    put(credential, h("option", { value: "" }, "The only credential"), credentials.filter((each) => each.connector === found.name && !each.end_user_id).map((each) => h("option", { value: each.id }, each.label)));
  }

  fill();
  return h("div", { class: "adder" }, connector, action, credential, button("Add action", { icon: "plus", onClick: () => add({ type: "connector", connector: connector.value, action: action.value, credential: credential.value || null, description: null }) }));
}
