"""Blocks of joined features: which columns belong to which, and models that see only some of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from atomprint.learn.task.noise import DropNoise
from atomprint.util.registry import public
from atomprint.util.types import Estimator, Indices, Mask, Samples, Targets

Blocks = Mapping[str, tuple[int, int]]
"""First and one-past-last column of each block of features, by its name, in the order of the columns."""


class TakesBlocks:
    """An estimator whose parameter ``blocks``, where it is None, stands for the blocks of the features it is given."""

    blocks: Any


@public("SelectBlocks", version=1)
class SelectBlocks(TakesBlocks, SelectorMixin, BaseEstimator):
    """Some of the blocks of joined features, for models that are to see no others.

    Parameters
    ----------
    names : sequence of str
        Names of the blocks. Columns keep their order, whatever the order of the names.
    blocks : mapping of str to (int, int), optional
        First and one-past-last column of each block. Default: those of the features, which
        :func:`~atomprint.learn.evaluate` sees to (:func:`with_blocks`).

    Attributes
    ----------
    n_features_in_ : int
        Number of features.

    Raises
    ------
    ValueError
        In ``fit``, if the features have no such block.
    """

    def __init__(self, names: Sequence[str], blocks: Blocks | None = None) -> None:
        self.names = names
        self.blocks = blocks

    def fit(self, X: Samples, y: Targets = None) -> Self:
        """Find the columns.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Joined features.
        y : ignored

        Returns
        -------
        self
        """
        names = check_names("blocks", self.names)
        X = validate_data(self, X, dtype=None, accept_sparse="csr", ensure_all_finite=False)
        known = {} if self.blocks is None else check_blocks(self.blocks, X.shape[1])
        check_known(names, known)
        self.mask_ = np.zeros(X.shape[1], dtype=bool)
        for name in names:
            self.mask_[slice(*known[name])] = True
        return self

    def _get_support_mask(self) -> Mask:
        check_is_fitted(self)
        return self.mask_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True  # what is missing is for the steps behind it
        return tags


def check_names(what: str, names: Any) -> tuple[str, ...]:
    """Return names of blocks; raise unless they are a sequence of one or more different strings."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{what} must be a list of names of joined features, got {names!r}")
    if len(names) == 0 or len(set(names)) < len(names):
        raise ValueError(f"{what} must hold at least one name, and none twice, got {list(names)!r}")
    return tuple(names)


def check_known(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise if blocks are asked for that features do not have."""
    known = list(known)
    for name in names:
        if name not in known:
            have = f"their blocks are {', '.join(map(repr, known))}" if known else "these are not joined features"
            raise ValueError(f"blocks must be among those of the features, got {name!r}: {have}")


def check_blocks(blocks: Any, n_features: int, where: str = "blocks") -> dict[str, tuple[int, int]]:
    """Return blocks by their names, checked.

    Parameters
    ----------
    blocks : mapping of str to (int, int), or sequence of (int, int)
        First and one-past-last column of each; without names they become "block 1", "block 2" …
    n_features : int
        Number of columns.
    where : str
        Name of the parameter, for messages.

    Raises
    ------
    TypeError, ValueError
        Unless they follow one another from the first column to the last, with one column each at least.
    """
    if isinstance(blocks, Sequence) and not isinstance(blocks, str):
        blocks = {f"block {number}": pair for number, pair in enumerate(blocks, start=1)}
    if not isinstance(blocks, Mapping):
        raise TypeError(f"{where} must be a mapping of names to (start, stop), got {blocks!r}")
    found: dict[str, tuple[int, int]] = {}
    last = 0
    for name, pair in blocks.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"{where}: names must be strings, got {name!r}")
        if not isinstance(pair, Sequence) or len(pair) != 2 or not all(isinstance(k, int | np.integer) for k in pair):
            raise TypeError(f"{where}: {name!r} must be two column numbers (start, stop), got {pair!r}")
        start, stop = map(int, pair)
        if start != last or stop <= start:
            raise ValueError(
                f"{where} must follow one another without gaps: {name!r} must begin at column {last} and hold at least "
                f"one, got ({start}, {stop})"
            )
        found[name] = (start, stop)
        last = stop
    if found and last != n_features:
        raise ValueError(f"{where} must reach to the last of {n_features} features, got {last} columns")
    return found


def with_blocks(estimator: Estimator, blocks: Blocks) -> Estimator:
    """Return a model that knows the blocks of the features that it will be given.

    Parameters
    ----------
    estimator : estimator
        A model that is not fitted; it is left as it is. It may be a pipeline, a search or anything else with estimators
        among its parameters.
    blocks : mapping of str to (int, int)
        First and one-past-last column of each block.

    Returns
    -------
    estimator
        A clone in which every :class:`TakesBlocks` without blocks of its own has them: behind a :class:`SelectBlocks`
        the selected ones, behind steps that make other columns, such as a projection, none.
    """
    model = clone(estimator)
    if blocks:
        _set_blocks(model, dict(blocks))
    return model


def _set_blocks(item: Any, blocks: dict[str, tuple[int, int]]) -> None:
    if isinstance(item, Pipeline):
        for _, step in item.steps:
            _set_blocks(step, blocks)
            blocks = _behind(step, blocks)
    elif isinstance(item, list | tuple):
        for part in item:
            _set_blocks(part, blocks)
    elif hasattr(item, "get_params") and not isinstance(item, type):
        if isinstance(item, TakesBlocks) and blocks and item.blocks is None:
            item.blocks = blocks
        for value in item.get_params(deep=False).values():
            _set_blocks(value, blocks)


def _behind(step: Estimator, blocks: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Return the blocks of what a step makes of features; empty if it mixes them."""
    if isinstance(step, Pipeline):
        for _, part in step.steps:
            blocks = _behind(part, blocks)
        return blocks
    if isinstance(step, SelectBlocks):
        found, last = {}, 0
        for name, (start, stop) in blocks.items():
            if name in step.names:
                found[name] = (last, last + stop - start)
                last += stop - start
        return found
    return blocks if keeps_columns(step) else {}


def keeps_columns(step: Estimator) -> bool:
    """Return whether each feature that goes into a transformer comes out of it at the same place."""
    if isinstance(step, SimpleImputer):
        return bool(step.keep_empty_features and not step.add_indicator)
    if isinstance(step, DropNoise):
        return bool(step.keep)
    return step in (None, "passthrough") or isinstance(step, OneToOneFeatureMixin)


def seen_columns(steps: Iterable[Estimator], n_features: int) -> Indices | None:
    """Return which of the features are left behind fitted transformers; None if these make others of them."""
    columns = np.arange(n_features)
    for step in steps:
        if isinstance(step, SelectorMixin):
            columns = columns[step.get_support()]
        elif not keeps_columns(step):
            return None
    return columns
