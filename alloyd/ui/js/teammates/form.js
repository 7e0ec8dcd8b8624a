// The form of a teammate, for a new one and to change one.

import { api } from "../api.js";
import { form } from "../parts/form.js";
import { may } from "../session.js";
import { toolPicker } from "./tools.js";

export const CHANNELS = [["none", "None: only here and in workflows"], ["webchat", "Web chat"], ["api", "API: other systems call it with a key"]];
const TURNS_DEFAULT = 8;
const ANY = { provider: null, model: null, tier: null };
const PLACES = { provider: "model", tier: "model" };

/**
 * @param {Object|null} teammate the one to change
 * @param {{signal: AbortSignal, label: string, extra?: Node[], done: (teammate) => void}} options `done` gets what was saved
 */
export async function teammateForm(teammate, { signal, label, extra = [], done }) {
  const [choices, tools] = await Promise.all([modelChoices(teammate, signal), offeredTools(teammate, signal)]);
  const made = form({
    label,
    extra,
    fields: [
      { name: "name", label: "Name", required: true, value: teammate?.name },
      { name: "role", label: "Role", value: teammate?.role, hint: "What it is, in a line, such as “answers questions about orders”." },
      { name: "instructions", label: "Instructions", type: "textarea", rows: 8, value: teammate?.instructions, hint: "The model reads them before every message." },
      { name: "model", label: "Model", type: "select", options: [...choices].map(([value, choice]) => [value, choice.label]), value: chosenOf(teammate) },
      { name: "tools", label: "Tools", type: "own", hint: "Workflows that it may run, and what it may ask other services for. It has no other rights.", ...tools },
      { name: "storage.read", label: "Folders it may read", type: "textarea", rows: 2, value: teammate?.storage.read.join("\n"), hint: "One in a line, with all that is below; / is everything." },
      { name: "storage.write", label: "Folders it may write to", type: "textarea", rows: 2, value: teammate?.storage.write.join("\n") },
      { name: "channel", label: "Channel", type: "select", options: CHANNELS, value: teammate?.channel ?? "none" },
      { name: "max_turns", label: "Turns at most", type: "number", required: true, value: teammate?.max_turns ?? TURNS_DEFAULT, hint: "How often the model is asked for one reply; after that it has to answer without tools." },
      { name: "temperature", label: "Temperature", type: "number", value: teammate?.temperature, hint: "0 to 2; the model’s own unless given." },
    ],
    submit: async (values) => {
      const body = bodyOf(values, choices);
      try {
        done(await (teammate ? api.patch(`/teammates/${encodeURIComponent(teammate.id)}`, body, { signal }) : api.post("/teammates", body, { signal })));
      } catch (error) {
        error.field = PLACES[error.field] ?? error.field;
        throw error;
      }
    },
  });
  return made.node;
}

function bodyOf({ "storage.read": read, "storage.write": write, model, ...values }, choices) {
  const { provider, model: named, tier } = choices.get(model ?? "");
  const folders = (text) => (text ?? "").split("\n").map((each) => each.trim()).filter(Boolean);
  return { ...values, role: values.role ?? "", instructions: values.instructions ?? "", provider, model: named, tier, storage: { read: folders(read), write: folders(write) } };
}

// -- models ----------------------------------------------------------------------------------------------------------

const chosenOf = (teammate) => keyOf(teammate ?? ANY);

const keyOf = ({ provider, model, tier }) => (provider || model || tier ? JSON.stringify([provider, model, tier]) : "");

/** What may be chosen, by a key: `{provider, model, tier, label}`. */
async function modelChoices(teammate, signal) {
  const found = may("provider.read") ? await api.get("/providers", { signal }) : [];
  const speaking = found.map((each) => ({ ...each, models: each.models.filter((model) => model.modalities.includes("text")) })).filter((each) => each.models.length > 0);
  const choices = new Map([["", { ...ANY, label: "Any: the gateway chooses" }]]);
  const add = (choice) => choices.set(keyOf(choice), choice);
  for (const tier of [...new Set(speaking.flatMap((each) => each.models.map((model) => model.tier)))].sort()) {
    add({ ...ANY, tier, label: `Tier ${tier}: the cheapest model of it` });
  }
  for (const provider of speaking) {
    for (const model of provider.models) {
      add({ provider: provider.id, model: model.id, tier: null, label: `${provider.name}: ${model.id}${provider.healthy ? "" : " (not answering now)"}` });
    }
  }
  if (teammate && !choices.has(chosenOf(teammate))) {
    const { provider, model, tier } = teammate;
    add({ provider, model, tier, label: modelText(teammate) });
  }
  return choices;
}

/** What a teammate speaks through, in a few words. */
export function modelText({ provider, model, tier }) {
  return [provider && `${provider}${model ? ": " : ""}`, model, tier && `${provider || model ? ", " : ""}tier ${tier}`].filter(Boolean).join("") || "any";
}

// -- tools -----------------------------------------------------------------------------------------------------------

async function offeredTools(teammate, signal) {
  const [workflows, connectors, credentials] = await Promise.all([
    may("workflow.read") ? firstOf("/workflow-definitions", signal) : [],
    may("connector.read") ? api.get("/connectors", { signal }) : [],
    may("credential.read") ? firstOf("/credentials", signal) : [],
  ]);
  return toolPicker({ tools: teammate?.tools ?? [], workflows, connectors, credentials });
}

const firstOf = async (path, signal) => (await api.page(path, { signal, query: { limit: 200 } })).items;
