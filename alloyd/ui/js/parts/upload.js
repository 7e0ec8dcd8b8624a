// Uploads with their progress: a few at a time, in a tray that stays while one goes from page to page.

import { ApiError, readError } from "../api.js";
import { h, icon, put } from "../dom.js";
import { bytes, count, number } from "../format.js";
import { session, whenSessionChanges } from "../session.js";
import { button } from "./basics.js";
import { confirm, formDialog } from "./dialog.js";
import { announce } from "./toast.js";

const AT_ONCE = 3;
const ROWS_MAX = 200;
const DRAW_MS = 30;
const TAKEN = [["overwrite", "Replace the file that is there"], ["rename", "Keep both: give this one another name"], ["skip", "Leave this one out"]];

const entries = new Set();
const waitingFor = [];
let running = 0;
let tray = null;
let forAll = null;
let asking = Promise.resolve();
let drawing = false;

/**
 * Send files, each when its turn comes.
 * @param {{file: File, most?: number, send: (name: string) => {url: string, body: Blob, headers?: Object, fresh?: Object},
 *   onDone?: (data: Object) => void}[]} wanted `most` is what a file may have, in bytes; `send` makes the request for a file of that
 *   name; `fresh` are the headers that refuse to replace a file: with them a 409 asks what to do
 */
export function upload(wanted) {
  forAll = null;
  for (const one of wanted) {
    add(one);
  }
  step();
}

function add({ file, most = Infinity, send, onDone = () => {} }) {
  const entry = { file, most, name: file.name, send, onDone, state: "waiting", replaces: false, key: newKey(), request: null };
  entry.draw = row(entry);
  entries.add(entry);
  waitingFor.push(entry);
  draw();
}

function step() {
  while (running < AT_ONCE && waitingFor.length) {
    const entry = waitingFor.shift();
    running += 1;
    run(entry).finally(() => {
      running -= 1;
      step();
      draw();
    });
  }
}

async function run(entry) {
  if (entry.file.size > entry.most) {
    set(entry, "failed", `Larger than ${bytes(entry.most)}, which is the most.`);
    return;
  }
  set(entry, "sending");
  try {
    const data = await sent(entry);
    set(entry, "done");
    entry.onDone(data);
  } catch (error) {
    if (entry.state === "cancelled") {
      return;
    }
    if (error.status === 409 && !entry.replaces) {
      taken(entry); // not awaited: others go on meanwhile
    } else {
      set(entry, "failed", error.message);
    }
  }
}

/** The answer's data. XMLHttpRequest, as fetch does not tell how much has gone out. */
function sent(entry) {
  const { url, body, headers = {}, fresh = {} } = entry.send(entry.name);
  return new Promise((done, refused) => {
    const request = new XMLHttpRequest();
    entry.request = request;
    request.open("POST", url);
    for (const [name, value] of Object.entries({ Accept: "application/json", "X-Alloyd-Page": "1", "Idempotency-Key": entry.key, ...headers, ...(entry.replaces ? {} : fresh) })) {
      request.setRequestHeader(name, value);
    }
    request.upload.addEventListener("progress", (event) => entry.draw.progress(event.loaded, event.total));
    request.addEventListener("load", async () => {
      if (request.status < 300) {
        done(JSON.parse(request.responseText).data);
      } else {
        const told = new Response(request.responseText, { status: request.status, headers: { "Content-Type": "application/json" } });
        refused(await readError(told));
      }
    });
    request.addEventListener("error", () => refused(new ApiError(0, { message: "The connection broke off." })));
    request.addEventListener("abort", () => refused(new ApiError(0, { message: "Cancelled." })));
    request.send(body);
  });
}

/** Another file has the name: ask, one question at a time, once for all if that is wanted. */
function taken(entry) {
  set(entry, "asking");
  asking = asking.then(async () => {
    const answer = forAll ?? await formDialog({
      title: `There is a file called “${entry.name}”`,
      label: "Go on",
      before: [h("p", null, "Choose what becomes of the one that is being uploaded.")],
      fields: [
        { name: "what", label: "What to do", type: "select", options: TAKEN, value: "overwrite" },
        { name: "always", label: "The same for all others of this upload", type: "check" },
      ],
      submit: async (values) => values,
    });
    if (!answer || answer.what === "skip") {
      set(entry, "cancelled", "left out");
    } else {
      again(entry, answer.what === "rename" ? { name: another(entry.name) } : { replaces: true });
    }
    if (answer?.always) {
      forAll = answer;
    }
  });
  return asking;
}

/** a.txt, a (2).txt, a (3).txt … */
function another(name) {
  const dot = name.lastIndexOf(".");
  const [stem, ending] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  const numbered = / \((\d{1,6})\)$/.exec(stem);
  return numbered ? `${stem.slice(0, numbered.index)} (${Number(numbered[1]) + 1})${ending}` : `${stem} (2)${ending}`;
}

function again(entry, changes = {}) {
  Object.assign(entry, changes, { key: changes.name || changes.replaces ? newKey() : entry.key });
  set(entry, "waiting");
  waitingFor.push(entry);
  step();
}

function cancel(entry) {
  const at = waitingFor.indexOf(entry);
  if (at >= 0) {
    waitingFor.splice(at, 1);
  }
  set(entry, "cancelled", "cancelled");
  entry.request?.abort();
}

function set(entry, state, told = "") {
  entry.state = state;
  entry.told = told;
  entry.draw.show();
  draw();
}

// crypto.randomUUID is not there for pages without HTTPS.
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");

// -- what is seen ----------------------------------------------------------------------------------------------------

const WORDS = { waiting: "waiting", sending: "", asking: "waits for your answer", done: "done", failed: "", cancelled: "" };

function row(entry) {
  const bar = h("i");
  const meter = h("div", { class: "meter", role: "progressbar", "aria-label": `Upload of ${entry.name}`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 }, bar);
  const told = h("span", { class: "soft small" });
  const acts = h("span", { class: "row" });
  const name = h("span", { class: "upload-name" }, entry.name);
  const node = h("li", { class: "upload" }, name, acts, meter, told);

  function progress(sentBytes, total) {
    const percent = total ? Math.floor((sentBytes / total) * 100) : 0;
    meter.setAttribute("aria-valuenow", percent);
    bar.style.setProperty("--part", `${percent}%`);
    put(told, `${bytes(sentBytes)} of ${bytes(total)}`);
  }

  function show() {
    const { state } = entry;
    put(name, entry.name);
    meter.hidden = state !== "sending" && state !== "waiting";
    meter.classList.toggle("bad", state === "failed");
    node.dataset.state = state;
    put(told, state === "sending" ? bytes(entry.file.size) : entry.told || WORDS[state]);
    put(acts,
      state === "done" && icon("check"),
      state === "failed" && button(`Try ${entry.name} again`, { icon: "retry", iconOnly: true, small: true, kind: "quiet", onClick: () => again(entry) }),
      (state === "sending" || state === "waiting") && button(`Cancel ${entry.name}`, { icon: "close", iconOnly: true, small: true, kind: "quiet", onClick: () => cancel(entry) }));
  }

  show();
  return { node, progress, show };
}

/** Once for all changes until the next frame: ten thousand files change their states often. */
function draw() {
  if (!drawing) {
    drawing = true;
    setTimeout(() => {
      drawing = false;
      drawNow();
    }, DRAW_MS);
  }
}

function drawNow() {
  tray ??= makeTray();
  const all = [...entries];
  const open = all.filter((entry) => ["waiting", "sending", "asking"].includes(entry.state));
  const failed = all.filter((entry) => entry.state === "failed");
  const done = all.filter((entry) => entry.state === "done").length;
  tray.node.hidden = all.length === 0;
  const line = open.length
    ? `Uploading ${count(open.length, "file")}`
    : [done && `${count(done, "file")} uploaded`, failed.length && `${number(failed.length)} failed`].filter(Boolean).join(", ") || "Nothing was uploaded";
  if (tray.title.textContent !== line) {
    put(tray.title, line);
    if (!open.length && all.length) {
      announce(line);
    }
  }
  tray.node.setAttribute("aria-busy", String(open.length > 0));
  const first = [...open.filter((entry) => entry.state !== "waiting"), ...failed, ...all.filter((entry) => !open.includes(entry) && !failed.includes(entry)), ...open.filter((entry) => entry.state === "waiting")];
  const wanted = first.slice(0, ROWS_MAX).map((entry) => entry.draw.node);
  if (wanted.length !== tray.list.children.length || wanted.some((node, at) => tray.list.children[at] !== node)) {
    const focused = document.activeElement;
    tray.list.replaceChildren(...wanted);
    focused?.isConnected && tray.list.contains(focused) && focused.focus();
  }
}

function makeTray() {
  const title = h("h2");
  const list = h("ul", { role: "list", tabindex: "0", "aria-label": "Uploads, one by one" });
  const close = button("Close the list of uploads", { icon: "close", iconOnly: true, small: true, kind: "quiet", onClick: () => dismiss() });
  const node = h("section", { class: "uploads", "aria-label": "Uploads", hidden: true }, h("header", null, title, close), list);
  document.body.append(node);
  addEventListener("beforeunload", (event) => {
    if (running > 0) {
      event.preventDefault();
    }
  });
  let organization = session()?.organization_id;
  whenSessionChanges((next) => {
    if (next?.organization_id !== organization) {
      organization = next?.organization_id;
      drop(); // what is left would go to where the session acts now
    }
  });
  return { node, title, list };
}

async function dismiss() {
  if (running === 0 || await confirm({ title: "Stop what is being uploaded?", text: "Files that are not uploaded yet are left out.", label: "Stop", act: async () => {} })) {
    drop();
  }
}

function drop() {
  for (const entry of entries) {
    if (entry.state !== "done") {
      cancel(entry);
    }
  }
  entries.clear();
  waitingFor.length = 0;
  draw();
}
