// Schedules: workflows that are started by the clock.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { dateTime, time } from "../format.js";
import { badge, button, empty, pageHead, panel, waiting } from "../parts/basics.js";
import { confirm, dialog, formDialog } from "../parts/dialog.js";
import { menu } from "../parts/menu.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { workflowName, workflowNames } from "../parts/workflow-names.js";
import { go } from "../router.js";
import { may } from "../session.js";

const MISFIRES = [["once", "once, however many were missed"], ["skip", "not at all"], ["all", "each of them"]];
const COMING = 10;

const pathOf = (schedule) => `/schedules/${encodeURIComponent(schedule.id)}`;

export default function show({ signal }) {
  const names = workflowNames(signal);
  names.catch(() => {});
  const list = table({
    label: "Schedules",
    load: (next) => api.page("/schedules", { signal, next }),
    columns: [
      { title: "Name", lead: true, cell: (schedule) => [h("span", { class: "name" }, schedule.name), schedule.managed && h("span", { class: "sub" }, "asked for by its workflow")] },
      { title: "Workflow", cell: (schedule) => workflowName(schedule.workflow_id, names) },
      { title: "When", cell: (schedule) => [h("code", null, schedule.cron), h("span", { class: "sub" }, schedule.timezone)] },
      { title: "State", cell: (schedule) => badge(schedule.enabled ? "active" : "paused") },
      { title: "Next", cell: (schedule) => (schedule.enabled ? time(schedule.next_fire_at) : h("span", { class: "soft" }, "–")) },
      { title: "Last", cell: (schedule) => (schedule.last_fire_at ? time(schedule.last_fire_at) : h("span", { class: "soft" }, "never")) },
      { title: "What to do", acts: true, cell: (schedule) => acts(schedule, list, signal) },
    ],
    empty: { icon: "clock", title: "No schedules yet", text: "A schedule starts a workflow at the times of a cron expression.", actions: [createButton()] },
  });

  function createButton() {
    return may("schedule.write") && button("New schedule", { kind: "primary", icon: "plus", onClick: () => create(list, names) });
  }

  return [
    pageHead({ title: "Schedules", about: "Workflows that are started by the clock, each in its own time zone.", actions: [createButton()] }),
    panel({ flush: true, body: list.node }),
  ];
}

function fieldsOf(schedule) {
  return [
    { name: "name", label: "Name", value: schedule?.name, required: Boolean(schedule) },
    { name: "cron", label: "When", required: true, value: schedule?.cron ?? "0 9 * * 1-5", hint: "A cron expression: minute, hour, day of the month, month, day of the week. @hourly and @daily are known too." },
    { name: "timezone", label: "Time zone", required: true, value: schedule?.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone, hint: "Such as Europe/Berlin or UTC." },
    { name: "misfire", label: "What was missed while alloyd was off starts", type: "select", options: MISFIRES, value: schedule?.misfire ?? "once" },
    { name: "payload", label: "Payload", type: "json", rows: 4, value: schedule?.payload ?? {}, hint: "What its runs get as {{ trigger }}." },
  ];
}

async function create(list, names) {
  const workflows = [...(await names.catch(() => new Map()))].sort((a, b) => a[1].localeCompare(b[1]));
  if (workflows.length === 0) {
    toast("There is no workflow yet that could be started.", { tone: "bad" });
    return;
  }
  const made = await formDialog({
    title: "New schedule",
    label: "Make the schedule",
    fields: [{ name: "workflow_id", label: "Workflow", type: "select", options: workflows, value: workflows[0][0] }, ...fieldsOf(null)],
    submit: (values) => api.post("/schedules", { ...values, name: values.name ?? "", payload: values.payload ?? {} }),
  });
  if (made) {
    list.put(made);
    toast("The schedule is made.");
  }
}

async function edit(schedule, list) {
  const changed = await formDialog({
    title: `Change “${schedule.name}”`,
    fields: fieldsOf(schedule),
    submit: (values) => api.patch(pathOf(schedule), { ...values, payload: values.payload ?? {} }),
  });
  if (changed) {
    list.put(changed);
  }
}

function acts(schedule, list, signal) {
  const attempt = (act) => async () => {
    try {
      await act();
    } catch (error) {
      toast(error.message, { tone: "bad" });
    }
  };
  const write = may("schedule.write");
  const items = [
    { label: "Next times", icon: "clock", act: attempt(() => showNext(schedule, signal)) },
    may("workflow.run") && { label: "Run now", icon: "play", act: attempt(() => run(schedule)) },
    write && schedule.enabled && { label: "Pause", icon: "pause", act: attempt(async () => list.put(await api.post(`${pathOf(schedule)}/pause`))) },
    write && !schedule.enabled && { label: "Resume", icon: "play", act: attempt(async () => list.put(await api.post(`${pathOf(schedule)}/resume`))) },
    write && !schedule.managed && { label: "Change…", icon: "pencil", act: () => edit(schedule, list) },
    schedule.managed && { label: "Change its workflow", icon: "pencil", href: `#/workflows/${encodeURIComponent(schedule.workflow_id)}/edit` },
    write && !schedule.managed && { label: "Delete…", icon: "trash", danger: true, act: () => remove(schedule, list) },
  ].filter(Boolean);
  return menu([icon("dots")], () => items, { label: `What to do with ${schedule.name}`, atEnd: true, kind: "quiet small only-icon" });
}

async function run(schedule) {
  const { run_id: id } = await api.post(`${pathOf(schedule)}/run`);
  go(`/runs/${encodeURIComponent(id)}`);
}

async function remove(schedule, list) {
  if (await confirm({ title: `Delete “${schedule.name}”?`, text: "It starts nothing any more. Runs that it started stay.", label: "Delete", act: () => api.delete(pathOf(schedule)) })) {
    list.remove(schedule.id);
    toast("The schedule is deleted.");
  }
}

async function showNext(schedule, signal) {
  const place = h("div", null, waiting());
  dialog({ title: `When “${schedule.name}” is due`, body: place });
  const times = await api.get(`${pathOf(schedule)}/next`, { query: { count: COMING }, signal });
  const rows = times.map((each) => h("tr", null, h("td", { class: "number" }, localText(each.local)), h("td", { class: "soft number" }, dateTime(each.at))));
  place.replaceChildren(times.length === 0 ? empty({ icon: "clock", title: "Never again" }) : h("table", { class: "list" },
    h("thead", null, h("tr", null, h("th", { scope: "col" }, `In ${schedule.timezone}`), h("th", { scope: "col" }, "Here"))), h("tbody", null, rows)));
}

/** "2026-01-31T09:00:00+01:00" as the clocks there show it. */
const localText = (local) => local.slice(0, 16).replace("T", " ");
