"""What limits how far the results of a study can be trusted, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from atomprint.formats.components import vector_in_name
from atomprint.layout import symbols_of
from atomprint.learn.evaluation.evaluate import Evaluation
from atomprint.learn.evaluation.nested_choice import Choice
from atomprint.learn.models.doubt import MEMBERS, SEEDS
from atomprint.learn.splits.split import Split
from atomprint.learn.task.problem import Problem
from atomprint.learn.task.wild import wild_sentence
from atomprint.util.types import Indices, Mask

_FEW = 1000  # samples
_RARE = 5  # structures
_CHANGES = 0.9  # of the error of the folds, by which models of the folds differ about samples of another kind
_DISAGREE = 2.0  # times as much as usual


def of_targets(problem: Problem) -> Iterator[str]:
    """Say whether the target turns with structures, and which values are far from all others."""
    vector = problem.target.vector or vector_in_name(problem.target_name)
    if vector and not problem.target.classes:
        yield (
            f"{problem.target_name} is a component of {vector}, which turns with the structure. Features that do not "
            "turn with it cannot tell it: figures are those of structures that happen to be oriented alike."
        )
    sentence = wild_sentence(problem)
    if sentence:
        yield sentence


def of_size(problem: Problem, split: Split) -> Iterator[str]:
    """Say whether there are few samples, and whether they are atoms of few structures."""
    n, n_test = len(problem), len(split.test)
    what = "atoms" if problem.atoms is not None else "samples"
    if n < _FEW:
        sizes = sorted({len(predict) for _, predict in split.folds})
        shown = " or ".join(map(str, sizes)) if len(sizes) < 3 else f"{sizes[0]} to {sizes[-1]}"
        parts = [f"{n_test} are in the test part"] if n_test else []
        parts += [f"{shown} in each fold"] if sizes else []
        yield (
            f"Little data: {n} {what}, of which {' and '.join(parts)}. A single one can move a figure visibly: compare "
            "differences with the spread over folds, and read nothing into the last digit."
        )
    if problem.atoms is not None:
        n_structures = len(np.unique(problem.structures))
        yield (
            f"The {n} atoms belong to {n_structures} structures. Atoms of one structure are much alike, so that they "
            "are worth less than as many independent samples; they are never divided between training and testing."
        )


def of_choice(split: Split, choice: Choice | None, n_models: int) -> Iterator[str]:
    """Say on which samples features and models were chosen."""
    made = choice.description if choice is not None else ""
    if not split.folds:
        text = "There is no cross-validation: figures are from a single test part and have no spread"
        yield f"{text}. The best of {n_models} was {made}." if made else f"{text}."
    elif made:
        yield (
            "There is no test part. For each fold features and model were chosen within its training samples alone, "
            f"and the predictions of what was chosen are what to judge by ({made}). Figures of single models are for "
            f"information: picking the best of the {n_models} by them would be a choice on the samples that judge it."
        )


def of_elements(problem: Problem, split: Split) -> Iterator[str]:
    """Say which elements are rare, or predicted by models that have not seen them."""
    contains = problem.dataset.contains

    def present(samples: Indices) -> Mask:
        return np.asarray(contains[np.unique(problem.structures[samples])].any(axis=0))

    def listed(numbers: Indices) -> str:
        return ", ".join(symbols_of(numbers.tolist()))

    if len(split.test):
        trained, tested = present(split.train), present(split.test)
        unseen = np.flatnonzero(tested & ~trained)
        if len(unseen) == np.count_nonzero(tested):
            yield (
                "No element of the test part occurs in the training part. Only what is known about elements beforehand "
                "(their properties) can carry over from one to the other."
            )
        elif len(unseen):
            yield f"In the test part but not in the training part: {listed(unseen)}."
    missed = np.zeros(contains.shape[1], dtype=bool)
    for fit, predict in split.folds:
        missed |= present(predict) & ~present(fit)
    if missed.any():
        yield f"Predicted in a fold by a model that had not seen the element: {listed(np.flatnonzero(missed))}."
    counts = contains[np.unique(problem.structures[split.train])].sum(axis=0)
    rare = np.flatnonzero((counts > 0) & (counts < _RARE))
    if 0 < len(rare) < np.count_nonzero(counts) / 2:
        yield (
            "Rare elements: "
            + ", ".join(f"{symbol} ({counts[z]})" for symbol, z in zip(symbols_of(rare.tolist()), rare, strict=True))
            + f" occur in fewer than {_RARE} training structures (number in parentheses); expect large errors there."
        )


def of_extrapolation(problem: Problem, evaluation: Evaluation) -> Iterator[str]:
    """Say where predictions change with the samples that were fitted, or between seeds and members of a model."""
    if problem.kind != "regression" or not evaluation.folds:
        return
    unit = f" {problem.target.unit}" if problem.target.unit else ""
    found = evaluation.out_of_fold()
    error = float(np.mean(np.abs(found.y_pred - problem.y[found.indices])))
    answers = [fold.of_test for fold in evaluation.folds]
    if evaluation.test is not None and len(answers) > 1 and len(answers[0]):
        apart = float(np.std(answers, axis=0).mean())
        if apart > _CHANGES * error:
            yield (
                f"The test part is of another kind, and predictions there depend on chance: the {len(answers)} models "
                f"of the folds, each fitted to a part of the training samples, differ by {apart:.3g}{unit} about it, "
                f"while their error on held-out training samples is {error:.3g}{unit}. Another seed or a few samples "
                "more can change the figures of the test part by as much: try several seeds before believing one."
            )
            return
    for name, kept in ((MEMBERS, "the members of the model"), (SEEDS, "the model's own seeds")):
        if name not in found.signs:
            continue
        usual = float(np.median(found.signs[name]))
        for part, fold in evaluation.parts():
            now = float(np.median(fold.signs.get(name, np.zeros(1))))
            if usual > 0 and now > _DISAGREE * usual:
                yield (
                    f"In {'the test part' if part == 'test' else part} {kept} disagree by "
                    f"{now:.3g}{unit}, {now / usual:.1f} times as much as usual: its samples are of another kind, and "
                    "predictions of such samples change with the seed."
                )


def of_probabilities(
    problem: Problem, split: Split, evaluations: Sequence[tuple[str, Evaluation]], titles: Mapping[str, str]
) -> Iterator[str]:
    """Say which models give no probabilities of classes, and which classes are rare."""
    if problem.kind != "classification":
        return
    without = sorted(
        {
            titles[name]
            for name, evaluation in evaluations
            if any(fold.probabilities is None for _, fold in evaluation.parts())
        }
    )
    if without:
        yield (
            f"No probabilities of classes from: {', '.join(without)}. Areas under curves and sets of classes need "
            "them, and are not defined there."
        )
    counts = np.bincount(problem.y[split.train].astype(np.intp), minlength=len(problem.target.classes))
    few = [f"{name} ({n})" for name, n in zip(problem.target.classes, counts, strict=True) if n < 2 * _RARE]
    if few:
        yield f"Rare classes: {', '.join(few)}, with fewer than {2 * _RARE} training samples (number in parentheses)."


def of_edges(evaluation: Evaluation, parameters: Mapping[str, Any], model: str) -> Iterator[str]:
    """Say which hyperparameters were mostly chosen at an end of what was tried, or beyond where it was followed.

    Next to no regularisation is no end.

    Parameters
    ----------
    evaluation : Evaluation
        The result to judge by.
    parameters : mapping of str to dict
        Parameters of the models by their keys, in plain types.
    model : str
        Key of the model, where folds do not name their own.
    """
    at_end: dict[tuple[str, float, float], list[float]] = {}
    parts = evaluation.parts()
    for _, fold in parts:
        tried = dict(_tried(parameters.get(fold.chosen.get("model", model), {})))
        for key, value in fold.chosen.items():
            ends = tried.get(key.partition(" of ")[0])
            if not ends or not isinstance(value, int | float | np.number):
                continue
            at_least = float(value) < ends[0] or (float(value) == ends[0] and not key.startswith("alpha"))
            if at_least or float(value) >= ends[1]:
                at_end.setdefault((key, *ends), []).append(float(value))
    for (key, low, high), values in at_end.items():
        if 2 * len(values) <= len(parts):
            continue
        name, count = key.replace("_", " "), f"{len(values)} of {len(parts)} parts"
        found = " to ".join(f"{value:g}" for value in sorted({min(values), max(values)}))
        if min(values) >= low and max(values) <= high:
            yield (
                f"{name} = {found} is an end of what was tried ({low:g} to {high:g}), chosen for {count}: a value "
                "beyond may do better."
            )
        else:
            yield (
                f"{name} was followed beyond what was given ({low:g} to {high:g}), to {found} for {count}: give "
                "choices around that to look closer."
            )


def _tried(parameters: Any) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield the ends of the lists of numbers and intervals that hyperparameters are chosen from, by their names."""
    if not isinstance(parameters, Mapping):
        return
    for key, values in parameters.items():
        name, ends = key.rpartition("__")[2], None
        if isinstance(values, Mapping) and {"low", "high"} <= set(values):
            ends = float(values["low"]), float(values["high"])
        elif isinstance(values, list | tuple):
            numbers = [float(one) for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
            if len(numbers) == len(values) and len(set(numbers)) > 2:
                ends = min(numbers), max(numbers)
        if ends is not None:
            yield from ((one, ends) for one in {name, name.removesuffix("s")})
        elif isinstance(values, list | tuple):
            for one in values:
                yield from _tried(one[1] if isinstance(one, list | tuple) and len(one) == 2 else one)
        else:
            yield from _tried(values)
