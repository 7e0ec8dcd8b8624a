// Starting a workflow by hand, with a form made from what its definition says of the payload.

import { api } from "../api.js";
import { h } from "../dom.js";
import { form } from "./form.js";
import { dialog } from "./dialog.js";
import { button } from "./basics.js";
import { hasFields, schemaFields } from "./schema-fields.js";
import { go } from "../router.js";

/** Ask for the payload, start a run and go to it. `workflow` is a definition as the API shows it; `payload` fills the form. */
export function runNow(workflow, payload = null) {
  const schema = workflow.definition?.payload_schema;
  const asked = hasFields(schema) ? schemaFields(schema, payload ?? {}) : null;
  const place = h("div");
  const opened = dialog({ title: `Run “${workflow.name}”`, body: place, large: !asked });
  show(Boolean(asked), payload);

  function show(byFields, given) {
    const other = asked && button(byFields ? "As JSON" : "As fields", { kind: "quiet", icon: byFields ? "code" : "list", onClick: () => show(!byFields, null) });
    const json = { name: "payload", label: "Payload", type: "json", value: given ?? {}, rows: 10, optional: false, hint: "A JSON object. Steps read it as {{ trigger }}." };
    const made = form({
      fields: byFields ? asked.fields : [json],
      label: "Run",
      extra: [other, button("Cancel", { onClick: () => opened.close() })],
      submit: async (values) => {
        const run = await start(workflow, byFields ? asked.read(values) : wholeOf(values.payload));
        opened.close();
        go(`/runs/${encodeURIComponent(run.id)}`);
      },
    });
    place.replaceChildren(made.node);
    place.querySelector("input, textarea, select")?.focus();
  }
}

function wholeOf(payload) {
  if (payload === null) {
    return {};
  }
  if (typeof payload !== "object" || Array.isArray(payload)) {
    throw Object.assign(new Error("A JSON object is wanted, such as {\"name\": \"Ada\"}."), { field: "payload" });
  }
  return payload;
}

async function start(workflow, payload) {
  const made = await api.post("/workflow-runs", { workflow_definition_id: workflow.id, context: payload });
  return api.post(`/workflow-runs/${encodeURIComponent(made.id)}/start`);
}
