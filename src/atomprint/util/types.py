"""Names for what passes between functions and has no type of its own."""

from __future__ import annotations

from os import PathLike
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]
Mask: TypeAlias = npt.NDArray[np.bool_]

PathOrStr: TypeAlias = str | PathLike[str]

Estimator: TypeAlias = Any
"""Anything with the methods of scikit-learn's models and transformers, which share no base class."""

Samples: TypeAlias = Any
"""What estimators are fitted to: a table of features, dense or sparse, a kernel between samples, or structures."""

Targets: TypeAlias = Any
"""What estimators learn: array-like of numbers or classes, or nothing."""

Structure: TypeAlias = Any
"""One structure of any kind that descriptors take: of ASE, of pymatgen."""

Items: TypeAlias = Any
"""A sequence of structures of any kind that descriptors take, or a :class:`~atomprint.structures.Batch`."""

Json: TypeAlias = Any
"""What JSON can hold: None, truth values, numbers, words, lists and dicts of these."""

JsonObject: TypeAlias = dict[str, Json]
