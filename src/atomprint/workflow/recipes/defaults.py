"""What a recipe leaves open, filled in by the form of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from atomprint.datasets import Dataset
from atomprint.learn.models.catalogue import MODELS
from atomprint.learn.splits.split import make_split
from atomprint.learn.task.problem import Problem
from atomprint.workflow.recipes.auto import auto_recipe
from atomprint.workflow.recipes.recipe import Recipe


def settle(recipe: Recipe, dataset: Dataset, target: str) -> tuple[Recipe, dict[str, tuple[str, ...]]]:
    """Fill in what a recipe leaves to the data, and return it with the reasons by section.

    Only what is missing is filled in: features, models, or figures of ``[evaluation]`` that were left out. If features
    are to be chosen, targets of the split's training parts are looked at, each by itself, and no others.

    Raises
    ------
    ValueError, TypeError
        If the split of the recipe does not fit the data; the message names the entry.
    """
    given = recipe.evaluation
    if recipe.features and recipe.models:
        learning_curve = True if given.learning_curve is None else given.learning_curve
        evaluation = replace(given, learning_curve=learning_curve, n_repeats=given.n_repeats or 5)
        return replace(recipe, evaluation=evaluation), {}
    parts = None
    if not recipe.features and dataset.structures is not None:
        problem = Problem.of(dataset, target)
        options = recipe.split
        split = make_split(
            problem,
            options.method,
            test_size=options.test_size,
            n_folds=options.n_folds,
            group_by=options.group_by,
            seed=recipe.seed,
        )
        parts = [fitted for fitted, _ in split.folds] or [split.train]
    chosen = auto_recipe(dataset, target, recipe.seed, parts=parts)
    why = dict(chosen.why)
    if recipe.search.method != "none":
        del why["search"]
    models = chosen.models
    if recipe.features:
        del why["features"]
        models = {name: _for_any_features(entry) for name, entry in models.items()}
        if any("descriptor" in entry for entry in recipe.features.values()):
            models, why["models"] = _for_kernels(dataset.targets[target].kind)
    if recipe.models:
        del why["models"]
        why.pop("search", None)
    if given.learning_curve is not None and given.n_repeats is not None:
        del why["evaluation"]
    open_entries = {name: value for name, value in chosen.evaluation.items() if getattr(given, name) is None}
    settled = replace(
        recipe,
        features=recipe.features or chosen.features,
        models=recipe.models or models,
        evaluation=replace(given, **open_entries),
    )
    return settled, why


def _for_any_features(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a model without what is set up for features of ours."""
    if "members" not in entry:
        return {}
    return {**entry, "members": [member["type"] for member in entry["members"]]}


def _for_kernels(kind: str) -> tuple[dict[str, dict[str, Any]], tuple[str]]:
    """Return the model for kernels between structures, and why."""
    model = "kernel_ridge" if kind == "regression" else "svm"
    return {model: {}}, (f"{MODELS[model].title} takes kernels between structures.",)
