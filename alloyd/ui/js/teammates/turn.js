// One message and its reply: the words as they come, the tool calls beside them, stopping, and what went wrong.

import { api, isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { money, number } from "../format.js";
import { button, notice } from "../parts/basics.js";
import { announce } from "../parts/toast.js";
import { gathered, readReply } from "../parts/tokens.js";
import { may } from "../session.js";
import { callList, runLink } from "./steps.js";

const SPOKEN_CHARS_MAX = 600;
const GUESSES_MAX = 20;

/**
 * Say `message`: the reply appears in `node` while it is written.
 * @param {{teammate: Object, message: string, conversationId: string|null, signal: AbortSignal, bubble: () => Object,
 *   stick: (act: () => void) => void, again: (message) => void, onSettled: (talk: Object, runId: string) => void}} options
 *   `bubble()` makes the place for the reply, `again` offers the message anew, `stick` does what makes the page longer, `onSettled` gets the conversation with its newest messages once the reply is whole
 * @returns {{node: Node, run(): Promise<void>, stop(): Promise<void>, leave(): void, onEvents(events): void}} `stop` ends the run where
 *   the user may do that, `leave` only stops listening
 */
export function turnOf({ teammate, message, conversationId, signal, bubble, stick, again, onSettled }) {
  const path = `/teammates/${encodeURIComponent(teammate.id)}`;
  const control = new AbortController();
  const both = AbortSignal.any([signal, control.signal]);
  const calls = callList();
  const { node, body, foot } = bubble();
  const writing = h("span", { class: "writing" }, `${teammate.name} is answering`);
  node.insertBefore(calls.node, body);
  body.append(writing);
  let runId = null;
  let stopped = false;
  let looking = false;
  let lookAgain = false;
  let guesses = 0;
  const words = gathered((more) => stick(() => {
    writing.remove();
    body.append(more);
  }));

  async function look() {
    if (looking) {
      lookAgain = true;
      return;
    }
    looking = true;
    do {
      lookAgain = false;
      try {
        const run = await api.get(`/workflow-runs/${encodeURIComponent(runId)}`, { signal });
        stick(() => calls.update(run));
      } catch {
        // The reply tells what is wrong; the steps are only beside it.
      }
    } while (lookAgain);
    looking = false;
  }

  /** The answer's headers come with its first word: until then the events tell which run it is. */
  async function recognize(id) {
    guesses += 1;
    const run = await api.get(`/workflow-runs/${encodeURIComponent(id)}`, { signal: both }).catch(() => null);
    const same = run?.payload?.message === message && (!conversationId || run.payload.conversation_id === conversationId);
    if (same && !runId) {
      runId = id;
      look();
    }
  }

  async function settle(id, done) {
    const { items: whole } = await api.page(`${path}/conversations/${encodeURIComponent(id)}`, { signal, query: { limit: 2 } });
    const reply = whole.messages.find((each) => each.role === "assistant" && each.run_id === runId);
    onSettled(whole, runId);
    if (reply) {
      stick(() => put(body, reply.text)); // a model may have broken off and begun anew
      announce(`${teammate.name}: ${reply.text.slice(0, SPOKEN_CHARS_MAX)}`);
    }
    await look();
    stick(() => put(foot, h("p", { class: "small soft" }, usageText(done.usage), done.finish_reason === "stop" ? "" : ` · ended by ${done.finish_reason.replaceAll("_", " ")}`, " · ", runLink(runId, "Open the run"))));
  }

  async function run() {
    const asked = { message, ...(conversationId ? { conversation_id: conversationId } : {}) };
    try {
      const response = await api.fetch("POST", api.url(`${path}/messages`), { body: asked, signal: both, headers: { Accept: "text/event-stream" } });
      runId = response.headers.get("X-Alloyd-Run-Id");
      look();
      const { done } = await readReply(response, words.add);
      words.flush();
      await settle(response.headers.get("X-Alloyd-Conversation-Id"), done);
    } catch (error) {
      words.flush();
      if (signal.aborted) {
        return;
      }
      writing.remove();
      const place = (...told) => stick(() => put(foot, ...told));
      if (stopped) {
        place(h("p", { class: "small soft" }, stopped, runId && [" · ", runLink(runId, "Open the run")]));
      } else if (!isAbort(error)) {
        runId ??= error.details?.[0]?.run_id ?? null;
        place(notice("bad", error.message, runId && [" ", runLink(runId, "Open the run")]), button("Say it again", { small: true, icon: "retry", onClick: () => again(message) }));
      }
      if (runId) {
        await look();
      }
    }
  }

  return {
    node,
    run,
    async stop() {
      stopped = "Stopped.";
      try {
        if (runId && may("run.cancel")) {
          await api.post(`/workflow-runs/${encodeURIComponent(runId)}/cancel`);
        } else {
          stopped = "Not waited for. The run goes on, and its reply is kept in the conversation.";
        }
      } catch (error) {
        stopped = `Not waited for: ${error.message}`;
      }
      control.abort();
      announce(stopped);
    },
    leave: () => { if (!both.aborted) { stopped = "Not waited for."; control.abort(); } },
    onEvents(events) {
      for (const event of events) {
        if (!runId && guesses < GUESSES_MAX && event.kind === "workflow.run.queued" && event.workflow_id === teammate.workflow_id) {
          recognize(event.run_id);
        } else if (runId && event.run_id === runId && event.kind.startsWith("workflow.node.")) {
          look();
          return;
        }
      }
    },
  };
}

/** "12 tokens in, 34 out · $0.01". */
function usageText(usage) {
  const tokens = `${number(usage.input_tokens)} tokens in, ${number(usage.output_tokens)} out`;
  return usage.cost_usd === null || usage.cost_usd === undefined ? tokens : `${tokens} · ${money(usage.cost_usd)}`;
}
