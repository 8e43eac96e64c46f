"""Descriptors of local environments: choice of centres, pooling, and the shape of the result."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from atomprint.descriptors.base import Descriptor, Features, row_chunks
from atomprint.pooling import LocalFeatures, Pooling
from atomprint.structures import Batch, Structures, as_list
from atomprint.validation import check_dtype

Centers: TypeAlias = Any
"""Indices of atoms, or Cartesian points in Å of shape (n_centers, 3); one such list for each structure, where
``None`` stands for all its atoms."""


@dataclass(frozen=True, slots=True)
class CenterBatch:
    """Centres of a whole batch as flat arrays.

    Parameters
    ----------
    points : ndarray, shape (n_centers, 3)
        Positions in Å.
    atoms : ndarray of int64, shape (n_centers,)
        Index of the centre's atom within its structure, -1 for a Cartesian point.
    offsets : ndarray of int64, shape (n_structures + 1,)
        Structure ``s`` owns the centres ``offsets[s]`` to ``offsets[s + 1]``.
    """

    points: npt.NDArray[np.float64]
    atoms: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    def __getitem__(self, structures: slice) -> CenterBatch:
        """Return the centres of a run of consecutive structures."""
        first, last = self.offsets[structures.start], self.offsets[structures.stop]
        offsets = self.offsets[structures.start : structures.stop + 1] - first
        return CenterBatch(self.points[first:last], self.atoms[first:last], offsets)

    def numbers(self, batch: Batch) -> npt.NDArray[np.int32]:
        """Return the atomic number of each centre's atom, 0 for a Cartesian point."""
        first_atoms = np.repeat(batch.offsets[:-1], np.diff(self.offsets))
        of_atom = self.atoms >= 0
        numbers = np.zeros(len(self.atoms), dtype=np.int32)
        numbers[of_atom] = batch.numbers[(first_atoms + self.atoms)[of_atom]]
        return numbers


class LocalDescriptor(Descriptor, auto_wrap_output_keys=None):  # type: ignore[call-arg]  # scikit-learn's
    """Base of descriptors that have one row for each centre.

    A subclass has the parameters ``centers`` and ``pooling`` and may average by itself (see ``_averages``).
    """

    def _averages(self) -> bool:
        """Return whether ``_compute`` itself writes one row for each structure."""
        return False

    @abstractmethod
    def _compute(self, batch: Batch, out: npt.NDArray[Any], n_threads: int, options: Any) -> None: ...

    def create(  # type: ignore[override]  # DScribe's order of arguments
        self,
        structures: Structures,
        centers: Centers = None,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
    ) -> Features:
        """Compute the descriptor around centres.

        Parameters
        ----------
        structures : structure or sequence of structures
            ASE ``Atoms``, pymatgen ``Structure`` or ``Molecule``, files that ASE reads, or a
            :class:`~atomprint.structures.Batch`.
        centers : sequence, optional
            For a single structure indices of atoms or Cartesian points in Å of shape (n_centers, 3); for a sequence
            of structures one such list for each, where ``None`` stands for all atoms. Default: the ``centers`` of
            the constructor, else all atoms.
        n_jobs : int, optional
            Number of threads; -1 means all cores. Default: the ``n_jobs`` of the constructor.
        only_physical_cores : bool
            Whether hardware threads of one core count once, where ``n_jobs`` is negative.
        verbose : bool
            Whether to show progress on standard error.

        Returns
        -------
        ndarray, SciPy sparse array, or list of these
            Without averaging or pooling: (n_centers, n_features) for a single structure,
            (n_structures, n_centers, n_features) for structures that all have the same number of centres, else a
            list with one (n_centers, n_features) for each structure. With averaging or pooling: (n_features,) for
            a single structure, else (n_structures, n_features).

        Raises
        ------
        ValueError, TypeError
            If an argument, a structure or a centre is not usable; the message names the structure and the atom.
        """
        n_threads = self._n_threads(n_jobs, only_physical_cores)
        batch, places, X = self._create(structures, centers, n_threads, verbose)
        if self._is_global():
            return self._first_row(X) if batch.single else X
        if batch.single:
            return X
        counts = np.diff(places.offsets)
        if (counts == counts[0]).all():
            shape = (len(batch), int(counts[0]), X.shape[1])
            return X.reshape(shape) if isinstance(X, np.ndarray) else sparse.coo_array(X).reshape(shape)
        return [X[a:b] for a, b in zip(places.offsets[:-1], places.offsets[1:], strict=True)]

    def transform(self, X: Structures) -> Features:
        """Compute the descriptor of a sequence of structures; see :meth:`create`.

        Returns
        -------
        ndarray or sparse array of shape (n_structures, n_features), or LocalFeatures
            The latter where neither averaging nor pooling makes one row for each structure.
        """
        # Only tables with a row for each structure become data frames where scikit-learn is told to make them.
        if self._is_global():
            return super().transform(X)
        X = as_list(X)
        batch, places, values = self._create(X, None, self._n_threads(None, False), False)
        return LocalFeatures(values, places.offsets, places.numbers(batch), places.atoms, X)

    def fit_transform(self, X: Structures, y: Any = None, **fit_params: Any) -> Features:
        """Call ``fit`` and ``transform`` with the same structures."""
        return self.fit(X, y).transform(X)

    def get_number_of_features(self) -> int:
        """Return the number of features of one row."""
        pooling = self._pooling()
        return self._n_features() if pooling is None else pooling.n_features_out(self._n_features())

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the features, in their order; see :meth:`Descriptor.get_feature_names_out`."""
        pooling, names = self._pooling(), self._layout().names()
        return names if pooling is None else pooling.names(names)

    # -----------------------------------------------------------------------------------------------------------

    def _pooling(self) -> Pooling | None:
        """Return the pooling step with its species settled, or None."""
        given = getattr(self, "pooling", None)
        if given is None:
            return None
        pooling = Pooling(given) if isinstance(given, str | tuple) else given
        if not isinstance(pooling, Pooling):
            raise TypeError(f"pooling must be None, the name of a method or a Pooling, got {given!r}")
        if pooling.by_species and pooling.species is None:
            params = pooling.get_params(deep=False) | {"species": self._species()}
            return Pooling(**params)
        return pooling

    def _is_global(self) -> bool:
        return self._averages() or getattr(self, "pooling", None) is not None

    def _create(
        self, structures: Structures, centers: Centers, n_threads: int, verbose: bool
    ) -> tuple[Batch, CenterBatch, Any]:
        batch = self._read(structures)
        self._species_index(batch)  # checked for all at once: further on structures may be counted within a chunk
        chosen = getattr(self, "centers", None) if centers is None else centers
        if callable(chosen):
            single = batch.single and not isinstance(structures, Batch)
            chosen = chosen([structures] if single else structures)
            places = center_batch(batch, chosen, single=False)
        else:
            places = center_batch(batch, chosen, single=batch.single)
        pooling = self._pooling()
        if self._is_global():
            empty = np.flatnonzero(np.diff(places.offsets) == 0)
            if len(empty):
                raise ValueError(f"structure {empty[0]} must have at least one centre to average over, got none")
        if pooling is None:
            rows = np.arange(len(batch) + 1) if self._averages() else places.offsets
            return batch, places, self._rows(batch, rows, places, n_threads, verbose)
        return batch, places, self._pooled(pooling, batch, places, structures, n_threads)

    def _pooled(
        self, pooling: Pooling, batch: Batch, places: CenterBatch, structures: Structures, n_threads: int
    ) -> Any:
        """Compute and pool a few structures at a time, so that the unpooled features never exist all at once."""
        n_features = self._n_features()
        dtype = check_dtype(getattr(self, "dtype", "float64"))
        plan = pooling._plan(places.offsets, places.numbers(batch), places.atoms, structures)
        result = np.empty((len(batch), pooling.n_features_out(n_features)), dtype=dtype)
        for start, stop in row_chunks(places.offsets, n_features * dtype.itemsize):
            part = places[start:stop]
            values = np.empty((len(part.atoms), n_features), dtype=dtype)
            self._compute(batch[start:stop], values, n_threads, part)
            result[start:stop] = plan[start:stop](values)
        return sparse.csr_array(result) if getattr(self, "sparse", False) else result


def center_batch(batch: Batch, centers: Centers, *, single: bool) -> CenterBatch:
    """Turn the ``centers`` argument into flat arrays, by one rule for all descriptors.

    Raises
    ------
    ValueError
        If there is not one list of centres for each structure, an index is out of range, a point is not finite, or
        indices and points are mixed; the message names the structure and the centre.
    TypeError
        If a list of centres holds anything else.
    """
    if centers is None:
        atoms = np.arange(len(batch.numbers)) - np.repeat(batch.offsets[:-1], batch.n_atoms)
        return CenterBatch(batch.positions, atoms, batch.offsets)
    if single:
        lists: Sequence[Any] = [centers]
    else:
        if isinstance(centers, str) or not hasattr(centers, "__len__") or getattr(centers, "ndim", 1) == 0:
            raise TypeError(f"centers must be a list with one list of centres for each structure, got {centers!r}")
        if len(centers) != len(batch):
            raise ValueError(
                f"centers must hold one list for each structure, got {len(centers)} lists for {len(batch)} structures"
            )
        lists = centers
    points, atoms_of = [], []
    for s, given in enumerate(lists):
        first, last = int(batch.offsets[s]), int(batch.offsets[s + 1])
        indices, where = _centers_of_one(given, s, last - first)
        if where is None:
            where = batch.positions[first:last][indices]
        points.append(where)
        atoms_of.append(indices)
    offsets = np.zeros(len(batch) + 1, dtype=np.int64)
    np.cumsum([len(a) for a in atoms_of], out=offsets[1:])
    return CenterBatch(
        np.ascontiguousarray(np.concatenate(points), dtype=np.float64),
        np.concatenate(atoms_of).astype(np.int64),
        offsets,
    )


def _centers_of_one(
    given: Any, structure: int, n_atoms: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64] | None]:
    if given is None:
        return np.arange(n_atoms), None
    where = f"structure {structure}: centers"
    if isinstance(given, str | Integral) or not hasattr(given, "__len__") or getattr(given, "ndim", 1) == 0:
        raise TypeError(f"{where} must be a list of atom indices or of Cartesian points, got {given!r}")
    if len(given) == 0:
        return np.empty(0, dtype=np.int64), np.empty((0, 3))
    if not isinstance(given, np.ndarray):
        scalars = [isinstance(c, Integral) and not isinstance(c, bool) for c in given]
        if any(scalars) and not all(scalars):
            raise ValueError(f"{where} must be all atom indices or all Cartesian points, got both: {given!r}")
    try:
        array = np.asarray(given)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.ndim == 1 and np.issubdtype(array.dtype, np.integer):
        wrong = np.flatnonzero((array < 0) | (array >= n_atoms))
        if len(wrong):
            raise ValueError(
                f"structure {structure}, centre {wrong[0]}: atom index must be in 0..{n_atoms - 1}, "
                f"got {array[wrong[0]]}"
            )
        return array.astype(np.int64), None
    if (
        array.ndim == 2
        and array.shape[1] == 3
        and (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer))
    ):
        point = array.astype(np.float64)
        wrong = np.flatnonzero(~(np.abs(point) <= 1e7).all(axis=1))
        if len(wrong):
            raise ValueError(
                f"structure {structure}, centre {wrong[0]}: position must be finite and within 1e7 Å, "
                f"got {point[wrong[0]].tolist()}"
            )
        return np.full(len(point), -1), point
    if array.ndim == 1 and array.dtype.kind in "fb":
        raise TypeError(f"{where} must be integers where they are atom indices, got {given!r}")
    raise ValueError(f"{where} must be atom indices or Cartesian points of shape (n_centers, 3), got {given!r}")
