// What end users left and is still being taken away: told until it is done.

import { api, isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { time } from "../format.js";
import { follow } from "../live.js";
import { badge, notice } from "./basics.js";

/**
 * Notices about purges under way.
 * @param {{signal: AbortSignal, watched?: string|null}} options `watched` is an end user whose purge is told of also when it is done
 */
export function purgeNotices({ signal, watched = null }) {
  const node = h("div", { class: "notices", "aria-live": "polite" });
  let turn = 0;

  async function look() {
    const mine = (turn += 1);
    try {
      const { items } = await api.page("/end-user-purges", { signal });
      if (mine === turn) {
        show(items);
      }
    } catch (error) {
      if (!isAbort(error)) {
        put(node, notice("warn", "Whether purges go on could not be found out: ", error.message));
      }
    }
  }

  function show(purges) {
    const done = watched && !purges.some((each) => each.end_user_id === watched);
    put(node,
      done && notice("good", h("strong", null, "Purged. "), "Nothing of ", h("code", null, watched), " is left but the id, in logs and the audit trail."),
      purges.map((each) => notice("info", h("span", { class: "row" }, badge("running", { label: "purging" }), h("span", null, "What ", h("code", null, each.end_user_id), " left is being taken away; asked for ", time(each.asked_at), ".")))));
  }

  follow({ kinds: ["end_user.purged", "end_user.deleted"], signal, onEvents: look, onState: (state) => { if (state === "live") { look(); } } });
  look();
  return node;
}
