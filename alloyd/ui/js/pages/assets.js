// Assets: files that are named by an id and never change, for jobs and calls of AI models.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { bytes, time } from "../format.js";
import { button, pageHead, panel } from "../parts/basics.js";
import { copyButton } from "../parts/copy.js";
import { confirm } from "../parts/dialog.js";
import { chooseButton, takeDrops } from "../parts/drop.js";
import { table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { upload } from "../parts/upload.js";
import { may } from "../session.js";

export default function show({ signal }) {
  const list = table({
    label: "Assets",
    load: (next) => api.page("/assets", { signal, next }),
    columns: [
      { title: "Name", lead: true, cell: (asset) => [h("a", { class: "name", href: contentOf(asset), download: asset.filename }, asset.filename), h("span", { class: "sub mono" }, asset.id)] },
      { title: "Size", end: true, cell: (asset) => bytes(asset.size_bytes) },
      { title: "Type", cell: (asset) => asset.content_type },
      { title: "Made", cell: (asset) => time(asset.created_at) },
      { title: "What to do", acts: true, cell: (asset) => h("span", { class: "row end" },
        copyButton(asset.id, { label: `Copy the id of ${asset.filename}`, iconOnly: true, kind: "quiet" }),
        h("a", { class: "button quiet small only-icon", href: contentOf(asset), download: asset.filename, "aria-label": `Download ${asset.filename}`, title: "Download" }, icon("download")),
        may("asset.create") && button(`Delete ${asset.filename}`, { icon: "trash", iconOnly: true, small: true, kind: "quiet", onClick: () => remove(asset, list) })) },
    ],
    empty: { icon: "file", title: "No assets yet", text: may("asset.create") ? "Drop files here, or choose them with “Upload”. Jobs take an asset by its id." : "Jobs take an asset by its id." },
  });
  const take = (found) => upload(found.map(({ file }) => ({
    file,
    send: (name) => ({ url: api.url("/assets", { filename: name }), body: file, headers: { "Content-Type": file.type || "application/octet-stream" } }),
    onDone: (asset) => { if (!signal.aborted) { list.put(asset); } },
  })));
  const place = h("div", { class: "drop-place corner-acts three" }, panel({ flush: true, body: list.node }), may("asset.create") && h("p", { class: "drop-told", "aria-hidden": "true" }, icon("upload"), "Drop to upload"));
  if (may("asset.create")) {
    takeDrops(place, take, { signal });
  }
  return [
    pageHead({ title: "Assets", about: "Files under an id of their own, which never change: what jobs and calls of AI models take and make.", actions: may("asset.create") ? [chooseButton("Upload", take, { kind: "primary" })] : [] }),
    place,
  ];
}

const contentOf = (asset) => api.url(`/assets/${encodeURIComponent(asset.id)}`);

async function remove(asset, list) {
  const act = async () => {
    await api.delete(`/assets/${encodeURIComponent(asset.id)}`);
    list.remove(asset.id);
  };
  if (await confirm({ title: `Delete “${asset.filename}”?`, text: "Jobs that name it find it no more. This can’t be undone.", label: "Delete", act })) {
    toast("It is deleted.");
  }
}
