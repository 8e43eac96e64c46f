"""What a model has seen in training, and how far from it a new sample is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint.layout import symbols_of
from atomprint.learn.estimators.expected import Expected
from atomprint.util.plain import finite_or_none
from atomprint.util.types import Mask
from atomprint.workflow.saved.contents import Content
from atomprint.workflow.saved.detector import DISTANCE, GEOMETRY, Detector
from atomprint.workflow.saved.distances import (
    N_NEIGHBORS,
    FloatArray,
    Indices,
    Space,
    dense_rows,
    kernel_distances,
    left_out,
    training_rows,
)
from atomprint.workflow.saved.geometry import Packing
from atomprint.workflow.saved.seen import Seen
from atomprint.workflow.saved.trained import Held

LEVEL = 0.99
_MIN_SAMPLES = 5  # to say anything about distances


@dataclass(frozen=True, eq=False)
class Domain:
    r"""The training domain of a model: elements, geometry, ranges of features, and a distance.

    Elements must be those of the training set, and so must volumes per atom, distances between atoms and numbers of
    neighbours (:class:`~atomprint.workflow.saved.geometry.Packing`): features alone can come out as for a training
    structure although all atoms are too far apart to see each other.

    The distance of a sample to the training set is the mean over its 5 nearest neighbours in it ([1]_, [2]_). It is
    Euclidean, between features that are scaled to standard deviation 1 and cut off at 10. More than 50 features are
    reduced to 50 principal components of the training set and, as one more coordinate, the length of what these leave
    out of a sample, so that something new in a direction that the training set does not know is not overlooked
    ([3]_). Where a kernel between structures takes the place of features the distance is
    :math:`\sqrt{K_{AA} + K_{BB} - 2 K_{AB}}` of the normalised kernel.

    What is far is measured on the training set: samples are left out in 5 folds (a structure with all its atoms, and
    the whole of a group that the cross-validation keeps together; with a kernel each sample alone), and their distances
    to the rest, and the numbers of their features outside the ranges of the rest, are those of new samples of the same
    origin (only the scales are those of all). What exceeds 99 % of these is outside. Features that never varied in the
    training set count by themselves: in perfect crystals many vanish, which they do not once atoms are displaced.

    What the model itself is in doubt about enters by a score that is calibrated on samples held out of fits
    (:class:`~atomprint.workflow.saved.detector.Detector`): of these, 5 % are outside for one reason or another.

    Parameters
    ----------
    elements : tuple of int
        Atomic numbers of all elements of the training set.
    n_atoms : (int, int) or None
        Smallest and largest number of atoms; None for compositions.
    n_samples : int
        Number of samples that the distances were learnt from, at most 5000, drawn at random.
    threshold : float
        Distance that 99 % of left-out training samples do not exceed; nan if there are too few to say.
    max_outside : int
        Number of features outside their ranges, in the same sense.
    quantiles : ndarray of float64, shape (101,)
        Distances of left-out training samples: the smallest, that which 1 % do not exceed, …, the largest. Empty if
        there are too few.
    kernel : bool
        Whether distances come from a kernel between structures.
    space : object or None
        Training samples as distances are measured to them; None for a kernel, or if there are too few samples.
    packing : Packing or None
        What is usual of the geometry of structures; None for compositions, or if there are too few.
    seen : Seen or None
        By what training samples are recognised.
    max_changed : int or None
        Number of features that are the same in all training samples but not in a new one, in the sense of
        ``max_outside``; None in files that do not know it.
    detector : Detector or None
        The score; None where no predictions of samples that a model had not seen are known.
    n_repeats : tuple of int or None
        In how many directions structures of the training set repeat, for models that look at compositions alone; empty
        if it has formulas, None for other models and in files that do not know it.
    experience : Expected or None
        By which the error that is to be expected of a sample is a sign of doubt, for models that have none of their
        own; else None.

    References
    ----------
    .. [1] Sahigara, Ballabio, Todeschini and Consonni, J. Cheminform. 5, 27 (2013).
    .. [2] Tropsha and Golbraikh, Curr. Pharm. Des. 13, 3494 (2007).
    .. [3] Wold, Pattern Recognit. 8, 127 (1976).
    """

    elements: tuple[int, ...]
    n_atoms: tuple[int, int] | None
    n_samples: int
    threshold: float
    max_outside: int
    quantiles: FloatArray
    kernel: bool = False
    space: Space | None = None
    packing: Packing | None = None
    seen: Seen | None = None
    max_changed: int | None = None
    detector: Detector | None = None
    n_repeats: tuple[int, ...] | None = None
    experience: Expected | None = None

    @classmethod
    def fit(
        cls,
        X: Any,
        contents: Collection[Content],
        groups: npt.ArrayLike | None = None,
        *,
        kernel: bool = False,
        held: Held | None = None,
    ) -> Self:
        """Learn the domain from training samples.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features), or None
            Features of training samples, all or some; with ``kernel`` their similarities with all training samples,
            which must be 1 with themselves. None: nothing is said about distances.
        contents : collection of Content
            What all structures of the training set consist of.
        groups : array of shape (n_samples,), optional
            Which samples belong together, such as atoms of one structure: they are left out together.
        kernel : bool
            Whether X is a normalised kernel.
        held : Held, optional
            What models that had not seen these samples said of them. Then ``groups`` must be places among ``contents``.

        Returns
        -------
        Domain

        Raises
        ------
        ValueError
            If there is no structure.
        """
        if not contents:
            raise ValueError("a training domain needs at least one structure, got none")
        contents = list(contents)
        counts_of = Counter(z for content in contents for z in content.elements)
        sizes = [content.n_atoms for content in contents if content.n_atoms is not None]
        geometric = all(content.geometry is not None for content in contents)
        rows, labels, together, of_structures = np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.intp), None
        if X is not None:
            rows = training_rows(X.shape[0], X.shape[1])
            labels = np.arange(len(rows)) if groups is None else np.asarray(groups)[rows]
            together = labels if held is None else held.together(rows, labels, _MIN_SAMPLES)
            if held is not None:
                of_structures = np.arange(len(contents)) + int(together.max()) + 1  # of those without samples
                of_structures[labels] = together
        geometries = [content.geometry for content in contents if content.geometry is not None]
        packed = Packing.fit_and_judge(geometries, of_structures if geometric else None)
        common: dict[str, Any] = {
            "elements": tuple(sorted(counts_of)),
            "n_atoms": (min(sizes), max(sizes)) if sizes else None,
            "kernel": kernel,
            "packing": packed and packed[0],
            "seen": Seen.fit([content.identity for content in contents]),
            "n_repeats": None
            if packed
            else tuple(sorted({content.n_repeats for content in contents if content.n_repeats is not None})),
        }
        if X is None:
            return cls(n_samples=0, threshold=float("nan"), max_outside=0, quantiles=np.empty(0), **common)
        X = X[rows]
        few = len(np.unique(labels)) < _MIN_SAMPLES
        space, counts, changed = None, np.zeros(1), np.zeros(1)
        if few:
            distances = np.empty(0)
        elif kernel:
            distances = kernel_distances(dense_rows(X), itself=True)
        else:
            X = dense_rows(X)
            space = Space.fit(X)
            distances, counts, changed = left_out(space, X, together)
        threshold = float("nan") if few else float(np.quantile(distances, LEVEL, method="higher"))
        max_outside, max_changed = (int(np.quantile(own, LEVEL, method="higher")) for own in (counts, changed))
        detector = None
        if held is not None and of_structures is not None and not few:
            signs = {name: sign[rows] for name, sign in held.signs.items()} | {DISTANCE: distances}
            flagged: Mask = np.asarray((distances > threshold) | (counts > max_outside) | (changed > max_changed))
            flagged |= _has_new_element(contents, of_structures)[labels]
            if packed and geometric:
                _, novelty, outside = packed
                signs[GEOMETRY] = novelty[labels]
                flagged |= outside[labels]
            detector = Detector.fit(signs, flagged, held.errors[rows], None if held.groups is None else together)
        return cls(
            n_samples=len(rows),
            threshold=threshold,
            max_outside=max_outside,
            quantiles=np.empty(0) if few else np.quantile(distances, np.linspace(0, 1, 101)),
            space=space,
            max_changed=max_changed,
            detector=detector,
            experience=None if held is None or detector is None else held.experience,
            **common,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the domain without arrays, for people, in types of JSON."""
        return {
            "elements": list(symbols_of(self.elements)),
            "n_atoms": None if self.n_atoms is None else list(self.n_atoms),
            "n_samples": self.n_samples,
            "distance": self._measure(),
            "level": LEVEL,
            "threshold": finite_or_none(self.threshold),
            "max_outside": self.max_outside,
            "geometry": None if self.packing is None else self.packing.to_dict(),
            "n_recognised": None if self.seen is None else len(self.seen.keys),
            "doubts": None if self.detector is None else list(self.detector.told()),
        }

    def _measure(self) -> str:
        if not np.isfinite(self.threshold):
            return "not judged: too few training samples"
        what = "by the kernel" if self.kernel else "between standardised features"
        return f"mean over the {N_NEIGHBORS} nearest training samples, {what}"

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that is needed to make the domain again, as arrays for ``numpy.savez``."""
        parts = {
            f"{name}_{key}": value
            for name in _PARTS
            if (part := getattr(self, name)) is not None
            for key, value in (part.to_arrays() if isinstance(part, Expected) else vars(part)).items()
        }
        return {
            "elements": np.array(self.elements, dtype=np.int64),
            "n_atoms": np.array(self.n_atoms or (), dtype=np.int64),
            "n_samples": np.array(self.n_samples),
            "threshold": np.array(self.threshold),
            "max_outside": np.array(self.max_outside),
            **({} if self.max_changed is None else {"max_changed": np.array(self.max_changed)}),
            **({} if self.n_repeats is None else {"n_repeats": np.array(self.n_repeats, dtype=np.int64)}),
            "quantiles": self.quantiles,
            "kernel": np.array(self.kernel),
            **parts,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make a domain from what :meth:`to_arrays` returned.

        Raises
        ------
        ValueError
            If an array is missing, or shapes do not fit together.
        """
        try:
            elements = tuple(int(z) for z in arrays["elements"])
            size = tuple(int(n) for n in arrays["n_atoms"])
            parts = {
                name: kind.from_arrays(own)
                for name, kind in _PARTS.items()
                if (own := {key.removeprefix(f"{name}_"): arrays[key] for key in arrays if key.startswith(f"{name}_")})
                and not (name == "detector" and "weights" not in own)  # of a version before the first
            }
            made = cls(
                elements,
                (size[0], size[1]) if size else None,
                int(arrays["n_samples"]),
                float(arrays["threshold"]),
                int(arrays["max_outside"]),
                np.asarray(arrays["quantiles"], dtype=np.float64),
                bool(arrays["kernel"]),
                **parts,
                max_changed=int(arrays["max_changed"]) if "max_changed" in arrays else None,
                n_repeats=tuple(int(n) for n in arrays["n_repeats"]) if "n_repeats" in arrays else None,
            )
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"the training domain is not complete: {error}") from error
        if not all(0 < z < len(chemical_symbols) for z in elements):
            raise ValueError("the training domain has elements that do not exist")
        return made

    @property
    def n_features(self) -> int | None:
        """Number of features that distances are measured between; None if there are none."""
        return None if self.space is None else len(self.space.center)


def _has_new_element(contents: Collection[Content], groups: Indices) -> Mask:
    """Return which structures have an element that no other group has."""
    pairs = {(int(group), z) for group, content in zip(groups, contents, strict=True) for z in content.elements}
    counts = Counter(z for _, z in pairs)
    return np.array([any(counts[z] == 1 for z in content.elements) for content in contents])


_PARTS: Mapping[str, Any] = {
    "space": Space,
    "packing": Packing,
    "seen": Seen,
    "detector": Detector,
    "experience": Expected,
}
