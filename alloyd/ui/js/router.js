// From the address to a page: the part behind the # says which, so that no address is ever sent to the server.

import { isAbort } from "./api.js";
import { put } from "./dom.js";
import { failure, waiting } from "./parts/basics.js";
import { closeDialogs } from "./parts/dialog.js";
import { announce } from "./parts/toast.js";
import { session } from "./session.js";

let patterns = [];
let leaving = null;
let shown = null;
let onPage = () => {};

function patternOf(path) {
  const inner = path.replace(/:\w+\*/g, "(.*)").replace(/:\w+/g, "([^/]+)");
  return new RegExp(`^${inner}/?$`);
}

/** The address that stands behind the #: `{path, query}`. */
export function address() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  return { path: path || "/", query: new URLSearchParams(query) };
}

/** The address of a page for a link: `to("/runs/1", {tab: "steps"})`. Parts of a path are encoded with `encodeURIComponent`. */
export function to(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return `#${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

/** Go to a page; with `replace` the present one is left out of the history. */
export function go(path, query = {}, { replace = false } = {}) {
  const hash = to(path, query);
  if (replace) {
    history.replaceState(null, "", hash);
    render();
  } else if (location.hash === hash) {
    render();
  } else {
    location.hash = hash;
  }
}

/** Change the query of the address without showing the page anew: filters, the tab that is open. */
export function remember(query) {
  history.replaceState(null, "", to(address().path, query));
}

function find(path) {
  for (const { page, names, pattern } of patterns) {
    const match = pattern.exec(path);
    if (match) {
      const params = names.map((name, index) => [name, decoded(match[index + 1])]);
      return params.some(([, value]) => value === null) ? null : { page, params: Object.fromEntries(params) };
    }
  }
  return null;
}

/** What `part` of an address stands for; null when its escapes are broken, as in a link that was cut or made up. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

/** Begin with the table of pages. `told(page)` is called with each page before it is shown, and gives the place for it. */
export function start(pages, told) {
  patterns = pages.map((page) => ({ page, names: [...page.path.matchAll(/:(\w+)/g)].map((match) => match[1]), pattern: patternOf(page.path) }));
  onPage = told;
  addEventListener("hashchange", () => render());
  render();
}

/** Show the page of the address, anew if it is there already. */
export async function render() {
  leaving?.abort();
  closeDialogs();
  leaving = new AbortController();
  const { signal } = leaving;
  const { path, query } = address();
  const found = find(path);
  if (!session() && !found?.page.visitor) {
    go("/sign-in", { next: path === "/" ? null : location.hash.slice(1) }, { replace: true });
    return;
  }
  const place = onPage(found?.page ?? null);
  title(found?.page.title ?? "Not found");
  if (!found) {
    put(place, failure({ status: 404, message: "There is no such page." }, null, { whole: true }));
    return;
  }
  const first = shown === null;
  shown = path;
  put(place, waiting());
  scrollTo(0, 0);
  try {
    const { default: show } = await found.page.load();
    const node = await show({ params: found.params, query, signal, title, path });
    if (!signal.aborted) {
      put(place, node);
      if (!first) {
        place.focus({ preventScroll: true });
        announce(document.title);
      }
    }
  } catch (error) {
    if (!signal.aborted && !isAbort(error)) {
      put(place, failure(error, render, { whole: true }));
    }
  }
}

/** Name the page in the window's title. */
function title(text) {
  document.title = `${text} · alloyd`;
}
