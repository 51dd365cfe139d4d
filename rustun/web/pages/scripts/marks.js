// The state of a member as a shape, a colour and a word, so that none of the three has to carry it alone.

import { el, svg } from "./elements.js";
import { sayOf } from "./words.js";

export const STATES = ["online", "offline", "disabled", "expired"];

const SHAPES = {
  online: () => [svg("circle", { cx: 8, cy: 8, r: 6, class: "solid" })],
  offline: () => [svg("circle", { cx: 8, cy: 8, r: 5, class: "line" })],
  disabled: () => [svg("circle", { cx: 8, cy: 8, r: 5, class: "line" }), svg("path", { d: "M4.500 11.500 11.500 4.500", class: "line" })],
  expired: () => [svg("path", { d: "M8 2 14 8 8 14 2 8Z", class: "line" }), svg("path", { d: "M8 5V8.500", class: "line" })],
};

/** Return the shape of a state, for the eyes only. */
export function mark(state) {
  const shape = SHAPES[state] ?? SHAPES.offline;
  return svg("svg", { class: `mark state-${state}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, shape());
}

/** Return shape and word of a state. */
export function badge(state) {
  return el("span", { class: `badge state-${state}` }, mark(state), sayOf("state", state));
}

/** Return where the page of a member is. */
export function placeOf(identity) {
  return `#/member/${encodeURIComponent(identity)}`;
}
