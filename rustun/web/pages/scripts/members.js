// All members as a table: search, filters, order. Rows stay where they are while their values change.

import { mayManage } from "./api.js";
import { el, refill, setText } from "./elements.js";
import { ago, rate, reasons, size, trip } from "./format.js";
import { addMember } from "./manage.js";
import { STATES, badge, placeOf } from "./marks.js";
import { compare, store } from "./store.js";
import { searchText } from "./topology.js";
import { say, sayOf } from "./words.js";

const PAGE_ROWS = 100;
const COLUMNS = [
  // key, how it is shown, how it is sorted
  ["cluster", (row) => row.cluster, (row) => row.cluster],
  ["identity", (row) => el("a", { href: placeOf(row.identity) }, row.identity), (row) => row.identity],
  ["address", (row) => row.address ?? "", (row) => numbers(row.address)],
  ["state", (row) => badge(row.state), (row) => row.state],
  ["proved", (row) => ago(row.proved, store.time), (row) => -(row.proved ?? 0)],
  ["rtt_ms", (row) => trip(row.rtt_ms), (row) => -(row.rtt_ms ?? -1)],
  ["tier", (row) => [row.tier, row.cipher].filter((word) => word).join(", "), (row) => row.tier ?? ""],
  ["in_rate", (row) => rate(row.in_rate), (row) => -(row.in_rate ?? -1)],
  ["out_rate", (row) => rate(row.out_rate), (row) => -(row.out_rate ?? -1)],
  ["in_bytes", (row) => size(row.in_bytes), (row) => -(row.in_bytes ?? -1)],
  ["out_bytes", (row) => size(row.out_bytes), (row) => -(row.out_bytes ?? -1)],
  ["drops", (row) => reasons(row.drops), (row) => -Object.values(row.drops ?? {}).reduce((all, count) => all + count, 0)],
];
const WORDS = new Set(["address", "proved", "tier"]); // which are not broken
const NUMERIC = new Set(["rtt_ms", "in_rate", "out_rate", "in_bytes", "out_bytes"]);
const view = { search: "", cluster: "", state: "", order: "cluster", backwards: false }; // kept while pages change

function numbers(address) {
  return (address ?? "").split(".").map((part) => part.padStart(3, "0")).join(".");
}

/** Return the page. */
export function membersPage() {
  const body = el("tbody");
  const count = el("span", { class: "hint", role: "status" });
  const more = el("button", { type: "button", class: "quiet" }, say("members.more"));
  const shown = new Map(); // identity -> its cells
  let rows = PAGE_ROWS;
  const draw = () => {
    const found = chosen();
    shown.clear();
    refill(body, found.slice(0, rows).map((row) => line(row, shown)));
    more.hidden = found.length <= rows;
    const empty = store.members.size === 0 ? say("topology.empty") : say("search.found", { count: found.length });
    setText(count, empty);
  };
  more.addEventListener("click", () => {
    rows += PAGE_ROWS;
    draw();
  });
  const again = () => {
    rows = PAGE_ROWS;
    draw();
  };
  const head = el("thead");
  const element = el(
    "div", null,
    el("div", { class: "bar" }, el("h1", null, say("page.members")), mayManage() ? el("button", { type: "button", class: "primary", on: { click: () => addMember() } }, say("manage.add")) : null),
    filters(again, count), el("div", { class: "table", tabindex: 0, role: "region", "aria-label": say("page.members") }, el("table", null, head, body)), more,
  );
  heads(head, again);
  draw();
  const update = (identities) => {
    if (identities === null) return draw();
    for (const [identity, show] of shown) show(store.members.get(identity)); // ages go on, also of who did nothing
    return undefined;
  };
  return { element, update };
}

function line(row, shown) {
  const cells = COLUMNS.map(([key]) => el("td", { class: NUMERIC.has(key) ? "number" : WORDS.has(key) ? "word" : null, "data-name": say(`column.${key}`) }));
  let told = [];
  const show = (now) => {
    COLUMNS.forEach(([key, display], place) => {
      const value = display(now);
      if (typeof value === "string") setText(cells[place], value);
      else if (now[key] !== told[place]) refill(cells[place], value);
    });
    told = COLUMNS.map(([key]) => now[key]);
  };
  show(row);
  shown.set(row.identity, show);
  return el("tr", null, cells);
}

function heads(head, again) {
  const row = COLUMNS.map(([key]) => {
    const isOrder = view.order === key;
    const sort = () => {
      view.backwards = view.order === key && !view.backwards;
      view.order = key;
      heads(head, again);
      head.querySelector(`[data-key="${key}"]`).focus();
      again();
    };
    const arrow = isOrder ? (view.backwards ? " ▼" : " ▲") : "";
    const button = el("button", { type: "button", "data-key": key, on: { click: sort } }, say(`column.${key}`), el("span", { "aria-hidden": "true" }, arrow));
    const order = isOrder ? (view.backwards ? "descending" : "ascending") : null;
    return el("th", { scope: "col", "aria-sort": order, class: NUMERIC.has(key) ? "number" : null }, button);
  });
  refill(head, el("tr", null, row));
}

function filters(again, count) {
  const names = [...new Set([...store.members.values()].map((row) => row.cluster))].sort(compare);
  const choice = (key, values) => {
    const options = values.map(([value, words]) => el("option", { value, selected: value === view[key] }, words));
    return el("select", { id: `filter-${key}`, "aria-label": say(`column.${key}`), on: { change: (event) => set(key, event.target.value) } }, options);
  };
  const set = (key, value) => {
    view[key] = value;
    again();
  };
  const search = el("input", {
    type: "search", id: "search", value: view.search, placeholder: say("topology.search"), "aria-label": say("topology.search"),
    on: { input: (event) => set("search", event.target.value) },
  });
  return el(
    "div", { class: "bar" }, search, choice("cluster", [["", say("members.all_clusters")], ...names.map((name) => [name, name])]),
    choice("state", [["", say("members.all_states")], ...STATES.map((state) => [state, sayOf("state", state)])]), count,
  );
}

function chosen() {
  const parts = view.search.toLowerCase().split(/\s+/).filter((part) => part);
  const fits = (row) =>
    (view.cluster === "" || row.cluster === view.cluster) && (view.state === "" || row.state === view.state) &&
    parts.every((part) => searchText(row).includes(part));
  const [, , value] = COLUMNS.find(([key]) => key === view.order);
  const found = [...store.members.values()].filter(fits);
  const sign = view.backwards ? -1 : 1;
  found.sort((one, other) => sign * inOrder(value(one), value(other)) || compare(one.identity, other.identity));
  return found;
}

function inOrder(one, other) {
  return typeof one === "number" ? one - other : compare(one ?? "", other ?? "");
}
