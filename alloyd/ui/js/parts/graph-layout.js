// Where the steps of a workflow are drawn: layers by the longest way to a step, the order within a layer by barycentres.
// Pure: boxes and points, no elements.

export const BOX = { width: 216, height: 56 };
const PORTS_HEIGHT = 16;
const GAP = { x: 28, y: 52, tight: 12 };
const INSIDE = { x: 14, top: 62, bottom: 14 };
const GHOST_WIDTH = 12;
const SWEEPS = 8;
const SHIFTS = 6;

/**
 * @param {{id: string, within: ?string}[]} nodes so that what comes before stands before
 * @param {{source: string, target: string, port: ?string, hidden?: boolean}[]} edges `hidden` ones only keep order
 * @returns {{width: number, height: number, boxes: Map<string, {x, y, width, height, holds, depth}>, lines: {edge, depth, points: {x, y}[]}[]}}
 *   boxes by id; a step with others inside is as large as they need
 */
export function layOut(nodes, edges) {
  const boxes = new Map();
  const lines = [];
  const size = place(null, nodes, edges, boxes, lines, 0);
  return { ...size, boxes, lines };
}

/** One level: the nodes that stand within `scope`, from (0, 0); those deeper are moved along with what holds them. */
function place(scope, nodes, edges, boxes, lines, depth) {
  const here = nodes.filter((node) => (node.within ?? null) === scope);
  const ids = new Set(here.map((node) => node.id));
  const own = edges.filter((edge) => ids.has(edge.source) && ids.has(edge.target));
  const inner = new Map();
  for (const node of here) {
    if (nodes.some((each) => each.within === node.id)) {
      const part = { boxes: new Map(), lines: [] };
      inner.set(node.id, { ...part, size: place(node.id, nodes, edges, part.boxes, part.lines, depth + 1) });
    }
  }
  const named = new Set(here.filter((node) => node.ports?.length).map((node) => node.id));
  const sizeOf = (id) => {
    const part = inner.get(id);
    const height = part ? INSIDE.top + part.size.height + INSIDE.bottom : BOX.height;
    return { width: part ? Math.max(BOX.width, part.size.width + 2 * INSIDE.x) : BOX.width, height: height + (named.has(id) ? PORTS_HEIGHT : 0) };
  };
  const layers = layered(here, own);
  order(layers);
  const tight = own.length > 0 && own.every((edge) => edge.hidden);
  const size = measure(layers, sizeOf, tight ? GAP.tight : GAP.y);
  for (const cell of layers.flat()) {
    if (!cell.ghost) {
      boxes.set(cell.id, { x: cell.x, y: cell.y, ...sizeOf(cell.id), holds: inner.has(cell.id), depth });
      adopt(inner.get(cell.id), cell, boxes, lines);
    }
  }
  for (const edge of own) {
    if (!edge.hidden) {
      lines.push({ edge, depth, points: wayOf(edge, layers, boxes) });
    }
  }
  return size;
}

/** Move what stands inside of `cell` to its place. */
function adopt(part, cell, boxes, lines) {
  if (!part) {
    return;
  }
  const left = cell.x + (Math.max(BOX.width, part.size.width + 2 * INSIDE.x) - part.size.width) / 2;
  const top = cell.y + INSIDE.top;
  for (const [id, box] of part.boxes) {
    boxes.set(id, { ...box, x: box.x + left, y: box.y + top });
  }
  for (const { edge, depth, points } of part.lines) {
    lines.push({ edge, depth, points: points.map(({ x, y }) => ({ x: x + left, y: y + top })) });
  }
}

/** Cells by layer; an edge over several layers gets a ghost in each between, so that lines keep clear of boxes. */
function layered(nodes, edges) {
  const layerOf = new Map(nodes.map((node) => [node.id, 0]));
  const into = new Map(nodes.map((node) => [node.id, []]));
  for (const edge of edges) {
    into.get(edge.target).push(edge.source);
  }
  for (const node of nodes) { // dependencies come first, so one pass does
    layerOf.set(node.id, Math.max(0, ...into.get(node.id).map((id) => layerOf.get(id) + 1)));
  }
  const layers = [];
  const cells = new Map();
  const add = (cell) => {
    (layers[cell.layer] ??= []).push(cell);
    return cell;
  };
  for (const node of nodes) {
    cells.set(node.id, add({ id: node.id, layer: layerOf.get(node.id), up: [], down: [] }));
  }
  for (const edge of edges) {
    let from = cells.get(edge.source);
    const to = cells.get(edge.target);
    for (let layer = from.layer + 1; layer < to.layer; layer += 1) {
      const ghost = add({ ghost: edge, layer, up: [], down: [] });
      join(from, ghost);
      from = ghost;
    }
    join(from, to);
  }
  return layers;
}

function join(from, to) {
  from.down.push(to);
  to.up.push(from);
}

/** Each layer in the order of the means of its neighbours' places, downwards and upwards in turn. */
function order(layers) {
  const number = (layer) => layer.forEach((cell, index) => { cell.place = index; });
  layers.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      for (const cell of layer) {
        const beside = down ? cell.up : cell.down;
        cell.mean = beside.length ? beside.reduce((sum, each) => sum + each.place, 0) / beside.length : cell.place;
      }
      layer.sort((a, b) => a.mean - b.mean || a.place - b.place);
      number(layer);
    }
  }
}

/** Coordinates: rows below each other, within a row as near to the neighbours' middle as the others allow. */
function measure(layers, sizeOf, gap) {
  let y = 0;
  for (const layer of layers) {
    let x = 0;
    let tallest = 0;
    for (const cell of layer) {
      const { width, height } = cell.ghost ? { width: GHOST_WIDTH, height: 0 } : sizeOf(cell.id);
      Object.assign(cell, { width, height, x, y });
      x += width + GAP.x;
      tallest = Math.max(tallest, height);
    }
    for (const cell of layer) {
      cell.rowHeight = tallest;
    }
    y += tallest + gap;
  }
  for (let shift = 0; shift < SHIFTS; shift += 1) {
    for (const layer of shift % 2 === 0 ? layers : [...layers].reverse()) {
      settle(layer, shift % 2 === 0 ? "up" : "down");
    }
  }
  const left = Math.min(...layers.flat().map((cell) => cell.x), Infinity);
  for (const cell of layers.flat()) {
    cell.x -= left;
  }
  const width = Math.max(0, ...layers.flat().map((cell) => cell.x + cell.width));
  return { width, height: Math.max(0, y - gap) };
}

const middle = (cell) => cell.x + cell.width / 2;

/** Move a layer's cells towards the middle of their neighbours; neither order nor gaps change. */
function settle(layer, side) {
  const wanted = layer.map((cell) => {
    const beside = cell[side].length ? cell[side] : cell.up.concat(cell.down);
    return beside.length ? beside.reduce((sum, each) => sum + middle(each), 0) / beside.length - cell.width / 2 : cell.x;
  });
  let off = 0;
  let edge = -Infinity;
  layer.forEach((cell, index) => {
    cell.x = Math.max(wanted[index], edge);
    edge = cell.x + cell.width + GAP.x;
    off += cell.x - wanted[index];
  });
  for (const cell of layer) {
    cell.x -= off / layer.length; // pushed to the right only, they would all drift there
  }
}

/** The points of a line: out of the source's lower side, through its ghosts, into the target's upper side. */
function wayOf(edge, layers, boxes) {
  const source = boxes.get(edge.source);
  const target = boxes.get(edge.target);
  const ghosts = layers.flat().filter((cell) => cell.ghost === edge);
  const from = { x: source.x + source.width * (edge.at ?? 0.5), y: source.y + source.height };
  const to = { x: target.x + target.width / 2, y: target.y };
  return [from, ...ghosts.flatMap((ghost) => [{ x: middle(ghost), y: ghost.y }, { x: middle(ghost), y: ghost.y + ghost.rowHeight }]), to];
}
