// Changes of members: proposed first, shown as a difference, and made where the file still is the one that was shown.
//
// The digest of the file travels with every step: what somebody else changed meanwhile is refused by the web process, with
// what that was, and shown here.

import { ApiError, askAbout } from "./api.js";
import { errorBox, open } from "./dialogs.js";
import { el, refill } from "./elements.js";
import { compare, store } from "./store.js";
import { say, sayOf } from "./words.js";

const TIERS = ["", "key", "shared", "legacy"];
const FIELDS = [
  // key, kind; in the order of the form
  ["name", "text"], ["ciders", "lines"], ["public_key", "text"], ["tier", "tier"], ["expires_at", "text"], ["enabled", "flag"],
];

function pathOf(cluster, identity) {
  return `/api/clients/${encodeURIComponent(cluster)}/${encodeURIComponent(identity)}`;
}

/** Show the form of a new member. */
export function addMember() {
  const names = [...new Set([...store.members.values()].map((row) => row.cluster))].sort(compare);
  const list = el("datalist", { id: "clusters" }, names.map((name) => el("option", { value: name })));
  const first = [["cluster", "text"], ["identity", "text"], ["private_ip", "text"]];
  const inputs = new Map();
  const rows = [...first, ...FIELDS.filter(([key]) => key !== "enabled")].map(([key, kind]) => field(key, kind, undefined, inputs));
  inputs.get("cluster").required = true;
  inputs.get("cluster").setAttribute("list", "clusters");
  const read = () => {
    const values = {};
    for (const [key, input] of inputs) {
      const value = valueOf(key, input);
      if (value !== "" && value.length !== 0) values[key] = value;
    }
    return values;
  };
  form(say("manage.add"), [list, rows], () => ({ method: "POST", path: "/api/clients", body: read(), etag: null }));
}

/** Show the form of a member that is there. */
export async function editMember(row) {
  const title = say("manage.edit_of", { identity: row.identity });
  let found;
  try {
    found = await askAbout("GET", pathOf(row.cluster, row.identity));
  } catch (error) {
    open(title, errorBox(error));
    return;
  }
  const inputs = new Map();
  const rows = FIELDS.map(([key, kind]) => field(key, kind, found.data[key], inputs));
  if (found.data.public_key) inputs.get("public_key").readOnly = true; // keys are exchanged in the file itself
  const read = () => {
    const values = {};
    for (const [key, input] of inputs) {
      const value = valueOf(key, input);
      if (JSON.stringify(value) !== JSON.stringify(shownValue(key, found.data[key]))) values[key] = value === "" ? null : value;
    }
    return values;
  };
  form(title, rows, () => ({ method: "PUT", path: pathOf(row.cluster, row.identity), body: read(), etag: found.etag }));
}

/** Propose that a member is out of the tunnel, or in again. */
export function switchMember(row) {
  const enabled = row.state === "disabled";
  const title = say(enabled ? "manage.enable_of" : "manage.disable_of", { identity: row.identity });
  propose(title, { method: "PUT", path: pathOf(row.cluster, row.identity), body: { enabled }, etag: null });
}

/** Propose that a member goes. */
export function removeMember(row) {
  const title = say("manage.remove_of", { identity: row.identity });
  propose(title, { method: "DELETE", path: pathOf(row.cluster, row.identity), body: undefined, etag: null });
}

function field(key, kind, value, inputs) {
  const id = `field-${key}`;
  const shown = shownValue(key, value);
  let input;
  if (kind === "lines") input = el("textarea", { id, rows: 3, spellcheck: "false" }, shown.join("\n"));
  else if (kind === "flag") input = el("input", { id, type: "checkbox", checked: shown });
  else if (kind === "tier") input = el("select", { id }, TIERS.map((tier) => el("option", { value: tier, selected: tier === shown }, tier || say("manage.tier_unset"))));
  else input = el("input", { id, value: shown, autocomplete: "off", spellcheck: "false" });
  inputs.set(key, input);
  const hint = el("span", { class: "hint", id: `${id}-hint` }, say(`hint.${key}`));
  input.setAttribute("aria-describedby", `${id}-hint`);
  return el("p", { class: kind === "lines" || key === "public_key" ? "wide" : null }, el("label", { for: id }, say(`field.${key}`)), input, hint);
}

function shownValue(key, value) {
  if (key === "ciders") return value ?? [];
  if (key === "enabled") return value ?? true;
  if (key === "public_key" && Array.isArray(value)) return value.join(", ");
  return value ?? "";
}

function valueOf(key, input) {
  if (key === "ciders") return input.value.split(/[\s,]+/).filter((prefix) => prefix);
  if (key === "enabled") return input.checked;
  return input.value.trim();
}

/** Show a form; `change` returns what is to be proposed: {method, path, body, etag}. */
function form(title, rows, change) {
  const problem = el("div");
  let isSeen = false; // what somebody else changed since the form was filled
  const cancel = el("button", { type: "button", class: "quiet" }, say("manage.cancel"));
  const go = el("button", { type: "submit", class: "primary" }, say("manage.next"));
  const submit = async (event) => {
    event.preventDefault();
    const wanted = { ...change(), ...(isSeen ? { etag: null } : {}) };
    if (wanted.method === "PUT" && Object.keys(wanted.body).length === 0) {
      refill(problem, el("p", { class: "notice warn", role: "alert" }, say("manage.nothing")));
      return;
    }
    go.disabled = true;
    try {
      const preview = await previewOf(wanted);
      close();
      review(title, wanted, preview);
    } catch (error) {
      go.disabled = false;
      isSeen = isSeen || error.details?.changes !== undefined;
      refill(problem, refused(error));
    }
  };
  const close = open(title, el("form", { on: { submit } }, el("div", { class: "form" }, rows), problem, el("div", { class: "ends" }, cancel, go)));
  cancel.addEventListener("click", close);
}

async function previewOf({ method, path, body, etag }) {
  return (await askAbout(method, `${path}?preview=true`, body, etag)).data;
}

async function propose(title, wanted) {
  try {
    review(title, wanted, await previewOf(wanted));
  } catch (error) {
    open(title, refused(error));
  }
}

/** Show what would change, and make it so when that is confirmed: an identity that was made for the preview stays. */
function review(title, wanted, preview) {
  const body = wanted.method === "POST" ? { ...wanted.body, identity: preview.client.identity } : wanted.body;
  const problem = el("div");
  const cancel = el("button", { type: "button", class: "quiet" }, say("manage.cancel"));
  const again = el("button", { type: "button", class: "quiet", hidden: true }, say("manage.look_again"));
  const apply = el("button", { type: "button", class: wanted.method === "DELETE" ? "danger" : "primary" }, say("manage.apply"));
  apply.addEventListener("click", async () => {
    apply.disabled = true;
    try {
      await askAbout(wanted.method, wanted.path, body, `"${preview.digest}"`);
      close();
      done(wanted.method === "POST" ? say("manage.add_of", { identity: body.identity }) : title);
    } catch (error) {
      const isLate = error instanceof ApiError && error.status === 409;
      apply.disabled = isLate;
      again.hidden = !isLate;
      refill(problem, refused(error));
    }
  });
  const close = open(title, el("div", null, shownChanges(preview), problem, el("div", { class: "ends" }, cancel, again, apply)));
  cancel.addEventListener("click", close);
  again.addEventListener("click", () => {
    close();
    propose(title, { ...wanted, etag: null });
  });
}

function shownChanges(preview) {
  const notes = (preview.notes ?? []).map((note) => el("p", { class: "notice warn" }, note));
  const lines = (preview.difference ?? "").split("\n").filter((line) => line !== "");
  const kind = (line) => (line.startsWith("+") ? "plus" : line.startsWith("-") ? "minus" : null);
  const diff = el(
    "div", { class: "diff", tabindex: 0, role: "region", "aria-label": say("manage.difference") },
    lines.map((line) => el("code", { class: kind(line) }, line)),
  );
  return el("div", null, el("p", null, say("manage.confirm")), changeList(preview.changes), notes, lines.length ? diff : el("p", { class: "hint" }, say("manage.same")));
}

function changeList(changes) {
  return el("ul", null, (changes ?? []).map((change) => {
    const fields = Object.entries(change.fields ?? {}).map(([key, values]) =>
      el("li", null, el("code", null, key), "before" in values || "after" in values ? `: ${text(values.before)} → ${text(values.after)}` : ""),
    );
    return el("li", null, el("strong", null, `${change.cluster} / ${change.identity}`), ` ${sayOf("change", change.change)}`, fields.length ? el("ul", null, fields) : null);
  }));
}

function text(value) {
  return value === null || value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value);
}

/** Return what a refusal tells: the error, what was changed meanwhile, what is wrong in the file. */
function refused(error) {
  const problems = (error.details?.problems ?? []).map((one) => el("li", null, `${one.reason}${one.remedy ? `; ${one.remedy}` : ""}`));
  const meanwhile = error.details?.changes;
  return el(
    "div", null, errorBox(error), problems.length > 1 ? el("ul", null, problems) : null,
    meanwhile ? el("div", null, el("p", null, say("manage.meanwhile")), changeList(meanwhile)) : null,
  );
}

function done(title) {
  const message = el("p", { class: "notice good toast", role: "status" }, say("manage.done", { title }));
  document.getElementById("main").prepend(message);
  setTimeout(() => message.remove(), 8000);
}
