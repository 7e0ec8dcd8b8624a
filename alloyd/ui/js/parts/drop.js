// Where files come from: dropped on the page, whole folders too, or chosen.

import { h } from "../dom.js";
import { button } from "./basics.js";

const FOLDER_FILES_MAX = 10_000;
const DEPTH_MAX = 40;

/**
 * Let files be dropped on `node`: `onFiles([{file, folder}])`, where `folder` is the names of the folders that a dropped
 * folder had around the file, joined by slashes.
 */
export function takeDrops(node, onFiles, { signal }) {
  let inside = 0;
  const mark = (change) => {
    inside = Math.max(0, inside + change);
    node.classList.toggle("dropping", inside > 0);
  };
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const hear = (kind, heard) => node.addEventListener(kind, (event) => { if (hasFiles(event)) { event.preventDefault(); heard(event); } }, { signal });
  hear("dragenter", () => mark(1));
  hear("dragleave", () => mark(-1));
  hear("dragover", (event) => { event.dataTransfer.dropEffect = "copy"; });
  hear("drop", async (event) => {
    mark(-inside);
    onFiles(await dropped(event.dataTransfer));
  });
}

async function dropped(transfer) {
  // All at once: after the first await the list of what was dropped is empty.
  const items = [...transfer.items].filter((item) => item.kind === "file").map((item) => ({ file: item.getAsFile(), entry: item.webkitGetAsEntry?.() ?? null }));
  const found = [];
  for (const { file, entry } of items) {
    if (entry?.isDirectory) {
      await walk(entry, entry.name, 1, found);
    } else if (file) {
      found.push({ file, folder: "" });
    }
  }
  return found;
}

async function walk(folder, path, depth, found) {
  const reader = folder.createReader();
  for (;;) {
    const batch = await new Promise((done, failed) => { reader.readEntries(done, failed); });
    if (batch.length === 0) {
      return;
    }
    for (const entry of batch) {
      if (found.length >= FOLDER_FILES_MAX) {
        return;
      }
      if (entry.isFile) {
        found.push({ file: await new Promise((done, failed) => { entry.file(done, failed); }), folder: path });
      } else if (depth < DEPTH_MAX) {
        await walk(entry, `${path}/${entry.name}`, depth + 1, found);
      }
    }
  }
}

/** A button that lets files be chosen: `onFiles([{file, folder}])`. */
export function chooseButton(label, onFiles, options = {}) {
  const input = h("input", { type: "file", multiple: true, hidden: true, "aria-label": label, on: { change: () => {
    onFiles([...input.files].map((file) => ({ file, folder: "" })));
    input.value = "";
  } } });
  return h("span", { class: "row" }, input, button(label, { icon: "upload", ...options, onClick: () => input.click() }));
}
