// A list in a table, page by page, with a bound on the rows that are kept on the screen.

import { isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { button, empty, failure, waiting } from "./basics.js";
import { announce } from "./toast.js";

const ROWS_MAX = 1000;

/**
 * @param {Object} options
 * @param {string} options.label what the list is, for who listens
 * @param {{title: string, cell: (item) => any, end?: boolean, lead?: boolean, acts?: boolean, class?: string}[]} options.columns
 *   `lead` is the column that names the row, `acts` the one with its buttons, `end` puts figures at the end
 * @param {(next: string|null) => Promise<{items: Object[], next: string|null}>} options.load a page, as `api.page` gives it
 * @param {(item) => string} [options.key] tells rows apart; their `id` otherwise
 * @param {Object} [options.empty] what `empty()` takes, for a list without rows
 * @param {Node} [options.filters] stands above the rows
 * @returns {{node: Node, reload(): Promise<void>, put(item): void, remove(key): void, items(): Object[]}} `put` brings a
 *   row up to date, or sets a new one at the top
 */
export function table(options) {
  const { label, columns, load, key = (item) => item.id, filters = null } = options;
  const rows = new Map();
  const body = h("tbody");
  const more = h("div", { class: "more" });
  const rest = h("div");
  let next = null;
  let turn = 0;

  const grid = h("div", { class: "table-wrap" }, h("table", { class: "list folds" },
    h("caption", { class: "only-heard" }, label),
    h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col", class: [column.end && "end", column.acts && "end"] },
      column.acts ? h("span", { class: "only-heard" }, column.title) : column.title)))),
    body));

  function rowOf(item) {
    return h("tr", null, columns.map((column) => h("td", {
      class: [column.lead && "lead name", column.end && "end number", column.acts && "acts", column.class],
      data: { label: column.title },
    }, column.cell(item))));
  }

  function place(item, atTop) {
    const name = key(item);
    const row = rowOf(item);
    const known = rows.get(name);
    if (known) {
      known.row.replaceWith(row);
    } else if (atTop) {
      body.prepend(row);
    } else {
      body.append(row);
    }
    rows.set(name, { item, row });
    return row;
  }

  function settle() {
    const none = rows.size === 0;
    grid.hidden = none;
    put(rest, none && empty(options.empty ?? { title: "Nothing here yet" }));
    const full = rows.size >= ROWS_MAX;
    more.hidden = !next;
    put(more, next && (full
      ? `The first ${rows.size} are shown; narrow the list to see others.`
      : [`${rows.size} shown`, button("Show more", { small: true, onClick: () => fetchPage(false) })]));
  }

  async function fetchPage(fresh) {
    const mine = fresh ? (turn += 1) : turn;
    try {
      const page = await load(fresh ? null : next);
      if (mine !== turn) {
        return; // asked anew meanwhile
      }
      if (fresh) {
        rows.clear();
        put(body);
      }
      next = page.next;
      const first = page.items.map((item) => place(item, false))[0];
      settle();
      if (!fresh) {
        announce(`${page.items.length} more rows`);
        first?.querySelector("a, button")?.focus();
      }
    } catch (error) {
      if (isAbort(error) || mine !== turn) {
        return;
      }
      more.hidden = true;
      put(rest, failure(error, () => fetchPage(fresh)));
    }
  }

  grid.hidden = true;
  more.hidden = true;
  put(rest, waiting(`Loading ${label}`));
  fetchPage(true);
  return {
    node: h("div", null, filters, grid, rest, more),
    reload: () => fetchPage(true),
    items: () => [...rows.values()].map(({ item }) => item),
    put(item) {
      const isNew = !rows.has(key(item));
      const row = place(item, true);
      if (isNew) {
        row.classList.add("fresh");
        if (rows.size > ROWS_MAX) {
          const [oldest] = [...rows].find(([, each]) => each.row === body.lastElementChild) ?? [];
          body.lastElementChild.remove();
          rows.delete(oldest);
        }
      }
      settle();
    },
    remove(name) {
      rows.get(name)?.row.remove();
      rows.delete(name);
      settle();
    },
  };
}
