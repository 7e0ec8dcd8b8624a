// Figures, sizes, money and times as people read them, in the language of the browser.

import { h } from "./dom.js";

const NUMBER = new Intl.NumberFormat();
const SHORT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const HOUR = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const AGO = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const STEPS = [["second", 60], ["minute", 60], ["hour", 24], ["day", 30], ["month", 12], ["year", Infinity]];

/** A long id by its two ends; the whole one belongs beside it, in a title or a link. */
export const shortId = (id) => (id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id);

/** 12,345. */
export const number = (value) => NUMBER.format(value);

/** 12.3K. */
export const shortNumber = (value) => SHORT.format(value);

/** A size in bytes: 1.2 MiB. */
export function bytes(value) {
  let rest = Number(value);
  let unit = 0;
  while (rest >= 1024 && unit < UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${unit === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(1)} ${UNITS[unit]}`;
}

/** A length of time in milliseconds: 340 ms, 2.1 s, 3 min 5 s, 2 h 4 min, 3 d 2 h. */
export function duration(ms) {
  if (ms === null || ms === undefined) {
    return "–";
  }
  if (ms < 1000) {
    return `${Math.round(ms)} ms`;
  }
  if (ms < 60_000) {
    return `${(ms / 1000).toFixed(1)} s`;
  }
  const pairs = [[86_400_000, "d", 3_600_000, "h"], [3_600_000, "h", 60_000, "min"], [60_000, "min", 1000, "s"]];
  const [large, largeName, small, smallName] = pairs.find(([each]) => ms >= each);
  const rest = Math.floor((ms % large) / small);
  return `${Math.floor(ms / large)} ${largeName}${rest ? ` ${rest} ${smallName}` : ""}`;
}

/** An amount of US dollars, small ones with the digits that count. */
export function money(usd) {
  const value = Number(usd);
  const digits = value !== 0 && Math.abs(value) < 0.01 ? 6 : 2;
  return new Intl.NumberFormat(undefined, { style: "currency", currency: "USD", maximumFractionDigits: digits }).format(value);
}

/** An amount in micro-USD. */
export const moneyOfMicro = (micro) => money(Number(micro) / 1e6);

/** 0.123 as 12.3%. */
export const percent = (part) => new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 }).format(part);

/** "1 run", "2 runs". */
export const count = (amount, one, many = `${one}s`) => `${number(amount)} ${amount === 1 ? one : many}`;

/** A point in time in full; `–` for none. */
export const dateTime = (when) => (when ? WHEN.format(new Date(when)) : "–");

/** Its day. */
export const day = (when) => (when ? DAY.format(new Date(when)) : "–");

/** Hour and minute. */
export const clock = (when) => HOUR.format(new Date(when));

/** A point in time relative to now, in words: 3 min ago. */
export function ago(when, now = Date.now()) {
  let distance = Math.round((new Date(when) - now) / 1000);
  if (Math.abs(distance) < 5) {
    return "now";
  }
  for (const [unit, size] of STEPS) {
    if (Math.abs(distance) < size) {
      return AGO.format(distance, unit);
    }
    distance = Math.round(distance / size);
  }
  return dateTime(when);
}

/** A <time> that says how long ago, and exactly when on a closer look; it keeps itself right. `–` for none. */
export function time(when) {
  if (!when) {
    return h("span", { class: "soft" }, "–");
  }
  return h("time", { datetime: new Date(when).toISOString(), title: dateTime(when), class: "nowrap", data: { relative: "" } }, ago(when));
}

/** Bring every relative time on the page up to date. */
export function refreshTimes(root = document) {
  for (const node of root.querySelectorAll("time[data-relative]")) {
    const text = ago(node.dateTime);
    if (node.textContent !== text) {
      node.textContent = text;
    }
  }
}
