// A run as it goes: its events change the states at once, and the whole is read again now and then for the rest.

import { api, isAbort } from "../api.js";
import { stream } from "../live.js";
import { stateAfter } from "./run-list.js";

const LOOK_MS = 400;
/** Reading a large run takes its time: no more than a part of it is spent so. */
const LOOK_REST = 4;
const STEP = /^workflow\.node\.(\w+)$/;
const STEP_STATES = { started: "running", retrying: "waiting", signaled: "waiting", waiting: "waiting", completed: "completed", failed: "failed", skipped: "skipped", cancelled: "cancelled" };
const SETTLED = new Set(["completed", "failed", "skipped", "cancelled"]);

export const ENDED = new Set(["completed", "failed", "cancelled"]);

/**
 * @param {Object} run as read last
 * @param {{signal: AbortSignal, onRun: (run) => void, onEvents: (events, missed) => void, onState: (state) => void}} options `onRun` gets
 *   the run whenever it changed
 */
export function followRun(run, { signal, onRun, onEvents, onState }) {
  const path = `/workflow-runs/${encodeURIComponent(run.id)}`;
  let now = run;
  let timer = null;
  let tookMs = 0;

  function apply(events) {
    const steps = new Map(now.steps.map((step) => [step.key, step]));
    for (const event of events) {
      const state = STEP_STATES[STEP.exec(event.kind)?.[1]];
      const step = steps.get(event.node_key);
      if (state && step && !SETTLED.has(step.status)) {
        step.status = state;
        if (event.kind === "workflow.node.started") {
          step.started_at ??= event.timestamp;
        } else if (SETTLED.has(state)) {
          step.ended_at = event.timestamp;
        }
      }
      const status = stateAfter(event.kind);
      if (status && !ENDED.has(now.status)) {
        now.status = status;
      }
    }
    onRun(now);
  }

  async function look() {
    timer = null;
    const began = performance.now();
    try {
      now = await api.get(path, { signal });
      tookMs = performance.now() - began;
      onRun(now);
    } catch (error) {
      if (!isAbort(error)) {
        onState("stale");
      }
    }
  }

  function lookSoon(ms = Math.max(LOOK_MS, tookMs * LOOK_REST)) {
    timer ??= setTimeout(look, ms);
  }

  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  stream(api.url(`${path}/events`), {
    signal,
    ends: true,
    onEvents: (events, missed) => {
      onEvents(events, missed);
      if (!ENDED.has(run.status)) { // the history of one that had ended says nothing new
        apply(events);
        lookSoon();
      }
    },
    onState: (state) => {
      onState(state);
      if (state === "ended" && !ENDED.has(run.status)) {
        clearTimeout(timer);
        timer = null;
        lookSoon(0);
      }
    },
  });
  return { lookSoon };
}
