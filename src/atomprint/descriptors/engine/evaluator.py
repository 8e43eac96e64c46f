"""A descriptor made ready for some structures whose atoms move: molecular dynamics, relaxations, sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.engine import differentiate
from atomprint.descriptors.engine.arguments import VARIABLES, Gradient, Variables
from atomprint.descriptors.engine.call import Array, Call, FloatArray
from atomprint.descriptors.engine.centers import CenterBatch
from atomprint.descriptors.engine.differentiate import RowFunction
from atomprint.structures import checked
from atomprint.util.validation import check_bool


class Evaluator:
    """A descriptor for structures whose atoms move, and whose cells may change; all else stays as it is.

    :meth:`Descriptor.prepare` makes it. What it computes is what the descriptor itself does for structures with these
    positions and cells, bit for bit, but without reading them: the species, which directions repeat, the centres and
    the weights of a pooling are settled. Centres that are atoms go with them, Cartesian points stay where they are;
    centres that a function chose, and weights that a function gave, are those of the structures that it was made for.
    So are the parameters: it is not affected where those of the descriptor change later.

    Any number of threads may use it at once, and it can be pickled.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from atomprint.descriptors import SOAP
    >>> water = molecule("H2O")
    >>> evaluator = SOAP(species=["H", "O"], r_cut=5.0).prepare(water)
    >>> positions = water.positions.copy()
    >>> for step in range(3):
    ...     features = evaluator.create(positions)
    ...     gradient = evaluator.vjp(positions, features)  # of half the sum of their squares
    ...     positions -= 1e-3 * gradient.positions
    >>> features.shape
    (3, 952)
    """

    def __init__(self, descriptor: Any, call: Call, given: dict[str, Any]) -> None:
        self._descriptor, self._given = descriptor, given
        self._prepared = descriptor._prepared()
        self._batch, self._centers, self._plan, self._n_threads = call.batch, call.centers, call.plan, call.n_threads
        # Which centres are atoms, and which ones.
        atoms, firsts = call.centers.atoms, call.batch.offsets[:-1]
        of_atom = atoms >= 0
        self._of_atom = None if of_atom.all() else of_atom
        self._atoms = atoms[of_atom]
        if call.has_centers:
            self._atoms += np.repeat(firsts, np.diff(call.centers.offsets))[of_atom]
        self._all = self._of_atom is None and np.array_equal(self._atoms, np.arange(len(call.batch.numbers)))

    def __repr__(self) -> str:
        return f"Evaluator({self._descriptor!r}, {len(self._batch)} structures, {len(self._batch.numbers)} atoms)"

    def create(
        self, positions: npt.ArrayLike, cell: npt.ArrayLike | None = None, *, out: Array | None = None
    ) -> Array | Any:
        """Compute the descriptor for other positions.

        Parameters
        ----------
        positions : array, shape (n_atoms, 3)
            Of all atoms in Å, those of several structures one after the other.
        cell : array, shape (3, 3) or (n_structures, 3, 3), optional
            Lattice vectors as rows, in Å. Default: those that the structures had.
        out : ndarray, optional
            Array to write to, as for :meth:`Descriptor.create`.

        Returns
        -------
        array or list of arrays
            What :meth:`Descriptor.create` returns.

        Raises
        ------
        ValueError, TypeError
            If an array has another shape, or is not usable: as for :meth:`Descriptor.create`, but atoms that are
            nearer to each other than any in matter get no warning.
        """
        return self._descriptor._created(self._moved(positions, cell, True), out)

    def vjp(
        self,
        positions: npt.ArrayLike,
        cotangents: Any,
        cell: npt.ArrayLike | None = None,
        wrt: Variables = VARIABLES,
        attach: bool = True,
        return_descriptor: bool = False,
        *,
        several: bool = False,
        out: Gradient | None = None,
    ) -> Gradient:
        """Differentiate the sum of features times cotangents, for other positions.

        Parameters
        ----------
        positions, cell
            As for :meth:`create`.
        cotangents, wrt, attach, return_descriptor, several, out
            As for :meth:`Descriptor.vjp`.

        Returns
        -------
        Gradient
            What :meth:`Descriptor.vjp` returns.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, or if the cotangents or ``wrt`` are not usable, or there are no derivatives.
        """
        call = self._moved(positions, cell, check_bool("attach", attach))
        source = self._descriptor._differentiable(call)
        return differentiate.gradient(source, call, cotangents, wrt, return_descriptor, several, out)

    def value_and_vjp(
        self,
        positions: npt.ArrayLike,
        function: RowFunction | Array,
        cell: npt.ArrayLike | None = None,
        wrt: Variables = VARIABLES,
        attach: bool = True,
    ) -> tuple[Any, Gradient]:
        """Compute a function of the features and its derivatives in one pass, for other positions.

        Parameters
        ----------
        positions, cell
            As for :meth:`create`.
        function, wrt, attach
            As for :meth:`Descriptor.value_and_vjp`.

        Returns
        -------
        value, gradient
            What :meth:`Descriptor.value_and_vjp` returns.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`vjp`, or if the function returns something else.
        """
        call = self._moved(positions, cell, check_bool("attach", attach))
        return differentiate.value_and_gradient(self._descriptor._differentiable(call), call, function, wrt)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_prepared": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _prepared=state["_descriptor"]._prepared())

    def _moved(self, positions: npt.ArrayLike, cell: npt.ArrayLike | None, attach: bool) -> Call:
        """Return the call for other positions and cells, checked as any other."""
        descriptor, batch = self._descriptor, self._batch
        periodic = descriptor._periodic()
        points, cells = _array("positions", positions, batch.positions.shape), batch.cells
        if cell is not None:
            given = _array("cell", cell, cells.shape[1:] if batch.single else cells.shape)
            cells = cells if periodic is False else given.reshape(cells.shape)
        moved = checked(batch.moved(points, cells), periodic, n_threads=self._n_threads)
        if cell is not None:
            descriptor._check_batch(moved)
        options = descriptor._options(moved, **self._given)
        centers = self._centers_of(points)
        return Call(moved, self._prepared, centers, options, self._plan, None, attach, self._n_threads, None)

    def _centers_of(self, positions: FloatArray) -> CenterBatch:
        centers = self._centers
        if self._all:
            points = positions
        elif self._of_atom is None:
            points = positions[self._atoms]
        else:
            points = centers.points.copy()
            points[self._of_atom] = positions[self._atoms]
        return CenterBatch(points, centers.atoms, centers.offsets)


def _array(name: str, given: npt.ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Return an argument as an array of this shape, or raise."""
    try:
        array = np.asarray(given)
    except ValueError:  # rows of different lengths
        array = np.empty(0, dtype=object)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be real numbers, got {array.dtype}")
    return np.ascontiguousarray(array, dtype=np.float64)
