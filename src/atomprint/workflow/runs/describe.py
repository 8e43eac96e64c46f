"""The features of a data set, computed; structures that cannot be described are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone

from atomprint.datasets import Dataset, Failure
from atomprint.learn.task.features import Features, meanings_of
from atomprint.learn.task.problem import Problem
from atomprint.ragged import offsets_of
from atomprint.structures import StructureError, attempt, reason_of
from atomprint.util.plain import plain
from atomprint.util.progress import Progress, Steps, silent
from atomprint.workflow.recipes.features import FeatureSet, joined_parts
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.runs.learnt import LearntColumns, check_learnable, learns, without_learning
from atomprint.workflow.saved.pretrained import seen_in_training

_CHUNK = 256  # structures described at once between two messages, and when looking for the one that fails


def inputs_of(dataset: Dataset) -> Any:
    """Return what descriptors are given: the structures, or where there are none the compositions."""
    return dataset.items


def describe(plan: Plan, progress: Progress = silent) -> tuple[Plan, list[Features], list[BaseEstimator]]:
    """Compute the features of a plan.

    Returns
    -------
    plan : Plan
        For fewer structures, where some cannot be described and the recipe says that these are left out.
    features : list of Features
        One row for each sample.
    transformers : list of transformer
        What they were made with, fitted.
    """
    tell = Steps(progress, len(plan.features))
    computed = []
    try:
        for given in plan.features:
            tell(f"Features: {given.title}")
            computed.append(compute_features(given, plan.problem))
    except (ValueError, TypeError):
        if plan.recipe.data.on_error == "raise":
            raise
        smaller, failures = drop_failures(plan.problem.dataset, plan.features, progress)
        if not failures:
            raise
        return describe(Plan.on(plan.recipe, smaller, plan.reasons), progress)
    return plan, [features for features, _ in computed], [transformer for _, transformer in computed]


def drop_failures(dataset: Dataset, sets: Sequence[FeatureSet], progress: Progress) -> tuple[Dataset, list[Failure]]:
    """Return the data set without the structures that one of the descriptors refuses, and why it does."""
    failures: dict[int, Failure] = {}
    for given in sets:
        _check_structures(given, dataset, failures, progress)
    if not failures:
        return dataset, []
    kept = [i for i in range(len(dataset)) if i not in failures]
    if not kept:
        first_failure = next(iter(failures.values()))
        raise ValueError(f"no structure of {dataset.name!r} can be described: {first_failure.reason}")
    found = [failures[row] for row in sorted(failures)]
    return replace(dataset.take(kept), failures=(*dataset.failures, *found)), found


def _check_structures(given: FeatureSet, dataset: Dataset, failures: dict[int, Failure], progress: Progress) -> None:
    """Add the structures that a descriptor refuses to those that have failed already."""
    inputs, transformer = inputs_of(dataset), without_learning(given.transformer)
    first = transformer.steps[0][1] if given.pairwise else transformer

    def compute(run: Sequence[int]) -> None:
        first.fit_transform([inputs[i] for i in run])

    def failed(row: int, error: Exception) -> None:
        line = None if dataset.lines is None else dataset.lines[row]
        failures[row] = Failure(row, dataset.ids[row], "features", f"{given.key}: {reason_of(error)}", line)

    for start in range(0, len(dataset), _CHUNK):
        progress(f"Checking structures for {given.key}", start, len(dataset))
        attempt([i for i in range(start, min(start + _CHUNK, len(dataset))) if i not in failures], compute, failed)


def compute_features(given: FeatureSet, problem: Problem) -> tuple[Features, BaseEstimator]:
    """Compute one feature set for all samples of a problem.

    Returns
    -------
    features : Features
        One row for each sample.
    transformer : transformer
        Fitted to all structures of the samples: it learns which elements there are and how large structures get.
        Channels of the elements that are learnt are those of all targets, and the features know how to learn them from
        a training part alone.

    Raises
    ------
    ValueError, TypeError
        If a structure cannot be described, or the rows do not fit the target.
    """
    dataset, transformer = problem.dataset, clone(given.transformer)
    start = perf_counter()
    needed = np.unique(problem.structures)
    inputs = inputs_of(dataset if len(needed) == len(dataset) else dataset.take(needed))
    check_learnable(given, problem)
    learnt = None
    try:
        if learns(transformer):
            learnt = LearntColumns(transformer, inputs, problem.y)
            transformer, values = learnt.transformer, learnt.table
        else:
            values = transformer.fit_transform(inputs)
    except (ValueError, TypeError) as error:
        hint = '; on_error = "skip" in [data] leaves such structures out' if isinstance(error, StructureError) else ""
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"features.{given.key}: {error}{hint}") from error
    values = _rows(given, problem, needed, values)
    known = None if given.pairwise else meanings_of(transformer)
    return (
        Features(
            given.key,
            given.title,
            given.description,
            values,
            () if known is None else known.names,
            perf_counter() - start,
            plain(transformer),
            pairwise=given.pairwise,
            blocks=_blocks(transformer),
            meanings=known,
            notes=seen_in_training(transformer, problem),
            learnt=learnt,
        ),
        transformer,
    )


def _blocks(transformer: BaseEstimator) -> dict[str, tuple[int, int]]:
    """Return the columns of each of joined features."""
    blocks, start = {}, 0
    for name, part in joined_parts(transformer).items():
        stop = start + len(part.get_feature_names_out())
        if stop > start:
            blocks[name] = (start, stop)
        start = stop
    return blocks


def _rows(given: FeatureSet, problem: Problem, needed: npt.NDArray[np.intp], values: Any) -> Any:
    """Return one row for each sample."""
    one_each = getattr(values, "ndim", 0) == 2 and values.shape[0] == len(needed)
    if problem.atoms is None:
        if one_each:
            return values
        raise ValueError(
            f"features.{given.key} has a row for each atom, target {problem.target_name!r} one value for each "
            'structure: give the descriptor average = "inner" or "outer", or pooling = "mean"'
        )
    if one_each or given.pairwise:
        raise ValueError(
            f"features.{given.key} has one row for each structure, target {problem.target_name!r} values for atoms: "
            "use a local descriptor (SOAP, ACSF, LMBTR) without average and pooling"
        )
    counts = [len(rows) for rows in values]
    firsts = offsets_of(counts)
    place = np.searchsorted(needed, problem.structures)
    return np.concatenate([np.asarray(rows) for rows in values])[firsts[place] + problem.atoms]
