// The API tab of a teammate whose channel is `api`: endpoint, key, examples, tester and request log.

import { api } from "../api.js";
import { h, put } from "../dom.js";
import { button, notice, panel } from "../parts/basics.js";
import { copyButton, secret } from "../parts/copy.js";
import { formDialog } from "../parts/dialog.js";
import { may } from "../session.js";
import { endpointOf, examples } from "./examples.js";
import { requestLog } from "./log.js";
import { tester } from "./tester.js";

export function channelTab(teammate, signal) {
  const endpoint = endpointOf(teammate);
  const shown = examples(teammate);
  const trial = tester(teammate, signal);
  const log = requestLog(teammate, signal);
  const keyPlace = h("div", { class: "stack" });

  async function makeKey() {
    const issued = await formDialog({
      title: `A key for ${teammate.name}`,
      label: "Make the key",
      before: [h("p", null, "It opens this teammate’s channel and nothing else.")],
      fields: [{ name: "name", label: "Name", required: true, value: `${teammate.name} API`.slice(0, 100), hint: "What will call with it, such as “help desk”." }],
      submit: ({ name }) => api.post("/api-keys", { name, teammate_id: teammate.id }),
    });
    if (issued) {
      shown.use(issued.key);
      trial.use(issued.key);
      put(keyPlace, notice("warn", "Copy the key now: it is shown this once. It stands in the examples and the tester below until you leave this page."), secret(issued.key, "API key"));
    }
  }

  return h("div", { class: "stack" },
    panel({
      title: "Endpoint",
      actions: [may("api_key.create") && button("Create a key for this teammate", { icon: "key", onClick: makeKey })],
      body: h("div", { class: "stack" },
        h("div", { class: "secret" }, h("code", { "aria-label": "Endpoint" }, endpoint), copyButton(endpoint, { label: "Copy" })),
        h("p", { class: "small soft" }, "POST with JSON of at most 1 MiB: ", h("code", null, "message"), ", and if you like ", h("code", null, "conversation_id"), " and ", h("code", null, "context"),
          ". The header ", h("code", null, "api-key"), " has a key that is bound to this teammate, or one with the scope ", h("code", null, "private"), "."),
        keyPlace),
    }),
    panel({ title: "Examples", body: shown.node }),
    panel({ title: "Try it", body: trial.node }),
    panel({ title: h("span", { class: "row" }, "Requests", log.state), flush: true, body: log.node }));
}
