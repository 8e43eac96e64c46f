"""The contract that every descriptor keeps: create, fit, transform, names, counts, shapes."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError

from atomprint.descriptors.engine import differentiate, pooled
from atomprint.descriptors.engine.arguments import LAYOUTS, VARIABLES, Gradient
from atomprint.descriptors.engine.call import Selection, Task
from atomprint.descriptors.engine.output import CsrRows, DenseRows, arrange
from atomprint.descriptors.engine.pairs import PairJacobian
from atomprint.layout import Layout
from atomprint.structures import Batch, Structures, as_batch, as_list
from atomprint.util.validation import check_choice, check_dtype, check_n_jobs, check_species

Features: TypeAlias = Any
"""Dense ``ndarray``, SciPy sparse array, or a list of them where structures have different numbers of centres."""

# Dense scratch for sparse output, and the share of work between two progress messages.
_CHUNK_BYTES = 16 * 2**20


class Descriptor(TransformerMixin, BaseEstimator):
    """Base of all descriptors: a scikit-learn transformer whose input is structures.

    A subclass sets the parameters in ``__init__`` (after which they are never changed), checks them in
    ``_validate``, and gives ``_layout``, ``_n_features`` and ``_compute``. Everything else, from reading structures to
    the shape and format of the result, is done here, once for all descriptors. Derivatives are numerical, until a
    subclass gives ``_jacobian`` too (or, with centres, ``_pairs``); ``_vjp`` need only be given if it has a faster way.

    Notes
    -----
    Two Python threads may use one descriptor at once: nothing but ``species_``, set by ``fit``, is ever stored.
    """

    def _initialise(self, parameters: dict[str, Any]) -> None:
        """Keep the constructor's arguments as they are, and check them."""
        for name in self._get_param_names():
            setattr(self, name, parameters[name])
        self._validate()

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name and check them together; nothing is changed if one of them is wrong."""
        trial = clone(self)
        try:
            BaseEstimator.set_params(trial, **params)
        except AttributeError as error:  # a parameter of something that is not there, such as pooling=None
            raise ValueError(f"set_params: no such parameter: {error}") from error
        trial._validate()
        super().set_params(**params)
        return self

    # What a subclass gives -------------------------------------------------------------------------------------

    @abstractmethod
    def _validate(self) -> None:
        """Check all parameters; raise ``ValueError`` or ``TypeError``."""

    @abstractmethod
    def _layout(self) -> Layout:
        """Return counts and names of the features."""

    @abstractmethod
    def _n_features(self) -> int:
        """Return the number of features without building names."""

    @abstractmethod
    def _compute(self, batch: Batch, out: npt.NDArray[Any], n_threads: int, options: Any) -> None:
        """Write the features of every row (structure or centre) of the batch to ``out``."""

    def _read(self, structures: Structures) -> Batch:
        """Return the checked batch, with what this descriptor asks of its structures."""
        return as_batch(structures, periodic=bool(getattr(self, "periodic", False)))

    def _options(self, batch: Batch) -> Any:
        """Return what ``_compute`` needs besides the batch, sliceable by structures, or None."""
        return None

    # What a subclass may give: analytical derivatives. Without them they are numerical.

    def _check_differentiable(self) -> None:
        """Raise ``ValueError`` if the features have no derivatives."""

    def _analytical(self) -> str:
        """Return the empty string if there are analytical derivatives, else the reason why not."""
        given = type(self)._jacobian is not Descriptor._jacobian
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
        options: Any,
    ) -> None:
        """Add the derivatives of every row to arrays of zeros, and write the features; None is not asked for.

        Parameters
        ----------
        batch, n_threads, options
            As for ``_compute``.
        selection : Selection
            The atoms to differentiate by, and where they go in ``positions``.
        positions : ndarray, shape (n_out, 3, n_features), or None
            Derivatives by positions, in 1/Å.
        strain : ndarray, shape (n_rows, 3, 3, n_features), or None
            Derivatives by the strain e that takes atoms, lattice vectors and centres from r to (1 + e) r.
        features : ndarray, shape (n_rows, n_features), or None
            What ``_compute`` writes.
        attach : bool
            Whether centres that are atoms move with them; without centres this means nothing.
        """
        raise NotImplementedError

    def _vjp(
        self,
        batch: Batch,
        cotangents: npt.NDArray[Any],
        positions: npt.NDArray[np.float64],
        strain: npt.NDArray[np.float64] | None,
        features: npt.NDArray[Any] | None,
        attach: bool,
        n_threads: int,
        options: Any,
    ) -> None:
        """Write derivatives contracted with cotangents, and the features; None is not asked for.

        Parameters
        ----------
        batch, features, attach, n_threads, options
            As for ``_jacobian``.
        cotangents : ndarray, shape (n_rows, n_features)
            In the type of the features.
        positions : ndarray of float64, shape (n_atoms, 3)
            By the positions of all atoms.
        strain : ndarray of float64, shape (n_structures, 3, 3), or None
            By the strain.
        """
        differentiate.contract_jacobian(
            self, batch, cotangents, positions, strain, features, attach, n_threads, options
        )

    # What users call -------------------------------------------------------------------------------------------

    def create(
        self,
        structures: Structures,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
    ) -> Features:
        """Compute the descriptor.

        Parameters
        ----------
        structures : structure or sequence of structures
            ASE ``Atoms``, pymatgen ``Structure`` or ``Molecule``, files that ASE reads, or a
            :class:`~atomprint.structures.Batch`.
        n_jobs : int, optional
            Number of threads; -1 means all cores. Default: the ``n_jobs`` of the constructor.
        only_physical_cores : bool
            Whether hardware threads of one core count once, where ``n_jobs`` is negative.
        verbose : bool
            Whether to show progress on standard error.

        Returns
        -------
        ndarray or scipy.sparse.csr_array, shape (n_features,) or (n_structures, n_features)
            A single structure gives no leading axis; a sequence gives one, whatever its length.

        Raises
        ------
        ValueError, TypeError
            If an argument or a structure is not usable; the message names the structure and the atom.
        """
        return self._create(self._task(structures), n_jobs, only_physical_cores, verbose)

    def derivatives(
        self,
        structures: Structures,
        include: Any = None,
        exclude: Any = None,
        method: str = "auto",
        return_descriptor: bool = True,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
        *,
        wrt: Any = "positions",
    ) -> Any:
        """Compute the derivatives of all features by the positions of atoms, or by the strain.

        Parameters
        ----------
        structures : structure or sequence of structures
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
        n_jobs, only_physical_cores, verbose
            As for :meth:`create`.
        wrt : {"positions", "strain"} or tuple of both
            What to differentiate by. The strain e takes every atom and lattice vector from r to (1 + e) r.

        Returns
        -------
        derivatives : array, or list of arrays
            By positions, in 1/Å: (n_atoms, 3, n_features) for a single structure, with a leading axis for structures
            that all have the same number of selected atoms, else a list with one array for each. By strain:
            (3, 3, n_features) or (n_structures, 3, 3, n_features); entry [a, b] is the derivative by e_ab. For a
            tuple ``wrt`` both, in the order given. SciPy ``coo_array`` of as many dimensions where the descriptor is
            ``sparse``.
        descriptor : array
            What :meth:`create` returns, if ``return_descriptor``.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, or if the atoms, ``method`` or ``wrt`` are not usable, or there are no derivatives.
        """
        task, n_threads = self._task(structures), self._n_threads(n_jobs, only_physical_cores)
        return differentiate.derivatives(
            self, task, include, exclude, method, return_descriptor, True, wrt, n_threads, verbose
        )

    def vjp(
        self,
        structures: Structures,
        cotangents: Any,
        wrt: Any = VARIABLES,
        return_descriptor: bool = False,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
    ) -> Gradient:
        """Differentiate the sum of features times cotangents: the derivatives, contracted with weights.

        This is what forces and stresses need, and never builds the derivatives of single features.

        Parameters
        ----------
        structures : structure or sequence of structures
            As for :meth:`create`.
        cotangents : array or list of arrays
            A weight for each feature, in the shape that :meth:`create` returns; dense or sparse.
        wrt : {"positions", "strain"} or tuple of both
            What to differentiate by. The strain e takes every atom and lattice vector from r to (1 + e) r.
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
        task, n_threads = self._task(structures), self._n_threads(n_jobs, only_physical_cores)
        return differentiate.gradient(self, task, cotangents, wrt, True, return_descriptor, n_threads, verbose)

    def jacobian(
        self,
        structures: Structures,
        layout: str = "pairs",
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
    ) -> PairJacobian:
        """Compute derivatives without the zeros: one block of numbers for each structure and atom.

        Parameters
        ----------
        structures : structure or sequence of structures
            As for :meth:`create`.
        layout : {"pairs"}
            Form of the result.
        n_jobs, only_physical_cores
            As for :meth:`create`.

        Returns
        -------
        PairJacobian
            With one block, of pairs of a structure and an atom.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, or if ``layout`` is not known, or there are no derivatives.
        """
        check_choice("layout", layout, LAYOUTS)
        task, n_threads = self._task(structures), self._n_threads(n_jobs, only_physical_cores)
        return differentiate.rows_by_atom(self, task, n_threads)

    def fit(self, X: Structures, y: Any = None) -> Self:
        """Check the parameters, and learn ``species`` from the structures if it was left out.

        Parameters
        ----------
        X : sequence of structures
            Structures as for :meth:`create`.
        y : ignored

        Returns
        -------
        self
        """
        self._validate()
        batch = self._read(X)
        if "species" in self._get_param_names():
            given = self.species
            if given is not None:
                self.species_ = check_species(given)
                self._species_index(batch)
            else:
                self.species_ = tuple(int(z) for z in np.unique(batch.numbers))
        return self

    def transform(self, X: Structures) -> Features:
        """Compute the descriptor of a sequence of structures, always with a leading axis; see :meth:`create`."""
        return self.create(as_list(X))

    def get_number_of_features(self) -> int:
        """Return the number of features of one row."""
        return self._n_features()

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the features, in their order.

        Parameters
        ----------
        input_features : ignored
            Present for scikit-learn.

        Returns
        -------
        ndarray of str, shape (n_features,)
        """
        return self._layout().names()

    def __sklearn_is_fitted__(self) -> bool:
        return "species" not in self._get_param_names() or self._known_species() is not None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = False
        tags.requires_fit = not self.__sklearn_is_fitted__()
        return tags

    # Shared machinery ------------------------------------------------------------------------------------------

    def _known_species(self) -> tuple[int, ...] | None:
        given = getattr(self, "species", None)
        return check_species(given) if given is not None else getattr(self, "species_", None)

    def _species(self) -> tuple[int, ...]:
        """Return the ascending atomic numbers of the species, given or learnt."""
        species = self._known_species()
        if species is None:
            raise NotFittedError(
                f"{type(self).__name__}: species is not known: give it to the constructor or call fit first"
            )
        return species

    def _species_index(self, batch: Batch) -> npt.NDArray[np.int32]:
        """Return the index of every atom's species, or raise and name the first unknown one."""
        species = self._species()
        index: npt.NDArray[np.int32] = _index_of_number(species)[batch.numbers]
        if index.min() < 0:
            structure, atom = batch.locate(int(np.argmin(index)))
            symbol = chemical_symbols[int(batch.numbers[int(np.argmin(index))])]
            known = ", ".join(chemical_symbols[z] for z in species)
            raise ValueError(f"structure {structure}, atom {atom}: species must be one of {known}, got {symbol}")
        return index

    def _dtype(self) -> np.dtype[Any]:
        return check_dtype(getattr(self, "dtype", "float64"))

    def _n_threads(self, n_jobs: int | None, only_physical_cores: bool) -> int:
        return check_n_jobs(getattr(self, "n_jobs", 1) if n_jobs is None else n_jobs, only_physical_cores)

    def _task(self, structures: Structures) -> Task:
        """Read and check everything that a call needs: the one way in for features and derivatives."""
        batch = self._read(structures)
        return self._plain_task(batch, self._options(batch))

    def _plain_task(self, batch: Batch, options: Any) -> Task:
        """Return the task of computing the rows that ``_compute`` writes."""
        return Task(batch, options, np.arange(len(batch) + 1), per_structure=True)

    def _moved_options(
        self,
        batch: Batch,
        options: Any,
        displacements: npt.NDArray[np.float64],
        deformations: npt.NDArray[np.float64],
        attach: bool,
    ) -> Any:
        """Return the options for moved copies of one structure; see :mod:`atomprint.descriptors.engine.numerical`."""
        return self._options(batch)

    def _create(self, task: Task, n_jobs: int | None, only_physical_cores: bool, verbose: bool) -> Features:
        rows = self._rows(task, self._n_threads(n_jobs, only_physical_cores), verbose)
        return arrange(rows, task.rows, task.row_shapes, task.batch.single)

    def _rows(self, task: Task, n_threads: int, verbose: bool) -> DenseRows | CsrRows:
        """Compute all rows of a task."""
        rows = self._new_rows(int(task.rows[-1]))
        whole = isinstance(rows, DenseRows) and task.plan is None and not verbose
        for _, part in [(0, task)] if whole else self._parts(task, task.computed, self._n_features(), verbose):
            out = rows.open(int(part.rows[-1]))
            self._write(part, out, n_threads)
            rows.close(out)
        return rows

    def _new_rows(self, n_rows: int) -> DenseRows | CsrRows:
        n_features = self.get_number_of_features()
        if getattr(self, "sparse", False):
            return CsrRows(n_features, self._dtype())
        return DenseRows(np.empty((n_rows, n_features), dtype=self._dtype()))

    def _write(self, task: Task, out: npt.NDArray[Any], n_threads: int) -> None:
        """Write the features of a task, pooled if it asks for that."""
        if task.plan is None:
            self._compute(task.batch, out, n_threads, task.options)
        else:
            out[:] = task.plan(pooled.rows_of(self, task, n_threads))

    def _parts(
        self, task: Task, first_rows: npt.NDArray[Any], row_entries: int, verbose: bool
    ) -> Iterator[tuple[int, Task]]:
        """Yield the task in parts, with the index of their first structure, and show progress.

        A part takes about ``_CHUNK_BYTES`` bytes if structure ``s`` needs the rows ``first_rows[s]`` to
        ``first_rows[s + 1]`` of ``row_entries`` numbers: where the result is sparse (dense scratch stays small) or
        progress is to be shown. Structures with a row for each centre are themselves cut if they need more.
        """
        row_bytes = row_entries * self._dtype().itemsize
        for start, stop in row_chunks(first_rows, row_bytes):
            part, n_centres = task[start:stop], int(task.computed[stop] - task.computed[start])
            n_bytes = int(first_rows[stop] - first_rows[start]) * row_bytes
            if not task.per_structure and stop == start + 1 and n_bytes > _CHUNK_BYTES:
                n_together = max(1, _CHUNK_BYTES * n_centres // n_bytes)
                for first in range(0, n_centres, n_together):
                    yield start, part.centres(first, min(first + n_together, n_centres))
            else:
                yield start, part
            if verbose:
                print(
                    f"\r{type(self).__name__}: {stop} of {len(task)} structures",
                    end="\n" if stop == len(task) else "",
                    file=sys.stderr,
                    flush=True,
                )


@lru_cache(maxsize=256)
def _index_of_number(species: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Return the index of each atomic number among the species, -1 for others."""
    table = np.full(len(chemical_symbols), -1, dtype=np.int32)
    table[list(species)] = np.arange(len(species))
    table.setflags(write=False)
    return table


def row_chunks(first_rows: npt.NDArray[Any], row_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield runs of structures whose rows take about ``_CHUNK_BYTES`` bytes together."""
    limit = max(1, _CHUNK_BYTES // max(row_bytes, 1))
    start, n = 0, len(first_rows) - 1
    while start < n:
        stop = int(np.searchsorted(first_rows, first_rows[start] + limit, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield start, stop
        start = stop
