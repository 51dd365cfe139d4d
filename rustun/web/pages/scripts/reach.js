// Who reaches whom, by the relay's own decision, and what decides about one packet. Asked again when a member comes or goes.

import { ask } from "./api.js";
import { fillWith } from "./dialogs.js";
import { el, refill } from "./elements.js";
import { compare, store } from "./store.js";
import { say, sayOf } from "./words.js";

const PART_MEMBERS = 10; // as the web process answers at once
const view = { cluster: "", from: 0, to: 0 };

/** Return the page. */
export function reachPage() {
  const names = [...new Set([...store.members.values()].map((row) => row.cluster))].sort(compare);
  if (!names.includes(view.cluster)) Object.assign(view, { cluster: names[0] ?? "", from: 0, to: 0 });
  const matrix = el("div", { class: "matrix" });
  const answer = el("div", { "aria-live": "polite" });
  const explain = (source, destination) => {
    source = source.trim();
    destination = destination.trim();
    const query = `source=${encodeURIComponent(source)}&destination=${encodeURIComponent(destination)}`;
    fillWith(answer, ask("GET", `/dashboard/trace?${query}`), (trace) => showTrace(trace, source, destination));
  };
  let told = "";
  const fetched = async () => {
    told = states();
    const query = `cluster=${encodeURIComponent(view.cluster)}&from=${view.from}&to=${view.to}`;
    const part = await ask("GET", `/dashboard/reach?${query}`);
    return showPart(part, explain, load);
  };
  const load = () => {
    if (view.cluster === "") return refill(matrix, el("p", { class: "empty" }, say("topology.empty")));
    return fillWith(matrix, fetched(), (parts) => parts);
  };
  const follow = async () => {
    try {
      const parts = await fetched();
      const chosen = matrix.querySelector("button:focus")?.getAttribute("data-way");
      refill(matrix, ...parts);
      [...matrix.querySelectorAll("button.verdict")].find((button) => button.dataset.way === chosen)?.focus();
    } catch {
      // what was known stays; the frame says that nobody answers
    }
  };
  load();
  const options = names.map((name) => el("option", { value: name, selected: name === view.cluster }, name));
  const change = (event) => {
    Object.assign(view, { cluster: event.target.value, from: 0, to: 0 });
    load();
  };
  const choice = el("select", { id: "cluster", "aria-label": say("column.cluster"), on: { change } }, options);
  const again = el("button", { type: "button", class: "quiet", on: { click: load } }, say("reach.again"));
  const element = el(
    "div", null, el("h1", null, say("page.reach")), el("p", { class: "hint" }, say("reach.what")),
    el("div", { class: "bar" }, choice, again), matrix, tracing(explain), answer,
  );
  return { element, update: () => (view.cluster === "" || told === states() ? undefined : follow()) };
}

/** Return how the members of the cluster are: once that changes, other packets pass. */
function states() {
  const rows = [...store.members.values()].filter((row) => row.cluster === view.cluster);
  return rows.map((row) => `${row.identity} ${row.state} ${(row.ciders ?? []).join(" ")}`).sort().join("\n");
}

function tracing(explain) {
  const field = (id, key) => [el("label", { for: id }, say(key)), el("input", { id, required: true, autocomplete: "off", spellcheck: "false", maxlength: 255 })];
  const [one, source] = field("source", "reach.source");
  const [other, destination] = field("destination", "reach.destination");
  const submit = (event) => {
    event.preventDefault();
    explain(source.value, destination.value);
  };
  return el(
    "form", { class: "card trace", on: { submit } }, el("h2", null, say("reach.ask")), el("div", { class: "fields" }, el("p", null, one, source), el("p", null, other, destination)),
    el("button", { type: "submit", class: "primary" }, say("reach.trace")),
  );
}

function showPart(part, explain, load) {
  const head = el("tr", null, el("td", null, say("reach.from_to")), part.to.map((name) => el("th", { scope: "col" }, el("span", null, name))));
  const rows = part.from.map((sender, row) =>
    el("tr", null, el("th", { scope: "row" }, sender), part.cells[row].map((cell, column) => el("td", null, cellOf(cell, sender, part.to[column], explain)))),
  );
  const table = el("div", { class: "table", tabindex: 0, role: "region", "aria-label": say("page.reach") }, el("table", { class: "reach" }, el("thead", null, head), el("tbody", null, rows)));
  return [table, part.of > PART_MEMBERS ? el("div", { class: "bar" }, pager("from", "reach.senders", part.of, load), pager("to", "reach.receivers", part.of, load)) : null];
}

function cellOf(cell, sender, receiver, explain) {
  if (cell === null) return el("span", { class: "self", title: say("reach.self") }, "·");
  const elsewhere = goesElsewhere(cell, receiver);
  const passes = cell.verdict === "pass" && !elsewhere;
  const words = elsewhere ? say("reach.elsewhere") : passes ? say("verdict.pass") : cell.reason || sayOf("verdict", cell.verdict);
  const ask = () => explain(sender, receiver);
  return el("button", { type: "button", class: `verdict verdict-${elsewhere ? "drop" : cell.verdict}`, title: cell.text, "data-way": `${sender} → ${receiver}`, "aria-label": `${sender} → ${receiver}: ${words}`, on: { click: ask } }, el("span", { "aria-hidden": "true" }, passes ? "✓ " : "✕ "), words);
}

/** Tell whether a packet that was meant for a member goes to another one, such as an exit node. */
function goesElsewhere(trace, meant) {
  return trace.verdict === "pass" && store.members.has(meant) && (trace.receiver || meant) !== meant;
}

function pager(key, label, all, load) {
  const move = (by) => () => {
    view[key] = Math.max(0, view[key] + by);
    load();
  };
  const last = Math.min(all, view[key] + PART_MEMBERS);
  return el(
    "span", { class: "pager" }, say(label),
    el("button", { type: "button", class: "quiet", disabled: view[key] === 0, "aria-label": say("reach.before"), on: { click: move(-PART_MEMBERS) } }, "◀"),
    say("reach.part", { first: view[key] + 1, last, all }),
    el("button", { type: "button", class: "quiet", disabled: last >= all, "aria-label": say("reach.after"), on: { click: move(PART_MEMBERS) } }, "▶"),
  );
}

function showTrace(trace, source, destination) {
  const steps = (trace.steps ?? []).map((step) => el("li", null, el("span", { class: "step" }, sayOf("step", step.step)), " ", step.text, step.entry ? el("code", null, step.entry) : null));
  const counter = trace.counter ? `${trace.counter.member}: ${trace.counter.counter} = ${trace.counter.now}` : "";
  const facts = [
    [say("trace.counter"), counter],
    [say("trace.otherwise"), (trace.otherwise ?? []).join("; ")],
    [say("trace.back"), trace.back ? `${[sayOf("verdict", trace.back.verdict), trace.back.reason].filter((word) => word).join(" ")}: ${trace.back.text}` : ""],
  ];
  const elsewhere = goesElsewhere(trace, destination);
  const verdict = elsewhere ? say("reach.elsewhere") : sayOf("verdict", trace.verdict);
  return el(
    "section", { class: "card", "aria-label": say("reach.ask") },
    el("h2", null, `${source} → ${destination}`), el("p", { class: `verdict verdict-${elsewhere ? "drop" : trace.verdict}` }, el("strong", null, verdict), " ", trace.reason, " ", trace.text),
    el("ol", { class: "steps" }, steps), el("dl", { class: "facts" }, facts.filter(([, text]) => text).map(([name, text]) => [el("dt", null, name), el("dd", null, text)])),
  );
}
