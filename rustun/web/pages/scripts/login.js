// The login: a token, as the server's file has it.

import { logIn } from "./api.js";
import { errorBox } from "./dialogs.js";
import { el, refill } from "./elements.js";
import { say } from "./words.js";

/** Return the page; `entered` is called once the token was taken. */
export function loginPage(entered) {
  const problem = el("div");
  const token = el("input", {
    id: "token", name: "token", type: "password", required: true, autocomplete: "current-password", spellcheck: "false",
  });
  const button = el("button", { type: "submit", class: "primary" }, say("login.in"));
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await logIn(token.value);
      entered();
    } catch (error) {
      refill(problem, errorBox(error));
      button.disabled = false;
      token.select();
      token.focus();
    }
  };
  const form = el(
    "form", { class: "card login", on: { submit } }, el("h1", null, say("login.title")), el("p", null, say("login.why")),
    el("label", { for: "token" }, say("login.token")), token, problem, button,
  );
  return { element: form, begin: () => token.focus() };
}
