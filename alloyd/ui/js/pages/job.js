// One job: what was asked, what came of it, and what it cost.

import { api } from "../api.js";
import { h } from "../dom.js";
import { dateTime, duration, money, number } from "../format.js";
import { stream } from "../live.js";
import { badge, button, facts, notice, pageHead, panel } from "../parts/basics.js";
import { codeBlock, jsonBlock } from "../parts/code.js";
import { render } from "../router.js";
import { may } from "../session.js";
import { cancelJob } from "./jobs.js";

export default async function show({ params, signal }) {
  const path = `/jobs/${encodeURIComponent(params.id)}`;
  const [job, usage] = await Promise.all([api.get(path, { signal }), may("usage.read") || may("job.read") ? api.get(`${path}/usage`, { signal }) : null]);
  if (!job.ended_at) {
    stream(api.url(`${path}/events`), { signal, ends: true, onEvents: () => {}, onState: (state) => { if (state === "ended" && !signal.aborted) { render(); } } });
  }
  const cancel = may("job.create") && !job.ended_at && button("Cancel", { icon: "stop", kind: "danger", onClick: () => cancelJob(job, () => render()) });
  return [
    pageHead({ title: `Job: ${job.modality}`, crumbs: [["Jobs", "#/jobs"]], actions: [cancel] }),
    h("div", { class: "stack" },
      job.error && notice("bad", job.error.message ?? JSON.stringify(job.error)),
      h("div", { class: "grid" },
        panel({ title: "State", body: facts([
          ["State", badge(job.status)],
          ["Id", h("code", null, job.id)],
          ["Provider", job.provider_id ?? job.provider],
          ["Model", job.model],
          ["Tier", job.tier],
          ["Made", dateTime(job.created_at)],
          ["Started", job.started_at && dateTime(job.started_at)],
          ["Ended", job.ended_at && dateTime(job.ended_at)],
          ["Run", h("a", { href: `#/runs/${encodeURIComponent(job.workflow_run_id)}` }, "its run")],
        ]) }),
        usage && panel({ title: "Cost", body: facts([
          ["Cost", money(usage.totals.cost_usd)],
          ["At most, as estimated", job.estimated_cost_usd === null ? null : money(job.estimated_cost_usd)],
          ["Calls", `${number(usage.totals.calls)}, ${number(usage.totals.failed)} failed`],
          ["Tokens", `${number(usage.totals.input_tokens)} in, ${number(usage.totals.output_tokens)} out`],
          ["Took", duration(usage.totals.duration_ms)],
        ]) })),
      panel({ title: "Asked", body: shown(job.input, "Input") }),
      Object.keys(job.params ?? {}).length > 0 && panel({ title: "Parameters", body: jsonBlock(job.params, { label: "Parameters" }) }),
      job.output !== null && job.output !== undefined && panel({ title: "Answer", body: shown(job.output, "Output") })),
  ];
}

const shown = (value, label) => (typeof value === "string" ? codeBlock(value, { label, wraps: true }) : jsonBlock(value, { label }));
