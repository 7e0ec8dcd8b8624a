// Forms from a list of fields: labels, hints, and the server's faults shown at the field they are about.

import { isAbort } from "../api.js";
import { append, h, newId, put } from "../dom.js";
import { busyWhile, button, isBusy, notice } from "./basics.js";

/**
 * @typedef {Object} Field
 * @property {string} name the name in the body; the server's `field` finds it, also below it ("trigger.cron" → trigger)
 * @property {string} label
 * @property {"text"|"password"|"email"|"number"|"search"|"url"|"date"|"datetime"|"select"|"textarea"|"json"|"check"|"checks"|"own"} [type]
 *   "own" brings its node as `control`, and `read()`
 * @property {string|Node} [hint]
 * @property {boolean} [required]
 * @property {any} [value] what it begins with
 * @property {(string|[string, string])[]} [options] of select and checks: values, or [value, label]
 * @property {string} [autocomplete]
 * @property {string} [placeholder]
 * @property {number} [rows]
 * @property {Object} [props] further attributes
 */

/**
 * @param {{fields: Field[], submit: (values: Object) => Promise<any>, label?: string, kind?: string, wide?: boolean,
 *   extra?: Node[], before?: Node[]}} options `submit` gets the values by name: empty texts are null, numbers are numbers, JSON is parsed,
 *   a date and time is RFC 3339. What it raises is shown. `extra` are further buttons.
 * @returns {{node: HTMLFormElement, values(): Object, control(name): HTMLElement, fail(error): void}}
 */
export function form({ fields, submit, label = "Save", kind = "primary", wide = false, extra = [], before = [] }) {
  const made = fields.map(fieldOf);
  const top = h("div", { hidden: true });
  const send = button(label, { kind, type: "submit", wide });
  const node = h("form", { class: "form", novalidate: true, on: { submit: onSubmit } }, top, before, made.map((each) => each.node), h("div", { class: "form-end" }, extra, send));

  function clear() {
    top.hidden = true;
    for (const each of made) {
      each.fault(null);
    }
  }

  function fail(error) {
    const at = made.find((each) => error.field && (error.field === each.name || error.field.startsWith(`${each.name}.`) || error.field.startsWith(`${each.name}[`)));
    if (at) {
      at.fault(withoutName(error.message, error.field));
      at.control.focus();
      return;
    }
    top.hidden = false;
    put(top, notice("bad", error.message));
    top.scrollIntoView({ block: "nearest" });
  }

  function values() {
    return Object.fromEntries(made.map((each) => [each.name, each.read()]));
  }

  async function onSubmit(event) {
    event.preventDefault();
    if (isBusy(send)) {
      return;
    }
    clear();
    try {
      const missing = made.find((each) => each.required && each.isEmpty());
      if (missing) {
        missing.fault("This is needed.");
        missing.control.focus();
        return;
      }
      await busyWhile(send, Promise.resolve(submit(values())));
    } catch (error) {
      if (!isAbort(error)) {
        fail(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  return { node, values, fail, control: (name) => made.find((each) => each.name === name)?.control };
}

/** "name: at most 200 characters" → "At most 200 characters". */
function withoutName(message, field) {
  const rest = message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message;
  return rest.charAt(0).toUpperCase() + rest.slice(1);
}

/** One field by itself, for filters: `{node, control, read()}`. */
export function fieldOf(field) {
  const { name, label, type = "text", hint = null, required = false } = field;
  const id = newId(name);
  const hintId = hint ? `${id}-hint` : null;
  const fault = h("p", { class: "fault", id: `${id}-fault`, hidden: true });
  const control = controlOf(field, id, hintId);
  const head = [label, !required && field.optional !== false && type !== "check" && type !== "select" && !field.plain && h("span", { class: "optional" }, " (optional)")];
  const said = hint && h("p", { class: "hint", id: hintId }, hint);
  let node;
  if (type === "check") {
    node = h("div", { class: "field" }, h("label", { class: "check" }, control, h("span", null, label)), said, fault);
  } else if (type === "checks" || type === "own") {
    node = h("fieldset", { class: "field", "aria-describedby": hintId }, append(h("legend"), head), said, control, fault);
  } else {
    node = h("div", { class: "field" }, append(h("label", { for: id }), head), control, said, fault);
  }
  return {
    name,
    required,
    node,
    control,
    read: () => read(field, control),
    isEmpty: () => read(field, control) === null,
    fault(text) {
      fault.hidden = !text;
      put(fault, text);
      if (text) {
        control.setAttribute("aria-invalid", "true");
      } else {
        control.removeAttribute("aria-invalid");
      }
      const described = [hintId, text && fault.id].filter(Boolean).join(" ");
      if (described) {
        control.setAttribute("aria-describedby", described);
      }
    },
  };
}

function controlOf(field, id, hintId) {
  const { name, type = "text", value = null, options = [], required = false } = field;
  const common = { id, name, "aria-required": required || null, "aria-describedby": hintId, ...field.props };
  const pairs = options.map((each) => (Array.isArray(each) ? each : [each, each]));
  if (type === "select") {
    return h("select", { class: "select", ...common }, pairs.map(([each, shown]) => h("option", { value: each, selected: each === value }, shown)));
  }
  if (type === "own") {
    return field.control;
  }
  if (type === "checks") {
    const chosen = new Set(value ?? []);
    return h("div", { class: "checks", id, tabindex: "-1" }, pairs.map(([each, shown]) => h("label", { class: "check" }, h("input", { type: "checkbox", value: each, checked: chosen.has(each) }), h("span", null, shown))));
  }
  if (type === "check") {
    return h("input", { type: "checkbox", checked: Boolean(value), ...common });
  }
  if (type === "textarea" || type === "json") {
    const text = type === "json" && value !== null ? JSON.stringify(value, null, 2) : value;
    return h("textarea", { class: ["textarea", type === "json" && "code"], rows: field.rows ?? 6, spellcheck: type === "json" ? "false" : null, placeholder: field.placeholder, value: text ?? "", ...common });
  }
  const kind = { number: "text", datetime: "datetime-local" }[type] ?? type;
  return h("input", { class: "input", type: kind, inputmode: type === "number" ? "decimal" : null, autocomplete: field.autocomplete ?? "off", placeholder: field.placeholder, value: value ?? "", ...common });
}

function read(field, control) {
  const { type = "text", label } = field;
  if (type === "own") {
    return field.read();
  }
  if (type === "check") {
    return control.checked;
  }
  if (type === "checks") {
    const chosen = [...control.querySelectorAll("input:checked")].map((each) => each.value);
    return chosen.length ? chosen : null;
  }
  const text = type === "password" || type === "json" || type === "textarea" ? control.value : control.value.trim();
  if (text.trim() === "") {
    return null;
  }
  if (type === "number") {
    const value = Number(text);
    if (Number.isNaN(value)) {
      throw Object.assign(new Error(`${field.name}: a number is wanted`), { field: field.name });
    }
    return value;
  }
  if (type === "json") {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw Object.assign(new Error(`${field.name}: not valid JSON: ${error.message}`), { field: field.name, label });
    }
  }
  return type === "datetime" ? new Date(text).toISOString() : text;
}
