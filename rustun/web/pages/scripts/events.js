// What happened: the newest events of the relay, newest first, with search; all of them, or those of the audit log.

import { el, refill, setText } from "./elements.js";
import { clock } from "./format.js";
import { placeOf } from "./marks.js";
import { store } from "./store.js";
import { say } from "./words.js";

const MOST_SHOWN = 200;
const OWN_KEYS = new Set(["schema", "time", "level", "event", "message", "number", "audit"]);
const view = { search: "", audit: false }; // kept while pages change

/** Return the page. */
export function eventsPage() {
  const body = el("tbody");
  const count = el("span", { class: "hint", role: "status" });
  const empty = el("p", { class: "empty" });
  let told = null;
  const draw = () => {
    told = store.events;
    const parts = view.search.toLowerCase().split(/\s+/).filter((part) => part);
    const fits = (event) => (event.audit || !view.audit) && parts.every((part) => JSON.stringify(event).toLowerCase().includes(part));
    const found = store.events.filter(fits);
    refill(body, found.slice(-MOST_SHOWN).reverse().map(line));
    setText(count, say("search.found", { count: found.length }));
    empty.hidden = found.length > 0;
    setText(empty, store.eventsTrouble ? say("events.trouble", { reason: store.eventsTrouble }) : say("events.empty"));
  };
  const input = el("input", {
    type: "search", id: "search", value: view.search, placeholder: say("events.search"), "aria-label": say("events.search"),
    on: {
      input: (event) => {
        view.search = event.target.value;
        draw();
      },
    },
  });
  const which = el("select", {
    id: "which", "aria-label": say("events.which"),
    on: {
      change: (event) => {
        view.audit = event.target.value === "audit";
        draw();
      },
    },
  }, [["all", !view.audit], ["audit", view.audit]].map(([key, selected]) => el("option", { value: key, selected }, say(`events.${key}`))));
  draw();
  const head = ["time", "level", "event", "details"].map((key) => el("th", { scope: "col" }, say(`events.${key}`)));
  const table = el("table", { class: "events" }, el("thead", null, el("tr", null, head)), body);
  const element = el(
    "div", null, el("h1", null, say("page.events")), el("div", { class: "bar" }, input, which, count),
    el("div", { class: "table", tabindex: 0, role: "region", "aria-label": say("page.events") }, table), empty,
  );
  return { element, update: () => (store.events === told ? undefined : draw()) };
}

function line(event) {
  const level = String(event.level ?? "info");
  const fields = Object.entries(event).filter(([key, value]) => !OWN_KEYS.has(key) && says(value));
  const details = fields.map(([key, value]) => el("span", { class: "field" }, el("span", { class: "key" }, `${key}=`), shown(key, value)));
  const cells = [
    ["time", el("span", { class: "time" }, clock(event.time))],
    ["level", el("span", { class: `level level-${level}` }, level)],
    ["event", el("span", { class: "event" }, el("code", null, String(event.event ?? "")), event.audit ? [" ", el("span", { class: "audited" }, say("events.audited"))] : null)],
    ["details", [event.message ? el("span", { class: "message" }, String(event.message)) : null, details]],
  ];
  return el("tr", null, cells.map(([key, content]) => el("td", { "data-name": say(`events.${key}`) }, content)));
}

/** Tell whether a value says something, as on a terminal: what is empty or not known does not. */
function says(value) {
  return value !== null && value !== "" && (typeof value !== "object" || Object.keys(value).length > 0);
}

function shown(key, value) {
  const isPlain = Array.isArray(value) && value.every((one) => typeof one !== "object");
  const text = isPlain ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value);
  const isMember = key === "identity" && store.members.has(text);
  return isMember ? el("a", { href: placeOf(text) }, text) : text;
}
