// Releases of a workflow that end users install: publish one, see what changed between two.

import { api } from "../api.js";
import { h, put } from "../dom.js";
import { count } from "../format.js";
import { empty, failure, notice, waiting } from "./basics.js";
import { dialog, formDialog } from "./dialog.js";
import { fieldOf } from "./form.js";
import { toast } from "./toast.js";
import { diffView } from "./version-list.js";

const NUMBERED = /^[0-9]+(\.[0-9]+)*$/;

const pathOf = (workflowId) => `/workflow-definitions/${encodeURIComponent(workflowId)}`;

/** Ask for a number for a version of the workflow; the release, or null. `each` is as an integration has it. */
export async function publishRelease(each, signal) {
  let workflow;
  let versions;
  let releases;
  try {
    [workflow, versions, releases] = await Promise.all([
      api.get(pathOf(each.workflow_id), { signal }),
      api.page(`${pathOf(each.workflow_id)}/versions`, { signal, query: { limit: 200 } }),
      api.get(`${pathOf(each.workflow_id)}/releases`, { signal }),
    ]);
  } catch (error) {
    toast(error.message, { tone: "bad" });
    return null;
  }
  const published = versions.items.filter((version) => version.status === "published");
  if (published.length === 0) {
    toast("It is a draft: nothing of it can be released.", { tone: "bad" });
    return null;
  }
  const on = each.installed.reduce((sum, one) => sum + one.installations, 0);
  const made = await formDialog({
    title: `Publish a release of “${each.name}”`,
    label: "Publish",
    before: [h("p", null, `Who installs from now on gets the newest release. ${on ? `${count(on, "installation")} stay${on === 1 ? "s" : ""} at what ${on === 1 ? "it is" : "they are"} at until upgraded.` : "Nobody has it installed yet."}`)],
    fields: [
      { name: "version", label: "Version", type: "select", options: published.map((one) => [String(one.version), labelOf(one)]), value: String(workflow.published_version ?? published[0].version) },
      { name: "release", label: "Number", required: true, value: nextOf(releases), hint: "Dotted numbers, such as 1.2.0. It belongs to this version for good." },
    ],
    submit: ({ release, version }) => {
      if (!NUMBERED.test(release)) {
        throw Object.assign(new Error("Dotted numbers are wanted, such as 1.2.0: others are not for end users."), { field: "release" });
      }
      return api.post(`${pathOf(each.workflow_id)}/releases`, { release, version: Number(version) });
    },
  });
  if (made) {
    toast(`Version ${made.version} is ${made.release} now.`);
  }
  return made;
}

const labelOf = (one) => `Version ${one.version}${one.releases.length ? ` (${one.releases.join(", ")})` : ""}`;

/** The number after the highest: 1.2.0 → 1.3.0. */
function nextOf(releases) {
  const numbered = releases.map((one) => one.release).filter((label) => NUMBERED.test(label)).sort((a, b) => compareLabels(b, a));
  const [major = 0, minor = 0] = numbered[0]?.split(".").map(Number) ?? [];
  return numbered.length ? `${major}.${minor + 1}.0` : "1.0.0";
}

/** The order of two labels of dotted numbers: 1.10 is newer than 1.9, and 1.0 is 1.0.0. */
function compareLabels(one, other) {
  const [left, right] = [one, other].map((text) => text.split(".").map(Number));
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const apart = (left[at] ?? 0) - (right[at] ?? 0);
    if (apart !== 0) {
      return apart;
    }
  }
  return 0;
}

/** Whether a release is newer than another; `label` may be null, which is not. */
export const isNewer = (label, than) => label !== null && compareLabels(label, than) > 0;

/** What changed between two releases, which are chosen in the dialog: at first the newest and the one before. */
export async function compareReleases(workflowId, name, signal) {
  const place = h("div", { class: "stack" }, waiting());
  dialog({ title: `Releases of “${name}”`, large: true, body: place });
  try {
    const releases = await api.get(`${pathOf(workflowId)}/releases`, { signal });
    if (releases.length === 0) {
      put(place, empty({ icon: "rocket", title: "No release yet", text: "Until there is one, what is published counts as 1.0.0." }));
      return;
    }
    const options = releases.map((one) => [one.release, `${one.release} (version ${one.version})`]);
    const versionOf = new Map(releases.map((one) => [one.release, one.version]));
    const before = fieldOf({ name: "before", label: "From", type: "select", options, value: options[Math.min(1, options.length - 1)][0] });
    const after = fieldOf({ name: "after", label: "To", type: "select", options, value: options[0][0] });
    const shown = h("div");
    const look = async () => {
      put(shown, waiting());
      const chosen = [before.read(), after.read()];
      const asked = chosen.map((label) => versionOf.get(label));
      try {
        const texts = asked[0] === asked[1] ? null : await Promise.all(asked.map((version) => api.get(`${pathOf(workflowId)}/text`, { query: { version }, signal })));
        if (chosen[0] === before.read() && chosen[1] === after.read()) {
          put(shown, texts ? diffView(texts[0].text, texts[1].text) : notice("info", "Both are the same version."));
        }
      } catch (error) {
        put(shown, failure(error, look));
      }
    };
    before.control.addEventListener("change", look);
    after.control.addEventListener("change", look);
    put(place, h("div", { class: "grid" }, before.node, after.node), shown);
    await look();
  } catch (error) {
    put(place, failure(error));
  }
}
