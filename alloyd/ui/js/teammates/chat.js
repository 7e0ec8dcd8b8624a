// Talking to a teammate: its conversations, what was said in one, and a reply while it is written.

import { api, isAbort } from "../api.js";
import { h, icon, put } from "../dom.js";
import { count, money, number, time } from "../format.js";
import { follow } from "../live.js";
import { button, empty, failure, notice, waiting } from "../parts/basics.js";
import { confirm } from "../parts/dialog.js";
import { announce, toast } from "../parts/toast.js";
import { gathered, readReply } from "../parts/tokens.js";
import { remember } from "../router.js";
import { may } from "../session.js";
import { callList, foldedCalls, runLink } from "./steps.js";

const SPOKEN_CHARS_MAX = 600;
const NEAR_PX = 80;

/**
 * @param {Object} teammate
 * @param {{signal: AbortSignal, conversation: string|null}} options `conversation` is the one that is shown first
 */
export function chatTab(teammate, { signal, conversation }) {
  const path = `/teammates/${encodeURIComponent(teammate.id)}`;
  const listed = h("ul", { role: "list", class: "talks" });
  const more = h("div", { class: "more", hidden: true });
  const thread = h("div", { class: "thread", role: "log", "aria-live": "off", "aria-label": "Messages", tabindex: "0" });
  const talks = new Map();
  let current = conversation;
  let turn = null;
  let reading = 0;

  // -- the conversations ---------------------------------------------------------------------------------------------

  async function listTalks(next = null) {
    try {
      const page = await api.page(`${path}/conversations`, { signal, next });
      for (const talk of page.items) {
        talks.set(talk.id, talk);
      }
      more.hidden = !page.next;
      put(more, page.next && button("Show more", { small: true, onClick: () => listTalks(page.next) }));
      drawTalks();
    } catch (error) {
      if (!isAbort(error)) {
        put(listed, h("li", null, failure(error, () => listTalks(next))));
      }
    }
  }

  function drawTalks() {
    const sorted = [...talks.values()].sort((a, b) => (a.updated_at === b.updated_at ? (a.id < b.id ? 1 : -1) : a.updated_at < b.updated_at ? 1 : -1));
    put(listed, sorted.map((talk) => h("li", null, h("button", { type: "button", class: "talk", "aria-current": talk.id === current ? "true" : null, on: { click: () => show(talk.id) } },
      h("span", { class: "begins" }, talk.excerpt ?? "Nothing answered yet"),
      h("span", { class: "small soft" }, count(talk.messages_count, "message"), " · ", time(talk.updated_at))))));
    if (sorted.length === 0) {
      put(listed, h("li", { class: "small soft none" }, "No conversations yet."));
    }
  }

  async function refreshTalk(id) {
    const found = await api.get(`${path}/conversations/${encodeURIComponent(id)}`, { signal, query: { limit: 1 } });
    talks.set(id, found);
    drawTalks();
  }

  async function forget() {
    const id = current;
    const text = "Its messages are deleted for good. The runs stay as long as runs do.";
    const act = () => api.delete(`${path}/conversations/${encodeURIComponent(id)}`);
    if (await confirm({ title: "Forget this conversation?", text, label: "Forget it", act })) {
      talks.delete(id);
      toast("The conversation is forgotten.");
      show(null);
    }
  }

  // -- what was said -------------------------------------------------------------------------------------------------

  async function show(id) {
    turn?.leave();
    current = id;
    remember({ tab: "chat", conversation: id });
    head.hidden = !id;
    drawTalks();
    reading += 1;
    if (!id) {
      put(thread, empty({ icon: "chat", title: `Say something to ${teammate.name}`, text: "A new conversation begins with your first message." }));
      text.focus({ preventScroll: true });
      return;
    }
    const mine = reading;
    put(thread, waiting());
    try {
      const nodes = await earlier(id, null);
      if (mine === reading) {
        put(thread, nodes);
        toEnd();
      }
    } catch (error) {
      if (!isAbort(error) && mine === reading) {
        put(thread, failure(error, () => show(id)));
      }
    }
  }

  async function earlier(id, next) {
    const page = await api.page(`${path}/conversations/${encodeURIComponent(id)}`, { signal, next });
    const above = h("div", { class: "earlier" });
    if (page.next) {
      above.append(button("Earlier messages", { small: true, onClick: async () => {
        const before = thread.scrollHeight;
        above.replaceWith(...await earlier(id, page.next));
        thread.scrollTop += thread.scrollHeight - before;
      } }));
    }
    return [above, ...page.items.messages.reverse().map((message) => said(message.role, message.text, {
      at: message.created_at, below: message.role === "assistant" ? foldedCalls(message.run_id, signal) : null,
    }).node)];
  }

  function said(role, words, { at = null, below = null } = {}) {
    const body = h("div", { class: "words" }, words);
    const foot = h("div", { class: "foot" }, below);
    const node = h("article", { class: ["said", role] },
      h("header", null, h("strong", null, role === "user" ? "You" : teammate.name), at && h("span", { class: "small soft" }, time(at))),
      body, foot);
    return { node, body, foot };
  }

  function toEnd() {
    thread.scrollTop = thread.scrollHeight;
  }

  // -- saying something ----------------------------------------------------------------------------------------------

  async function send() {
    const message = text.value;
    if (turn || !message.trim()) {
      text.focus();
      return;
    }
    if (!current) {
      put(thread);
    }
    text.value = "";
    const mine = turn = begin(message, current);
    thread.append(said("user", message, { at: Date.now() }).node, mine.node);
    toEnd();
    form.classList.add("busy");
    drawSend();
    try {
      await mine.run();
    } finally {
      if (turn === mine) {
        turn = null;
      }
      form.classList.remove("busy");
      drawSend();
    }
  }

  function begin(message, conversationId) {
    const control = new AbortController();
    const both = AbortSignal.any([signal, control.signal]);
    const calls = callList();
    const { node, body, foot } = said("assistant", "", { at: null });
    const writing = h("span", { class: "writing" }, `${teammate.name} is answering`);
    node.insertBefore(calls.node, body);
    body.append(writing);
    let runId = null;
    let stopped = false;
    let looking = false;
    let lookAgain = false;
    const words = gathered((more) => {
      const near = thread.scrollHeight - thread.scrollTop - thread.clientHeight < NEAR_PX;
      writing.remove();
      body.append(more);
      if (near) {
        toEnd();
      }
    });

    async function look() {
      if (looking) {
        lookAgain = true;
        return;
      }
      looking = true;
      do {
        lookAgain = false;
        try {
          calls.update(await api.get(`/workflow-runs/${encodeURIComponent(runId)}`, { signal }));
        } catch {
          // The reply tells what is wrong; the steps are only beside it.
        }
      } while (lookAgain);
      looking = false;
    }

    /** The answer's headers come with its first word: until then the events tell which run it is. */
    async function recognize(id) {
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
      talks.set(id, { ...whole });
      if (current === conversationId) {
        current = id;
        head.hidden = false;
        remember({ tab: "chat", conversation: id });
      }
      drawTalks();
      if (reply) {
        put(body, reply.text); // a model may have broken off and begun anew
        announce(`${teammate.name}: ${reply.text.slice(0, SPOKEN_CHARS_MAX)}`);
      }
      await look();
      put(foot, h("p", { class: "small soft" }, usageText(done.usage), done.finish_reason === "stop" ? "" : ` · ended by ${done.finish_reason.replaceAll("_", " ")}`, " · ", runLink(runId, "Open the run")));
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
        if (stopped) {
          put(foot, h("p", { class: "small soft" }, stopped, runId && [" · ", runLink(runId, "Open the run")]));
        } else if (!isAbort(error)) {
          runId ??= error.details?.[0]?.run_id ?? null;
          put(foot, notice("bad", error.message, runId && [" ", runLink(runId, "Open the run")]), button("Say it again", { small: true, icon: "retry", onClick: () => { text.value = message; text.focus(); } }));
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
          if (!runId && event.kind === "workflow.run.queued" && event.workflow_id === teammate.workflow_id) {
            recognize(event.run_id);
          } else if (runId && event.run_id === runId && event.kind.startsWith("workflow.node.")) {
            look();
            return;
          }
        }
      },
    };
  }

  // -- the parts of the tab ------------------------------------------------------------------------------------------

  const text = h("textarea", { class: "textarea", rows: "2", "aria-label": `Message to ${teammate.name}`, placeholder: `Message to ${teammate.name}`, on: { keydown: (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  } } });
  const sendPlace = h("div", { class: "send" });
  const form = h("form", { class: "say", on: { submit: (event) => { event.preventDefault(); send(); } } }, text, sendPlace);
  const head = h("div", { class: "thread-head", hidden: true }, may("teammate.message") && button("Forget this conversation", { icon: "trash", kind: "quiet", small: true, onClick: forget }));

  function drawSend() {
    const had = sendPlace.contains(document.activeElement);
    put(sendPlace, turn
      ? button("Stop", { icon: "stop", onClick: () => turn?.stop() })
      : button("Send", { kind: "primary", icon: "send", type: "submit" }));
    if (had) {
      text.focus();
    }
  }

  drawSend();
  follow({ kinds: ["workflow.run.queued", "workflow.node.", "teammate."], signal, onEvents: (events) => {
    turn?.onEvents(events);
    const talked = events.filter((event) => event.kind === "teammate.replied" && event.subject === teammate.id).map((event) => event.payload.conversation_id);
    for (const id of new Set(talked)) {
      if (id && !turn) {
        refreshTalk(id).catch(() => {}); // somebody else talks with it, too
      }
    }
  } });
  listTalks();
  show(current);
  return h("div", { class: "chat" },
    h("aside", { class: "panel", "aria-label": "Conversations" },
      h("header", null, h("h2", null, "Conversations"), button("New", { icon: "plus", small: true, onClick: () => show(null) })),
      listed, more),
    h("section", { class: "panel room", "aria-label": "Conversation" }, head, thread,
      may("teammate.message") ? form : h("p", { class: "small soft none" }, icon("info"), "Your role may read conversations, not take part in them.")));
}

/** "12 tokens in, 34 out · $0.01". */
export function usageText(usage) {
  const tokens = `${number(usage.input_tokens)} tokens in, ${number(usage.output_tokens)} out`;
  return usage.cost_usd === null || usage.cost_usd === undefined ? tokens : `${tokens} · ${money(usage.cost_usd)}`;
}
