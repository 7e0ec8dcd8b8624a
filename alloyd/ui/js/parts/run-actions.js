// What can be done with a run: cancel it, run it again, signal a step that waits.

import { api } from "../api.js";
import { h } from "../dom.js";
import { confirm, formDialog } from "./dialog.js";
import { toast } from "./toast.js";
import { go } from "../router.js";

const pathOf = (run) => `/workflow-runs/${encodeURIComponent(run.id)}`;

/** Whether it was cancelled. */
export async function cancelDialog(run) {
  const text = "Running steps are interrupted, those that wait are skipped. What was done outside stays done.";
  const done = await confirm({ title: "Cancel this run?", text, label: "Cancel the run", act: () => api.post(`${pathOf(run)}/cancel`) });
  if (done) {
    toast("The run is cancelled.");
  }
  return done;
}

/** Run it again, and go to the new run. `from` is "start", "failed" or a step's key. */
export async function retryDialog(run, from = run.status === "completed" ? "start" : "failed") {
  const steps = (run.steps ?? []).filter((step) => !step.key.includes(".")).map((step) => [step.key, `from step ${step.key}`]);
  const made = await formDialog({
    title: "Run again",
    label: "Run again",
    before: [h("p", null, "A new run is made. Steps that do not come after the one where it begins are taken over with their results.")],
    fields: [
      { name: "begin", label: "Begin", type: "select", value: from, options: [["start", "from the start"], ["failed", "from what failed or was cancelled"], ...steps] },
      { name: "version", label: "Version", type: "select", value: "pinned", options: [["pinned", `the same, ${run.workflow_version}`], ["latest", "the newest that is published"]] },
    ],
    submit: ({ begin, version }) => api.post(`${pathOf(run)}/retry`, { from: begin, version }),
  });
  if (made) {
    toast("A new run has begun.");
    go(`/runs/${encodeURIComponent(made.id)}`);
  }
}

/** Let a step go on that waits for an event. */
export async function signalDialog(run, key) {
  const done = await formDialog({
    title: `Signal step ${key}`,
    label: "Send",
    before: [h("p", null, "The step goes on as if its event had come. What you give here is the event’s payload.")],
    fields: [{ name: "data", label: "Payload", type: "json", value: {}, rows: 6 }],
    submit: ({ data }) => api.post(`${pathOf(run)}/signal`, { name: key, data }),
  });
  if (done) {
    toast(`Step ${key} goes on.`);
  }
}
