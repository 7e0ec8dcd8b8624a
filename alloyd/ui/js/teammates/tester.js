// Sends a real request to a teammate's channel, and shows all that comes back: status, headers, timing, body, frames.

import { isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { bytes, duration } from "../format.js";
import { badge, button, notice } from "../parts/basics.js";
import { codeBlock, jsonBlock } from "../parts/code.js";
import { form } from "../parts/form.js";
import { announce } from "../parts/toast.js";
import { frames, gathered } from "../parts/tokens.js";
import { endpointOf } from "./examples.js";
import { runLink } from "./steps.js";

const MODES = [["answer", "Answer: wait for the whole reply"], ["stream", "Stream: word by word"], ["async", "Async: answer at once, ask later"]];
const POLL_MS = [250, 500, 1000, 2000];
const FRAMES_CHARS_MAX = 200_000;
const PENDING = new Set(["pending", "queued", "running", "waiting"]);
const encoder = new TextEncoder();

/** `{node, use(key)}`; `use` fills the key in. */
export function tester(teammate, signal) {
  const result = h("div", { class: "stack result" });
  let control = null;
  const stop = button("Stop", { icon: "stop", onClick: () => control?.abort() });
  stop.hidden = true;
  const made = form({
    label: "Send",
    extra: [stop],
    fields: [
      { name: "key", label: "API key", type: "password", required: true, autocomplete: "off", hint: "It goes to this server with the request, and is not kept." },
      { name: "message", label: "Message", type: "textarea", rows: 3, required: true, value: "Hello. What can you do for me?" },
      { name: "mode", label: "Form of the reply", type: "select", options: MODES, value: "answer" },
      { name: "conversation_id", label: "conversation_id", hint: "Leave it empty, and a new conversation begins." },
      { name: "context", label: "context", type: "json", rows: 3, hint: "JSON that the model is shown with this message." },
    ],
    submit,
  });

  async function submit({ key, message, mode, conversation_id: conversationId, context }) {
    control = new AbortController();
    stop.hidden = false;
    const both = AbortSignal.any([signal, control.signal]);
    const body = { message, ...(conversationId ? { conversation_id: conversationId } : {}), ...(context === null ? {} : { context }) };
    try {
      await send({ key, body, mode, signal: both });
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      result.append(notice(isAbort(error) ? "info" : "bad", isAbort(error) ? "Stopped. What was said is answered all the same." : `No answer: ${error.message}`));
    } finally {
      stop.hidden = true;
    }
  }

  async function send({ key, body, mode, signal: ending }) {
    put(result);
    const headers = { "api-key": key, "Content-Type": "application/json", ...(mode === "stream" ? { Accept: "text/event-stream" } : {}), ...(mode === "async" ? { Prefer: "respond-async" } : {}) };
    const started = performance.now();
    const response = await fetch(endpointOf(teammate), { method: "POST", headers, body: JSON.stringify(body), signal: ending, credentials: "omit", cache: "no-store" });
    const shown = responseView(response, performance.now() - started);
    put(result, shown.node);
    const size = (response.headers.get("Content-Type") ?? "").startsWith("text/event-stream")
      ? await readFrames(response, shown.body)
      : await readWhole(response, shown, key, ending);
    shown.end(performance.now() - started, size);
    announce(`${response.status} after ${duration(performance.now() - started)}`);
  }

  async function readWhole(response, shown, key, ending) {
    const text = await response.text();
    const data = parsed(text);
    put(shown.body, data === undefined ? codeBlock(text, { label: "Body", titled: true, wraps: true }) : jsonBlock(data, { label: "Body", titled: true, wraps: true }));
    shown.tell(data?.data?.runId ?? data?.runId, data?.data?.conversation_id);
    if (response.status === 202 && data?.data?.status_url) {
      await poll(data.data.status_url, key, shown.later, ending);
    }
    return encoder.encode(text).length;
  }

  async function poll(url, key, place, ending) {
    for (let turn = 0; ; turn += 1) {
      const response = await fetch(new URL(url, location.origin), { headers: { "api-key": key }, signal: ending, credentials: "omit", cache: "no-store" });
      const data = parsed(await response.text());
      put(place, h("p", { class: "row" }, h("code", null, `GET ${url}`), badge(String(response.status), { tone: response.ok ? "good" : "bad" }), data?.data?.status && badge(data.data.status)),
        jsonBlock(data ?? null, { label: "Outcome", titled: true, wraps: true }));
      if (!response.ok || !PENDING.has(data?.data?.status)) {
        return;
      }
      await pause(POLL_MS[Math.min(turn, POLL_MS.length - 1)], ending);
    }
  }

  function responseView(response, firstMs) {
    const timing = h("span", { class: "small soft" }, `First byte after ${duration(firstMs)}`);
    const links = h("span", { class: "row small" });
    const body = h("div", { class: "stack" });
    const later = h("div", { class: "stack" });
    const headers = h("details", null, h("summary", null, "Headers"), codeBlock([...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n"), { label: "Headers", wraps: true }));
    const node = h("div", { class: "stack" }, h("div", { class: "row" }, badge(`${response.status} ${response.statusText}`.trim(), { tone: response.ok ? "good" : "bad" }), timing, links), headers, body, later);
    const view = {
      node,
      body,
      later,
      tell(runId, conversationId) {
        put(links, runId && runLink(runId, "Open the run"), conversationId && button("Go on in this conversation", { kind: "quiet", small: true, onClick: () => {
          made.control("conversation_id").value = conversationId;
          made.control("message").focus();
        } }));
      },
      end: (totalMs, size) => put(timing, `First byte after ${duration(firstMs)}, all after ${duration(totalMs)}, ${bytes(size)}`),
    };
    view.tell(response.headers.get("X-Alloyd-Run-Id"), response.headers.get("X-Alloyd-Conversation-Id"));
    return view;
  }

  return {
    node: h("div", { class: "grid tester" }, made.node, h("div", null, result)),
    use(key) { made.control("key").value = key; },
  };
}

/** Show each frame as it came, and the words that they make; the size in bytes. */
async function readFrames(response, place) {
  const raw = h("pre", { tabindex: "0", role: "region", "aria-label": "Frames" });
  const words = h("p", { class: "words" });
  let size = 0;
  let shownChars = 0;
  const frame = gathered((text) => {
    const room = FRAMES_CHARS_MAX - shownChars;
    if (room > 0) {
      raw.append(text.slice(0, room), text.length > room ? "\n… more came than is shown\n" : "");
    }
    shownChars += text.length;
    raw.scrollTop = raw.scrollHeight;
  });
  const said = gathered((text) => words.append(text));
  put(place, h("div", { class: "code wraps" }, h("header", null, "Reply"), words), h("div", { class: "code wraps" }, h("header", null, "Frames"), raw));
  for await (const each of frames(response)) {
    size += encoder.encode(each.raw).length + 2;
    frame.add(`${each.raw}\n\n`);
    if (each.event === "delta") {
      said.add(JSON.parse(each.data).text ?? "");
    }
  }
  frame.flush();
  said.flush();
  return size;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function pause(ms, signal) {
  return new Promise((done, failed) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); failed(signal.reason); }, { once: true });
  });
}
