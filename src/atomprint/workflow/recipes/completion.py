"""What a recipe leaves open, filled in by the form of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from atomprint.datasets import Dataset
from atomprint.formats.components import vector_in_name
from atomprint.formats.labels import labels_sentence
from atomprint.learn.evaluation.importance import N_REPEATS
from atomprint.learn.models.catalogue import MODELS
from atomprint.learn.splits.split import SplitSettings
from atomprint.learn.task.problem import Problem
from atomprint.workflow.recipes.auto import auto_recipe
from atomprint.workflow.recipes.features import DescriptorSection, named_classes, read_features
from atomprint.workflow.recipes.models import read_models
from atomprint.workflow.recipes.pretrained import with_embeddings
from atomprint.workflow.recipes.recipe import Recipe
from atomprint.workflow.recipes.target import NONE

Reasons = dict[str, tuple[str, ...]]

_SO_FEW = 7  # samples, of which a test part would leave too few for the folds
_RARE = 4  # samples of a class: with fewer an inner fold, in a fold, would have none to fit
_FEW = 30  # samples, up to which a test part would be decided by single ones


def complete(recipe: Recipe, dataset: Dataset) -> tuple[Recipe, Reasons]:
    """Fill in what a recipe leaves to the data, and return it with the reasons by section.

    Only what is missing is filled in: the target, features, models, figures of ``[target]`` and ``[evaluation]`` that
    were left out, whether descriptors see periodic images, and for few samples how they are divided, where the split is
    the default.
    If features are to be chosen, targets of the split's training parts are looked at, each by itself, and no others.

    Raises
    ------
    ValueError, TypeError
        If the recipe does not fit the data; the message names the entry.
    """
    target = recipe.data.target_of(dataset)
    _check_turns(recipe, dataset, target)
    recipe, divided = _divided(recipe, dataset, target)
    recipe, decided = _decided(recipe, dataset, target)
    open_models = not recipe.models
    recipe, why = _filled_in(recipe, dataset, target)
    recipe, tried = _with_logs(recipe, dataset, target, open_models)
    why = {**divided, **why, **decided, **tried}
    if recipe.data.path is not None and (sentence := labels_sentence(dataset.labels, recipe.data.path)):
        why = why | {"data": (*why.get("data", ()), sentence)}
    if recipe.pretrained:
        recipe, told = _with_embeddings(recipe, dataset, target)
        why = why | {"models": (*why.get("models", ()), told)}
    features = {key: section.suited_to(dataset) for key, section in recipe.features.items()}
    return replace(recipe, features=features, data=replace(recipe.data, target=target)), why


def _with_embeddings(recipe: Recipe, dataset: Dataset, target: str) -> tuple[Recipe, str]:
    """Return a complete recipe with the embeddings that it asks for among its features and models, and why so."""
    tables = recipe.to_dict()
    problem = Problem.of(dataset, target)
    features, models, told = with_embeddings(tables["features"], tables["models"], recipe.pretrained, dataset, problem)
    return replace(recipe, features=read_features(features), models=read_models(models), pretrained=()), told


def _divided(recipe: Recipe, dataset: Dataset, target: str) -> tuple[Recipe, Reasons]:
    """Give few samples folds alone, no more than suit them, unless the split was asked for."""
    problem, default = Problem.of(dataset, target), SplitSettings()
    few = _SO_FEW if recipe.features and recipe.models else _FEW
    if recipe.split != default or not 2 <= len(problem) <= few:
        return recipe, {}
    method, most, what = "random", len(problem), "samples"
    if problem.kind == "classification" and (rarest := _rarest(problem)) >= 2:
        method, most, what = "stratified", rarest, "samples of the rarest class"
    folds = min(default.n_folds, most)
    fewer = f", {folds} of them as there are {most} {what}" if folds < default.n_folds else ""
    why = f"With {len(problem)} samples there is no test part, which single ones would decide: folds judge{fewer}."
    return replace(recipe, split=SplitSettings(method, 0, folds)), {"split": (why,)}


def _decided(recipe: Recipe, dataset: Dataset, target: str) -> tuple[Recipe, Reasons]:
    """Fill in by which figure of merit is chosen, and how classes are decided."""
    problem = Problem.of(dataset, target)
    evaluation = recipe.evaluation.suited_to(problem.kind)
    section, why = recipe.target.suited_to(problem, str(evaluation.metric))
    return replace(recipe, target=section, evaluation=evaluation), {"target": why} if why else {}


def _with_logs(recipe: Recipe, dataset: Dataset, target: str, open_models: bool) -> tuple[Recipe, Reasons]:
    """Fill in whether models learn logarithms; where that is tried, give each model a twin that does."""
    problem = Problem.of(dataset, target)
    train = recipe.split.divide(problem, recipe.seed).train
    section, why = recipe.target.logs_of(problem, train, open_models=open_models)
    models = dict(recipe.models)
    if section.transform == "try":
        section = replace(section, transform=NONE)
        twins = {key: model.of_logs() for key, model in models.items() if "transform" not in model.parameters}
        models = {**models, **{f"{key}_log": twin for key, twin in twins.items() if f"{key}_log" not in models}}
    return replace(recipe, target=section, models=models), {"target": why} if why else {}


def _rarest(problem: Problem) -> int:
    """Return the number of samples of the rarest class that there is."""
    counts = np.bincount(problem.y.astype(np.intp))
    return int(counts[counts > 0].min())


def _few_of_a_class(problem: Problem, models: Mapping[str, Any]) -> int:
    """Return the number of samples of the rarest class if it is too small for models to be compared; else 0."""
    if problem.kind != "classification" or len(models) < 2 or "extra_trees" not in models:
        return 0
    rarest = _rarest(problem)
    return rarest if rarest < _RARE else 0


def _check_turns(recipe: Recipe, dataset: Dataset, target: str) -> None:
    """Raise if a component of a vector would be predicted from features that do not turn with the structure."""
    vector = dataset.targets[target].vector or vector_in_name(target)
    tables = recipe.to_dict().get("features") or {}
    if not vector or dataset.targets[target].classes or any(True for _ in named_classes(tables)):
        return
    raise ValueError(
        f"data.target: {target!r} is a component of {vector!r}, which turns with the structure. Features do not, so no "
        f"model of them can learn it: predict the length of a vector ({vector}.norm of an array), another number that "
        "does not turn, or the energy, whose derivatives are forces and stress (atomprint potential fit). Where the "
        "axes are those of a crystal, name the column after them: a, b, c"
    )


def _filled_in(recipe: Recipe, dataset: Dataset, target: str) -> tuple[Recipe, Reasons]:
    given = recipe.evaluation
    if recipe.features and recipe.models:
        learning_curve = True if given.learning_curve is None else given.learning_curve
        evaluation = replace(
            given, learning_curve=learning_curve, n_repeats=N_REPEATS if given.n_repeats is None else given.n_repeats
        )
        return replace(recipe, evaluation=evaluation), {}
    parts = None
    if dataset.targets[target].kind == "regression":
        split = recipe.split.divide(Problem.of(dataset, target), recipe.seed)
        parts = [fitted for fitted, _ in split.folds] or [split.train]
    chosen = auto_recipe(dataset, target, recipe.seed, parts=parts)
    why = dict(chosen.why)
    models = chosen.models
    if few := _few_of_a_class(Problem.of(dataset, target), models):
        models = {"extra_trees": models["extra_trees"]}
        why["models"] = (
            f"Randomised trees alone, as the rarest class has {few} samples: too few to compare models by.",
        )
    if recipe.search.method != "none":
        del why["search"]
    if recipe.features:
        del why["features"]
        models = {name: _for_any_features(table) for name, table in models.items()}
        single = [section for section in recipe.features.values() if isinstance(section, DescriptorSection)]
        if any("descriptor" in section.parameters for section in single):
            models, why["models"] = _for_kernels(dataset.targets[target].kind)
    if recipe.models:
        del why["models"]
        why.pop("search", None)
    if given.learning_curve is not None and given.n_repeats is not None:
        del why["evaluation"]
    open_entries = {name: value for name, value in chosen.evaluation.items() if getattr(given, name) is None}
    filled_in = replace(
        recipe,
        features=recipe.features or read_features(chosen.features),
        models=recipe.models or read_models(models),
        evaluation=replace(given, **open_entries),
    )
    return filled_in, why


def _for_any_features(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a model without what is set up for features of ours."""
    if "members" not in entry:
        return {}
    return {**entry, "members": [member["type"] for member in entry["members"]]}


def _for_kernels(kind: str) -> tuple[dict[str, dict[str, Any]], tuple[str]]:
    """Return the model for kernels between structures, and why."""
    model = "kernel_ridge" if kind == "regression" else "svm"
    return {model: {}}, (f"{MODELS[model].title} takes kernels between structures.",)
