// The last hour of one member, one cluster or the whole relay, as charts that go on by themselves.

import { ask } from "./api.js";
import { chart } from "./chart.js";
import { errorBox } from "./dialogs.js";
import { el, refill } from "./elements.js";
import { drops, rate, trip } from "./format.js";
import { say } from "./words.js";

const AGAIN_MS = 5000; // half of a step
const BITS = 8; // of a byte: rates are shown in bits a second

/**
 * Return {element, now(values), end}: three charts, or the first one alone where `few`.
 *
 * `now` takes the newest values by the names of the history; they stand at the right edge until the next step is told.
 */
export function historyOf(kind, name, few = false) {
  const flow = [{ name: "in_rate", label: say("chart.in"), kind: "one" }, { name: "out_rate", label: say("chart.out"), kind: "two" }];
  const charts = [chart(say("chart.flow"), flow, rate, BITS)];
  if (!few) {
    charts.push(chart(say("chart.trip"), [{ name: "rtt_ms", label: say("chart.trip"), kind: "three" }], trip));
    charts.push(chart(say("chart.drops"), [{ name: "drop_rate", label: say("chart.drops"), kind: "four" }], drops));
  }
  const problem = el("div");
  const element = el("section", { class: few ? "card charts few" : "card charts", "aria-label": say("chart.hour") }, problem, charts.map((one) => one.element));
  let past = null;
  let newest = null;
  const draw = () => {
    if (past === null) return;
    const values = {};
    for (const series of ["in_rate", "out_rate", "rtt_ms", "drop_rate"]) {
      values[series] = [...past[series], newest?.[series] ?? null];
    }
    for (const one of charts) one.show(values, past.step_s);
  };
  const load = async () => {
    try {
      past = await ask("GET", `/dashboard/history?kind=${kind}&name=${encodeURIComponent(name)}`);
      refill(problem);
      draw();
    } catch (error) {
      if (past === null) refill(problem, errorBox(error));
    }
  };
  load();
  const timer = setInterval(load, AGAIN_MS);
  const now = (values) => {
    newest = values;
    draw();
  };
  return { element, now, end: () => clearInterval(timer) };
}
