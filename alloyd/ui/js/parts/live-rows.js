// Rows of a list that change in their place when somebody else changes what they show.

import { api } from "../api.js";
import { follow } from "../live.js";

const LOOK_MS = 1000;
const LOOKS_MAX = 20;

/**
 * Follow what happens to the rows that are there: at most so many are fetched again in a second, the others later.
 * @param {{list: {items(): Object[], put(item): void, remove(id: string): void}, kinds: string, gone: string, path: (id) => string,
 *   signal: AbortSignal}} options `list` as `table()` gives it, by `id`; `kinds` is how events about them begin, `gone` the kind
 *   that ends one
 */
export function keepRows({ list, kinds, gone, path, signal }) {
  const changed = new Set();
  let due = false;

  function onEvents(events) {
    const shown = new Set(list.items().map((item) => item.id));
    for (const event of events.filter((each) => shown.has(each.subject))) {
      if (event.kind === gone) {
        changed.delete(event.subject);
        list.remove(event.subject);
        shown.delete(event.subject);
      } else {
        changed.add(event.subject);
      }
    }
    plan();
  }

  function plan() {
    if (changed.size && !due && !signal.aborted) {
      due = true;
      setTimeout(look, LOOK_MS);
    }
  }

  async function look() {
    for (const id of [...changed].slice(0, LOOKS_MAX)) {
      changed.delete(id);
      const now = signal.aborted ? null : await api.get(path(id), { signal }).catch(() => null);
      if (now && list.items().some((item) => item.id === id)) {
        list.put(now);
      }
    }
    due = false;
    plan();
  }

  follow({ kinds: [kinds], signal, onEvents });
}
