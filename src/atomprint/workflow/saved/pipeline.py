"""One pipeline from structures to predictions: its assembly, and what comes out at which step."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from atomprint.kernels import StructureKernel
from atomprint.layout import Meanings
from atomprint.learn.task.features import meanings_of
from atomprint.pooling.pooling import LocalFeatures
from atomprint.util.estimators import NOTHING, layers, named_parts, steps_before, with_inner, with_parts
from atomprint.util.registry import public
from atomprint.util.types import Estimator
from atomprint.util.validation import check_choice, check_n_jobs

LEVELS = ("structure", "atom")
KINDS = ("structures", "molecules", "compositions")  # each has what those after it have


@public("AtomRows", version=1)
class AtomRows(TransformerMixin, BaseEstimator):
    """The features of all centres of all structures as one table: what a model of atoms is given."""

    def fit(self, X: LocalFeatures, y: Any = None) -> Self:
        """Keep the number of features."""
        self.n_features_in_ = int(self.transform(X).shape[1])
        return self

    def transform(self, X: LocalFeatures) -> Any:
        """Return the features of all centres, shape (n_centers, n_features)."""
        if not isinstance(X, LocalFeatures):
            raise TypeError(
                "features of atoms must be LocalFeatures, as a descriptor of local environments gives them without "
                f"averaging and pooling, got {type(X).__name__}"
            )
        return X.values

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names that the features had before."""
        return input_features

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        tags.requires_fit = False
        return tags


@public("LocalUnion", version=1)
class LocalUnion(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]  # scikit-learn's
    """Several local descriptors side by side: what ``FeatureUnion`` is for tables.

    Parameters
    ----------
    transformers : sequence of (str, LocalDescriptor)
        Names and descriptors, all with the same centres.
    """

    def __init__(self, transformers: Sequence[tuple[str, Any]]) -> None:
        self.transformers = transformers

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit every descriptor."""
        for _, descriptor in self.transformers:
            descriptor.fit(X)
        return self

    def transform(self, X: Any) -> LocalFeatures:
        """Return the features of all descriptors, one after the other, for every centre.

        Raises
        ------
        TypeError, ValueError
            If a descriptor gives anything but local features, or not those of the same centres as the first.
        """
        parts: list[Any] = [descriptor.transform(X) for _, descriptor in self.transformers]
        for (name, _), part in zip(self.transformers, parts, strict=True):
            if not isinstance(part, LocalFeatures):
                raise TypeError(
                    f"{name!r} must give features of atoms, got {type(part).__name__}: leave out its pooling"
                )
            same = all(np.array_equal(getattr(part, key), getattr(parts[0], key)) for key in ("offsets", "atoms"))
            if not same:
                raise ValueError(f"{name!r} must have the same centres as {self.transformers[0][0]!r}")
        stack = sparse.hstack if any(sparse.issparse(part.values) for part in parts) else np.hstack
        first = parts[0]
        values = stack([part.values for part in parts])
        values = sparse.csr_array(values) if sparse.issparse(values) else values
        return LocalFeatures(values, first.offsets, first.numbers, first.atoms, first.structures)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the features, each after that of its descriptor, as ``FeatureUnion`` does."""
        names = [
            f"{key}__{name}" for key, descriptor in self.transformers for name in descriptor.get_feature_names_out()
        ]
        return np.array(names, dtype=object)

    def get_feature_meanings(self, given: Meanings | None = None) -> Meanings:
        """Return what the features are about, as for ``FeatureUnion``."""
        return Meanings.joined({key: meanings_of(descriptor) for key, descriptor in self.transformers})

    def __sklearn_is_fitted__(self) -> bool:
        return all(descriptor.__sklearn_is_fitted__() for _, descriptor in self.transformers)


class Table(NamedTuple):
    """The first table of numbers on the way through a pipeline."""

    values: Any  # shape (n_rows, n_features), dense or sparse
    local: LocalFeatures | None  # where the rows came from, for atoms
    n_steps: int  # how many steps of the pipeline made it


def assemble(features: Any, model: Any, level: str = "structure") -> Pipeline:
    """Join fitted features and a fitted model to one pipeline from structures to predictions.

    Parameters
    ----------
    features : transformer
        A fitted descriptor, :class:`~atomprint.descriptors.ElementProperty`, a ``FeatureUnion`` or
        :class:`LocalUnion` of several, or a ``Pipeline`` such as one of a descriptor and a structure kernel.
    model : estimator
        What was fitted to these features: a model, a ``Pipeline`` that ends in one, or a search, of which the best
        estimator is taken.
    level : {"structure", "atom"}
        What is predicted. For atoms the step :class:`AtomRows` comes between features and model.

    Returns
    -------
    Pipeline
        With the steps ``features``, those of the model, and ``model``; nothing is fitted again.

    Raises
    ------
    ValueError
        If ``level`` is neither, or a search has no best estimator.
    """
    steps: list[tuple[str, Any]] = [("features", features)]
    if check_choice("level", level, LEVELS) == "atom":
        steps.append(("rows", AtomRows()))
    before: list[tuple[str, Estimator]] = []
    for model in layers(model):  # noqa: B020  # down to the first that is neither a search nor a pipeline
        before += steps_before(model)
        if not (isinstance(model, Pipeline) or hasattr(model, "best_estimator_")):
            break
    taken = {name for name, _ in steps} | {"model"}
    for name, step in before:
        own, count = name, 2
        while own in taken:
            own, count = f"{name}{count}", count + 1
        taken.add(own)
        steps.append((own, step))
    return Pipeline([*steps, ("model", model)])


def first_table(pipeline: Pipeline, items: Any, known: Any = None) -> Table:
    """Take structures or compositions through the steps of a pipeline, up to the first table of numbers.

    Parameters
    ----------
    pipeline : Pipeline
        The pipeline.
    items : sequence or Batch
        Structures or compositions.
    known : array of shape (n, n_features), optional
        What the first step, a descriptor or several that are joined, makes of them, where that is known already.

    Raises
    ------
    ValueError, TypeError
        Whatever the steps raise, or if none of them but the model makes a table.
    """
    X, local = items, None
    for n_steps, (_, step) in enumerate(pipeline.steps[:-1], start=1):
        if n_steps == 1 and known is not None:
            _check(step, X)
            X = known
        elif step not in (None, "passthrough"):
            X = step.transform(X)
        if isinstance(X, LocalFeatures):
            local = X
        elif getattr(X, "ndim", 0) == 2:
            return Table(X if sparse.issparse(X) else np.asarray(X), local, n_steps)
    raise ValueError(
        "pipeline: the steps before the model must make a table with one row for each sample, got "
        f"{type(X).__name__}: is an average or a pooling missing, or level='atom'?"
    )


def _check(step: Any, items: Any) -> None:
    """Raise what a descriptor does of items that it cannot describe, or what those that are joined or come first do."""
    if parts := list(named_parts(step).values()):
        for part in parts[:1] if isinstance(step, Pipeline) else parts:
            _check(part, items)
    elif hasattr(step, "check"):
        step.check(items)


def table_names(pipeline: Pipeline, n_steps: int) -> list[str]:
    """Return the names of the features of the first table; empty for a kernel, whose columns are structures."""
    if kernel_of(pipeline, n_steps) is not None:
        return []
    return [str(name) for name in pipeline[:n_steps].get_feature_names_out()]


def kernel_of(pipeline: Pipeline, n_steps: int) -> StructureKernel | None:
    """Return the structure kernel that makes the first table, if one does."""
    *_, step = layers(pipeline.steps[n_steps - 1][1])
    return step if isinstance(step, StructureKernel) else None


def taken_by(step: Any) -> str:
    """Return what a pipeline or a transformer takes at least: ``"structures"``, ``"molecules"`` or ``"compositions"``.

    Molecules are known by their bonds, and have compositions.
    """
    parts = [part for part in named_parts(step).values() if part not in NOTHING]
    if parts:
        taken = {taken_by(part) for part in (parts[:1] if isinstance(step, Pipeline) else parts)}
        return next(kind for kind in KINDS if kind in taken)
    if not (hasattr(step, "__sklearn_tags__") and get_tags(step).input_tags.string):
        return "structures"
    return str(getattr(step, "takes", "compositions"))


def needs_structures(step: Any) -> bool:
    """Return whether neither formulas nor bonds are enough for a pipeline or a transformer."""
    return taken_by(step) == "structures"


def with_n_jobs(step: Any, n_jobs: int) -> Any:
    """Return a step whose descriptors and models use ``n_jobs`` threads; the original is not changed.

    Fitted arrays are shared with the original.
    """
    check_n_jobs(n_jobs)
    if named_parts(step):
        return with_parts(step, lambda part: with_n_jobs(part, n_jobs))
    twin = copy(with_inner(step, lambda part: with_n_jobs(part, n_jobs)))
    if isinstance(step, BaseEstimator) and hasattr(step, "n_jobs"):
        twin.n_jobs = n_jobs
    return twin
