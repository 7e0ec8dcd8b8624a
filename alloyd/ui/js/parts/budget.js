// What an organization may spend, what is left of it, and the dialog that sets it.

import { api } from "../api.js";
import { h, put } from "../dom.js";
import { day, money } from "../format.js";
import { may } from "../session.js";
import { badge, button, facts, panel } from "./basics.js";
import { meter } from "./chart.js";
import { confirm, formDialog } from "./dialog.js";

/** The panel, and `refresh()` for when calls have been made. */
export async function budgetPanel(organizationId, signal) {
  const path = `/organizations/${encodeURIComponent(organizationId)}/budget`;
  const body = h("div", { class: "stack" });
  const show = (budget) => put(body, shown(budget, path, show));
  show(await api.get(path, { signal }));
  return panel({ title: "Budget", body });
}

function shown(budget, path, show) {
  const { limit_usd: limit, spent_usd: spent, reserved_usd: reserved, remaining_usd: rest, source, period } = budget;
  const part = limit === null ? null : limit === 0 ? 1 : (spent + reserved) / limit;
  const acts = may("organization.update") && h("div", { class: "row" },
    button(source === "organization" ? "Change" : "Set a budget", { small: true, icon: "pencil", onClick: () => change(budget, path, show) }),
    source === "organization" && button("Use the default", { small: true, kind: "quiet", onClick: () => reset(path, show) }));
  return [
    part !== null && meter(part, "Budget used"),
    facts([
      ["May be spent", limit === null ? "no limit" : `${money(limit)} a ${period}`],
      ["Spent", money(spent)],
      ["Set aside for calls under way", reserved ? money(reserved) : null],
      ["Left", rest === null ? null : h("span", { class: "row" }, money(rest), rest === 0 && badge("used up", { tone: "bad" }))],
      ["Counts", `${day(budget.period_start)} to ${day(budget.period_end)}`],
      ["From", source === "organization" ? "set for this organization" : "the configuration’s default"],
    ]),
    acts,
  ];
}

async function change(budget, path, show) {
  const next = await formDialog({
    title: "Budget",
    label: "Set the budget",
    before: [h("p", null, "A call that would go beyond it is refused. The most it may cost is set aside before it is made.")],
    fields: [
      { name: "limit_usd", label: "US dollars", type: "number", value: budget.limit_usd, hint: "Empty for no limit; 0 lets only free calls through." },
      { name: "period", label: "In each", type: "select", options: [["day", "day (UTC)"], ["month", "month (UTC)"]], value: budget.period },
    ],
    submit: (values) => api.put(path, values),
  });
  if (next) {
    show(next);
  }
}

async function reset(path, show) {
  const text = "The organization’s own budget is taken away, and the one of the configuration holds again.";
  let next = null;
  if (await confirm({ title: "Use the default budget?", text, label: "Use the default", danger: false, act: async () => { next = await api.delete(path); } })) {
    show(next);
  }
}
