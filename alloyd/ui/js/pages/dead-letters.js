// Runs that failed for good and that nobody has dealt with.

import { api } from "../api.js";
import { h } from "../dom.js";
import { time } from "../format.js";
import { button, pageHead, panel, tag } from "../parts/basics.js";
import { confirm, formDialog } from "../parts/dialog.js";
import { fieldOf } from "../parts/form.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { errorText } from "../parts/values.js";
import { workflowName, workflowNames } from "../parts/workflow-names.js";
import { remember } from "../router.js";
import { may } from "../session.js";

const pathOf = (run) => `/dead-letters/${encodeURIComponent(run.id)}`;

export default function show({ query, signal }) {
  const names = workflowNames(signal);
  names.catch(() => {});
  let workflow = query.get("workflow") ?? "";
  const field = fieldOf({ name: "workflow", label: "Workflow", type: "select", options: [["", "Any workflow"]] });
  names.then((known) => {
    field.control.append(...[...known].map(([id, name]) => h("option", { value: id }, name)));
    field.control.value = workflow;
  }, () => {});
  field.control.addEventListener("change", () => {
    workflow = field.read() ?? "";
    remember({ workflow });
    list.reload();
  });
  const list = table({
    label: "Dead letters",
    load: (next) => api.page("/dead-letters", { query: { workflow_id: workflow }, signal, next }),
    columns: [
      { title: "Run", lead: true, cell: (run) => [h("a", { class: "name mono", href: `#/runs/${encodeURIComponent(run.id)}` }, run.id.slice(-8)), run.error && h("span", { class: "sub" }, errorText(run.error))] },
      { title: "Workflow", cell: (run) => workflowName(run.workflow_id, names) },
      { title: "Started by", cell: (run) => tag(run.trigger) },
      { title: "Failed", cell: (run) => time(run.ended_at) },
      { title: "What to do", acts: true, cell: (run) => may("dead_letter.write") && [
        button("Run again", { small: true, icon: "retry", onClick: () => requeue(run, list) }),
        button("Dismiss", { small: true, kind: "quiet", onClick: () => dismiss(run, list) })] },
    ],
    filters: h("div", { class: "filters" }, field.node),
    empty: { icon: "check", title: "Nothing failed", text: "Runs that failed for good stand here until they are run again or dismissed." },
  });
  return [
    pageHead({ title: "Dead letters", about: "Runs that failed for good, until somebody runs them again or dismisses them." }),
    panel({ flush: true, body: list.node }),
  ];
}

async function requeue(run, list) {
  const made = await formDialog({
    title: "Run it again",
    label: "Run again",
    before: [h("p", null, "A new run goes on from what failed; what was done before is taken over.")],
    fields: [{ name: "version", label: "Version", type: "select", value: "pinned", options: [["pinned", `the same, ${run.workflow_version}`], ["latest", "the newest that is published"]] }],
    submit: (values) => api.post(`${pathOf(run)}/requeue`, values),
  });
  if (made) {
    list.remove(run.id);
    toast("A new run has begun.");
  }
}

async function dismiss(run, list) {
  if (await confirm({ title: "Dismiss this run?", text: "It leaves this list. The run itself stays among the runs.", label: "Dismiss", danger: false, act: () => api.post(`${pathOf(run)}/discard`) })) {
    list.remove(run.id);
    toast("Dismissed.");
  }
}
