// Storage: an organization's folders and files.

import { api, files, isAbort } from "../api.js";
import { h, icon, put } from "../dom.js";
import { bytes, count, dateTime, number, time } from "../format.js";
import { follow } from "../live.js";
import { button, facts, notice, pageHead, panel } from "../parts/basics.js";
import { copyButton } from "../parts/copy.js";
import { confirm, dialog, formDialog } from "../parts/dialog.js";
import { chooseButton, takeDrops } from "../parts/drop.js";
import { above, chooseFolder, fileHref, folderHref, inside, listFolder, uploadRequest } from "../parts/folders.js";
import { fieldOf } from "../parts/form.js";
import { menu } from "../parts/menu.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { upload } from "../parts/upload.js";
import { go } from "../router.js";
import { may } from "../session.js";

// By anything but the name they are sorted here, and so many at most.
const SORTED_MAX = 10_000;
const PAGE = 200;
const LIVE_ROWS_MAX = 200;
const SORTS = [["", "Name"], ["newest", "Newest first"], ["largest", "Largest first"]];
const ORDERS = {
  newest: (one, other) => (one.modified_at < other.modified_at ? 1 : -1),
  largest: (one, other) => other.size - one.size,
};

export default function show({ params, query, signal, title }) {
  const path = (params.path ?? "").replace(/\/$/, "");
  const names = path ? path.split("/") : [];
  const asked = { starts: query.get("starts"), sort: ORDERS[query.get("sort")] ? query.get("sort") : "" };
  const told = h("div");
  const state = { path, asked, signal, told, sorted: null, list: null, most: Infinity };
  state.list = listOf(state);
  const writes = may("storage.write");
  const place = h("div", { class: "drop-place corner-acts" }, panel({ flush: true, body: [told, state.list.node] }), writes && h("p", { class: "drop-told", "aria-hidden": "true" }, icon("upload"), `Drop to upload into ${names.at(-1) ?? "Storage"}`));
  if (names.length) {
    title(names.at(-1));
  }
  const take = (found) => send(state, found);
  if (writes) {
    takeDrops(place, take, { signal });
  }
  const sums = h("p", { class: "soft small" });
  showSums(sums, state);
  keepUp(state);
  return [
    pageHead({
      title: names.at(-1) ?? "Storage",
      about: names.length ? null : "Files that people, programs and workflows share. Drop files or whole folders anywhere in the list.",
      crumbs: names.length ? [["Storage", folderHref("")], ...names.slice(0, -1).map((name, at) => [name, folderHref(names.slice(0, at + 1).join("/"))])] : [],
      actions: writes ? [button("New folder", { icon: "folder", onClick: () => makeFolder(state) }), chooseButton("Upload", take, { kind: "primary" })] : [],
    }),
    h("div", { class: "stack" }, place, sums),
  ];
}

async function showSums(place, state) {
  try {
    const { disk, upload_bytes_max: most } = await api.get("/storage-usage", { signal: state.signal });
    state.most = most;
    put(place, `${bytes(disk.size_bytes)} in ${count(disk.files, "file")} on the disk, assets and files of runs among them. A file may have ${bytes(most)}. `, h("a", { href: "#/objects" }, "What takes the space"));
  } catch (error) {
    if (!isAbort(error)) {
      put(place); // the list is what matters here
    }
  }
}

function listOf(state) {
  const { path, asked } = state;
  const fields = [
    fieldOf({ name: "starts", label: "Name begins with", type: "search", value: asked.starts, plain: true }),
    fieldOf({ name: "sort", label: "Sorted by", type: "select", options: SORTS, value: asked.sort }),
  ];
  const apply = () => go(folderHref(path).slice(1), Object.fromEntries(fields.map((field) => [field.name, field.read()])));
  fields[1].control.addEventListener("change", apply);
  const up = path && h("a", { class: "button", href: folderHref(above(path)) }, icon("arrow-up"), h("span", null, "Up"));
  return table({
    label: "Files and folders",
    key: (item) => item.path,
    load: (next) => load(state, next),
    columns: [
      { title: "Name", lead: true, cell: (item) => name(state, item) },
      { title: "Size", end: true, cell: (item) => (item.type === "file" ? bytes(item.size) : "") },
      { title: "Type", cell: (item) => item.mime_type ?? "" },
      { title: "Changed", cell: (item) => time(item.modified_at) },
      { title: "What to do", acts: true, cell: (item) => acts(state, item) },
    ],
    empty: asked.starts
      ? { icon: "search", title: "No such names", text: "Nothing in this folder begins so. Capitals count." }
      : { icon: "folder", title: "Nothing in here yet", text: may("storage.write") ? "Drop files here, or choose them with “Upload”." : "Files that are uploaded or made by workflows appear here." },
    filters: h("form", { class: "filters", on: { submit: (event) => { event.preventDefault(); apply(); } } }, up, fields.map((field) => field.node), button("Apply", { type: "submit", icon: "filter" })),
  });
}

async function load(state, next) {
  const { path, asked, signal, told } = state;
  if (!asked.sort) {
    return listFolder(path, { signal, next, prefix: asked.starts });
  }
  if (!next) {
    const page = await listFolder(path, { signal, prefix: asked.starts, limit: SORTED_MAX });
    state.sorted = page.items.sort(ORDERS[asked.sort]);
    put(told, page.next && notice("warn", `This folder has more than ${number(SORTED_MAX)} entries: only the first of them by name are sorted here.`));
  }
  const from = Number(next ?? 0);
  const until = from + PAGE;
  return { items: state.sorted.slice(from, until), next: until < state.sorted.length ? String(until) : null };
}

function name(state, item) {
  return item.type === "folder"
    ? h("a", { class: "name with-icon", href: folderHref(item.path) }, icon("folder"), h("span", null, item.name))
    : h("button", { type: "button", class: "linklike name with-icon", on: { click: () => details(item) } }, icon("file"), h("span", null, item.name));
}

function acts(state, item) {
  const isFile = item.type === "file";
  const items = () => [
    isFile && { label: "Download", icon: "download", href: fileHref(item.path) },
    { label: "Details", icon: "info", act: () => details(item) },
    may("storage.write") && { label: "Rename…", icon: "pencil", act: () => rename(state, item) },
    may("storage.write") && { label: "Move…", icon: "folder", act: () => move(state, item) },
    may("storage.write") && { label: "Delete…", icon: "trash", danger: true, act: () => remove(state, item) },
  ].filter(Boolean);
  return menu([icon("dots")], items, { label: `What to do with ${item.name}`, atEnd: true, kind: "quiet small only-icon" });
}

// -- what can be done ------------------------------------------------------------------------------------------------

function send(state, found) {
  upload(found.map(({ file, folder }) => {
    const into = folder ? inside(state.path, folder) : state.path;
    return { file, most: state.most, send: (chosen) => uploadRequest(into, chosen, file) };
  }));
}

async function makeFolder(state) {
  const made = await formDialog({
    title: "New folder",
    label: "Make the folder",
    fields: [{ name: "name", label: "Name", required: true }],
    submit: (values) => files.post("/storage/folder", { ...values, path: state.path || "/" }),
  });
  if (made) {
    go(folderHref(made.path).slice(1));
  }
}

async function details(item) {
  let seen = item;
  if (item.type === "file") {
    try {
      seen = { ...item, ...await files.get("/storage/meta", { query: { path: item.path } }) };
    } catch (error) {
      toast(error.message, { tone: "bad" });
      return;
    }
  }
  const isFile = item.type === "file";
  dialog({
    title: item.name,
    body: facts([
      ["Path", h("span", { class: "row" }, h("code", null, seen.path), copyButton(seen.path, { label: "Copy the path", iconOnly: true, kind: "quiet" }))],
      ["Size", isFile ? `${bytes(seen.size)} (${count(seen.size, "byte")})` : null],
      ["Type", isFile ? seen.mime_type : "Folder"],
      ["Made", seen.created_at && dateTime(seen.created_at)],
      ["Changed", dateTime(seen.modified_at)],
      ["SHA-256", isFile ? h("code", null, seen.hash) : null],
    ]),
    footer: isFile ? [h("a", { class: "button primary", href: fileHref(seen.path), download: seen.name }, icon("download"), h("span", null, "Download"))] : [],
  });
}

async function rename(state, item) {
  const done = await formDialog({
    title: `Rename “${item.name}”`,
    label: "Rename",
    fields: [{ name: "new_name", label: "New name", required: true, value: item.name }],
    submit: (values) => files.post("/storage/rename", { ...values, path: item.path }),
  });
  if (done) {
    place(state, item, done.path);
    toast("It has its new name.");
  }
}

async function move(state, item) {
  const isSame = (folder) => folder === above(item.path) || (item.type === "folder" && (folder === item.path || folder.startsWith(`${item.path}/`)));
  const done = await chooseFolder({
    title: `Move “${item.name}” to`,
    label: "Move here",
    start: above(item.path),
    refuses: isSame,
    act: async (folder) => place(state, item, (await files.post("/storage/move", { source_path: item.path, dest_path: folder || "/" })).path),
  });
  if (done) {
    toast("It has been moved.");
  }
}

async function remove(state, item) {
  const text = item.type === "folder" ? "All that is in the folder goes with it. This can't be undone." : "This can't be undone.";
  const act = async () => {
    await files.delete("/storage/file", { query: { path: item.path } });
    state.list.remove(item.path);
  };
  if (await confirm({ title: `Delete “${item.name}”?`, text, label: "Delete", act })) {
    toast("It is deleted.");
  }
}

/** `item` is at another path now. */
function place(state, item, path) {
  state.list.remove(item.path);
  if (above(path) === state.path) {
    state.list.put({ ...item, path, name: path.slice(path.lastIndexOf("/") + 1) });
  }
}

// -- what others do --------------------------------------------------------------------------------------------------

/** Bring the list up to date as the organization's events tell. */
function keepUp(state) {
  const { path, asked, signal, told, list } = state;
  const isHere = (each) => each && above(each) === path && (!asked.starts || each.slice(path ? path.length + 1 : 0).startsWith(asked.starts));
  follow({
    kinds: ["storage_file.", "storage_folder."],
    signal,
    onEvents(events, missed) {
      const here = events.filter(({ payload }) => isHere(payload.path) || isHere(payload.from));
      if (missed || here.length > LIVE_ROWS_MAX) {
        put(told, h("div", { class: "row spread told-row" }, `Much has changed in this folder.`, button("Show it anew", { icon: "refresh", small: true, onClick: async () => { put(told); await list.reload(); } })));
        return;
      }
      for (const { kind, payload, timestamp } of here) {
        if (kind.endsWith(".deleted")) {
          list.remove(payload.path);
          continue;
        }
        if (isHere(payload.from)) {
          list.remove(payload.from);
        }
        if (isHere(payload.path)) {
          const isFile = kind.startsWith("storage_file.");
          list.put({ name: payload.path.slice(payload.path.lastIndexOf("/") + 1), path: payload.path, type: isFile ? "file" : "folder", size: payload.size ?? 0, mime_type: payload.mime_type ?? null, hash: payload.hash ?? null, created_at: null, modified_at: timestamp });
        }
      }
    },
  });
}
