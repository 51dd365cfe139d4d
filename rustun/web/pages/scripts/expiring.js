// Whose time is over soon: entries with `expires_at`, the nearest first.

import { el, refill } from "./elements.js";
import { clock, duration } from "./format.js";
import { badge, placeOf } from "./marks.js";
import { store } from "./store.js";
import { say } from "./words.js";

const SOON_SECONDS = 30 * 86400;

/** Return the page. */
export function expiringPage() {
  const body = el("tbody");
  const empty = el("p", { class: "empty" }, say("expiring.empty"));
  const draw = () => {
    const found = [...store.members.values()].filter((row) => row.expires_at).map((row) => [Date.parse(row.expires_at) / 1000, row]);
    found.sort(([one], [other]) => one - other);
    refill(body, found.map(([end, row]) => line(end, row)));
    empty.hidden = found.length > 0;
  };
  draw();
  const head = ["column.identity", "column.cluster", "column.state", "expiring.at", "expiring.left"].map((key) => el("th", { scope: "col" }, say(key)));
  const table = el("table", null, el("thead", null, el("tr", null, head)), body);
  const element = el(
    "div", null, el("h1", null, say("page.expiring")), el("p", { class: "hint" }, say("expiring.what")),
    el("div", { class: "table", tabindex: 0, role: "region", "aria-label": say("page.expiring") }, table), empty,
  );
  return { element, update: (identities) => (identities === null ? draw() : undefined) };
}

function line(end, row) {
  const left = end - store.time;
  const words = left <= 0 ? say("expiring.over") : duration(left);
  const kind = left <= 0 ? "bad" : left < SOON_SECONDS ? "warn" : "";
  const cells = [
    ["column.identity", el("a", { href: placeOf(row.identity) }, row.identity)], ["column.cluster", row.cluster], ["column.state", badge(row.state)],
    ["expiring.at", clock(row.expires_at)], ["expiring.left", el("span", { class: `left ${kind}` }, words)],
  ];
  return el("tr", null, cells.map(([key, content]) => el("td", { "data-name": say(key) }, content)));
}
