// Talking to a teammate: its conversations, what was said in one, and a reply while it is written.

import { api, isAbort } from "../api.js";
import { h, icon, put } from "../dom.js";
import { count, time } from "../format.js";
import { follow } from "../live.js";
import { button, empty, failure, waiting } from "../parts/basics.js";
import { confirm } from "../parts/dialog.js";
import { toast } from "../parts/toast.js";
import { remember } from "../router.js";
import { may } from "../session.js";
import { foldedCalls } from "./steps.js";
import { turnOf } from "./turn.js";

const NEAR_PX = 80;
const TALKS_MAX = 500;
const TALKS_LOOK_MS = 1000;

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
  const shownRuns = new Set();
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
    put(listed, sorted.slice(0, TALKS_MAX).map((talk) => h("li", null, h("button", { type: "button", class: "talk", "aria-current": talk.id === current ? "true" : null, on: { click: () => show(talk.id) } },
      h("span", { class: "begins" }, talk.excerpt ?? "Nothing answered yet"),
      h("span", { class: "small soft" }, count(talk.messages_count, "message"), " · ", time(talk.updated_at))))));
    if (sorted.length === 0) {
      put(listed, h("li", { class: "small soft none" }, "No conversations yet."));
    }
  }

  const heard = new Set();
  let looking = false;

  /** Others talk with it, too: at most once a second the newest conversations are had, and what is new in the one that is shown. */
  async function lookAtTalks() {
    if (looking) {
      return;
    }
    looking = true;
    const ids = new Set(heard);
    heard.clear();
    try {
      const { items } = await api.page(`${path}/conversations`, { signal });
      for (const talk of items) {
        talks.set(talk.id, talk);
      }
      drawTalks();
      if (ids.has(current) && !turn) {
        await append(current);
      }
    } catch {
      // What is shown stays as it is; the next event tries again.
    }
    setTimeout(() => {
      looking = false;
      if (heard.size && !signal.aborted) {
        lookAtTalks();
      }
    }, TALKS_LOOK_MS);
  }

  async function append(id) {
    const { items: whole } = await api.page(`${path}/conversations/${encodeURIComponent(id)}`, { signal });
    talks.set(id, whole);
    const fresh = whole.messages.filter((message) => !shownRuns.has(message.run_id)).reverse();
    if (id === current && !turn) {
      stick(() => thread.append(...fresh.map(past)));
    }
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
    shownRuns.clear();
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
    return [above, ...page.items.messages.reverse().map(past)];
  }

  function past(message) {
    shownRuns.add(message.run_id);
    return said(message.role, message.text, { at: message.created_at, below: message.role === "assistant" ? foldedCalls(message.run_id, signal) : null }).node;
  }

  /** Do what makes the thread longer; who read its end sees the new end. */
  function stick(act) {
    const near = thread.scrollHeight - thread.scrollTop - thread.clientHeight < NEAR_PX;
    act();
    if (near) {
      toEnd();
    }
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
    const conversationId = current;
    const mine = turn = turnOf({
      teammate,
      message,
      conversationId,
      signal,
      bubble: () => said("assistant", ""),
      stick,
      again: (words) => { text.value = words; text.focus(); },
      onSettled: (talk, runId) => {
        talks.set(talk.id, talk);
        shownRuns.add(runId);
        if (current === conversationId) {
          current = talk.id;
          head.hidden = false;
          remember({ tab: "chat", conversation: talk.id });
        }
        drawTalks();
      },
    });
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
    const talked = events.filter((event) => event.kind === "teammate.replied" && event.subject === teammate.id && event.payload.conversation_id);
    for (const event of talked) {
      heard.add(event.payload.conversation_id);
    }
    if (talked.length) {
      lookAtTalks();
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
