// One step of a run from near: what it worked on, what came of it, each attempt; and what can be done from here.

import { api } from "../api.js";
import { h } from "../dom.js";
import { dateTime, duration } from "../format.js";
import { badge, button, facts, notice } from "./basics.js";
import { dialog } from "./dialog.js";
import { errorText, valueBlock } from "./values.js";
import { retryDialog, signalDialog } from "./run-actions.js";
import { may } from "../session.js";

/**
 * @param {Object} run as the API shows it
 * @param {string} key
 * @param {AbortSignal} signal
 */
export async function openStep(run, key, signal) {
  const step = await api.get(`/workflow-runs/${encodeURIComponent(run.id)}/steps/${encodeURIComponent(key)}`, { signal });
  const ended = ["completed", "failed", "cancelled"].includes(run.status);
  const opened = dialog({
    title: `Step ${key}`,
    large: true,
    body: bodyOf(run, step),
    footer: [
      step.status === "waiting" && step.operation === "workflow.wait_event" && may("run.signal") && button("Signal…", { icon: "send", onClick: () => then(() => signalDialog(run, key)) }),
      ended && !step.grown_by && may("run.retry") && run.parent_run_id === null && button("Retry from here…", { icon: "retry", onClick: () => then(() => retryDialog(run, key)) }),
      button("Close", { onClick: () => opened.close() }),
    ].filter(Boolean),
  });

  function then(act) {
    opened.close();
    act();
  }
}

function bodyOf(run, step) {
  return [
    facts([
      ["State", badge(step.status)],
      ["Does", h("code", null, step.operation || "–")],
      ["Asked for by", step.grown_by ? h("code", null, step.grown_by) : null],
      ["Attempt", step.attempt || null],
      ["Began", step.started_at ? dateTime(step.started_at) : null],
      ["Ended", step.ended_at ? dateTime(step.ended_at) : null],
      ["Took", step.duration_ms === null ? null : duration(step.duration_ms)],
    ]),
    step.error && notice("bad", errorText(step.error)),
    step.error?.details && valueBlock("Details of the error", step.error.details),
    step.input_error ? notice("info", "Its input can’t be shown: ", step.input_error) : valueBlock("Input", step.input, { note: "worked out of what the run holds now" }),
    valueBlock("Output", step.output, { always: step.status === "completed" }),
    ["workflow.foreach", "workflow.call"].includes(step.operation) && h("p", null, h("a", { href: `#/runs?parent=${encodeURIComponent(run.id)}` }, "The runs that it started")),
    step.attempts.length > 0 && attemptsOf(step.attempts),
  ];
}

/** The attempts before the last one. */
function attemptsOf(attempts) {
  return h("div", null, h("p", { class: "block-title" }, "Attempts before"), h("div", { class: "table-wrap" }, h("table", { class: "list folds" },
    h("thead", null, h("tr", null, ["Attempt", "Began", "Took", "Error"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", null, attempts.map((each) => h("tr", null,
      h("td", { data: { label: "Attempt" } }, each.attempt),
      h("td", { data: { label: "Began" } }, dateTime(each.started_at)),
      h("td", { data: { label: "Took" } }, each.started_at ? duration(new Date(each.ended_at) - new Date(each.started_at)) : "–"),
      h("td", { data: { label: "Error" } }, h("span", null, errorText(each.error)))))))));
}
