// What a model says of one structure: value, interval, trust, and which features decided.

import { draw, make, number, unitOf } from "./dom.js";

const TRUST = {
  known: "Seen in training",
  inside: "Like the training set",
  outside: "Unlike the training set",
};

export function trustOf(row) {
  return row.in_training ? "known" : row.in_domain ? "inside" : "outside";
}

export function trustInWords(row) {
  return TRUST[trustOf(row)];
}

// The answer of a model to one structure, of which it may have said why there is none.
export function answerOf(model, rows, failure, first) {
  const title = make("h3", {}, model.title, " ", make("small", { class: "note" }, `model ${model.model}`));
  if (!rows.length) return make("div", { class: "answer" }, title, make("p", {}, `Not predicted: ${failure ?? "unknown"}.`));
  const [row] = rows;
  return make(
    "div",
    { class: "answer" },
    title,
    rows.length > 1 ? atomsTable(model, rows) : null,
    ...(rows.length > 1 ? [] : [value(model, row), range(model, row), make("p", {}, unitOf(row.in_words))]),
    make("div", { class: `trust ${trustOf(row)}` }, make("strong", {}, trustInWords(row)), row.domain_in_words),
    row.because ? why(row.because, first) : null,
  );
}

function value(model, row) {
  const said = typeof row.value === "string" ? row.value : number(row.value);
  const half = row.lower === null || row.lower === undefined ? "" : ` from ${number(row.lower)} to ${number(row.upper)}`;
  return make("p", { class: "value" }, said, make("small", {}, ` ${unitOf(model.unit)}${half}`));
}

// A line with the interval and the value on it.
function range(model, row) {
  if (row.lower === null || row.lower === undefined || row.lower === row.upper) return null;
  const margin = 0.35 * (row.upper - row.lower);
  const low = row.lower - margin;
  const at = (x) => 10 + (280 * (x - low)) / (row.upper - row.lower + 2 * margin);
  const mark = (x, anchor) =>
    draw("text", { x: at(x), y: 42, "text-anchor": anchor }, number(x, 3));
  return draw(
    "svg",
    { class: "range", viewBox: "0 0 300 48", preserveAspectRatio: "xMinYMid", role: "img", "aria-label": row.in_words },
    draw("line", { x1: 0, x2: 300, y1: 18, y2: 18, stroke: "#dfe3e8", "stroke-width": 2 }),
    draw("rect", { x: at(row.lower), y: 10, width: at(row.upper) - at(row.lower), height: 16, fill: "#bcd4ea" }),
    draw("line", { x1: at(row.value), x2: at(row.value), y1: 5, y2: 31, stroke: "#1f5f99", "stroke-width": 3 }),
    mark(row.lower, "middle"),
    mark(row.upper, "middle"),
  );
}

function atomsTable(model, rows) {
  const head = make("tr", {}, ...["atom", unitOf(model.unit) || "value", "trust"].map((text) => make("th", { scope: "col" }, text)));
  const lines = rows.map((row) =>
    make(
      "tr",
      {},
      make("td", {}, String(row.atom)),
      make("td", { class: "n" }, typeof row.value === "string" ? row.value : number(row.value)),
      make("td", {}, trustInWords(row)),
    ),
  );
  return make("div", { class: "table", tabindex: "0" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...lines)));
}

function why(because, open) {
  const parts = because.ways.flatMap(({ of, groups }) => [make("h4", {}, `By ${of}`), effects(groups, because.unit)]);
  return make(
    "details",
    { open },
    make("summary", {}, "Which features decided"),
    ...(parts.length ? parts : [make("p", {}, "No group of features changes the prediction.")]),
    make("p", { class: "note" }, because.method),
  );
}

function effects(groups, unit) {
  if (!groups.length) return make("p", { class: "note" }, "None of them changes it.");
  const most = Math.max(...groups.map(({ effect }) => Math.abs(effect)));
  const shortly = unit.startsWith("probability") ? "" : ` ${unitOf(unit)}`;
  const items = groups.map(({ group, effect, absent }) => {
    const bar = make("i", { class: effect > 0 ? "up" : "down" });
    const share = (50 * Math.abs(effect)) / most;
    bar.style.width = `${share}%`;
    bar.style.left = effect > 0 ? "50%" : `${50 - share}%`;
    return make(
      "li",
      {},
      make("b", {}, absent ? `no ${group}` : group),
      make("span", { class: "bar", "aria-hidden": "true" }, bar),
      make("span", {}, `${effect > 0 ? "+" : ""}${number(effect, 3)}${shortly}`),
    );
  });
  return make("ul", { class: "effects" }, ...items);
}
