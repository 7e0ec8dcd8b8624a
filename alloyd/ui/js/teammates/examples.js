// How other programs talk to a teammate, as texts that work when they are pasted.

import { codeBlock } from "../parts/code.js";
import { h } from "../dom.js";
import { tabs } from "../parts/tabs.js";

export const KEY_PLACEHOLDER = "YOUR_API_KEY";
const CONTROL_PLACEHOLDER = "YOUR_CONTROL_KEY";
const MESSAGE = "Hello. What can you do for me?";

/** The address of a teammate's channel, as the browser reaches this server. */
export const endpointOf = (teammate) => `${location.origin}/api/teammates/${encodeURIComponent(teammate.id)}/messages`;

const curl = (endpoint, key) => `curl -sS -X POST '${endpoint}' \\
  -H 'api-key: ${key}' \\
  -H 'Content-Type: application/json' \\
  -d '{"message": "${MESSAGE}"}'
`;

const python = (endpoint, key) => `import json
import urllib.request

request = urllib.request.Request(
    "${endpoint}",
    data=json.dumps({"message": "${MESSAGE}"}).encode(),
    headers={"api-key": "${key}", "Content-Type": "application/json"},
)
with urllib.request.urlopen(request) as response:
    answer = json.load(response)["data"]

print(answer["reply"])
print(answer["conversation_id"])  # say it again with this to go on
`;

const javascript = (endpoint, key) => `async function ask(message, conversationId) {
  const response = await fetch("${endpoint}", {
    method: "POST",
    headers: { "api-key": "${key}", "Content-Type": "application/json" },
    body: JSON.stringify({ message, conversation_id: conversationId }),
  });
  const answer = await response.json();
  if (!response.ok) {
    throw new Error(answer.message);
  }
  return answer.data;
}

ask("${MESSAGE}").then((answer) => console.log(answer.reply));
`;

const openai = (teammate) => `from openai import OpenAI

client = OpenAI(base_url="${location.origin}/v1", api_key="${CONTROL_PLACEHOLDER}")
answer = client.chat.completions.create(
    model="teammate/${teammate.id}",
    messages=[{"role": "user", "content": "${MESSAGE}"}],
)
print(answer.choices[0].message.content)
`;

/** The examples in tabs: `{node, use(key)}`; `use` puts a key into them. */
export function examples(teammate) {
  const endpoint = endpointOf(teammate);
  const made = new Map();

  function part(id, label, told, write) {
    return { id, label, render: () => {
      const place = h("div");
      made.set(place, () => place.replaceChildren(codeBlock(write(key), { label: `${label} example` })));
      made.get(place)();
      return h("div", { class: "stack" }, h("p", { class: "small soft" }, told), place);
    } };
  }

  let key = KEY_PLACEHOLDER;
  const shown = tabs([
    part("curl", "curl", ["For a terminal. With ", h("code", null, "-N -H 'Accept: text/event-stream'"), " the reply comes word by word; with ", h("code", null, "-H 'Prefer: respond-async'"), " at once an address that tells of it later."], (now) => curl(endpoint, now)),
    part("python", "Python", "Python 3, with nothing to install.", (now) => python(endpoint, now)),
    part("javascript", "JavaScript", "Node.js 18 or later, with nothing to install. Keep keys out of pages that others open.", (now) => javascript(endpoint, now)),
    part("openai", "OpenAI client", ["OpenAI’s own package (", h("code", null, "pip install openai"), ") knows a teammate as a model. It needs a key with the scope ", h("code", null, "control"), ": a key that is bound to the teammate does not open this door."], () => openai(teammate)),
  ], { label: "Languages" });
  return {
    node: shown.node,
    use(next) {
      key = next;
      for (const draw of made.values()) {
        draw();
      }
    },
  };
}
