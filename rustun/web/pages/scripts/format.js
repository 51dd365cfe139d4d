// Numbers, times and sizes for people: three digits and a unit at most; "–" for what is not known.

import { language, say } from "./words.js";

export const UNKNOWN = "–";

function scaled(value, units) {
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** Bytes a second as bits a second. */
export function rate(bytes) {
  return bytes === null || bytes === undefined ? UNKNOWN : scaled(bytes * 8, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]);
}

/** Bytes. */
export function size(bytes) {
  return bytes === null || bytes === undefined ? UNKNOWN : scaled(bytes, ["B", "kB", "MB", "GB", "TB", "PB"]);
}

/** Milliseconds of a round trip. */
export function trip(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return UNKNOWN;
  if (milliseconds >= 999.5) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds.toFixed(milliseconds < 9.95 ? 1 : 0)} ms`;
}

/** Packets a second. */
export function drops(perSecond) {
  return perSecond === null || perSecond === undefined ? UNKNOWN : say("unit.per_second", { count: short(perSecond) });
}

function short(value) {
  return value >= 999.5 ? scaled(value, ["", "k", "M"]) : value.toFixed(value > 0 && value < 9.95 ? 1 : 0);
}

const PARTS = [[86400, "unit.days"], [3600, "unit.hours"], [60, "unit.minutes"], [1, "unit.seconds"]];

/** Seconds, rounded down to one unit. */
export function duration(seconds) {
  const [length, key] = PARTS.find(([least]) => seconds >= least) ?? PARTS[3];
  return say(key, { count: Math.max(0, Math.floor(seconds / length)) });
}

/** How long ago a moment is, both in seconds since 1970. */
export function ago(moment, now) {
  return moment === null || moment === undefined ? UNKNOWN : say("unit.ago", { duration: duration(now - moment) });
}

/** A moment, in seconds since 1970 or as text that a Date reads, in the reader's time zone. */
export function clock(moment) {
  const date = typeof moment === "number" ? new Date(moment * 1000) : new Date(moment);
  if (Number.isNaN(date.getTime())) return String(moment ?? UNKNOWN);
  return new Intl.DateTimeFormat(language() === "zh" ? "zh-CN" : "en-GB", { dateStyle: "medium", timeStyle: "medium" })
    .format(date);
}

/** Reasons with their counts, the largest first. */
export function reasons(counted) {
  const found = Object.entries(counted ?? {}).sort((one, other) => other[1] - one[1]);
  return found.length ? found.map(([reason, count]) => `${count} ${reason}`).join(", ") : UNKNOWN;
}
