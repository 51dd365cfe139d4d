// Lines over what is known of the last hour, and the values under the pointer; drawn as SVG, sized by the style sheet.
//
// Rules of this module
//   1. The shortest of SPANS that has all values is shown: a relay that began a minute ago is not a dot at the edge.
//   2. The scale ends at a round number. A gap is a gap, never a zero.

import { el, refill, setText, svg } from "./elements.js";
import { duration } from "./format.js";
import { say } from "./words.js";

const WIDTH = 720;
const HEIGHT = 120;
const SPANS = [240, 1200, 3600]; // seconds: each has four round parts
const ROUND = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];

/**
 * Return a chart: {element, show(values, step)}.
 *
 * title: what is shown. lines: [{name, label, kind}], `kind` a class that colours it. unit: number -> text; what it
 * shows is `per` times the number.
 */
export function chart(title, lines, unit, per = 1) {
  const top = el("span", { class: "scale" });
  const when = el("span", { class: "when" });
  const values = lines.map(() => el("span", { class: "value" }));
  const legend = lines.map((line, place) => el("span", { class: `key ${line.kind}` }, lines.length > 1 ? `${line.label} ` : null, values[place]));
  const plot = svg("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const axis = el("div", { class: "axis", "aria-hidden": "true" });
  const element = el(
    "figure", { class: "chart" }, el("figcaption", null, el("span", { class: "title" }, title), legend, when),
    el("div", { class: "canvas" }, top, plot), axis,
  );
  let shown = null;
  let span = 0;
  let isRead = false; // by a pointer: one that only rests there, since the page came under it, reads nothing
  const read = (part) => {
    const place = part === null ? null : Math.round(Math.min(1, Math.max(0, part)) * (shown.length - 1));
    const found = lines.map((line) => (shown.values[line.name][place ?? shown.length - 1]));
    found.forEach((value, number) => setText(values[number], unit(value)));
    setText(when, place === null ? "" : say("unit.ago", { duration: duration((shown.length - 1 - place) * shown.step) }));
    return lines.map((line, number) => `${lines.length > 1 ? `${line.label} ` : ""}${unit(found[number])}`).join(", ");
  };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    if (shown === null || box.width === 0) return;
    isRead = true;
    read((event.clientX - box.left) / box.width);
  });
  plot.addEventListener("pointerleave", () => {
    isRead = false;
    if (shown !== null) read(null);
  });
  const show = (told, step) => {
    shown = newest(told, lines, step);
    if (shown.span !== span) refill(axis, marks(shown.span));
    span = shown.span;
    draw(plot, top, shown, lines, unit, per);
    if (!isRead) plot.setAttribute("aria-label", `${title}: ${shown.isEmpty ? say("chart.empty") : read(null)}`);
  };
  return { element, show };
}

/** Return the part that is shown: the newest of SPANS' shortest that leaves no value out. */
function newest(told, lines, step) {
  const all = Math.max(1, ...lines.map((line) => told[line.name]?.length ?? 0));
  const first = Math.min(all, ...lines.map((line) => told[line.name]?.findIndex((value) => value !== null) ?? -1).filter((place) => place >= 0));
  const span = SPANS.find((seconds) => seconds / step >= all - 1 - first) ?? SPANS[SPANS.length - 1];
  const length = Math.round(span / step) + 1;
  const values = {};
  for (const line of lines) {
    const known = told[line.name]?.slice(-length) ?? [];
    values[line.name] = [...Array(length - known.length).fill(null), ...known];
  }
  return { values, step, span, length, isEmpty: first === all };
}

function marks(span) {
  const times = [1, 0.75, 0.5, 0.25].map((part) => el("span", null, say("unit.ago", { duration: duration(span * part) })));
  return [...times, el("span", null, say("chart.now"))];
}

function draw(plot, top, shown, lines, unit, per) {
  const highest = Math.max(0, ...lines.flatMap((line) => shown.values[line.name].filter((value) => value !== null)));
  const ceiling = highest > 0 ? rounded(highest * per) / per : 1;
  setText(top, highest > 0 ? unit(ceiling) : "");
  const grid = [0, 0.25, 0.5, 0.75].map((part) => svg("path", { class: "grid", d: `M0 ${HEIGHT * part}H${WIDTH}` }));
  const runs = lines.map((line) => runsOf(shown.values[line.name], ceiling));
  const areas = lines.map((line, place) => svg("path", { class: `area ${line.kind}`, d: runs[place].map(area).join("") }));
  const paths = lines.map((line, place) => svg("path", { class: `line ${line.kind}`, d: runs[place].map(path).join("") }));
  refill(plot, grid, areas, paths);
}

/** Return the next round number, such as 300 for 248. */
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ROUND.find((part) => part * power >= value * 0.999);
}

/** Return the points of what stands between gaps. */
function runsOf(values, ceiling) {
  const step = WIDTH / Math.max(1, values.length - 1);
  const runs = [];
  values.forEach((value, place) => {
    if (value === null) return;
    if (place === 0 || values[place - 1] === null) runs.push([]);
    runs[runs.length - 1].push([(place * step).toFixed(1), (HEIGHT - (value / ceiling) * HEIGHT).toFixed(1)]);
  });
  return runs;
}

function path(run) {
  return run.length > 1 ? `M${run.map((point) => point.join(" ")).join("L")}` : `M${run[0].join(" ")}h0.8`;
}

function area(run) {
  return run.length > 1 ? `${path(run)}L${run[run.length - 1][0]} ${HEIGHT}L${run[0][0]} ${HEIGHT}Z` : "";
}
