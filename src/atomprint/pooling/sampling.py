"""Which atoms to describe: centres in large or disordered structures, and diverse environments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.geometry import complete_cell, minkowski_reduce

from atomprint.structures import Batch, StructureError, Structures, as_batch
from atomprint.util.parameters import CheckedParameters
from atomprint.util.registry import public
from atomprint.util.validation import check_choice, check_integer, check_real, check_species

_METHODS = ("all", "random", "farthest")

# Rows that are compared at once: their differences stay in cache.
_BLOCK_ENTRIES = 2**16


@public("CenterSampler", version=1, in_recipes=True)
class CenterSampler(CheckedParameters):
    """Choose atoms of each structure, to be the centres of a local descriptor.

    The choice has two steps: ``indices`` and ``species`` say which atoms are candidates, and ``method`` picks
    from these.

    Parameters
    ----------
    method : {"all", "random", "farthest"}
        ``"all"`` takes all candidates. ``"random"`` draws without replacement, every candidate with the same
        probability. ``"farthest"`` takes, one after the other, the candidate farthest from those already
        taken, in the minimum-image distance where the structure is periodic; a larger sample begins with the
        smaller ones.
    n : int, optional
        Number of centres for each structure, all candidates where there are fewer. For ``"random"`` and
        ``"farthest"``, either ``n`` or ``fraction`` is needed.
    fraction : float, optional
        Share of the candidates of each structure, in (0, 1], rounded, at least one.
    species : sequence of str or int, optional
        Elements of the candidates. A structure without any of them has no centres. Default: all elements.
    indices : sequence of int, or sequence of one such sequence for each structure, optional
        Indices of candidate atoms; a flat sequence holds for every structure. Default: all atoms.
    random_state : int, numpy.random.Generator or None
        Seed for ``"random"``, and for the first centre of ``"farthest"``, which is the first candidate if
        None. See Notes.

    Notes
    -----
    With an integer seed, the choice for a structure depends on the seed and the atomic numbers of its atoms
    in their order (and for ``"farthest"`` on the positions, from the second centre on), never on the other
    structures or on its place among them: training and test sets, subsets and single structures agree. A
    random choice does not depend on positions either, so that derivatives exist and the frames of a
    trajectory keep their centres. For other atoms in each frame give a ``Generator``, which is drawn from in
    the order of the structures and gives something new at every call, as None does.

    Examples
    --------
    >>> from ase.build import bulk
    >>> CenterSampler("farthest", n=2)([bulk("NaCl", "rocksalt", a=5.64, cubic=True)])
    [array([0, 3])]
    """

    def __init__(
        self,
        method: str = "all",
        *,
        n: int | None = None,
        fraction: float | None = None,
        species: Sequence[str | int] | None = None,
        indices: Any = None,
        random_state: int | np.random.Generator | None = None,
    ) -> None:
        self._initialise(locals())

    def __call__(self, structures: Structures) -> list[npt.NDArray[np.int64]]:
        """Choose centres.

        Parameters
        ----------
        structures : structure or sequence of structures
            ASE ``Atoms``, pymatgen ``Structure`` or ``Molecule``, files that ASE reads, or a
            :class:`~atomprint.structures.Batch`. They are as periodic as they say themselves.

        Returns
        -------
        list of ndarray of int64
            Indices of the centres of each structure: in the order of the candidates for ``"all"`` and
            ``"random"``, in the order of choice for ``"farthest"``.

        Raises
        ------
        ValueError, TypeError
            If a parameter or a structure is not usable; the message names the structure.
        """
        self._validate()
        batch = as_batch(structures, periodic=None)
        candidates = self._candidates(batch)
        if self.method == "all":
            return candidates
        return [own if len(own) == 0 else own[self._pick(batch[s : s + 1], s, own)] for s, own in enumerate(candidates)]

    def _validate(self) -> None:
        check_choice("method", self.method, _METHODS)
        if self.n is not None:
            check_integer("n", self.n, minimum=1)
        if self.fraction is not None and check_real("fraction", self.fraction, above=0) > 1:
            raise ValueError(f"fraction must be <= 1, got {self.fraction}")
        given = [name for name in ("n", "fraction") if getattr(self, name) is not None]
        if self.method == "all" and given:
            raise ValueError(f"{given[0]} must be None with method 'all', got {getattr(self, given[0])}")
        if self.method != "all" and len(given) != 1:
            raise ValueError(
                f"method {self.method!r} needs either n or fraction, got n={self.n} and fraction={self.fraction}"
            )
        if self.species is not None:
            check_species(self.species)
        if self.indices is not None:
            _check_given(self.indices)
        if self.random_state is not None and not isinstance(self.random_state, np.random.Generator):
            check_integer("random_state", self.random_state, minimum=0)

    def _candidates(self, batch: Batch) -> list[npt.NDArray[np.int64]]:
        counts = batch.n_atoms.tolist()
        if self.indices is None:
            candidates = [np.arange(n, dtype=np.int64) for n in counts]
        else:
            candidates = [
                _check_indices(own, s, n)
                for s, (own, n) in enumerate(zip(_per_structure(self.indices, len(counts)), counts, strict=True))
            ]
        if self.species is None:
            return candidates
        wanted = check_species(self.species)
        first = batch.offsets[:-1]
        return [own[np.isin(batch.numbers[a + own], wanted)] for a, own in zip(first, candidates, strict=True)]

    def _pick(self, structure: Batch, s: int, candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        count = len(candidates)
        n = self.n if self.fraction is None else max(1, round(self.fraction * count))
        n = count if n is None else min(n, count)
        rng = self._generator(structure.numbers)
        if self.method == "random":
            return np.sort(rng.choice(count, size=n, replace=False))
        start = 0 if self.random_state is None else int(rng.integers(count))
        return _farthest_atoms(structure, s, candidates, n, start)

    def _generator(self, numbers: npt.NDArray[np.int32]) -> np.random.Generator:
        if self.random_state is None or isinstance(self.random_state, np.random.Generator):
            return np.random.default_rng(self.random_state)
        digest = blake2b(numbers.astype("<i4").tobytes(), digest_size=16).digest()
        return np.random.default_rng([self.random_state, int.from_bytes(digest, "little")])


def farthest_point(features: npt.ArrayLike, n: int, start: int = 0) -> npt.NDArray[np.int64]:
    """Choose diverse rows: each is the one farthest from all rows chosen before it.

    Parameters
    ----------
    features : ndarray, shape (n_rows, n_features)
        Feature vectors, compared by their Euclidean distance; scale them first if their units differ.
    n : int
        Number of rows to choose, all if there are fewer.
    start : int
        The first row.

    Returns
    -------
    ndarray of int64, shape (min(n, n_rows),)
        Rows in the order of choice; of rows equally far, the first. The cost grows as ``n * n_rows``.

    Raises
    ------
    ValueError, TypeError
        If the features are not a finite matrix, or a number is out of range.

    References
    ----------
    T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theor. Comput. Sci. 38, 293
    (1985).
    """
    x = np.asarray(features)
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"features must have shape (n_rows, n_features) with at least one row, got {x.shape}")
    if x.dtype.kind not in "biuf":
        raise TypeError(f"features must be real numbers, got dtype {x.dtype}")
    if not np.isfinite(x).all():
        raise ValueError(f"features must be finite, row {int(np.argmin(np.isfinite(x).all(axis=1)))} is not")
    n = check_integer("n", n, minimum=1)
    if check_integer("start", start, minimum=0) >= len(x):
        raise ValueError(f"start must be a row in 0..{len(x) - 1}, got {start}")
    step = max(1, _BLOCK_ENTRIES // max(1, x.shape[1]))

    def squares(row: int, nearest: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        out = np.empty(len(x))
        for i in range(0, len(x), step):
            difference = x[i : i + step] - x[row].astype(np.float64)
            np.einsum("rf,rf->r", difference, difference, out=out[i : i + step])
        return out

    return farthest_of(len(x), min(n, len(x)), start, squares)


def farthest_of(
    count: int, n: int, start: int, squares: Callable[[int, npt.NDArray[np.float64]], npt.NDArray[np.float64]]
) -> npt.NDArray[np.int64]:
    """Choose ``n`` of ``count`` points.

    ``squares(i, nearest)`` returns the squared distances of all points from point ``i``. It may return more
    than that where the distance is not less than ``nearest``, that from the points chosen so far.
    """
    chosen = np.empty(n, dtype=np.int64)
    nearest = np.full(count, np.inf)
    for k in range(n):
        chosen[k] = start
        np.minimum(nearest, squares(start, nearest), out=nearest)
        nearest[start] = -1.0  # below any distance: duplicates of chosen points come last, never a point twice
        start = int(np.argmax(nearest))
    return chosen


def _farthest_atoms(
    structure: Batch, s: int, candidates: npt.NDArray[np.int64], n: int, start: int
) -> npt.NDArray[np.int64]:
    """Choose candidates of one structure by the minimum-image distance, exact for any cell.

    In a Minkowski-reduced cell, the shortest image of a difference whose fractional coordinates are in
    [-1/2, 1/2] is at most one lattice vector away in each direction (P. Q. Nguyen and D. Stehlé, ACM Trans.
    Algorithms 5, 46 (2009)). Every image but that in [-1/2, 1/2] is at least half the distance between
    lattice planes long, so that none of them matters to an atom that is closer than this to a centre, as all
    atoms are after a few steps.
    """
    positions = structure.positions[candidates]
    pbc = structure.pbc[0]
    if not pbc.any():
        return farthest_point(positions, n, start)
    given = structure.cells[0] * pbc[:, None]  # other directions become perpendicular to the periodic ones
    if not np.isfinite(given).all():
        raise StructureError(s, None, f"cell must be finite, got {structure.cells[0].tolist()}")
    if np.linalg.matrix_rank(given, tol=1e-10 * np.abs(given).max(initial=0.0)) < pbc.sum():
        raise StructureError(s, None, f"cell must have a non-zero volume, got {structure.cells[0].tolist()}")
    cell, _ = minkowski_reduce(complete_cell(given), pbc)
    inverse = np.linalg.inv(cell)
    safe = 0.25 / (np.linalg.norm(inverse, axis=0)[pbc] ** 2).max()  # square of half the distance of planes
    steps = np.meshgrid(*[[0, 1, -1] if periodic else [0] for periodic in pbc], indexing="ij")
    shifts = np.stack(steps, axis=-1).reshape(-1, 3)[1:] @ cell
    fractional = positions @ inverse

    def squares(row: int, nearest: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        difference = fractional - fractional[row]
        difference[:, pbc] -= np.rint(difference[:, pbc])
        difference = difference @ cell
        square = np.einsum("ac,ac->a", difference, difference)
        unsure = np.flatnonzero(np.minimum(square, nearest) > safe)
        if len(unsure):
            for shift in shifts:
                image = difference[unsure] + shift
                square[unsure] = np.minimum(square[unsure], np.einsum("ac,ac->a", image, image))
        return square

    return farthest_of(len(candidates), n, start, squares)


def _check_given(indices: Any) -> None:
    listed = isinstance(indices, Sequence | np.ndarray) and getattr(indices, "ndim", 1) > 0
    if not listed or isinstance(indices, str | bytes) or any(isinstance(item, str | bytes) for item in indices):
        raise TypeError(f"indices must be a sequence of integers, or one for each structure, got {indices!r}")


def _per_structure(indices: Any, n_structures: int) -> Sequence[Any]:
    """Return one sequence of indices for each structure."""
    if len(indices) and all(isinstance(item, Integral) for item in indices):
        return [indices] * n_structures
    if len(indices) != n_structures:
        raise ValueError(
            f"indices must hold one sequence for each structure, got {len(indices)} for {n_structures} structures"
        )
    return list(indices)


def _check_indices(given: Any, s: int, n_atoms: int) -> npt.NDArray[np.int64]:
    """Return the candidate atoms of one structure."""
    indices = np.asarray(given)
    if indices.ndim != 1 or (len(indices) and indices.dtype.kind not in "iu"):
        raise TypeError(f"indices: structure {s}: must be a sequence of integers, got {given!r}")
    wrong = (indices < 0) | (indices >= n_atoms)
    if wrong.any():
        raise ValueError(f"indices: structure {s}: index must be in 0..{n_atoms - 1}, got {indices[np.argmax(wrong)]}")
    if len(np.unique(indices)) < len(indices):
        raise ValueError(f"indices: structure {s}: must not repeat, got {indices.tolist()}")
    return indices.astype(np.int64)
