// The card in the middle of an otherwise empty page: for who has not come in yet.

import { h } from "../dom.js";

/** @param {{title: string, lead?: string, body: any, foot?: any}} options */
export function gate({ title, lead, body, foot }) {
  return h("div", { class: "gate-card" },
    h("div", { class: "brand" }, h("img", { src: "/page/mark.svg", alt: "" }), "alloyd"),
    h("h1", null, title),
    lead && h("p", { class: "lead" }, lead),
    h("div", { class: "stack" }, body),
    foot && h("p", { class: "foot" }, foot));
}
