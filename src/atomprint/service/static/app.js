// The page: asks, and shows what came back.

import { answerOf } from "./answer.js";
import { ask, post, sentence, setToken, Trouble, upload } from "./api.js";
import { csvOf, download, linesOf, placesOf, showTable } from "./batch.js";
import { showCards } from "./cards.js";
import { find, make } from "./dom.js";
import { ROCK_SALT, takeFiles, textsOf } from "./input.js";
import { lookForStore, showSimilar } from "./similar.js";
import { show, turn } from "./view.js";

let busy = false;
let last = null; // { found, lines }
let now = null; // the line that is shown

async function start() {
  await lookForStore();
  try {
    const { models } = await ask("/v1/models");
    showCards(models);
    const boxes = models.map(({ name, title }) => {
      const box = make("input", { type: "checkbox", name: "model", value: name });
      box.checked = true;
      return make("label", {}, box, ` ${title} (${name})`);
    });
    find("models").replaceChildren(find("models").querySelector("legend"), ...boxes);
    find("models").hidden = models.length < 2;
    find("token-row").hidden = true;
  } catch (error) {
    trouble(error);
  }
}

function chosenModels() {
  const boxes = [...document.querySelectorAll('input[name="model"]')];
  const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
  return chosen.length && chosen.length < boxes.length ? { models: chosen } : {};
}

async function predict(files, texts) {
  if (busy) return;
  clear();
  if (!files.length && !texts.length) {
    trouble(new Trouble("Choose a file, or type a formula first.", 0));
    return;
  }
  waiting(true);
  try {
    const fields = { include_structures: true, ...chosenModels() };
    const single = files.length + texts.length === 1;
    const found = files.length
      ? await upload("/v1/predict", files, texts, fields)
      : await post("/v1/predict", { structures: texts, ...fields, explain: single });
    const lines = linesOf(found);
    last = { found, lines };
    if (lines.length > 1) {
      find("batch").hidden = false;
      showTable(found, lines, (line) => one(line, true));
      say(`${lines.length} rows. Choose a name to see more of it.`);
    } else {
      await one(lines[0], false, files.length ? null : found);
      say("");
    }
  } catch (error) {
    trouble(error);
  } finally {
    waiting(false);
  }
}

// Show one structure: what is known already, and then why.
async function one(line, jump, explained = null) {
  const { structure } = line;
  now = line;
  find("one").hidden = false;
  const title = /^\d+$/.test(line.id) ? structure.formula : `${line.id}: ${structure.formula}`;
  find("one-title").textContent = structure.formula === line.id ? line.id : title;
  const drawn = Boolean(structure.symbols);
  find("structure").hidden = !drawn;
  find("one").querySelector(".two").classList.toggle("alone", !drawn);
  if (drawn) show(structure);
  const again = drawn ? optimade(structure) : line.id;
  showAnswers(explained ?? last.found, explained ? explained.structures[0] : structure);
  if (jump) find("one-title").focus();
  showSimilar(again);
  if (explained) return;
  try {
    const found = await post("/v1/predict", { structures: [again], explain: true, ...chosenModels() });
    if (now === line) showAnswers(found, found.structures[0]);
  } catch (error) {
    find("answers").append(make("p", { class: "note" }, `Which features decided is not known: ${error.message}`));
  }
}

function showAnswers(found, structure) {
  const place = placesOf(found).indexOf(structure);
  const answers = found.models.map((model, k) =>
    answerOf(
      model,
      model.rows.filter((row) => row.structure === place),
      model.failures.find((failure) => failure.row === place)?.reason,
      k === 0,
    ),
  );
  find("answers").replaceChildren(...answers);
}

// A structure in a form that can be sent again.
function optimade({ symbols, positions, cell, pbc }) {
  return {
    species_at_sites: symbols,
    cartesian_site_positions: positions,
    lattice_vectors: cell,
    dimension_types: pbc.map(Number),
  };
}

function clear() {
  find("error").replaceChildren();
  for (const id of ["batch", "one"]) find(id).hidden = true;
}

function say(text) {
  find("status").textContent = text;
}

function waiting(on) {
  busy = on;
  find("go").disabled = on;
  if (on) say("Predicting …");
  else if (find("status").textContent === "Predicting …") say("");
}

function trouble(error) {
  if (error.status === 401) {
    find("token-row").hidden = false;
    find("token").focus();
  }
  const failures = error.failures ?? [];
  const items = failures.length > 1 ? failures.slice(0, 20).map(({ id, reason }) => make("li", {}, `${id}: ${reason}`)) : [];
  find("error").replaceChildren(
    make("strong", {}, sentence(error.message)),
    ...(items.length ? [make("ul", {}, ...items)] : []),
  );
  say("");
}

find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  predict([...find("files").files], textsOf(find("text").value));
});
find("example").addEventListener("click", () => {
  find("files").value = "";
  find("text").value = ROCK_SALT;
  predict([], [ROCK_SALT]);
});
find("token").addEventListener("change", () => {
  setToken(find("token").value);
  find("error").replaceChildren();
  start();
});
find("download").addEventListener("click", () => download("predictions.csv", csvOf(last.found, last.lines)));
find("turns").addEventListener("click", (event) => turn(event.target.dataset.turn));
takeFiles(find("drop"), find("files"), () => {
  find("text").value = "";
  predict([...find("files").files], []);
});
start();
