"""Which samples models learn from, and which they are tested on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Split:
    """Which samples are for training and which for testing.

    Parameters
    ----------
    train, test : ndarray of int
        Indices of the samples of the training and the test part. Without a test part (a cross-validation over all
        samples, such as the folds of Matbench) ``test`` is empty.
    folds : tuple of (ndarray of int, ndarray of int)
        The cross-validation within the training part: indices to fit, and indices to predict, into all samples.
        Empty if there is none.
    seed : int
        Seed of the shuffling and of the models.
    method : str
        How the samples were divided, as recipes name it.
    description : str
        The same in a sentence.
    fold_names : tuple of str
        Names of the folds, such as the element left out; empty for "fold 1", "fold 2" …
    """

    train: Indices
    test: Indices
    folds: tuple[tuple[Indices, Indices], ...]
    seed: int
    method: str = "random"
    description: str = ""
    fold_names: tuple[str, ...] = ()
