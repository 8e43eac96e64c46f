// Many predictions: a table that can be sorted, and a file of it.

import { trustInWords } from "./answer.js";
import { find, make, named, number, unitOf } from "./dom.js";

// One line for each structure (or atom) and, in it, a cell for each model.
export function linesOf(found) {
  const lines = found.structures.map((structure) => ({ id: structure.id, structure, cells: {}, problem: "" }));
  const byId = new Map(lines.map((line) => [line.structure, line]));
  const places = placesOf(found);
  for (const model of found.models) {
    for (const row of model.rows) {
      const line = byId.get(places[row.structure]);
      if (line && !line.cells[model.model]) line.cells[model.model] = row;
    }
  }
  for (const failure of found.failures) lines.push({ id: failure.id, structure: null, cells: {}, problem: failure.reason });
  return lines;
}

// The structure at each place of the request; what could not be read has none.
export function placesOf(found) {
  const failed = new Set(found.failures.map((failure) => failure.row));
  const places = [];
  let next = 0;
  for (let row = 0; row < found.structures.length + failed.size; row++) {
    places.push(failed.has(row) ? null : found.structures[next++]);
  }
  return places;
}

export function showTable(found, lines, chosen) {
  const place = find("batch").querySelector(".table");
  let order = [...lines];
  let sorted = { key: null, up: true };
  const heads = [["Name", (line) => line.id], ["Formula", (line) => line.structure?.formula ?? ""]];
  const titles = found.models.map(({ title }) => title);
  for (const model of found.models) {
    const alike = titles.filter((title) => title === model.title).length > 1;
    const unit = model.unit ? ` (${unitOf(model.unit)})` : "";
    heads.push([`${alike ? `${model.model}: ` : ""}${model.title}${unit}`, (line) => line.cells[model.model]?.value ?? null]);
  }

  function sortBy(key) {
    const [, value] = heads[key];
    sorted = { key, up: sorted.key === key ? !sorted.up : true };
    const sign = sorted.up ? 1 : -1;
    order = [...lines].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    });
    render();
  }

  function render() {
    const head = heads.flatMap(([title], key) => [
      make(
        "th",
        { scope: "col", class: key > 1 ? "n" : null, "aria-sort": sorted.key === key ? (sorted.up ? "ascending" : "descending") : null },
        make("button", { type: "button", onclick: () => sortBy(key) }, title, sorted.key === key ? (sorted.up ? " ▲" : " ▼") : ""),
      ),
      ...(key > 1 ? [make("th", { scope: "col" }, "Trust")] : []),
    ]);
    place.replaceChildren(
      make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...order.map((line) => lineOf(line)))),
    );
  }

  function lineOf(line) {
    const name = line.structure
      ? make("button", { type: "button", onclick: () => choose(line) }, named(line.id))
      : named(line.id);
    const cells = line.problem
      ? [make("td", { class: "words", colspan: String(2 * found.models.length + 1) }, `Not read: ${line.problem}`)]
      : [make("td", {}, line.structure.formula), ...found.models.flatMap((model) => cellsOf(line.cells[model.model]))];
    return make("tr", { "aria-current": line.current ? "true" : null }, make("th", { scope: "row" }, name), ...cells);
  }

  function choose(line) {
    for (const other of lines) other.current = other === line;
    render();
    chosen(line);
  }

  render();
}

function cellsOf(row) {
  if (!row || row.value === null) return [make("td", { class: "n" }, "–"), make("td", {}, row ? "Not predicted" : "")];
  const said = typeof row.value === "string" ? row.value : number(row.value);
  const half = row.upper === null || row.upper === undefined ? "" : ` ± ${number((row.upper - row.lower) / 2, 2)}`;
  return [make("td", { class: "n" }, `${said}${half}`), make("td", { class: "trusted" }, trustInWords(row))];
}

// All of it as CSV, in which no cell begins what a spreadsheet would carry out.
export function csvOf(found, lines) {
  const heads = ["name", "formula"];
  for (const { model, target } of found.models) {
    for (const part of ["", " lower", " upper", " trust", " warnings"]) heads.push(`${model}: ${target}${part}`);
  }
  const rows = lines.map((line) => [
    line.id,
    line.structure?.formula ?? "",
    ...found.models.flatMap((model) => {
      const row = line.cells[model.model];
      if (!row) return ["", "", "", "", line.problem ? `not read: ${line.problem}` : ""];
      return [row.value, row.lower, row.upper, trustInWords(row), row.warnings.join("; ")];
    }),
  ]);
  return [heads, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function cell(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string" && /^\s*[=+\-@\t\r＝＋－＠]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function download(name, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
