// One cluster: its last hour, and its members.

import { el, refill, setText } from "./elements.js";
import { drops, rate, trip } from "./format.js";
import { historyOf } from "./history.js";
import { badge, placeOf } from "./marks.js";
import { clusters, together } from "./store.js";
import { say } from "./words.js";

/** Return the page of a cluster. */
export function clusterPage(name) {
  const count = el("span", { class: "hint", role: "status" });
  const body = el("tbody");
  const hour = historyOf("cluster", name);
  const shown = new Map();
  const update = (identities) => {
    const rows = clusters().get(name) ?? [];
    setText(count, say("topology.online", { part: rows.filter((row) => row.state === "online").length, all: rows.length }));
    hour.now(together(rows));
    if (identities === null) {
      shown.clear();
      refill(body, rows.map((row) => line(row, shown)));
    }
    for (const row of rows) shown.get(row.identity)?.(row);
  };
  update(null);
  const keys = ["identity", "state", "rtt_ms", "in_rate", "out_rate", "drops"];
  const head = el("tr", null, keys.map((key) => el("th", { scope: "col" }, say(`column.${key}`))));
  const table = el("table", null, el("thead", null, head), body);
  const element = el(
    "div", null, el("a", { class: "back", href: "#/topology" }, say("cluster.back")), el("div", { class: "bar" }, el("h1", null, name), count),
    hour.element, el("div", { class: "table below", tabindex: 0, role: "region", "aria-label": say("page.members") }, table),
  );
  return { element, update, end: hour.end };
}

function line(row, shown) {
  const state = el("td", { "data-name": say("column.state") });
  const values = ["rtt_ms", "in_rate", "out_rate", "drops"].map((key) => el("td", { "data-name": say(`column.${key}`) }));
  let was = "";
  shown.set(row.identity, (now) => {
    if (now.state !== was) refill(state, badge(now.state));
    was = now.state;
    [trip(now.rtt_ms), rate(now.in_rate), rate(now.out_rate), drops(now.drop_rate)].forEach((text, place) => setText(values[place], text));
  });
  return el("tr", null, el("td", { "data-name": say("column.identity") }, el("a", { href: placeOf(row.identity) }, row.identity)), state, values);
}
