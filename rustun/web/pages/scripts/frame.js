// What stands around every page: the name, the ways to the pages, language and theme, and what went wrong.

import { logOut, login } from "./api.js";
import { el, refill, setText } from "./elements.js";
import { duration } from "./format.js";
import { listen, store } from "./store.js";
import { choose, language, languages, say } from "./words.js";

const WAYS = ["topology", "members", "reach", "events", "expiring"];

/** Return the frame, above the page named `current`; `again` draws everything anew, `leave` is called after signing out. */
export function frame(current, again, leave) {
  const notices = el("div", { class: "notices", "aria-live": "polite" });
  const light = el("span", { class: "light", role: "status" });
  const news = () => showNews(notices, light);
  news();
  return { element: el("div", null, header(current, light, again, leave), notices), end: listen(news) };
}

/** Return the frame of the login, which has neither ways nor news. */
export function bareFrame(again) {
  return el("header", { class: "top" }, brand(), el("div", { class: "tools" }, languageChoice(again), themeChoice()));
}

function header(current, light, again, leave) {
  const links = WAYS.map((way) => el("a", { href: `#/${way}`, "aria-current": way === current ? "page" : null }, say(`page.${way}`)));
  const out = el("button", { type: "button", class: "quiet", on: { click: () => signOut(leave) } }, say("login.out"));
  const right = el("span", { class: "right" }, say(`right.${login.right}`));
  return el(
    "header", { class: "top" }, skip(), brand(), el("nav", { "aria-label": say("frame.pages") }, links),
    el("div", { class: "tools" }, light, right, languageChoice(again), themeChoice(), out),
  );
}

function skip() {
  const go = (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  };
  return el("a", { class: "skip", href: "#main", on: { click: go } }, say("frame.skip"));
}

function brand() {
  return el("a", { class: "brand", href: "#/topology" }, el("img", { src: "/pages/icon.svg", alt: "", width: 24, height: 24 }), "rustun");
}

function languageChoice(again) {
  const options = Object.entries(languages()).map(([code, name]) => el("option", { value: code, selected: code === language() }, name));
  const change = async (event) => {
    await choose(event.target.value);
    again();
  };
  return el("select", { id: "language", "aria-label": say("frame.language"), on: { change } }, options);
}

function themeChoice() {
  const root = document.documentElement;
  const chosen = () => root.dataset.theme ?? "system";
  const change = (event) => {
    if (event.target.value === "system") {
      delete root.dataset.theme;
      localStorage.removeItem("rustun-theme");
    } else {
      root.dataset.theme = event.target.value;
      localStorage.setItem("rustun-theme", event.target.value);
    }
  };
  const options = ["system", "light", "dark"].map((name) => el("option", { value: name, selected: name === chosen() }, say(`theme.${name}`)));
  return el("select", { id: "theme", "aria-label": say("frame.theme"), on: { change } }, options);
}

async function signOut(leave) {
  try {
    await logOut();
  } catch {
    // the cookie ends by itself; whoever cannot reach the server sees nothing more either
  }
  leave();
}

function showNews(notices, light) {
  light.className = `light link-${store.link}`;
  setText(light, say(`link.${store.link}`));
  const shown = [];
  if (store.link === "lost") shown.push(notice("bad", say("lost.title"), say("lost.remedy")));
  else if (store.trouble) shown.push(notice("bad", store.trouble.message, store.trouble.remedy));
  for (const alarm of store.server.alarms ?? []) shown.push(notice("warn", say("alarm"), alarm));
  for (const problem of store.server.routes?.problems ?? []) shown.push(notice("warn", say("problem"), problem));
  if (login.endsAt && login.endsAt - Date.now() < 600_000) {
    shown.push(notice("warn", say("login.ends"), duration((login.endsAt - Date.now()) / 1000)));
  }
  const told = shown.map((one) => one.textContent).join("\n");
  if (notices.dataset.told === told) return; // a screen reader would say it again each second
  notices.dataset.told = told;
  refill(notices, shown);
}

function notice(kind, title, text) {
  return el("p", { class: `notice ${kind}` }, el("strong", null, title), " ", text ?? "");
}
