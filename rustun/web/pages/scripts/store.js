// What is known of the relay, kept current by server-sent events.
//
// Rules of this module
//   1. Whoever shows something is called at most once a frame, with the identities that changed (null: all may have).
//   2. What was known stays while the connection is lost; `link` says so: connecting, live or lost.
//   3. A stream that is silent for SILENCE_MS is dead, whatever the browser believes; a page that comes back from sleep
//      begins a new one.

import { isLoggedIn } from "./api.js";

const SILENCE_MS = 6000;
const RETRY_MS = 2000;
const MOST_EVENTS = 1000;

export const store = {
  link: "connecting",
  trouble: null,
  time: 0, // of the newest moment, seconds since 1970, by the relay's host
  server: {},
  members: new Map(),
  events: [],
  eventsTrouble: "",
};

const listeners = new Set();
let changed = new Set(); // null once all may have changed
let waiting = false;
let stream = null;
let heardAt = 0;
let watch = 0;
let asking = false;

/** Call back on news; returns what ends that. */
export function listen(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

/** Connect, and stay connected until `disconnect`; `loggedOut` is called where the login has ended. */
export function connect(loggedOut) {
  disconnect();
  store.link = "connecting";
  watch = setInterval(() => {
    if (stream === null || performance.now() - heardAt > SILENCE_MS) reopen(loggedOut);
  }, RETRY_MS);
  open();
}

/** Stop, and forget everything. */
export function disconnect() {
  clearInterval(watch);
  stream?.close();
  stream = null;
  Object.assign(store, { link: "connecting", trouble: null, time: 0, server: {}, members: new Map(), events: [] });
}

function open() {
  heardAt = performance.now();
  stream = new EventSource("/dashboard/live");
  stream.addEventListener("whole", (event) => take(JSON.parse(event.data), true));
  stream.addEventListener("change", (event) => take(JSON.parse(event.data), false));
  stream.addEventListener("error", () => lose());
}

async function reopen(loggedOut) {
  lose();
  if (asking) return;
  asking = true;
  const mine = watch;
  try {
    if (await isLoggedIn()) {
      if (mine === watch && stream === null) open();
    } else if (mine === watch) {
      loggedOut();
    }
  } catch {
    // not reachable: the next turn of the watch tries again
  } finally {
    asking = false;
  }
}

function lose() {
  stream?.close();
  stream = null;
  if (store.link !== "lost") {
    store.link = "lost";
    tell(null);
  }
}

function take(told, isWhole) {
  heardAt = performance.now();
  const wasLive = store.link === "live";
  store.link = "live";
  if (told.time !== undefined) store.time = told.time;
  if (told.trouble !== undefined) store.trouble = told.trouble;
  if (isWhole) {
    store.time = told.time ?? 0;
    store.server = told.server ?? {};
    store.members = new Map(Object.entries(told.members ?? {}));
    store.events = told.events ?? [];
    store.eventsTrouble = told.events_trouble ?? "";
    tell(null);
    return;
  }
  Object.assign(store.server, told.server);
  for (const identity of told.gone ?? []) store.members.delete(identity);
  let isNew = (told.gone ?? []).length > 0 || !wasLive || told.trouble !== undefined;
  for (const [identity, fields] of Object.entries(told.members ?? {})) {
    const row = store.members.get(identity);
    isNew = isNew || row === undefined || "ciders" in fields;
    store.members.set(identity, row === undefined ? fields : Object.assign(row, fields));
  }
  if (told.events !== undefined) {
    store.events = [...store.events, ...told.events].slice(-MOST_EVENTS);
    store.eventsTrouble = "";
  }
  tell(isNew ? null : new Set(Object.keys(told.members ?? {})));
}

function tell(identities) {
  if (identities === null) changed = null;
  else if (changed !== null) for (const identity of identities) changed.add(identity);
  if (waiting) return;
  waiting = true;
  const deliver = () => {
    waiting = false;
    const told = changed;
    changed = new Set();
    for (const listener of [...listeners]) listener(told);
  };
  if (document.hidden) setTimeout(deliver, 0);
  else requestAnimationFrame(deliver);
}

/** Return the members by cluster, clusters and members in the order of their names. */
export function clusters() {
  const found = new Map();
  for (const row of [...store.members.values()].sort(byName)) {
    if (!found.has(row.cluster)) found.set(row.cluster, []);
    found.get(row.cluster).push(row);
  }
  return found;
}

function byName(one, other) {
  return compare(one.cluster ?? "", other.cluster ?? "") || compare(one.identity, other.identity);
}

/** Compare texts as people sort them, numbers in them by their value. */
export const compare = new Intl.Collator("en", { numeric: true }).compare;

/** Return the sum of what flows of these members, by the names of the history. */
export function together(rows) {
  const sum = (name) => {
    const known = rows.map((row) => row[name]).filter((value) => value !== null && value !== undefined);
    return known.length ? known.reduce((all, value) => all + value, 0) : null;
  };
  const trips = rows.map((row) => row.rtt_ms).filter((value) => value !== null && value !== undefined);
  trips.sort((one, other) => one - other);
  const rtt = trips.length ? trips[Math.floor(trips.length / 2)] : null;
  return { in_rate: sum("in_rate"), out_rate: sum("out_rate"), drop_rate: sum("drop_rate"), rtt_ms: rtt };
}
