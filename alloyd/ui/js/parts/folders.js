// Paths of storage, as addresses and forms, and the dialog in which a folder is chosen.

import { files, isAbort } from "../api.js";
import { h, icon, put } from "../dom.js";
import { button, failure, waiting } from "./basics.js";
import { dialog } from "./dialog.js";

const LIMIT = 200;

/** The page of a folder; "" is the root. */
export const folderHref = (path) => `#/storage${path ? `/${path.split("/").map(encodeURIComponent).join("/")}` : ""}`;

/** Where a file is downloaded. */
export const fileHref = (path) => files.url("/storage/download", { path });

/** "a/b" for "b" in "a"; the root is "". */
export const inside = (folder, name) => (folder ? `${folder}/${name}` : name);

/** The folder of a path; "" is the root. */
export const above = (path) => path.slice(0, Math.max(0, path.lastIndexOf("/")));

/** A folder's next lines, `{items, next}`: folders first, then by name. */
export async function listFolder(path, { signal, next = null, prefix = null, limit = LIMIT } = {}) {
  const found = await files.get("/storage", { signal, query: { path: path || "/", limit, cursor: next, prefix } });
  return { items: found.items, next: found.next_cursor ?? null };
}

/**
 * The request of an upload. The form is written by hand: browsers write a quote in a file's name as %22, which nothing
 * tells from a name with %22 in it.
 */
export function uploadRequest(folder, name, file) {
  const boundary = `alloyd-${[...crypto.getRandomValues(new Uint8Array(18))].map((each) => each.toString(36)).join("")}`;
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  const type = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+$/.test(file.type) ? `Content-Type: ${file.type}\r\n` : "";
  const body = new Blob([
    `--${boundary}\r\nContent-Disposition: form-data; name="path"\r\n\r\n${folder || "/"}\r\n`,
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename*=UTF-8''${encoded}\r\n${type}\r\n`,
    file,
    `\r\n--${boundary}--\r\n`,
  ]);
  return { url: files.url("/storage/upload"), body, headers: { "Content-Type": `multipart/form-data; boundary=${boundary}` }, fresh: { "If-None-Match": "*" } };
}

/**
 * Let a folder be chosen: true when `act(path)` was done with one, false when the dialog was closed.
 * @param {{title: string, label: string, start: string, refuses: (path: string) => boolean, act: (path: string) => Promise<any>}} options
 *   `start` is shown first; `refuses` says which folders make no sense; what `act` raises is shown
 */
export async function chooseFolder({ title, label, start, refuses, act }) {
  const control = new AbortController();
  const { signal } = control;
  const trail = h("nav", { "aria-label": "Where you look" });
  const list = h("ul", { role: "list", class: "folder-list" });
  const fault = h("div");
  let here = start;
  let done = false;
  const take = button(label, { kind: "primary", onClick: async () => {
    try {
      put(fault);
      await act(here);
      done = true;
      opened.close();
    } catch (error) {
      put(fault, h("p", { class: "fault", role: "alert" }, error.message));
    }
  } });

  async function look(path, next = null) {
    here = path;
    take.disabled = refuses(path);
    const names = path ? path.split("/") : [];
    const crumbs = [["Storage", ""], ...names.map((name, at) => [name, names.slice(0, at + 1).join("/")])];
    put(trail, h("ol", { class: "crumbs" }, crumbs.map(([name, to]) => h("li", null, to === path ? h("strong", null, name) : h("button", { type: "button", class: "linklike", on: { click: () => look(to) } }, name)))));
    if (!next) {
      put(list, h("li", null, waiting("Loading folders")));
    }
    try {
      const page = await listFolder(path, { signal, next });
      if (here !== path) {
        return;
      }
      if (!next) {
        put(list);
      }
      const folders = page.items.filter((item) => item.type === "folder");
      list.append(...folders.map((item) => h("li", null, h("button", { type: "button", disabled: refuses(item.path) && item.path !== start, on: { click: () => look(item.path) } }, icon("folder"), h("span", null, item.name), icon("chevron-right")))));
      if (list.children.length === 0) {
        list.append(h("li", { class: "soft small" }, "No folders in here."));
      }
      if (page.next && folders.length === page.items.length) {
        const more = h("li", null, button("Show more", { small: true, onClick: async () => { await look(path, page.next); more.remove(); } }));
        list.append(more);
      }
    } catch (error) {
      if (!isAbort(error)) {
        put(list, h("li", null, failure(error, () => look(path))));
      }
    }
  }

  const opened = dialog({ title, body: h("div", { class: "stack" }, trail, list, fault), footer: [button("Cancel", { onClick: () => opened.close() }), take], onClose: () => control.abort() });
  look(start);
  await opened.closed;
  return done;
}
