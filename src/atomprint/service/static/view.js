// A structure in three dimensions, drawn by 3Dmol.js.

import { find, make } from "./dom.js";

const MOST_WITH_IMAGES = 300; // atoms of a cell of which those on its faces are drawn on the opposite ones, too
let viewer = null;

export function show(structure) {
  const place = find("view");
  place.setAttribute("aria-label", `${structure.formula}, ${structure.n_atoms} atoms, in three dimensions`);
  legend(structure.symbols);
  facts(structure);
  try {
    viewer ??= window.$3Dmol.createViewer(place, { backgroundColor: "white", antialias: true });
    viewer.removeAllModels();
    viewer.removeAllShapes();
    viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]); // as it was before it was turned
    const model = viewer.addModel(xyz(atomsOf(structure)), "xyz");
    model.setStyle({}, { sphere: { scale: 0.3, colorscheme: "Jmol" }, stick: { radius: 0.1, colorscheme: "Jmol" } });
    if (structure.pbc.some(Boolean)) edges(structure.cell, structure.pbc);
    viewer.resize();
    viewer.rotate(20, "y");
    viewer.rotate(12, "x");
    viewer.zoomTo();
    viewer.zoom(0.9);
    viewer.render();
  } catch {
    viewer = null;
    place.replaceChildren(make("p", {}, "This browser does not draw in three dimensions (WebGL is missing)."));
  }
  find("turns").hidden = viewer === null;
}

export function turn(how) {
  if (viewer === null) return;
  const turns = { left: [-20, "y"], right: [20, "y"], up: [20, "x"] };
  if (turns[how]) viewer.rotate(...turns[how]);
  else viewer.zoom(how === "in" ? 1.2 : 1 / 1.2);
  viewer.render();
}

window.addEventListener("resize", () => find("view").clientWidth && viewer?.resize());

function xyz(atoms) {
  return `${atoms.length}\n\n${atoms.map(([symbol, r]) => `${symbol} ${r.join(" ")}`).join("\n")}\n`;
}

// Atoms within the cell, and the images of those on its faces.
function atomsOf({ symbols, positions, cell, pbc }) {
  if (!pbc.every(Boolean)) return symbols.map((symbol, k) => [symbol, positions[k]]);
  const inverse = inverted(cell);
  const found = [];
  symbols.forEach((symbol, k) => {
    const f = times(positions[k], inverse).map((x) => {
      const inside = x - Math.floor(x);
      return inside > 1 - 1e-4 ? 0 : inside;
    });
    const steps = f.map((x) => (symbols.length <= MOST_WITH_IMAGES && x < 1e-4 ? [0, 1] : [0]));
    for (const a of steps[0]) for (const b of steps[1]) for (const c of steps[2]) {
      found.push([symbol, times([f[0] + a, f[1] + b, f[2] + c], cell)]);
    }
  });
  return found;
}

function edges(cell, pbc) {
  const corner = (i, j, k) => {
    const [x, y, z] = times([i, j, k], cell);
    return { x, y, z };
  };
  const ends = pbc.map((repeats) => (repeats ? [0, 1] : [0]));
  for (const i of ends[0]) for (const j of ends[1]) for (const k of ends[2]) {
    const start = [i, j, k];
    for (let axis = 0; axis < 3; axis++) {
      if (start[axis] || !pbc[axis]) continue;
      const end = start.map((x, at) => (at === axis ? 1 : x));
      viewer.addLine({ start: corner(...start), end: corner(...end), color: "#566270", linewidth: 1.5 });
    }
  }
}

function legend(symbols) {
  const colours = window.$3Dmol?.elementColors?.Jmol ?? {};
  const items = [...new Set(symbols)].map((symbol) => {
    const dot = make("i", { "aria-hidden": "true" });
    const colour = colours[symbol];
    if (typeof colour === "number") dot.style.background = `#${colour.toString(16).padStart(6, "0")}`;
    return make("span", {}, dot, symbol);
  });
  find("legend").replaceChildren(...items);
}

function facts({ n_atoms: n, cell, pbc }) {
  const repeats = pbc.filter(Boolean).length;
  const lengths = cell.map((v) => Math.hypot(...v).toFixed(3));
  const what = ["a molecule", "a chain", "a layer", "a crystal"][repeats];
  const edge = repeats === 3 ? `, cell edges ${lengths.join(", ")} Å` : "";
  find("facts").textContent = `As it was read: ${what} of ${n} ${n === 1 ? "atom" : "atoms"}${edge}.`;
}

function times(row, matrix) {
  return [0, 1, 2].map((j) => row[0] * matrix[0][j] + row[1] * matrix[1][j] + row[2] * matrix[2][j]);
}

function inverted([a, b, c]) {
  const cross = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
  const columns = [cross(b, c), cross(c, a), cross(a, b)];
  const volume = a[0] * columns[0][0] + a[1] * columns[0][1] + a[2] * columns[0][2];
  return [0, 1, 2].map((i) => columns.map((column) => column[i] / volume));
}
