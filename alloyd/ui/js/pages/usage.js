// Usage: what calls of AI models took and cost, by day and by what asked for them.

import { api, isAbort } from "../api.js";
import { h, icon, put } from "../dom.js";
import { dateTime, day, duration, money, number, percent, shortNumber } from "../format.js";
import { badge, button, empty, figure, pageHead, panel } from "../parts/basics.js";
import { shareBar, stackedBars } from "../parts/bars.js";
import { budgetPanel } from "../parts/budget.js";
import { fieldOf } from "../parts/form.js";
import { table } from "../parts/table.js";
import { tabs } from "../parts/tabs.js";
import { go, remember } from "../router.js";
import { may, session } from "../session.js";

const DAY_MS = 86_400_000;
const DAYS_DRAWN_MAX = 366;
const PERIODS = [["", "This month"], ["last", "Last month"], ["1", "Today"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["own", "From and to …"]];
const MEASURES = [["cost", "Cost"], ["calls", "Calls"], ["tokens", "Tokens"]];
const LARGEST = 100;
const RECORDS = 20;

export default async function show({ query, signal }) {
  const own = `/organizations/${encodeURIComponent(session().organization_id)}`;
  const asked = { period: query.get("period") ?? "", from: query.get("from"), to: query.get("to"), by: query.get("by"), show: query.get("show") };
  const span = spanOf(asked);
  const [seen, budget] = await Promise.all([api.get(`${own}/usage`, { signal, query: span }), budgetPanel(session().organization_id, signal)]);
  const chart = h("div");
  const measure = fieldOf({ name: "show", label: "Shown", type: "select", options: MEASURES, value: asked.show ?? (seen.totals.cost_usd > 0 ? "cost" : "calls") });
  const draw = () => put(chart, chartOf(seen, measure.read()));
  measure.control.addEventListener("change", () => { asked.show = measure.read(); remember(asked); draw(); });
  draw();
  return [
    pageHead({
      title: "Usage",
      about: `${day(seen.from)} to ${dateTime(seen.to)}. Days and months are those of UTC.`,
      actions: [h("a", { class: "button", href: api.url(`${own}/usage/records.csv`, span), download: "usage.csv" }, icon("download"), h("span", null, "Records as CSV"))],
    }),
    h("div", { class: "stack" },
      periods(asked),
      h("div", { class: "figures four" }, figures(seen.totals)),
      h("div", { class: "split" }, panel({ title: "By day", actions: [h("div", { class: "by-day" }, measure.node)], body: chart }), budget),
      panel({ title: "By what asked", body: breakdowns(seen, asked, signal) }),
      panel({ title: "Single calls", flush: true, body: records(own, span, signal).node })),
  ];
}

/** From and to of the API; nothing means this month until now. */
function spanOf({ period, from, to }) {
  const now = new Date();
  const date = (ms) => new Date(ms).toISOString().slice(0, 10);
  if (period === "own") {
    return { from, to: to && date(Date.parse(to) + DAY_MS) };
  }
  if (period === "last") {
    return { from: date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1)), to: date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)) };
  }
  const days = Number(period);
  return days > 0 ? { from: date(now.getTime() - (days - 1) * DAY_MS) } : {};
}

function periods(asked) {
  const chosen = fieldOf({ name: "period", label: "Period", type: "select", options: PERIODS, value: asked.period });
  const from = fieldOf({ name: "from", label: "From", type: "date", value: asked.from, plain: true });
  const to = fieldOf({ name: "to", label: "To, included", type: "date", value: asked.to, plain: true });
  const apply = button("Apply", { type: "submit", icon: "filter" });
  const settle = () => {
    const free = chosen.read() === "own";
    for (const node of [from.node, to.node, apply]) {
      node.hidden = !free;
    }
    return free;
  };
  const send = () => go("/usage", { ...asked, period: chosen.read(), from: settle() ? from.read() : null, to: settle() ? to.read() : null });
  chosen.control.addEventListener("change", () => { if (!settle()) { send(); } });
  settle();
  return panel({ flush: true, body: h("form", { class: "filters bare", on: { submit: (event) => { event.preventDefault(); send(); } } }, chosen.node, from.node, to.node, apply) });
}

function figures(totals) {
  const cost = figure("Cost");
  cost.set(money(totals.cost_usd), totals.over_budget_usd ? `and ${money(totals.over_budget_usd)} over the budget` : "");
  const calls = figure("Calls");
  calls.set(number(totals.calls), totals.failed ? `${percent(totals.failed / totals.calls)} failed` : "none failed");
  const tokens = figure("Tokens");
  tokens.set(shortNumber(totals.input_tokens + totals.output_tokens), `${shortNumber(totals.input_tokens)} in, ${shortNumber(totals.output_tokens)} out`);
  const lasted = figure("Time of a call");
  lasted.set(totals.calls ? duration(totals.duration_ms / totals.calls) : "–", "on average");
  return [cost.node, calls.node, tokens.node, lasted.node];
}

function chartOf(seen, measure) {
  if (seen.totals.calls === 0) {
    return empty({ icon: "coins", title: "No calls in this time", text: "Calls of AI models by workflows, jobs, teammates and programs are counted here." });
  }
  const known = new Map(seen.by_day.map((each) => [each.id, each]));
  const days = allDays(seen);
  const of = (pick) => days.map((id) => ({ label: id, values: known.has(id) ? pick(known.get(id)) : pick({ cost_usd: 0, calls: 0, failed: 0, input_tokens: 0, output_tokens: 0 }) }));
  return {
    cost: () => stackedBars({ title: "Cost by day", parts: ["Cost"], format: money, rows: of((each) => [each.cost_usd]) }),
    calls: () => stackedBars({ title: "Calls by day", parts: ["Answered", "Failed"], tints: [0, 2], rows: of((each) => [each.calls - each.failed, each.failed]) }),
    tokens: () => stackedBars({ title: "Tokens by day", parts: ["Input", "Output"], rows: of((each) => [each.input_tokens, each.output_tokens]) }),
  }[measure]();
}

/** Every day of the time, those without calls too; of a very long time only those with calls. */
function allDays(seen) {
  const first = Math.floor(Date.parse(seen.from) / DAY_MS);
  const last = Math.floor((Date.parse(seen.to) - 1) / DAY_MS);
  if (last - first >= DAYS_DRAWN_MAX) {
    return seen.by_day.map((each) => each.id).filter(Boolean);
  }
  return Array.from({ length: last - first + 1 }, (_, at) => new Date((first + at) * DAY_MS).toISOString().slice(0, 10));
}

function breakdowns(seen, asked, signal) {
  const names = new Names(signal);
  const part = (id, label, lines, shown) => ({ id, label, render: () => shares(lines, seen.totals, label, shown) });
  const plain = (line) => line.id;
  const { node } = tabs([
    part("provider", "Provider", seen.by_provider, plain),
    part("model", "Model", seen.by_model, plain),
    part("workflow", "Workflow or teammate", seen.by_workflow, (line) => names.workflow(line.id)),
    part("key", "API key", seen.by_key, (line) => names.key(line.id)),
    part("principal", "Who", seen.by_principal, (line) => names.principal(line)),
    part("job", "Job", seen.by_job, (line) => line.id),
  ], { selected: asked.by ?? "provider", label: "Broken down by", onSelect: (by) => { asked.by = by; remember(asked); } });
  return node;
}

async function shares(lines, totals, label, shown) {
  const used = lines.filter((line) => line.calls > 0);
  if (used.length === 0) {
    return empty({ icon: "coins", title: "Nothing to show" });
  }
  const rows = await Promise.all(used.map(async (line) => [line, line.id === null ? h("span", { class: "soft" }, used.length > LARGEST ? "All others" : "None") : await shown(line)]));
  const part = (line) => (totals.cost_usd > 0 ? line.cost_usd / totals.cost_usd : line.calls / totals.calls);
  return h("div", { class: "table-wrap" }, h("table", { class: "list folds" },
    h("caption", { class: "only-heard" }, `Usage by ${label.toLowerCase()}`),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, label), ["Cost", "Calls", "Failed", "Tokens in", "Tokens out"].map((title) => h("th", { scope: "col", class: "end" }, title)), h("th", { scope: "col" }, totals.cost_usd > 0 ? "Share of the cost" : "Share of the calls"))),
    h("tbody", null, rows.map(([line, name]) => h("tr", null,
      h("td", { class: "lead name", data: { label } }, name),
      [["Cost", money(line.cost_usd)], ["Calls", number(line.calls)], ["Failed", number(line.failed)], ["Tokens in", number(line.input_tokens)], ["Tokens out", number(line.output_tokens)]].map(([title, value]) => h("td", { class: "end number", data: { label: title } }, value)),
      h("td", { data: { label: "Share" } }, h("div", { class: "share" }, h("span", { class: "number small" }, percent(part(line))), shareBar(part(line)))))))));
}

/** What ids are called; each list is fetched once, when the first name is wanted. */
class Names {
  #signal;
  #lists = new Map();

  constructor(signal) {
    this.#signal = signal;
  }

  async #find(path, action, id, of = (each) => each.id) {
    if (!may(action)) {
      return null;
    }
    if (!this.#lists.has(path)) {
      this.#lists.set(path, api.page(path, { signal: this.#signal, query: { limit: 200 } }).catch((error) => {
        if (isAbort(error)) {
          throw error;
        }
        return { items: [] };
      }));
    }
    return (await this.#lists.get(path)).items.find((each) => of(each) === id) ?? null;
  }

  async workflow(id) {
    const [teammate, workflow] = await Promise.all([
      this.#find("/teammates", "teammate.read", id, (each) => each.workflow_id),
      this.#find("/workflow-definitions", "workflow.read", id),
    ]);
    return teammate
      ? [h("a", { href: `#/teammates/${encodeURIComponent(teammate.id)}` }, teammate.name), h("span", { class: "sub" }, "Teammate")]
      : h("a", { href: `#/workflows/${encodeURIComponent(id)}` }, workflow?.name ?? id);
  }

  async key(id) {
    return (await this.#find("/api-keys", "api_key.read", id))?.name ?? id;
  }

  async principal({ id, kind }) {
    const known = kind === "api_key" ? await this.key(id) : kind === "user" ? await this.#user(id) : id;
    return [known, h("span", { class: "sub" }, (kind ?? "").replaceAll("_", " "))];
  }

  async #user(id) {
    const found = await this.#find(`/organizations/${encodeURIComponent(session().organization_id)}/members`, "member.read", id, (each) => each.user_id ?? each.id);
    return found?.display_name ?? found?.email ?? id;
  }
}

function records(own, span, signal) {
  return table({
    label: "Single calls",
    load: (next) => api.page(`${own}/usage/records`, { signal, next, query: { ...span, limit: RECORDS } }),
    columns: [
      { title: "Model", lead: true, cell: (record) => [h("span", { class: "name" }, record.model), h("span", { class: "sub" }, `${record.provider}, ${record.modality}`)] },
      { title: "State", cell: (record) => badge(record.status) },
      { title: "Cost", end: true, cell: (record) => money(record.cost_usd) },
      { title: "Tokens", end: true, cell: (record) => `${number(record.input_tokens)} in, ${number(record.output_tokens)} out` },
      { title: "Took", end: true, cell: (record) => duration(record.duration_ms) },
      { title: "Asked by", cell: (record) => from(record) },
      { title: "When", cell: (record) => h("time", { datetime: record.created_at, class: "nowrap" }, dateTime(record.created_at)) },
    ],
    empty: { icon: "coins", title: "No calls in this time" },
  });
}

function from(record) {
  if (record.job_id) {
    return h("a", { href: `#/jobs/${encodeURIComponent(record.job_id)}` }, "a job");
  }
  return record.workflow_run_id ? h("a", { href: `#/runs/${encodeURIComponent(record.workflow_run_id)}` }, record.node_key ?? "a run") : record.principal_kind.replaceAll("_", " ");
}
