"""The ``[models]`` of a recipe, and the estimators that they name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from sklearn.base import BaseEstimator

from atomprint.learn.models.catalogue import MODELS, OTHER_NAMES
from atomprint.learn.models.make import make_model
from atomprint.learn.models.search import Search
from atomprint.workflow.recipes.sections import named_tables, typed

ON_KERNEL = " on a kernel"
"""What the key of a model ends with that is given a kernel, where others are given features."""


@dataclass(frozen=True)
class ModelSection:
    """``[models.KEY]``: a model.

    Parameters
    ----------
    key : str
        Its name in the recipe.
    type : str
        A name in :data:`atomprint.learn.MODELS`, or the import path of an estimator.
    parameters : mapping of str to object
        Its parameters.
    title : str or None
        For reports. Default: that of the type.
    space : mapping or None
        Choices for the search. Default: those of the type.
    """

    key: str
    type: str
    parameters: Mapping[str, Any]
    title: str | None = None
    space: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, key: str, table: Mapping[str, Any]) -> Self:
        """Return the section that a table describes."""
        given = {name: typed(table[name], "str", f"models.{key}.{name}") for name in ("type", "title") if name in table}
        parameters = {name: value for name, value in table.items() if name not in ("type", "title", "space")}
        given["type"] = OTHER_NAMES.get(given.get("type", key), given.get("type", key))
        return cls(key, parameters=parameters, space=table.get("space"), **given)

    def to_dict(self) -> dict[str, Any]:
        """Return the table."""
        own = {"type": None if self.type == self.key else self.type, "title": self.title, "space": self.space}
        return {**{name: value for name, value in own.items() if value is not None}, **self.parameters}

    def of_logs(self) -> Self:
        """Return the section of the same model, for the logarithms of targets."""
        title = f"{self.name} of logarithms"
        return replace(self, key=f"{self.key}_log", title=title, parameters={**self.parameters, "transform": "log"})

    @property
    def name(self) -> str:
        """Name for people."""
        if self.title is not None:
            return self.title
        return MODELS[self.type].title if self.type in MODELS else self.type.rpartition(".")[2]

    def build(
        self,
        kind: str,
        *,
        pairwise: bool,
        search: Search,
        n_jobs: int,
        threshold: float | str | None = None,
        transform: str | None = None,
    ) -> BaseEstimator:
        """Return the model as :func:`make_model` does; an error names the entry.

        The seed of the search is that of everything random. Models that choose for themselves are not searched. What
        the entry has of threshold (of models with probabilities) and transformation overrules what is given here.
        """
        searched = self.space is not None or (self.type in MODELS and MODELS[self.type].space)

        def made(parameters: Mapping[str, Any]) -> BaseEstimator:
            return make_model(
                self.type,
                kind,
                random_state=search.seed,
                n_jobs=n_jobs,
                search=replace(search, space=self.space) if searched else None,
                pairwise=pairwise,
                **parameters,
            )

        try:
            model = made({"transform": transform, **self.parameters})
            if threshold is None or "threshold" in self.parameters or not hasattr(model, "predict_proba"):
                return model
            return made({"threshold": threshold, **self.parameters})
        except (ValueError, TypeError) as error:  # of a class of others also one that is made from other arguments
            kind_of_error = TypeError if isinstance(error, TypeError) else ValueError
            raise kind_of_error(f"models.{self.key}: {error}") from error


def read_models(value: Any) -> dict[str, ModelSection]:
    """Return the sections of ``[models]``; none where they are left to the data."""
    return {key: ModelSection.read(key, table) for key, table in named_tables(value, "models", "ridge").items()}


def build_models(
    sections: Mapping[str, ModelSection],
    kind: str,
    *,
    pairwise: Collection[bool],
    search: Search,
    n_jobs: int,
    threshold: float | str | None = None,
    transform: str | None = None,
) -> tuple[dict[str, BaseEstimator], dict[str, str]]:
    """Return models, not fitted, and their titles: for features, for kernels, or one of each.

    ``pairwise`` says for each set of features whether it is a kernel; see :meth:`ModelSection.build` for the rest.
    """
    models, titles = {}, {}
    for key, section in sections.items():
        for kernel in sorted(set(pairwise)):
            if kernel and section.type in MODELS and not MODELS[section.type].pairwise:
                continue
            suffix = ON_KERNEL if kernel and False in pairwise else ""
            try:
                models[key + suffix] = section.build(
                    kind, pairwise=kernel, search=search, n_jobs=n_jobs, threshold=threshold, transform=transform
                )
            except (ValueError, TypeError):
                if suffix:
                    continue  # an estimator by its import path, which takes no kernel
                raise
            titles[key + suffix] = section.name + suffix
    if not models:
        raise ValueError(f"models: none of {', '.join(sections)} takes the similarities of a kernel: add svm")
    return models, titles
