// One member: how it is, why it is not, its last hour, and what may be changed.

import { mayManage } from "./api.js";
import { el, refill, setText } from "./elements.js";
import { UNKNOWN, ago, clock, rate, reasons, size, trip } from "./format.js";
import { historyOf } from "./history.js";
import { editMember, removeMember, switchMember } from "./manage.js";
import { badge } from "./marks.js";
import { store } from "./store.js";
import { say, sayOf } from "./words.js";

/** Return the page of a member. */
export function memberPage(identity) {
  const head = el("div", { class: "bar" });
  const facts = el("dl", { class: "facts card" });
  const problem = el("div");
  const hour = historyOf("member", identity);
  const sides = el("div", { class: "sides" }, facts, hour.element);
  const update = (identities) => {
    const row = store.members.get(identity);
    sides.hidden = row === undefined;
    if (row === undefined) {
      refill(head, el("h1", null, identity));
      refill(problem, el("p", { class: "empty" }, say("member.gone")));
      return;
    }
    if (identities === null || head.dataset.state !== row.state) {
      head.dataset.state = row.state;
      refill(head, el("h1", null, row.identity), badge(row.state), mayManage() ? actions(row) : null);
    }
    const why = whyNot(row);
    if (problem.dataset.why !== why) {
      problem.dataset.why = why;
      refill(problem, why ? el("p", { class: "notice warn" }, el("strong", null, say("member.why")), " ", withCommands(why)) : null);
    }
    showFacts(facts, row);
    hour.now(row.state === "online" ? row : null);
  };
  update(null);
  const back = el("a", { class: "back", href: "#/members" }, say("member.back"));
  return { element: el("div", null, back, head, problem, sides), update, end: hour.end };
}

/** Return why a member is not there, with what `rustun status` says about it; empty while it is. */
function whyNot(row) {
  const hint = row.hint ? sayOf("why", row.hint) : "";
  if (!row.error) return hint;
  const error = `${row.error}${row.error_at === null ? "" : `, ${ago(row.error_at, store.time)}`}`;
  return hint ? say("member.hint", { error, hint }) : error;
}

/** Return a text with what stands between backquotes as code. */
function withCommands(text) {
  return text.split("`").map((part, place) => (place % 2 ? el("code", null, part) : part));
}

function actions(row) {
  const button = (key, action, kind = "quiet") => el("button", { type: "button", class: kind, on: { click: () => action(row) } }, say(key));
  return el(
    "div", { class: "actions" }, button("manage.edit", editMember), button(row.state === "disabled" ? "manage.enable" : "manage.disable", switchMember),
    button("manage.remove", removeMember, "danger"),
  );
}

function showFacts(facts, row) {
  const now = store.time;
  const values = [
    ["column.cluster", row.cluster],
    ["fact.name", row.name],
    ["column.address", [row.address, row.address6].filter((text) => text).join(", ")],
    ["fact.lans", (row.ciders ?? []).join(", ")],
    ["fact.remote", row.remote],
    ["fact.version", row.version],
    ["fact.session", row.began === null ? "" : `${ago(row.began, now)} (${clock(row.began)})`],
    ["column.proved", ago(row.proved, now)],
    ["column.rtt_ms", trip(row.rtt_ms)],
    ["column.tier", [row.tier, row.cipher].filter((word) => word).join(", ")],
    ["flow.in", known(rate(row.in_rate), size(row.in_bytes))],
    ["flow.out", known(rate(row.out_rate), size(row.out_bytes))],
    ["column.drops", reasons(row.drops)],
    ["fact.refused", Object.entries(row.refused ?? {}).map(([reason, pair]) => `${reason}: ${pair.join(" → ")}`).join(", ")],
    ["fact.lost_to", row.lost_to],
    ["fact.queued", size(row.queued_bytes)],
    ["fact.mtu", row.mtu === null || row.mtu === undefined ? "" : String(row.mtu)],
    ["fact.expires", row.expires_at ? clock(row.expires_at) : ""],
  ];
  if (facts.childElementCount !== 2 * values.length) {
    refill(facts, values.map(([key]) => [el("dt", null, say(key)), el("dd")]));
  }
  values.forEach(([, value], place) => setText(facts.children[2 * place + 1], value || UNKNOWN));
}

function known(...texts) {
  return texts.filter((text) => text !== UNKNOWN).join(", ");
}
