// All words of the pages, from one table for each language (../words/*.json). A test compares the tables.

const LANGUAGES = { en: "English", zh: "中文" };
const KEY = "rustun-language";
let table = {};
let current = "en";

/** Return what can be chosen, by code. */
export function languages() {
  return LANGUAGES;
}

/** Return the code of the language that is spoken. */
export function language() {
  return current;
}

/** Load the table that was chosen here before; without a choice, the browser's, else English. */
export async function loadWords() {
  const chosen = localStorage.getItem(KEY) ?? "";
  const wanted = [chosen, ...navigator.languages.map((code) => code.slice(0, 2))];
  await speak(wanted.find((code) => code in LANGUAGES) ?? "en");
}

/** Load another table and remember the choice. */
export async function choose(code) {
  localStorage.setItem(KEY, code);
  await speak(code);
}

async function speak(code) {
  const answer = await fetch(`/pages/words/${code}.json`);
  table = await answer.json();
  current = code;
  document.documentElement.lang = code;
}

/** Return the words of a key; {name} in them is what `values` has under that name. */
export function say(key, values = {}) {
  const words = table[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Return the words of a key that was made of a value, such as a state; what has none is shown as it is. */
export function sayOf(kind, value) {
  const key = `${kind}.${value}`;
  return key in table ? say(key) : String(value);
}
