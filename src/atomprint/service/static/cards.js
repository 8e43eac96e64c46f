// What is known of the models, in short.

import { find, make, number, unitOf } from "./dom.js";

export function showCards(models) {
  find("cards").replaceChildren(...models.map(card));
}

function card(model) {
  const unit = model.unit ? ` ${unitOf(model.unit)}` : "";
  const range = model.training.target_range;
  const span = range ? `, from ${number(range[0])} to ${number(range[1])}${unit}` : "";
  const interval = model.interval;
  const lines = [
    ["Predicts", `${model.title}${model.classes.length ? `: one of ${model.classes.join(", ")}` : unit ? ` in${unit}` : ""}, for ${model.level === "atom" ? "each atom of a structure" : model.inputs}`],
    ["Trained with", `${model.training.n_samples} ${model.level === "atom" ? "atoms" : model.inputs} of ${model.training.title}${span}`],
    ["Elements", model.elements.join(", ")],
    ["Interval", interval?.half_width ? `± ${number(interval.half_width, 3)}${unit} for ${100 * interval.level} %` : interval ? `sets of classes for ${100 * interval.level} %` : "none"],
  ];
  const parts = lines.flatMap(([head, text]) => [make("dt", {}, head), make("dd", {}, text)]);
  return make("details", {}, make("summary", {}, `${model.title} (${model.name})`), make("dl", {}, ...parts));
}
