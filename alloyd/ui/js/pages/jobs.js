// Jobs: calls of AI models that are done in the background.

import { api, isAbort } from "../api.js";
import { h } from "../dom.js";
import { duration, money, time } from "../format.js";
import { follow } from "../live.js";
import { badge, button, pageHead, panel } from "../parts/basics.js";
import { confirm } from "../parts/dialog.js";
import { fieldOf } from "../parts/form.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { go } from "../router.js";
import { may } from "../session.js";

const STATES = [["", "All"], ["pending", "Pending"], ["started", "Started"], ["completed", "Completed"], ["failed", "Failed"]];
const FETCHED_MAX = 20;

export default function show({ query, signal }) {
  const asked = { status: query.get("status"), modality: query.get("modality") };
  const fields = [
    fieldOf({ name: "status", label: "State", type: "select", options: STATES, value: asked.status ?? "" }),
    fieldOf({ name: "modality", label: "Modality", value: asked.modality, placeholder: "text", plain: true }),
  ];
  const apply = (event) => {
    event.preventDefault();
    go("/jobs", Object.fromEntries(fields.map((field) => [field.name, field.read()])));
  };
  const list = table({
    label: "Jobs",
    load: (next) => api.page("/jobs", { signal, next, query: asked }),
    columns: [
      { title: "Job", lead: true, cell: (job) => [h("a", { class: "name", href: `#/jobs/${encodeURIComponent(job.id)}` }, job.modality), h("span", { class: "sub mono" }, job.id)] },
      { title: "State", cell: (job) => badge(job.status) },
      { title: "Model", cell: (job) => job.model ?? job.tier ?? "–" },
      { title: "Cost, at most", end: true, cell: (job) => (job.estimated_cost_usd === null ? "–" : money(job.estimated_cost_usd)) },
      { title: "Took", end: true, cell: (job) => (job.ended_at ? duration(new Date(job.ended_at) - new Date(job.started_at ?? job.created_at)) : "–") },
      { title: "Made", cell: (job) => time(job.created_at) },
      { title: "What to do", acts: true, cell: (job) => may("job.create") && !job.ended_at && button(`Cancel job ${job.id}`, { icon: "stop", iconOnly: true, small: true, kind: "quiet danger", onClick: () => cancelJob(job, (next) => list.put(next)) }) },
    ],
    empty: { icon: "layers", title: "No jobs", text: asked.status || asked.modality ? "None that fit these filters." : "Programs submit them with POST /v1/jobs; they are worked off in the background." },
    filters: h("form", { class: "filters", on: { submit: apply } }, fields.map((field) => field.node), button("Apply", { type: "submit", icon: "filter" })),
  });
  keepUp(list, asked, signal);
  return [
    pageHead({ title: "Jobs", about: "Calls of AI models that are asked for now and answered later." }),
    panel({ flush: true, body: list.node }),
  ];
}

/** Jobs whose state has changed are fetched anew; many at once are the newest page. */
function keepUp(list, asked, signal) {
  follow({
    kinds: ["job."],
    signal,
    async onEvents(events, missed) {
      const ids = [...new Set(events.map((event) => event.subject))];
      try {
        if (missed || ids.length > FETCHED_MAX || asked.status || asked.modality) {
          await list.reload();
        } else {
          for (const job of await Promise.all(ids.map((id) => api.get(`/jobs/${encodeURIComponent(id)}`, { signal })))) {
            list.put(job);
          }
        }
      } catch (error) {
        if (!isAbort(error) && error.status !== 404) {
          toast(error.message, { tone: "bad" });
        }
      }
    },
  });
}

/** Ask, then end it; `done(job)` gets it as it is then. */
export async function cancelJob(job, done) {
  let next = null;
  if (await confirm({ title: "Cancel the job?", text: "It ends now, as failed. What its calls have cost so far is counted.", label: "Cancel the job", act: async () => { next = await api.post(`/jobs/${encodeURIComponent(job.id)}/cancel`); } })) {
    done(next);
    toast("The job is cancelled.");
  }
}
