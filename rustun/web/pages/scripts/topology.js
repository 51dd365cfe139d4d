// The graph: the relay, the clusters that hang from it, their members, and the LANs behind them.
//
// Small clusters show each member as a box with its LANs below; large ones a field of marks that opens on request. What
// hangs where is drawn by the style sheet, so that it reads on a phone as well.

import { el, refill, setText } from "./elements.js";
import { UNKNOWN, drops, rate, trip } from "./format.js";
import { historyOf } from "./history.js";
import { STATES, mark, placeOf } from "./marks.js";
import { clusters, store, together } from "./store.js";
import { say, sayOf } from "./words.js";

const FEW_MEMBERS = 40; // of one cluster, shown as boxes from the start
const SEARCH_MS = 120;
const opened = new Map(); // cluster -> whether its members are boxes, as was chosen

/** Return the page. */
export function topologyPage() {
  const tiles = el("div", { class: "tiles" });
  const graph = el("div", { class: "graph" });
  const found = el("span", { class: "hint", role: "status" });
  const search = el("input", { type: "search", id: "search", placeholder: say("topology.search"), "aria-label": say("topology.search") });
  const hour = historyOf("relay", "", true);
  const drawn = { nodes: new Map(), heads: new Map() };
  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => setText(found, filter(graph, search.value)), SEARCH_MS);
  });
  const update = (identities) => {
    showTiles(tiles);
    hour.now(together([...store.members.values()]));
    if (identities === null) {
      draw(graph, drawn, update);
      setText(found, filter(graph, search.value));
    } else {
      for (const identity of identities) drawn.nodes.get(identity)?.(store.members.get(identity));
    }
    for (const show of drawn.heads.values()) show();
  };
  update(null);
  const element = el(
    "div", null, el("h1", null, say("page.topology")), tiles, hour.element,
    el("div", { class: "bar" }, search, found, legend()), graph,
  );
  return { element, update, end: hour.end };
}

function legend() {
  return el("ul", { class: "legend", "aria-label": say("topology.legend") }, STATES.map((state) => el("li", null, mark(state), sayOf("state", state))));
}

function showTiles(tiles) {
  const rows = [...store.members.values()];
  const all = together(rows);
  const online = rows.filter((row) => row.state === "online").length;
  const values = [
    [say("tile.online"), say("tile.of", { part: online, all: rows.length })],
    [say("flow.in"), rate(all.in_rate)],
    [say("flow.out"), rate(all.out_rate)],
    [say("chart.trip"), trip(all.rtt_ms)],
    [say("chart.drops"), drops(all.drop_rate)],
    [say("tile.alarms"), String(store.server.alarms?.length ?? 0)],
  ];
  if (tiles.childElementCount !== values.length) {
    refill(tiles, values.map(([name]) => el("div", { class: "tile" }, el("span", { class: "name" }, name), el("span", { class: "value" }))));
  }
  values.forEach(([, value], place) => setText(tiles.children[place].lastElementChild, value));
  tiles.lastElementChild.classList.toggle("warn", (store.server.alarms?.length ?? 0) > 0);
}

function draw(graph, drawn, update) {
  drawn.nodes.clear();
  drawn.heads.clear();
  const groups = clusters();
  if (groups.size === 0) {
    refill(graph, el("p", { class: "empty" }, say("topology.empty")));
    return;
  }
  const places = (store.server.listen ?? []).join(", ");
  const relay = el("div", { class: "relay" }, el("strong", null, say("topology.relay")), el("span", null, places));
  const branches = [...groups].map(([name, rows]) => branch(name, rows, drawn, update));
  refill(graph, relay, el("ul", { class: "branches" }, branches));
}

function branch(name, rows, drawn, update) {
  const isOpen = opened.get(name) ?? rows.length <= FEW_MEMBERS;
  const count = el("span", { class: "count" });
  const flow = el("span", { class: "flow" });
  const item = el("li", { class: "branch", "data-cluster": name });
  drawn.heads.set(name, () => {
    const all = together(rows);
    const online = rows.filter((row) => row.state === "online").length;
    setText(count, say("topology.online", { part: online, all: rows.length }));
    setText(flow, all.in_rate === null ? "" : rate(all.in_rate + all.out_rate));
    item.classList.toggle("busy", all.in_rate + all.out_rate > 1000);
  });
  const toggle = el("button", {
    type: "button", class: "quiet", "aria-expanded": String(isOpen),
    on: {
      click: () => {
        opened.set(name, !isOpen);
        update(null);
        for (const again of document.querySelectorAll(".branch")) {
          if (again.dataset.cluster === name) again.querySelector("button")?.focus();
        }
      },
    },
  }, say(isOpen ? "topology.marks" : "topology.boxes"));
  const members = rows.map((row) => {
    const [node, show] = isOpen ? box(row) : dot(row);
    drawn.nodes.set(row.identity, show);
    return node;
  });
  item.append(
    el("div", { class: "head" }, el("h2", null, el("a", { href: `#/cluster/${encodeURIComponent(name)}` }, name)), count, flow, rows.length > 8 ? toggle : null),
    el("ul", { class: isOpen ? "boxes" : "dots" }, members),
  );
  return item;
}

/** Return a member as a box, and what shows its newest values in it. */
function box(row) {
  const shape = el("span", { class: "shape" });
  const flow = el("span", { class: "flow" });
  const link = el(
    "a", { class: "node", href: placeOf(row.identity) }, el("span", { class: "title" }, shape, row.identity),
    row.name && row.name !== row.identity ? el("span", { class: "name" }, row.name) : null, el("span", { class: "address" }, row.address ?? ""), flow,
  );
  const lans = (row.ciders ?? []).map((prefix) => el("li", null, prefix));
  const item = el("li", { "data-text": searchText(row) }, link, lans.length ? el("ul", { class: "lans", "aria-label": say("topology.lans") }, lans) : null);
  let state = "";
  const show = (now) => {
    if (now.state !== state) {
      state = now.state;
      link.className = `node state-${state}`;
      refill(shape, mark(state));
    }
    setText(flow, now.state === "online" ? `${now.in_rate === null ? UNKNOWN : rate(now.in_rate + now.out_rate)} · ${trip(now.rtt_ms)}` : sayOf("state", now.state));
  };
  show(row);
  return [item, show];
}

/** Return a member as a mark, and what shows its newest state in it. */
function dot(row) {
  const link = el("a", { class: "dot", href: placeOf(row.identity) });
  let state = "";
  const show = (now) => {
    if (now.state === state) return;
    state = now.state;
    link.className = `dot state-${state}`;
    const words = `${now.identity}: ${sayOf("state", state)}`;
    link.setAttribute("aria-label", words);
    link.title = words;
    refill(link, mark(state));
  };
  show(row);
  return [el("li", { "data-text": searchText(row) }, link), show];
}

/** Return all by which a member is found, in lower case. */
export function searchText(row) {
  const found = [row.identity, row.name, row.cluster, row.address, row.address6, row.remote, row.state, ...(row.ciders ?? [])];
  return found.filter((text) => text).join(" ").toLowerCase();
}

/** Hide what does not match; return how many do, in words. */
function filter(graph, wanted) {
  const parts = wanted.toLowerCase().split(/\s+/).filter((part) => part);
  let matches = 0;
  for (const one of graph.querySelectorAll(".branch")) {
    let any = false;
    for (const item of one.querySelectorAll("[data-text]")) {
      const fits = parts.every((part) => item.dataset.text.includes(part));
      item.hidden = !fits;
      any = any || fits;
      matches += fits ? 1 : 0;
    }
    one.hidden = !any;
  }
  return parts.length ? say("search.found", { count: matches }) : "";
}
