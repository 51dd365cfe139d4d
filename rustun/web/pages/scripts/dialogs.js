// Dialogs: the browser's own, which keeps the keyboard inside, closes with Escape and gives the focus back.

import { el, refill } from "./elements.js";
import { say } from "./words.js";

/** Show an element in a dialog until it is closed; returns what closes it. */
export function open(title, content) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const closer = el("button", { type: "button", class: "quiet close", "aria-label": say("dialog.close") }, "×");
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, el("header", null, heading, closer), content);
  closer.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("input, textarea")?.focus();
  return () => dialog.close();
}

/** Return an element that tells an error of the API: what is wrong, what to do about it. */
export function errorBox(error) {
  const words = error.status === 0 ? [say(error.message), say(error.remedy)] : [error.message, error.remedy];
  return el("div", { class: "notice bad", role: "alert" }, el("strong", null, words[0]), words[1] ? el("p", null, words[1]) : null);
}

/** Fill an element with what a promise brings: a word while it is waited for, then `show(data)`, or the error. */
export async function fillWith(node, promise, show) {
  refill(node, el("p", { class: "loading", role: "status" }, say("loading")));
  try {
    refill(node, show(await promise));
  } catch (error) {
    refill(node, errorBox(error));
  }
}
