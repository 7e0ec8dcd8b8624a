// One webhook: what it is told, and how each delivery went, live.

import { api, isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { count, dateTime, duration, time } from "../format.js";
import { follow } from "../live.js";
import { badge, button, facts, pageHead, panel, tag } from "../parts/basics.js";
import { codeBlock, jsonBlock } from "../parts/code.js";
import { dialog } from "../parts/dialog.js";
import { fieldOf } from "../parts/form.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { pathOf, sendTest, stateOf, webhookMenu } from "../parts/webhook-acts.js";
import { go } from "../router.js";
import { may } from "../session.js";

const AGAIN_MS = 2000;
const STATES = [["", "All"], ["pending", "Pending"], ["delivered", "Delivered"], ["failed", "Failed"], ["cancelled", "Cancelled"]];

export default async function show({ params, query, signal, title }) {
  let webhook = await api.get(`/webhooks/${encodeURIComponent(params.id)}`, { signal });
  const asked = { state: query.get("state"), kind: query.get("kind"), event_id: query.get("event_id") };
  const list = deliveries(webhook, asked, signal);
  const head = h("div");
  const about = h("div");
  let due = false;

  function draw(next) {
    webhook = next;
    title(webhook.url);
    const told = { onChange: (changed) => { due = true; draw(changed); }, onGone: () => go("/webhooks") };
    const acts = webhookMenu(webhook, told);
    const test = acts && webhook.enabled && button("Send a test", { icon: "send", onClick: () => sendTest(webhook, told.onChange) });
    put(head, pageHead({ title: webhook.url, about: webhook.description, crumbs: [["Webhooks", "#/webhooks"]], actions: [test, acts] }));
    put(about, panel({ body: facts([
      ["State", stateOf(webhook)],
      ["Events", h("div", { class: "event-kinds" }, webhook.events.map(tag))],
      ["Made", dateTime(webhook.created_at)],
      ["The former secret ends", webhook.former_secret_until && time(webhook.former_secret_until)],
      ["Id", h("code", null, webhook.id)],
    ]) }));
  }

  draw(webhook);
  // Every event may become a delivery, and how a delivery goes is no event itself.
  follow({ signal, onEvents: () => { due = true; } });
  repeat(async () => {
    if (!due && !list.items().some((delivery) => delivery.state === "pending")) {
      return;
    }
    due = false;
    const [page, seen] = await Promise.all([api.page(`${pathOf(webhook)}/deliveries`, { signal, query: asked }), api.get(pathOf(webhook), { signal })]);
    bringUpToDate(list, page.items);
    if (JSON.stringify(seen) !== JSON.stringify(webhook)) {
      draw(seen);
    }
  }, signal);
  return [head, h("div", { class: "stack" }, about, panel({ title: "Deliveries", flush: true, body: list.node }))];
}

/** Every two seconds, one after the other, and not while nobody looks. */
function repeat(work, signal) {
  let busy = false;
  const timer = setInterval(async () => {
    if (busy || document.hidden) {
      return;
    }
    busy = true;
    try {
      await work();
    } catch (error) {
      if (!isAbort(error) && error.status === 404) {
        clearInterval(timer);
      }
    } finally {
      busy = false;
    }
  }, AGAIN_MS);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

/** Only rows that differ, so that none loses the focus for nothing. */
function bringUpToDate(list, items) {
  const known = new Map(list.items().map((delivery) => [delivery.id, JSON.stringify(delivery)]));
  for (const delivery of items.toReversed()) {
    if (known.get(delivery.id) !== JSON.stringify(delivery)) {
      list.put(delivery);
    }
  }
}

function deliveries(webhook, asked, signal) {
  const fields = [
    fieldOf({ name: "state", label: "State", type: "select", options: STATES, value: asked.state ?? "" }),
    fieldOf({ name: "kind", label: "Kind of event", value: asked.kind, placeholder: "order.paid", plain: true }),
    fieldOf({ name: "event_id", label: "Event, by id", value: asked.event_id, plain: true }),
  ];
  const apply = (event) => {
    event.preventDefault();
    go(pathOf(webhook), Object.fromEntries(fields.map((field) => [field.name, field.read()])));
  };
  const list = table({
    label: "Deliveries",
    load: (next) => api.page(`${pathOf(webhook)}/deliveries`, { signal, next, query: asked }),
    columns: [
      { title: "Event", lead: true, cell: (delivery) => [h("span", { class: "name" }, delivery.kind), h("span", { class: "sub mono" }, delivery.event_id)] },
      { title: "State", cell: (delivery) => h("div", { class: "state-cell" }, badge(delivery.state), delivery.next_attempt_at && h("span", { class: "small soft" }, "again ", time(delivery.next_attempt_at))) },
      { title: "Attempts", end: true, cell: (delivery) => delivery.attempt_count },
      { title: "Last answer", cell: (delivery) => answer(delivery.attempts.at(-1)) },
      { title: "Made", cell: (delivery) => time(delivery.created_at) },
      { title: "What to do", acts: true, cell: (delivery) => h("span", { class: "row end" },
        button(`Details of ${delivery.kind}`, { icon: "eye", iconOnly: true, small: true, kind: "quiet", onClick: () => details(delivery) }),
        may("webhook.write") && delivery.state !== "pending" && button(`Send ${delivery.kind} again`, { icon: "retry", iconOnly: true, small: true, kind: "quiet", onClick: () => redeliver(delivery, list) })) },
    ],
    empty: { icon: "send", title: "No deliveries", text: Object.values(asked).some(Boolean) ? "Nothing that fits these filters was sent." : "They appear as soon as an event of one of its kinds happens. “Send a test” makes one now." },
    filters: h("form", { class: "filters", on: { submit: apply } }, fields.map((field) => field.node), button("Apply", { type: "submit", icon: "filter" })),
  });
  return list;
}

function answer(attempt) {
  if (!attempt) {
    return h("span", { class: "soft" }, "–");
  }
  const good = attempt.status >= 200 && attempt.status < 300;
  return attempt.status
    ? [badge(String(attempt.status), { tone: good ? "good" : "bad" }), h("span", { class: "small soft" }, ` in ${duration(attempt.duration_ms)}`)]
    : h("span", { class: "small" }, attempt.error);
}

async function redeliver(delivery, list) {
  try {
    list.put(await api.post(`/webhook-deliveries/${encodeURIComponent(delivery.id)}/redeliver`));
    toast("It is sent again.");
  } catch (error) {
    toast(error.message, { tone: "bad" });
  }
}

async function details(delivery) {
  let seen;
  try {
    seen = await api.get(`/webhook-deliveries/${encodeURIComponent(delivery.id)}`);
  } catch (error) {
    toast(error.message, { tone: "bad" });
    return;
  }
  const left = seen.attempt_count - seen.attempts.length;
  dialog({
    title: seen.kind,
    large: true,
    body: h("div", { class: "stack" },
      facts([
        ["State", badge(seen.state)],
        ["Delivery", h("code", null, seen.id)],
        ["Event", h("code", null, seen.event_id)],
        ["Made", dateTime(seen.created_at)],
        ["Ended", seen.ended_at && dateTime(seen.ended_at)],
        ["Next attempt", seen.next_attempt_at && dateTime(seen.next_attempt_at)],
      ]),
      h("h3", null, "Attempts"),
      seen.attempts.length === 0 && h("p", { class: "soft" }, "None yet."),
      left > 0 && h("p", { class: "soft small" }, `${count(left, "earlier attempt")} not shown.`),
      h("ol", { class: "attempts", role: "list" }, seen.attempts.map((each) => h("li", null,
        h("div", { class: "row" }, h("strong", null, `${each.attempt}.`), answer(each), h("span", { class: "small soft" }, dateTime(each.at))),
        each.response && codeBlock(each.response, { label: `Answer to attempt ${each.attempt}`, wraps: true })))),
      h("details", null, h("summary", null, "What is sent"), jsonBlock(seen.body, { label: "Body" }))),
  });
}
