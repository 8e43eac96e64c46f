"""Descriptors of local environments: choice of centres, pooling, and the shape of the result."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.engine import differentiate, pooled
from atomprint.descriptors.engine.arguments import LAYOUTS, VARIABLES, Gradient
from atomprint.descriptors.engine.call import Selection, Task
from atomprint.descriptors.engine.contract import Descriptor, Features
from atomprint.descriptors.engine.pairs import PairBlock, PairJacobian, add_by_positions, add_by_strain
from atomprint.pooling.pooling import LocalFeatures, Pooling
from atomprint.structures import Batch, Structures, as_list, ranges
from atomprint.util.validation import check_choice

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

    def pick(self, structures: npt.NDArray[np.int64]) -> CenterBatch:
        """Return the centres of the structures with these ascending indices."""
        rows, offsets = ranges(self.offsets, structures)
        return CenterBatch(self.points[rows], self.atoms[rows], offsets)

    def run(self, start: int, stop: int) -> CenterBatch:
        """Return a run of centres of the only structure."""
        return CenterBatch(self.points[start:stop], self.atoms[start:stop], np.array([0, stop - start]))

    def moved(
        self, displacements: npt.NDArray[np.float64], deformations: npt.NDArray[np.float64], attach: bool
    ) -> CenterBatch:
        """Return the centres of moved copies of the only structure.

        Parameters
        ----------
        displacements : ndarray, shape (n_copies, n_atoms, 3)
            Of the atoms, in Å; they move the centres that are atoms, if ``attach``.
        deformations : ndarray, shape (n_copies, 3, 3)
            F, which then takes every centre from r to F r.
        """
        n, of_atom = len(displacements), self.atoms >= 0
        points = np.tile(self.points, (n, 1, 1))
        if attach:
            points[:, of_atom] += displacements[:, self.atoms[of_atom]]
        points = points @ deformations.swapaxes(1, 2)
        offsets = np.arange(n + 1) * len(self.atoms)
        return CenterBatch(np.ascontiguousarray(points.reshape(-1, 3)), np.tile(self.atoms, n), offsets)

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
        return self._create(self._task(structures, centers), n_jobs, only_physical_cores, verbose)

    def derivatives(  # type: ignore[override]  # DScribe's order of arguments
        self,
        structures: Structures,
        centers: Centers = None,
        include: Any = None,
        exclude: Any = None,
        method: str = "auto",
        return_descriptor: bool = True,
        attach: bool = False,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
        *,
        wrt: Any = "positions",
    ) -> Any:
        """Compute the derivatives of all features by the positions of atoms, or by the strain.

        Parameters
        ----------
        structures, centers
            As for :meth:`create`.
        include, exclude : sequence of int, or sequence of such sequences, optional
            Indices of the atoms to differentiate by, or of those to leave out. For a sequence of structures one list
            for all, or one for each, where None stands for all atoms (``include``) or none (``exclude``). Included
            atoms keep the given order. Only what is selected is computed.
        method : {"auto", "analytical", "numerical"}
            Numerical derivatives are central differences of fourth order, with relative errors of about 1e-8 in
            float64 and 1e-3 in float32. ``"auto"`` takes them, with a warning, where there are no analytical ones.
        return_descriptor : bool
            Whether to return the features too.
        attach : bool
            Whether a centre given as an atom moves with it. Without, all centres are fixed points, as Cartesian ones
            always are. This makes no difference for strain.
        n_jobs, only_physical_cores, verbose
            As for :meth:`create`.
        wrt : {"positions", "strain"} or tuple of both
            What to differentiate by. The strain e takes every atom, lattice vector and centre from r to (1 + e) r.

        Returns
        -------
        derivatives : array, or list of arrays
            By positions, in 1/Å: (n_centers, n_atoms, 3, n_features) for a single structure, with a leading axis for
            structures that all have the same numbers of centres and of selected atoms, else a list with one array
            for each. By strain: (n_centers, 3, 3, n_features), or with a leading axis, or a list; entry [a, b] is
            the derivative by e_ab. No axis for the centres with averaging or pooling. For a tuple ``wrt`` both, in
            the order given. SciPy ``coo_array`` of as many dimensions where the descriptor is ``sparse``.
        descriptor : array
            What :meth:`create` returns, if ``return_descriptor``.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, or if the atoms, ``method`` or ``wrt`` are not usable, or there are no derivatives.

        Notes
        -----
        Pooling with ``"max"`` and ``"min"`` has a kink where two centres attain the value, ``"std"`` where it is
        zero: there the derivative is that of the first of these centres, and zero.
        """
        task, n_threads = self._task(structures, centers), self._n_threads(n_jobs, only_physical_cores)
        return differentiate.derivatives(
            self, task, include, exclude, method, return_descriptor, attach, wrt, n_threads, verbose
        )

    def vjp(  # type: ignore[override]  # centres come before what is derived
        self,
        structures: Structures,
        cotangents: Any,
        centers: Centers = None,
        wrt: Any = VARIABLES,
        attach: bool = True,
        return_descriptor: bool = False,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
    ) -> Gradient:
        """Differentiate the sum of features times cotangents: the derivatives, contracted with weights.

        This is what forces and stresses need. The derivatives of single features are never built: besides features
        and cotangents, memory grows with the number of pairs of neighbours at most.

        Parameters
        ----------
        structures, centers
            As for :meth:`create`.
        cotangents : array or list of arrays
            A weight for each feature, in the shape that :meth:`create` returns; dense or sparse.
        wrt : {"positions", "strain"} or tuple of both
            What to differentiate by. The strain e takes every atom, lattice vector and centre from r to (1 + e) r.
        attach : bool
            Whether a centre given as an atom moves with it, as is right for forces. Without, all centres are fixed
            points, as Cartesian ones always are. This makes no difference for strain.
        return_descriptor : bool
            Whether to return the features too.
        n_jobs, only_physical_cores, verbose
            As for :meth:`create`.

        Returns
        -------
        Gradient
            Named tuple of ``positions``, ``strain`` and ``descriptor``, None where not asked for.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, or if the cotangents or ``wrt`` are not usable, or there are no derivatives.

        Notes
        -----
        For an energy that depends on the features X, the cotangents are dE/dX. Then the forces are
        ``-gradient.positions``, and the stress of a crystal is ``gradient.strain / volume``, in eV/Å^3 for energies
        in eV and positive in tension.
        """
        task, n_threads = self._task(structures, centers), self._n_threads(n_jobs, only_physical_cores)
        return differentiate.gradient(self, task, cotangents, wrt, attach, return_descriptor, n_threads, verbose)

    def jacobian(  # type: ignore[override]  # centres come first
        self,
        structures: Structures,
        centers: Centers = None,
        layout: str = "pairs",
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
    ) -> PairJacobian:
        """Compute the derivatives by the vectors from centres to their neighbours, for each pair of these.

        Parameters
        ----------
        structures, centers
            As for :meth:`create`.
        layout : {"pairs"}
            Form of the result.
        n_jobs, only_physical_cores
            As for :meth:`create`.

        Returns
        -------
        PairJacobian
            Blocks of pairs with their derivatives, and the indices of centre, atom and periodic image; with methods
            that contract them or sum them to dense derivatives.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, or if ``layout`` is not known, or there are no derivatives of this kind.
        """
        check_choice("layout", layout, LAYOUTS)
        task, n_threads = self._task(structures, centers), self._n_threads(n_jobs, only_physical_cores)
        self._check_differentiable()
        if not self._has_pairs():
            raise ValueError(f"{type(self).__name__} has no derivatives by pairs: call derivatives or vjp")
        blocks = self._pairs(task.batch, n_threads, task.options)
        if task.plan is not None:
            blocks = pooled.pairs(self, task, task.plan, blocks, n_threads)
        return PairJacobian(blocks, task, self.get_number_of_features(), self._dtype())

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
        task = self._task(X)
        values, places = self._rows(task, self._n_threads(None, False), False).array, task.options
        return LocalFeatures(values, places.offsets, places.numbers(task.batch), places.atoms, X)

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
        if (pooling.by_species or pooling.channels is not None) and pooling.species is None:
            params = pooling.get_params(deep=False) | {"species": self._species()}
            return Pooling(**params)
        return pooling

    def _is_global(self) -> bool:
        return self._averages() or getattr(self, "pooling", None) is not None

    def _task(self, structures: Structures, centers: Centers = None) -> Task:
        if isinstance(structures, Iterator):
            structures = list(structures)  # read again by samplers and poolings
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
            return self._plain_task(batch, places)
        plan = pooling._plan(places.offsets, places.numbers(batch), places.atoms, structures)
        return Task(batch, places, places.offsets, per_structure=True, plan=plan)

    def _plain_task(self, batch: Batch, options: CenterBatch) -> Task:
        averages = self._averages()
        rows = np.arange(len(batch) + 1) if averages else options.offsets
        return Task(batch, options, rows, per_structure=averages)

    def _moved_options(
        self,
        batch: Batch,
        options: CenterBatch,
        displacements: npt.NDArray[np.float64],
        deformations: npt.NDArray[np.float64],
        attach: bool,
    ) -> CenterBatch:
        return options.moved(displacements, deformations, attach)

    def _places(self, batch: Batch, centers: CenterBatch) -> tuple[Any, ...]:
        """Return what all compiled functions take first: structures, species of the atoms, and centres."""
        return *batch.core(), self._species_index(batch), centers.points, centers.atoms, centers.offsets

    # What a subclass may give besides the hooks of Descriptor.

    def _pairs(self, batch: Batch, n_threads: int, options: CenterBatch) -> Sequence[PairBlock]:
        """Return the derivatives of every row by the vectors from centres to neighbours.

        All other analytical derivatives follow from these, but a subclass may have faster ways to them.
        """
        raise NotImplementedError

    def _has_pairs(self) -> bool:
        return type(self)._pairs is not LocalDescriptor._pairs

    def _analytical(self) -> str:
        given = self._has_pairs() or type(self)._jacobian is not LocalDescriptor._jacobian
        return "" if given else f"{type(self).__name__} has no analytical derivatives"

    def _jacobian(
        self,
        batch: Batch,
        selection: Selection,
        positions: npt.NDArray[Any] | None,
        strain: npt.NDArray[Any] | None,
        features: npt.NDArray[Any] | None,
        attach: bool,
        n_threads: int,
        options: CenterBatch,
    ) -> None:
        if features is not None:
            self._compute(batch, features, n_threads, options)
        task = replace(self._plain_task(batch, options), slots=selection.slots)
        for block in self._pairs(batch, n_threads, options):
            if positions is not None:
                add_by_positions(block, task, attach, positions)
            if strain is not None:
                add_by_strain(block, task, strain)


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
