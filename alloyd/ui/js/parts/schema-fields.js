// Form fields from a JSON Schema: simple types get a field of their own, everything else is JSON. The server checks again.

import { h } from "../dom.js";

const SIMPLE = new Set(["string", "number", "integer", "boolean"]);
const LONG_CHARS = 200;

/** Whether `schema` describes an object whose members can be asked for one by one. */
export const hasFields = (schema) => schema?.type === "object" && Object.keys(schema.properties ?? {}).length > 0;

/**
 * Fields for `form()`, and how their values become the object. Names of fields are p0, p1 …: a property may be called anything.
 * @param {Object} schema
 * @param {Object} [given] what the fields begin with, before the schema's defaults
 * @returns {{fields: Object[], read(values): Object}} `read` raises an Error with `field`
 */
export function schemaFields(schema, given = {}) {
  const required = new Set(schema.required ?? []);
  const properties = Object.entries(schema.properties).map(([name, property], index) => ({ name, key: `p${index}`, property: property ?? {}, kind: kindOf(property ?? {}), needed: required.has(name) }));
  return {
    fields: properties.map((each) => fieldFor(each, given[each.name] ?? each.property.default ?? null)),
    read: (values) => Object.fromEntries(properties.map((each) => [each.name, valueOf(each, values[each.key])]).filter(([, value]) => value !== undefined)),
  };
}

/** "enum", one of the simple types, or "json". A type that may be null as well counts as the other one. */
function kindOf(property) {
  if (Array.isArray(property.enum) && property.enum.length && property.enum.every((value) => typeof value !== "object" || value === null)) {
    return "enum";
  }
  const types = [property.type].flat().filter((type) => type !== "null");
  return types.length === 1 && SIMPLE.has(types[0]) ? types[0] : "json";
}

function fieldFor({ name, key, property, kind, needed }, value) {
  const common = { name: key, label: property.title ?? name, hint: hintOf(property, kind), required: needed && kind !== "boolean" };
  if (kind === "enum") {
    const options = property.enum.map((each) => [JSON.stringify(each), String(each)]);
    return { ...common, type: "select", value: value === null ? "" : JSON.stringify(value), options: needed && value !== null ? options : [["", needed ? "Choose one" : "–"], ...options] };
  }
  if (kind === "boolean") {
    return { ...common, type: "check", value: value === true };
  }
  if (kind === "json") {
    return { ...common, type: "json", value, rows: 4, placeholder: property.type === "array" ? "[]" : "{}" };
  }
  if (kind === "string") {
    const type = { email: "email", uri: "url", date: "date", "date-time": "datetime" }[property.format] ?? (property.maxLength > LONG_CHARS || property.contentMediaType ? "textarea" : "text");
    return { ...common, type, value, rows: 4 };
  }
  return { ...common, type: "number", value };
}

function hintOf(property, kind) {
  const bounds = [];
  if (kind === "integer") {
    bounds.push("a whole number");
  }
  if (property.minimum !== undefined || property.maximum !== undefined) {
    bounds.push([property.minimum !== undefined && `at least ${property.minimum}`, property.maximum !== undefined && `at most ${property.maximum}`].filter(Boolean).join(", "));
  }
  if (kind === "json") {
    bounds.push(`JSON${property.type ? `, ${[property.type].flat().join(" or ")}` : ""}`);
  }
  const told = bounds.length ? h("span", null, bounds.join(", ")) : null;
  return property.description ? h("span", null, property.description, told && [" (", told, ")"]) : told;
}

function valueOf(each, value) {
  const { kind, property } = each;
  if (value === null || value === undefined || value === "") {
    return undefined;
  }
  if (kind === "enum") {
    return JSON.parse(value);
  }
  if (kind === "integer" || kind === "number") {
    refuseIf(kind === "integer" && !Number.isInteger(value), each, "A whole number is wanted.");
    refuseIf(property.minimum !== undefined && value < property.minimum, each, `At least ${property.minimum} is wanted.`);
    refuseIf(property.maximum !== undefined && value > property.maximum, each, `At most ${property.maximum} is wanted.`);
  }
  if (kind === "string") {
    refuseIf(property.minLength > value.length, each, `At least ${property.minLength} characters are wanted.`);
    refuseIf(property.maxLength < value.length, each, `At most ${property.maxLength} characters are wanted.`);
    refuseIf(property.pattern && !matches(property.pattern, value), each, `It does not have the form ${property.pattern}.`);
  }
  if (kind === "json") {
    refuseIf(property.type === "array" && !Array.isArray(value), each, "A list is wanted.");
    refuseIf(property.type === "object" && (typeof value !== "object" || Array.isArray(value)), each, "An object is wanted.");
  }
  return value;
}

function matches(pattern, value) {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true; // no pattern that browsers know
  }
}

function refuseIf(wrong, { key }, message) {
  if (wrong) {
    throw Object.assign(new Error(message), { field: key });
  }
}
