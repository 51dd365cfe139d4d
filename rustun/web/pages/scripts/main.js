// The beginning: words, login, and which page stands at which address.
//
// A page is a function that returns {element, update?, end?}: `update(identities)` is called on news (null: anything may
// have changed), `end()` when another page takes its place.

import { isLoggedIn, onLoggedOut } from "./api.js";
import { clusterPage } from "./cluster.js";
import { errorBox } from "./dialogs.js";
import { el, refill } from "./elements.js";
import { eventsPage } from "./events.js";
import { expiringPage } from "./expiring.js";
import { bareFrame, frame } from "./frame.js";
import { loginPage } from "./login.js";
import { memberPage } from "./member.js";
import { membersPage } from "./members.js";
import { reachPage } from "./reach.js";
import { connect, disconnect, listen, store } from "./store.js";
import { topologyPage } from "./topology.js";
import { loadWords, say } from "./words.js";

const PAGES = {
  topology: topologyPage, cluster: clusterPage, members: membersPage, member: memberPage, reach: reachPage, events: eventsPage, expiring: expiringPage,
};
const ABOVE = { member: "members", cluster: "topology" }; // where a page without a way of its own belongs
const main = document.getElementById("main");
const around = document.getElementById("frame");
let ends = []; // of the page that is shown
let isIn = false;

function clear() {
  for (const end of ends) end();
  ends = [];
}

function address() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("?")[0].split("/");
  return [Object.hasOwn(PAGES, name) ? name : "topology", rest.map(decoded)];
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function show() {
  if (!isIn) return showLogin();
  clear();
  const [name, rest] = address();
  const top = frame(ABOVE[name] ?? name, show, () => enter(false));
  refill(around, top.element);
  ends.push(top.end);
  document.title = `${rest[0] ?? say(`page.${ABOVE[name] ?? name}`)} · rustun`;
  if (store.time === 0) {
    const isSilent = store.trouble !== null || store.link === "lost";
    refill(main, isSilent ? el("p", { class: "empty" }, say("unknown")) : el("p", { class: "loading", role: "status" }, say("loading")));
    ends.push(listen(show));
    return undefined;
  }
  const page = PAGES[name](...rest);
  refill(main, page.element);
  if (page.update) ends.push(listen(page.update));
  if (page.end) ends.push(page.end);
  return undefined;
}

function showLogin() {
  clear();
  const page = loginPage(() => enter(true));
  refill(around, bareFrame(showLogin));
  refill(main, page.element);
  document.title = `${say("login.title")} · rustun`;
  page.begin();
}

function enter(right) {
  isIn = right;
  if (isIn) connect(() => enter(false));
  else disconnect();
  show();
}

async function start() {
  await loadWords();
  onLoggedOut(() => enter(false));
  addEventListener("hashchange", () => {
    show();
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  });
  try {
    enter(await isLoggedIn());
  } catch (error) {
    refill(main, errorBox(error), el("button", { type: "button", on: { click: () => location.reload() } }, say("again")));
  }
}

start();
