// The versions of a workflow: which one runs, what they are called, and what changed between two.

import { api } from "../api.js";
import { h } from "../dom.js";
import { time } from "../format.js";
import { badge, button, panel, tag } from "./basics.js";
import { dialog, formDialog } from "./dialog.js";
import { diffLines } from "./diff.js";
import { table } from "./table.js";
import { toast } from "./toast.js";
import { may } from "../session.js";

/** @param {{path: string, workflow: Object, signal: AbortSignal}} view the workflow and where the API has it */
export function versionList({ path, workflow, signal }) {
  const list = table({
    label: "Versions",
    key: (version) => version.version,
    load: (next) => api.page(`${path}/versions`, { signal, next }),
    columns: [
      { title: "Version", lead: true, cell: (version) => h("a", { class: "name", href: `#/workflows/${encodeURIComponent(workflow.id)}?version=${version.version}` }, `Version ${version.version}`) },
      { title: "State", cell: (version) => (version.version === workflow.published_version ? badge("latest", { tone: "good", label: "in use" }) : badge(version.status, { tone: "" })) },
      { title: "Names", cell: (version) => (version.releases.length ? h("span", { class: "row" }, version.releases.map(tag)) : h("span", { class: "soft" }, "none")) },
      { title: "Made", cell: (version) => time(version.created_at) },
      { title: "What to do", acts: true, cell: (version) => [
        version.version > 1 && button("Changes", { small: true, kind: "quiet", onClick: () => showChanges(path, version.version, signal) }),
        may("workflow.write") && version.status === "published" && button("Name", { small: true, kind: "quiet", onClick: () => name(path, version, list) })] },
    ],
  });
  return panel({ title: "Versions", flush: true, body: [list.node], footer: h("p", { class: "small soft" }, "A version never changes, and a run stays on the version that it began with. A name, such as 1.2.0, belongs to one version for good.") });
}

async function name(path, version, list) {
  const made = await formDialog({
    title: `Name version ${version.version}`,
    label: "Name it",
    fields: [{ name: "release", label: "Name", required: true, hint: "Such as 1.2.0. It can't be taken back.", placeholder: "1.0.0" }],
    submit: ({ release }) => api.post(`${path}/releases`, { release, version: version.version }),
  });
  if (made) {
    toast(`Version ${version.version} is ${made.release} now.`);
    await list.reload();
  }
}

async function showChanges(path, version, signal) {
  const [before, after] = await Promise.all([version - 1, version].map((each) => api.get(`${path}/text`, { query: { version: each }, signal })));
  dialog({ title: `From version ${version - 1} to ${version}`, large: true, body: diffView(before.text, after.text) });
}

const SIGNS = { added: "+ ", removed: "− ", same: "  ", skipped: "" };

/** Two texts as one, with what was added and removed; long stretches that are the same are left out. */
export function diffView(before, after) {
  const lines = diffLines(before, after);
  if (lines.every((line) => line.kind === "same")) {
    return h("p", { class: "soft" }, "Nothing that shows: perhaps a secret.");
  }
  return h("div", { class: "diff", tabindex: "0", role: "region", "aria-label": "Changes" }, shorten(lines).map(({ kind, text }) => h("div", { class: kind },
    kind === "added" && h("span", { class: "only-heard" }, "added: "), kind === "removed" && h("span", { class: "only-heard" }, "removed: "),
    h("span", { "aria-hidden": "true" }, SIGNS[kind]), text)));
}

const AROUND = 3;

function shorten(lines) {
  const near = new Set();
  lines.forEach((line, index) => {
    if (line.kind !== "same") {
      for (let each = index - AROUND; each <= index + AROUND; each += 1) {
        near.add(each);
      }
    }
  });
  const shown = [];
  lines.forEach((line, index) => {
    if (near.has(index)) {
      shown.push(line);
    } else if (shown.at(-1)?.kind !== "skipped") {
      shown.push({ kind: "skipped", text: "…" });
    }
  });
  return shown;
}
