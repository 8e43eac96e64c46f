"""From a recipe to what it names: data that are read, features and models that are made, nothing computed yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from sklearn.base import BaseEstimator

from atomprint.datasets import Dataset
from atomprint.learn.estimators.except_blocks import ExceptBlocks
from atomprint.learn.estimators.projection import ProjectBlocks
from atomprint.learn.splits.split import Split
from atomprint.learn.study.run import count_steps, takes_kernel
from atomprint.learn.task.blocks import SelectBlocks, check_known
from atomprint.learn.task.problem import Problem
from atomprint.util.validation import check_n_jobs
from atomprint.workflow.recipes.completion import complete
from atomprint.workflow.recipes.features import FeatureSet, build_features, joined_parts
from atomprint.workflow.recipes.models import build_models
from atomprint.workflow.recipes.recipe import Recipe
from atomprint.workflow.saved.pretrained import check_benchmark, seen_in_training


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be done with which data: the objects that a recipe names.

    Parameters
    ----------
    recipe : Recipe
        What all of it was made from, with what was left to the data filled in.
    problem : Problem
        The samples and the target.
    features : sequence of FeatureSet
        Features, not computed.
    models : mapping of str to estimator
        Models, not fitted.
    titles : mapping of str to str
        Their names for people.
    split : Split
        The samples for training and testing.
    n_jobs : int
        Number of threads, 1 or more.
    reasons : tuple of str
        Why what was left to the data is as it is, in sentences.
    """

    recipe: Recipe
    problem: Problem
    features: Sequence[FeatureSet]
    models: Mapping[str, BaseEstimator]
    titles: Mapping[str, str]
    split: Split
    n_jobs: int
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """Read the data of a recipe, fill in what it leaves to them, and make what it names.

        Raises
        ------
        ValueError, TypeError
            If the recipe does not fit the data; the message names the entry.
        ImportError
            If something needs a package that is not installed; the message says how to install it.
        """
        dataset = recipe.data.load(recipe.seed)
        full, why = complete(recipe, dataset)
        plan = cls.on(full, dataset, tuple(sentence for sentences in why.values() for sentence in sentences))
        transformers = [given.transformer for given in plan.features]
        if full.split.method == "official" and full.data.name is not None:
            check_benchmark(transformers, full.data.name, plan.problem)
        return replace(plan, reasons=(*plan.reasons, *seen_in_training(transformers, plan.problem)))

    @classmethod
    def on(cls, recipe: Recipe, dataset: Dataset, reasons: tuple[str, ...] = ()) -> Self:
        """Make what a recipe names, which leaves nothing open, for data that are read already; see :meth:`of`."""
        problem = Problem.of(dataset, recipe.data.target_of(dataset))
        split = recipe.split.divide(problem, recipe.seed)
        n_jobs = check_n_jobs(recipe.n_jobs)
        features = build_features(recipe.features, dataset, problem.target.level, n_jobs)
        models, titles = build_models(
            recipe.models,
            problem.kind,
            pairwise=[given.pairwise for given in features],
            search=replace(recipe.search, seed=recipe.seed),
            # Fits share the threads.
            n_jobs=1 if len(split.parts()) > 1 else n_jobs,
            threshold=recipe.target.threshold,
            transform=recipe.target.transform,
        )
        _check_blocks(models, features)
        return cls(recipe, problem, features, models, titles, split, n_jobs, reasons)

    @property
    def n_steps(self) -> int:
        """Number of steps of the study, for whoever shows progress."""
        kernels = [takes_kernel(model) for model in self.models.values()]
        n_pairs = sum(kernels.count(given.pairwise) for given in self.features)
        curve = bool(self.recipe.evaluation.learning_curve)
        return count_steps(len(self.features), n_pairs, self.split, curve=curve)


def _check_blocks(models: Mapping[str, BaseEstimator], features: Sequence[FeatureSet]) -> None:
    """Raise if a model is to see a block that some of the features do not have."""
    for key, model in models.items():
        for step in model.get_params().values():
            for given in features if isinstance(step, SelectBlocks | ProjectBlocks | ExceptBlocks) else ():
                try:
                    check_known(step.names, joined_parts(given.transformer))
                except ValueError as error:
                    raise ValueError(f"models.{key} on features.{given.key}: {error}") from None
