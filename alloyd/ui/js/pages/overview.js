// The overview: how runs go, what waits to be dealt with, and for who administers it the machine.

import { api, isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { bytes, clock, count, duration, number, percent, time } from "../format.js";
import { facts, figure, notice, pageHead, panel, waiting } from "../parts/basics.js";
import { barChart, lineChart, meter } from "../parts/chart.js";
import { eventList } from "../parts/eventlist.js";
import { may, organization } from "../session.js";

const AGAIN_MS = 5000;
const KINDS = ["workflow.run.", "job.", "storage_file.", "api_key.", "webhook.", "schedule.", "teammate.", "user.", "invitation.", "workflow.definition."];

export default async function show({ signal }) {
  const head = pageHead({ title: "Overview", about: organization() ? `${organization().name}, the last hour` : "You belong to no organization yet. Ask for an invitation." });
  if (!may("run.read")) {
    return head;
  }
  const ended = figure("Runs ended");
  const failed = figure("Failed");
  const queue = figure("In the queue");
  const latency = figure("Median run time");
  const charts = h("div", { class: "grid" }, waiting());
  const platform = h("div");
  const fault = h("div");
  const list = may("event.read") ? eventList({ signal, kinds: KINDS, keep: 15, details: false }) : null;

  async function refresh() {
    try {
      const seen = await api.get("/overview", { signal });
      put(fault);
      showFigures(seen, { ended, failed, queue, latency });
      put(charts, chartsOf(seen));
      put(platform, seen.platform && machine(seen.platform));
    } catch (error) {
      if (!isAbort(error)) {
        put(fault, notice("warn", `The figures are not up to date: ${error.message}`));
      }
    }
  }

  await refresh();
  repeat(refresh, signal);
  return [
    head,
    h("div", { class: "stack" },
      fault,
      h("div", { class: "figures" }, ended.node, failed.node, queue.node, latency.node),
      charts,
      h("div", { class: platform.hasChildNodes() ? "split" : "stack" },
        list && panel({ title: "What happens now", actions: [list.state, h("a", { href: "#/events", class: "small" }, "All events")], flush: true, body: list.node }),
        platform)),
  ];
}

/** Every few seconds, and not while nobody looks. */
function repeat(work, signal) {
  const timer = setInterval(() => { if (!document.hidden) { work(); } }, AGAIN_MS);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

const sum = (minutes, name) => minutes.reduce((all, minute) => all + minute[name], 0);

function showFigures(seen, { ended, failed, queue, latency }) {
  const { minutes, runs } = seen;
  const good = sum(minutes, "completed");
  const bad = sum(minutes, "failed");
  const all = good + bad + sum(minutes, "cancelled");
  const whole = new Date(seen.at) - new Date(seen.since) >= 59 * 60_000;
  ended.set(number(all), whole ? "in the last hour" : `since ${clock(seen.since)}`);
  failed.set(number(bad), [all ? `${percent(bad / all)} of them` : "none ended", runs.dead_letters > 0 && [", ", count(runs.dead_letters, "dead letter")]]);
  queue.set(number(runs.queued), `${number(runs.running)} running, ${number(runs.waiting)} waiting`);
  latency.set(duration(seen.latency.p50_ms), seen.latency.p95_ms === null ? "no run has ended" : `95% took at most ${duration(seen.latency.p95_ms)}`);
}

function chartsOf({ minutes }) {
  const points = (value) => minutes.map((minute) => ({ at: minute.at, value: value(minute) }));
  const all = points((minute) => minute.completed + minute.failed + minute.cancelled);
  const bad = points((minute) => minute.failed);
  return [
    panel({ body: lineChart({ title: "Runs per minute", points: all, height: 72, total: `${number(all.at(-2).value)} in the last whole minute`, max: 4 }) }),
    panel({ body: barChart({ title: "Failures per minute", points: bad, height: 72, tone: "bad", total: `${number(bad.at(-2).value)} in the last whole minute`, max: 4 }) }),
  ];
}

function machine(seen) {
  const used = 1 - seen.disk_free_bytes / seen.disk_total_bytes;
  return panel({
    title: "This installation",
    body: h("div", { class: "stack" },
      h("div", { class: "stack" }, h("div", { class: "row spread small" }, h("span", null, "Disk"), h("span", { class: "number" }, `${bytes(seen.disk_free_bytes)} free of ${bytes(seen.disk_total_bytes)}`)), meter(used, "Disk used")),
      facts([
        ["Running since", time(seen.started_at)],
        ["Runs", `${number(seen.runs_running)} running, ${number(seen.runs_queued)} queued`],
        ["Live streams", number(seen.streams)],
        ["Database", bytes(seen.database_bytes)],
        ["Organizations", number(seen.organizations)],
      ])),
  });
}
