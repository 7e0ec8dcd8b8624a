// Makes elements. Text is only ever a text node, so nothing that a user stored can become markup.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "indeterminate", "selected", "open"]);
const URLS = new Set(["href", "src", "action", "formaction"]);
const HARMLESS_URL = /^(?:https?:|mailto:|blob:|data:image\/(?:png|jpeg|gif|webp);|[/#?.]|[^:]*$)/i;

/**
 * An element.
 * @param {string} tag
 * @param {Object} [props] attributes; besides: `on: {click: fn}`, `data: {name: text}`, `vars: {"--x": text}`, `class` as
 *   text or a list. null, undefined and false leave an attribute out, true sets it without a value (aria-*: "true").
 * @param {...(Node|string|number|Array|null|undefined|false)} children
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    set(node, name, value);
  }
  append(node, children);
  return node;
}

function set(node, name, value) {
  if (value === null || value === undefined || value === false) {
    return;
  }
  if (name === "on") {
    for (const [kind, heard] of Object.entries(value)) {
      node.addEventListener(kind, heard);
    }
  } else if (name === "data") {
    Object.assign(node.dataset, value);
  } else if (name === "vars") {
    for (const [variable, text] of Object.entries(value)) {
      node.style.setProperty(variable, text);
    }
  } else if (name === "class") {
    node.setAttribute("class", Array.isArray(value) ? value.filter(Boolean).join(" ") : value);
  } else if (PROPERTIES.has(name)) {
    node[name] = value;
  } else if (name.startsWith("on") || name === "style" || name === "srcdoc") {
    throw new TypeError(`${name} is never set as an attribute`);
  } else if (URLS.has(name) && !HARMLESS_URL.test(String(value).trim())) {
    node.setAttribute(name, "#");
  } else {
    node.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : String(value));
  }
}

/** Add children: nodes, texts, numbers, lists of those; nothing for null, undefined and false. */
export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) {
      node.append(child instanceof Node ? child : String(child));
    }
  }
  return node;
}

/** Put `children` in place of what is in `node`. */
export function put(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

let counted = 0;

/** An id that nothing else on the page has. */
export function newId(prefix = "id") {
  counted += 1;
  return `${prefix}-${counted}`;
}

/** One of the icons of icons.svg; it says nothing to who listens to the page. */
export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, s("use", { href: `/page/icons.svg#${name}` }));
}
