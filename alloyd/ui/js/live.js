// Live events: server-sent events read by fetch, told in batches, at most one for each frame that is painted.
// EventSource would want the name of every kind of event beforehand, and can't be told where to begin.

import { api, readError } from "./api.js";

const WAITING_MAX = 5000;
const HIDDEN_MS = 500;
const RETRY_MS = [500, 1000, 2000, 5000, 10_000];
// No sign of life for so long, and the connection counts as lost; the server gives one every 15 s, or as configured.
const SILENCE_MS = 60_000;

/**
 * Read a stream of events until `signal` ends it, again and again when the connection is lost.
 * @param {string} url from `api.url(…)`
 * @param {Object} options
 * @param {AbortSignal} options.signal
 * @param {(events: Object[], missed: number) => void} options.onEvents in the order of the server, at most once a frame;
 *   `missed` is how many were left out because more came than could be shown
 * @param {(state: "connecting"|"live"|"lost"|"ended", error?: Error) => void} [options.onState]
 * @param {boolean} [options.ends] the server closes the stream when all is told, as that of a run
 * @param {string} [options.after] id of the last event that is known already
 */
export async function stream(url, { signal, onEvents, onState = () => {}, ends = false, after = null }) {
  const batch = new Batch(onEvents, signal);
  let last = after;
  let failures = 0;
  while (!signal.aborted) {
    onState("connecting");
    try {
      await readOnce(url, signal, last, () => { failures = 0; onState("live"); }, (event) => {
        last = event.id ?? last;
        batch.add(event);
      });
      batch.flush();
      if (ends) {
        onState("ended");
        return;
      }
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      if (error.status >= 400 && error.status < 500 && error.status !== 429) {
        onState("ended", error);
        return;
      }
    }
    onState("lost");
    await pause(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)], signal);
    failures += 1;
  }
}

async function readOnce(url, signal, last, onOpen, onEvent) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
    const response = await fetch(url, { headers, signal: AbortSignal.any([signal, silence.signal]), credentials: "same-origin", cache: "no-store" });
    if (!response.ok) {
      throw await readError(response);
    }
    onOpen();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      text += value;
      const frames = text.split("\n\n");
      text = frames.pop();
      for (const frame of frames) {
        const event = parse(frame);
        if (event) {
          onEvent(event);
        }
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

function parse(frame) {
  const data = [];
  for (const line of frame.split("\n")) {
    if (line.startsWith("data:")) {
      data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  }
  if (data.length === 0) {
    return null; // a sign of life
  }
  try {
    return JSON.parse(data.join("\n"));
  } catch {
    return null; // [DONE]
  }
}

/** Gathers events until the next frame; of a page that nobody looks at, for half a second. */
class Batch {
  #waiting = [];
  #missed = 0;
  #due = false;
  #tell;
  #signal;

  constructor(tell, signal) {
    this.#tell = tell;
    this.#signal = signal;
  }

  add(event) {
    if (this.#waiting.length >= WAITING_MAX) {
      this.#waiting.shift();
      this.#missed += 1;
    }
    this.#waiting.push(event);
    if (!this.#due) {
      this.#due = true;
      if (document.hidden) {
        setTimeout(() => this.flush(), HIDDEN_MS);
      } else {
        requestAnimationFrame(() => this.flush());
      }
    }
  }

  flush() {
    this.#due = false;
    if (this.#waiting.length === 0 || this.#signal.aborted) {
      return;
    }
    const events = this.#waiting;
    const missed = this.#missed;
    this.#waiting = [];
    this.#missed = 0;
    this.#tell(events, missed);
  }
}

function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });
}

// -- one connection for the whole page -------------------------------------------------------------------------------

const readers = new Set();
let running = null;

/**
 * Hear of the organization's events until `signal` ends it. One connection serves all who ask: browsers allow few.
 * @param {Object} options
 * @param {string[]} [options.kinds] beginnings of kinds, such as "workflow.run."; none means all
 * @param {AbortSignal} options.signal
 * @param {(events: Object[], missed: number) => void} options.onEvents
 * @param {(state: string) => void} [options.onState]
 */
export function follow({ kinds = [], signal, onEvents, onState = () => {} }) {
  const reader = { kinds, onEvents, onState };
  readers.add(reader);
  signal.addEventListener("abort", () => {
    readers.delete(reader);
    // The next page may want the connection that this one leaves.
    setTimeout(() => { if (readers.size === 0) { stopFollowing(); } }, 1000);
  }, { once: true });
  if (running) {
    onState(running.state);
    return;
  }
  running = { control: new AbortController(), state: "connecting" };
  stream(api.url("/events/stream"), {
    signal: running.control.signal,
    onEvents: (events, missed) => {
      for (const each of readers) {
        const wanted = each.kinds.length ? events.filter((event) => each.kinds.some((kind) => event.kind.startsWith(kind))) : events;
        if (wanted.length || missed) {
          each.onEvents(wanted, missed);
        }
      }
    },
    onState: (state) => {
      if (running) {
        running.state = state;
      }
      for (const each of readers) {
        each.onState(state);
      }
    },
  });
}

/** Close the page's connection: the session acts elsewhere from now on, or has ended. */
export function stopFollowing() {
  running?.control.abort();
  running = null;
}
