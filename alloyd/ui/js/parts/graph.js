// A workflow's graph: drawn, coloured by state, moved through by keyboard, and told in words to who can't see it.

import { h, newId, put, s } from "../dom.js";
import { button } from "./basics.js";
import { BOX, layOut } from "./graph-layout.js";

const MARGIN = 24;
const TEXT_CHARS = 24;
const SMALL_CHARS = 32;
const ZOOM = { min: 0.25, max: 2, step: 1.25, fitMin: 0.55 };
/** What stands beside the colour of a state. */
const SIGNS = { completed: "check", failed: "close", cancelled: "stop", waiting: "clock", running: "play", ready: "dots", skipped: "minus" };

/**
 * @param {{nodes: Object[], edges: Object[]}} drawing as `/graph` of a workflow or run gives it
 * @param {{label: string, onOpen?: (id: string) => void, names?: Map<string, string>, live?: boolean}} options `names` are titles by id;
 *   `live` for a run, whose steps have states
 * @returns {{node: Node, setStates(states: Map<string, string>): void, grow(steps: {key, parent, operation}[]): void}}
 */
export function graph(drawing, { label, onOpen = null, names = new Map(), live = false }) {
  const view = { drawing, label, onOpen, names, live, states: new Map(), grown: [], zoom: null, cells: new Map(), listed: new Map() };
  view.hint = newId("graph");
  view.place = h("div", { class: "graph-place" });
  view.words = h("ol", { class: "graph-words" });
  view.node = h("div", { class: "graph" },
    h("div", { class: "graph-tools" },
      button("Smaller", { icon: "minus", iconOnly: true, small: true, onClick: () => zoomBy(view, 1 / ZOOM.step) }),
      button("Larger", { icon: "plus", iconOnly: true, small: true, onClick: () => zoomBy(view, ZOOM.step) }),
      button("Fit", { small: true, onClick: () => fit(view) })),
    view.place,
    h("details", { class: "graph-text" }, h("summary", null, "The steps in words"), view.words));
  view.place.addEventListener("keydown", (event) => onKey(view, event));
  drag(view.place);
  draw(view);
  return {
    node: view.node,
    setStates(states) {
      view.states = states;
      paint(view);
    },
    grow(steps) {
      if (steps.some((step) => !view.grown.some((each) => each.key === step.key))) {
        view.grown = steps;
        draw(view);
      }
    },
  };
}

/** The nodes and edges with those that steps have grown: one below the other within the step that asked for them. */
function whole({ drawing, grown }) {
  const nodes = [...drawing.nodes];
  const edges = drawing.edges.map((edge) => ({ ...edge, at: portAt(drawing, edge) }));
  const last = new Map();
  for (const step of grown) {
    nodes.push({ id: step.key, key: step.key.slice(step.parent.length + 1), within: step.parent, operation: step.operation, ports: [], grown: true });
    if (last.has(step.parent)) {
      edges.push({ source: last.get(step.parent), target: step.key, port: null, hidden: true });
    }
    last.set(step.parent, step.key);
  }
  return { nodes, edges };
}

/** Where along the lower side of its step a way begins. */
function portAt(drawing, edge) {
  const ports = drawing.nodes.find((node) => node.id === edge.source)?.ports ?? [];
  const index = ports.indexOf(edge.port);
  return index < 0 ? 0.5 : (index + 1) / (ports.length + 1);
}

function draw(view) {
  const { nodes, edges } = whole(view);
  const focused = document.activeElement?.closest?.(".graph-node")?.dataset.id;
  view.laid = layOut(nodes, edges);
  view.nodes = nodes;
  view.cells.clear();
  view.size = { width: view.laid.width + 2 * MARGIN, height: view.laid.height + 2 * MARGIN };
  view.svg = s("svg", { class: "graph-drawing", viewBox: `${-MARGIN} ${-MARGIN} ${view.size.width} ${view.size.height}`, role: "group", "aria-label": `${view.label}: ${nodes.length} steps; arrow keys go from one to the other` },
    levelsOf(view, nodes));
  put(view.place, view.svg);
  put(view.words, nodes.map((node) => wordsOf(view, node, edges)));
  if (view.zoom === null) {
    requestAnimationFrame(() => fit(view));
  }
  zoomTo(view, view.zoom ?? 1);
  paint(view);
  const [first] = view.cells.values();
  first?.cell.setAttribute("tabindex", "0");
  view.cells.get(focused)?.cell.focus();
}

/** What stands within a step is drawn after it: lines and nodes level by level. */
function levelsOf(view, nodes) {
  const { boxes, lines } = view.laid;
  const depths = [...new Set([...boxes.values()].map((box) => box.depth))].sort((a, b) => a - b);
  return depths.map((depth) => [
    s("g", { "aria-hidden": "true" }, lines.filter((line) => line.depth === depth).map(lineOf)),
    nodes.filter((node) => boxes.get(node.id).depth === depth).map((node) => nodeOf(view, node)),
  ]);
}

/** A smooth line. */
function lineOf({ points }) {
  let path = `M${round(points[0].x)} ${round(points[0].y)}`;
  for (let index = 1; index < points.length; index += 1) {
    const from = points[index - 1];
    const to = points[index];
    const bend = Math.max(14, (to.y - from.y) / 2);
    path += `C${round(from.x)} ${round(from.y + bend)} ${round(to.x)} ${round(to.y - bend)} ${round(to.x)} ${round(to.y)}`;
  }
  const end = points.at(-1);
  return s("g", { class: "graph-line" },
    s("path", { d: path }),
    s("path", { class: "tip", d: `M${round(end.x - 4)} ${round(end.y - 7)}L${round(end.x)} ${round(end.y)}L${round(end.x + 4)} ${round(end.y - 7)}Z` }));
}

const round = (value) => Math.round(value * 10) / 10;
const short = (text, chars) => (text.length > chars ? `${text.slice(0, chars - 1)}…` : text);

function nodeOf(view, node) {
  const box = view.laid.boxes.get(node.id);
  const sign = s("use", { width: 14, height: 14, x: box.width - 29, y: 21 });
  const title = view.names.get(node.id) ?? node.key;
  const cell = s("g", {
    class: ["graph-node", box.holds && "holds", node.grown && "grown"], transform: `translate(${round(box.x)} ${round(box.y)})`, tabindex: "-1",
    role: view.onOpen ? "button" : "img", data: { id: node.id },
    on: { click: () => view.onOpen?.(node.id), focus: () => select(view, node.id) },
  },
    s("title", null, `${title} · ${node.operation}`),
    s("rect", { class: "frame", width: box.width, height: box.height, rx: 8 }),
    s("rect", { class: "stripe", width: 4, height: box.height - 16, x: 0, y: 8, rx: 2 }),
    s("text", { class: "name", x: 16, y: 24 }, short(title, TEXT_CHARS)),
    s("text", { class: "does", x: 16, y: 42 }, short(`${node.operation}${node.conditional ? " · if" : ""}`, SMALL_CHARS)),
    (node.ports ?? []).map((port, index) => {
      const x = round((box.width * (index + 1)) / (node.ports.length + 1));
      return [s("circle", { class: "dot", cx: x, cy: box.height, r: 3 }), s("text", { class: "port", x, y: box.height - 8, "text-anchor": "middle" }, short(port, 16))];
    }),
    s("g", { class: "sign" }, s("circle", { cx: box.width - 22, cy: 28, r: 11 }), sign));
  view.cells.set(node.id, { cell, sign, box, node, title });
  return cell;
}

/** One step for who reads or hears the list. */
function wordsOf(view, node, edges) {
  const after = edges.filter((edge) => edge.target === node.id && !edge.hidden).map((edge) => (edge.port ? `${edge.source} (${edge.port})` : edge.source));
  const state = h("span", { class: "state" });
  view.listed.set(node.id, state);
  const name = view.names.get(node.id) ?? node.key;
  return h("li", null,
    view.onOpen ? h("button", { type: "button", class: "as-link", on: { click: () => view.onOpen(node.id) } }, name) : name,
    ` ${node.operation}`,
    node.within && `, within ${node.within}`,
    after.length > 0 && `, after ${after.join(", ")}`,
    node.ports?.length > 0 && `, ways out: ${node.ports.join(", ")}`,
    state);
}

/** Bring states to what is drawn and told. */
function paint(view) {
  for (const [id, { cell, sign, node, title }] of view.cells) {
    const state = view.states.get(id) ?? null;
    cell.dataset.state = state ?? (view.live ? "waiting-for-others" : "");
    cell.setAttribute("aria-label", [title, node.operation, state].filter(Boolean).join(", "));
    if (SIGNS[state]) {
      sign.setAttribute("href", `/page/icons.svg#${SIGNS[state]}`);
    } else {
      sign.removeAttribute("href");
    }
    view.listed.get(id).textContent = state ? `: ${state}` : "";
  }
}

function select(view, id) {
  for (const [each, { cell }] of view.cells) {
    cell.setAttribute("tabindex", each === id ? "0" : "-1");
  }
}

const DIRECTIONS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function onKey(view, event) {
  const here = view.cells.get(event.target.closest(".graph-node")?.dataset.id);
  if (!here) {
    return;
  }
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    view.onOpen?.(here.node.id);
  } else if (DIRECTIONS[event.key]) {
    event.preventDefault();
    const next = nearest(view, here, DIRECTIONS[event.key]);
    next?.cell.focus();
    next?.cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  } else if (event.key === "Home" || event.key === "End") {
    event.preventDefault();
    [...view.cells.values()].at(event.key === "Home" ? 0 : -1).cell.focus();
  }
}

/** The node that lies next in a direction: what is straight ahead counts before what is near but aside. */
function nearest(view, here, [dx, dy]) {
  const centre = ({ box }) => ({ x: box.x + box.width / 2, y: box.y + Math.min(box.height, BOX.height) / 2 });
  const from = centre(here);
  let best = null;
  let least = Infinity;
  for (const each of view.cells.values()) {
    const to = centre(each);
    const ahead = dx ? (to.x - from.x) * dx : (to.y - from.y) * dy;
    const aside = Math.abs(dx ? to.y - from.y : to.x - from.x);
    if (ahead > 1 && ahead + 3 * aside < least) {
      best = each;
      least = ahead + 3 * aside;
    }
  }
  return best;
}

function fit(view) {
  const room = view.place.clientWidth;
  if (room > 0) {
    zoomTo(view, Math.min(1, Math.max(ZOOM.fitMin, room / view.size.width)));
    view.place.scrollLeft = Math.max(0, (view.size.width * view.zoom - room) / 2);
  }
}

const zoomBy = (view, factor) => zoomTo(view, view.zoom * factor);

function zoomTo(view, zoom) {
  view.zoom = Math.min(ZOOM.max, Math.max(ZOOM.min, zoom));
  view.svg.setAttribute("width", Math.round(view.size.width * view.zoom));
  view.svg.setAttribute("height", Math.round(view.size.height * view.zoom));
}

/** Moving what is larger than its place by dragging with a mouse; fingers scroll anyway. */
function drag(place) {
  let from = null;
  place.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0 && !event.target.closest(".graph-node")) {
      from = { x: event.clientX + place.scrollLeft, y: event.clientY + place.scrollTop };
      place.setPointerCapture(event.pointerId);
      place.classList.add("dragged");
    }
  });
  place.addEventListener("pointermove", (event) => {
    if (from) {
      place.scrollTo(from.x - event.clientX, from.y - event.clientY);
    }
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    place.addEventListener(kind, () => {
      from = null;
      place.classList.remove("dragged");
    });
  }
}
