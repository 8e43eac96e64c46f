// Known materials that are like a structure.

import { ask, post, sentence } from "./api.js";
import { find, make, number } from "./dom.js";

let served = false;

export async function lookForStore() {
  served = (await ask("/health/ready").catch(() => ({}))).store === true;
}

export async function showSimilar(structure) {
  const place = find("similar");
  place.hidden = !served;
  if (!served) return;
  const [note, table] = [find("similar-note"), place.querySelector(".table")];
  note.textContent = "Looking …";
  table.replaceChildren();
  try {
    const found = await post("/v1/similar", { structure, k: 8, explain: true });
    note.textContent = found.in_words;
    const targets = [...new Set(found.neighbours.flatMap((one) => Object.keys(one.targets)))].slice(0, 3);
    const heads = ["Name", "Formula", "Distance", ...targets].map((text) => make("th", { scope: "col" }, text));
    const rows = found.neighbours.map((one) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, one.id, differs(one.explanation)),
        make("td", {}, one.formula),
        make("td", { class: "n" }, number(one.distance, 3)),
        ...targets.map((name) => make("td", { class: "n" }, show(one.targets[name]))),
      ),
    );
    table.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
  } catch (error) {
    note.textContent = sentence(error.message);
  }
}

function differs(words) {
  if (!words) return null;
  return make("details", {}, make("summary", {}, "What differs"), ...words.split("; ").map((part) => make("p", {}, part)));
}

function show(value) {
  return typeof value === "number" ? number(value) : String(value ?? "–");
}
