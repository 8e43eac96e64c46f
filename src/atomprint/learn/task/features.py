"""What models are given: one row of numbers, or one row of a kernel matrix, for each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from sklearn.pipeline import FeatureUnion, Pipeline

from atomprint.layout import Meanings
from atomprint.learn.task.blocks import Blocks, check_blocks, seen_columns
from atomprint.util.types import Array, Estimator, Indices, Samples


class Learnt(Protocol):
    """Features that are learnt from targets, and are others for each training part."""

    columns: Indices
    """Which columns of the table they are."""

    def values(self, samples: Indices) -> Array:
        """Return these columns for all samples, learnt from the targets of some; shape (n_samples, n_columns)."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of all samples of a problem, computed once but for those that are learnt from targets.

    Parameters
    ----------
    key, title, description : str
        Short name, name for people, and what the features are.
    values : ndarray or sparse array, shape (n_samples, n_features), or sequence
        The features, one row for each sample of the :class:`~atomprint.learn.Problem`. With ``pairwise`` the kernel
        between all samples, shape (n_samples, n_samples). A sequence of n_samples structures or formulas, for models
        that begin with a descriptor.
    names : sequence of str
        Names of the features; empty for a kernel and for structures.
    seconds : float
        Time that they took.
    parameters : mapping
        How they were made, in plain types.
    pairwise : bool
        Whether the values are a kernel between samples.
    blocks : mapping of str to (int, int)
        First and one-past-last column of each block of joined features, which follow one another; empty if they are
        not joined. Models that make use of blocks (:func:`~atomprint.learn.make_model`) are told of them where they are
        fitted.
    meanings : Meanings, optional
        What the features are about (:func:`meanings_of`), for the importance of groups. Default: their names alone.
    notes : sequence of str
        What whoever trusts a model of them must know, such as what they have seen in a training before.
    learnt : Learnt, optional
        Which of them are learnt from targets: those in ``values`` from all, which no model that is tested may see.

    Raises
    ------
    ValueError, TypeError
        If there are not as many names as features, a kernel is not square, or blocks do not cover the features.
    """

    key: str
    title: str
    description: str
    values: Samples
    names: Sequence[str]
    seconds: float
    parameters: Mapping[str, Any]
    pairwise: bool = False
    blocks: Blocks = field(default_factory=dict)
    meanings: Meanings | None = None
    notes: Sequence[str] = ()
    learnt: Learnt | None = None

    def __post_init__(self) -> None:
        shape = getattr(self.values, "shape", None)
        if self.pairwise and (shape is None or len(shape) != 2 or shape[0] != shape[1]):
            raise ValueError(f"features {self.key!r}: a kernel between samples must be square, got shape {shape}")
        if shape is not None and len(shape) != 2:
            raise ValueError(f"features {self.key!r}: values must have shape (n_samples, n_features), got {shape}")
        if shape is not None and len(self.names) not in (0, shape[1]):
            raise ValueError(
                f"features {self.key!r}: names must name each of {shape[1]} features, got {len(self.names)}"
            )
        if self.blocks:
            if self.pairwise or shape is None:
                raise ValueError(f"features {self.key!r}: blocks are for tables of features, got {dict(self.blocks)!r}")
            check_blocks(self.blocks, shape[1], f"features {self.key!r}: blocks")

    def __len__(self) -> int:
        """Return the number of samples."""
        return int(self.values.shape[0]) if hasattr(self.values, "shape") else len(self.values)

    def take(self, rows: Indices, fitted: Indices | None = None) -> Samples:
        """Return what a model is given for some samples.

        Parameters
        ----------
        rows : ndarray of int
            The samples.
        fitted : ndarray of int, optional
            The samples that the model was fitted to: the columns of a kernel, and those whose targets features are
            learnt from. Default: ``rows``.

        Returns
        -------
        array or list
            A copy.
        """
        fitted = rows if fitted is None else fitted
        if self.pairwise:
            return self.values[np.ix_(rows, fitted)]
        if self.learnt is not None:
            taken = self.values[rows]
            taken[:, self.learnt.columns] = self.learnt.values(fitted)[rows]
            return taken
        return self.values[rows] if hasattr(self.values, "shape") else [self.values[i] for i in rows]


def meanings_of(transformer: Estimator, given: Meanings | None = None) -> Meanings:
    """Return what the features of a fitted transformer are about.

    Parameters
    ----------
    transformer : transformer
        A descriptor, a ``FeatureUnion`` of several, a ``Pipeline`` that begins with one, or anything else that names
        its features. A class of yours may have a method ``get_feature_meanings``, as descriptors have.
    given : Meanings, optional
        What the features that it is given are about, unless it is given structures.

    Returns
    -------
    Meanings
        Of features that a step mixes, such as principal components, the names alone.
    """
    if transformer in (None, "passthrough") and given is not None:
        return given
    if hasattr(transformer, "get_feature_meanings"):
        own: Meanings = transformer.get_feature_meanings(given)
        return own
    if isinstance(transformer, Pipeline):
        for _, step in transformer.steps:
            given = meanings_of(step, given)
        assert given is not None
        return given
    if isinstance(transformer, FeatureUnion):
        parts = {name: part for name, part in transformer.transformer_list if part != "drop"}
        return Meanings.joined({name: meanings_of(part, given) for name, part in parts.items()})
    names = list(transformer.get_feature_names_out(None if given is None else given.names))
    columns = None if given is None else seen_columns([transformer], len(given.names))
    return Meanings.of_names(names) if given is None or columns is None else given.take(columns, names)
