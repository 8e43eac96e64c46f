"""What a recipe leaves open, filled in by the form of its data."""

from __future__ import annotations

from dataclasses import replace

from atomprint.datasets import Dataset
from atomprint.learn.problem import Problem
from atomprint.learn.split import make_split
from atomprint.workflow.auto import auto_recipe
from atomprint.workflow.recipe import Recipe


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
    if recipe.features:  # kernel ridge was set up for features of ours
        models = {name: {} for name in models}
        del why["features"]
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
