"""The contract that every descriptor keeps: create, fit, transform, names, counts, shapes."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols

from atomprint import _core
from atomprint.descriptors.engine import differentiate
from atomprint.descriptors.engine.arguments import LAYOUTS, VARIABLES, AtomLists, Gradient, Variables
from atomprint.descriptors.engine.call import Array, Call, Derivatives, Hooks, Prepared
from atomprint.descriptors.engine.centers import NO_CENTERS, CenterBatch, Centers
from atomprint.descriptors.engine.differentiate import RowFunction
from atomprint.descriptors.engine.evaluator import Evaluator
from atomprint.descriptors.engine.given import as_given
from atomprint.descriptors.engine.numerical import Numerical
from atomprint.descriptors.engine.overlapped import compute_overlapped, is_long
from atomprint.descriptors.engine.pairs import PairBlock, PairJacobian, add_by_positions, add_by_strain
from atomprint.descriptors.engine.parts import SPARSE_ENTRIES, arranged, compute_rows
from atomprint.descriptors.engine.pooled import Pooled
from atomprint.descriptors.engine.room import fitted, left_after
from atomprint.descriptors.engine.stream import Piece, pieces
from atomprint.formats.components import check_names
from atomprint.layout import HasLayout, symbols_of
from atomprint.pooling.pooling import Plan, Pooling
from atomprint.structures import (
    Batch,
    StructureError,
    Structures,
    Warn,
    as_list,
    counted_from,
    read_checked,
    warn_user,
)
from atomprint.util.items import items_of
from atomprint.util.memo import Memo, memo_of
from atomprint.util.overlap import in_order
from atomprint.util.parameters import CheckedParameters
from atomprint.util.scikit import Transformer
from atomprint.util.validation import (
    check_bool,
    check_choice,
    check_dtype,
    check_integer,
    check_n_jobs,
    check_periodic,
    check_species,
)

Features: TypeAlias = Array | Any
"""Dense ``ndarray``, SciPy sparse array, or a list of them where structures have different numbers of centres."""


class Descriptor(HasLayout, Transformer, CheckedParameters):
    """Base of all descriptors: a scikit-learn transformer whose input is structures.

    A subclass sets the parameters in ``__init__`` (after which they are never changed), checks them in
    ``_validate``, and gives ``_layout`` and ``_compute``. Everything else, from reading structures to the shape and
    format of the result, is done here, once for all descriptors. Derivatives are numerical, until a subclass gives
    ``_jacobian`` too (or, with centres, ``_pairs``); ``_vjp`` need only be given if it has a faster way. These hooks
    are given the :class:`Call` that is asked for, and arrays to fill.

    Notes
    -----
    Two Python threads may use one descriptor at once: nothing but what ``fit`` learns (``species_``, ``periodic_``) is
    ever stored. What follows from the parameters alone, such as the number of features, is kept beside the descriptor
    for as long as they are the same.
    """

    # Centres are told to each call, and checked there.
    _unwatched: Collection[str] = ("centers",)

    # Names of the hooks that apply linear poolings by themselves: they take calls with a ``plan``, and write to or read
    # from arrays of pooled features.
    _pools: Collection[str] = ()
    # Whether ``_compute`` takes a sparse matrix, too, and adds to it what is not zero.
    _writes_sparse = False
    # Whether it then leaves out the blocks of elements that the structure does not have. Such a descriptor takes dense
    # rows that are zeros already, too, and leaves the same out.
    _has_gaps = False

    # Whether features of a structure are, or can be made, sums over its atoms.
    _adds_up = True

    # Whether a cotangent that ``_vjp`` reads, and that is not finite, makes a derivative by positions that is not.
    _spreads_nan = False

    # What a subclass gives -------------------------------------------------------------------------------------

    def _validate(self) -> None:
        """Check the parameters that all descriptors have alike; a subclass checks its own, too."""
        if hasattr(self, "periodic"):
            check_periodic(self.periodic)
        if hasattr(self, "sparse"):
            check_bool("sparse", self.sparse)
        if getattr(self, "species", None) is not None:
            check_species(self.species)
        self._dtype()
        check_n_jobs(getattr(self, "n_jobs", 1))

    @abstractmethod
    def _compute(self, call: Call, out: Any) -> None:
        """Write the features of every row, a structure or a centre, of ``call`` to ``out``.

        Parameters
        ----------
        call : Call
            Structures, centres, species and whatever else there is to know.
        out : ndarray, shape (n_rows, n_features)
            In the type of the features; anything may be in it.
        """

    # What a subclass may give.

    def _n_features(self) -> int:
        """Return the number of features, where there is a faster way than to build their names."""
        return self._layout().n_features

    def _read(self, structures: Structures, n_threads: int = 1, warn: Warn = warn_user) -> Batch:
        """Return the checked batch, with what this descriptor asks of its structures."""
        periodic = self._periodic()
        batch, n_repeat = read_checked(structures, periodic, warn, n_threads)
        if periodic is False and n_repeat and hasattr(self, "periodic"):
            if self.periodic == "auto":
                reason = "was learnt as False in fit, from structures that do not repeat"
                warn(f"periodic {reason}: the cells of {n_repeat} that do are ignored")
            elif n_repeat == len(batch) and not hasattr(self, "periodic_"):
                rule = "periodic is False, but all structures repeat: their cells are ignored"
                warn(f"{rule}; give periodic=True, or 'auto'")
        self._check_batch(batch)
        return batch

    def _periodic(self) -> bool | None:
        """Return whether cells count, in the words of :func:`atomprint.structures.as_batch`."""
        choice = getattr(self, "periodic", False)
        if choice != "auto":
            return bool(choice)
        # Where structures say themselves whether they repeat, one that says so is enough for all to be asked.
        return None if getattr(self, "periodic_", None) in (None, True) else False

    def _check_batch(self, batch: Batch) -> None:
        """Raise ``StructureError`` if a structure is not one for this descriptor, by its elements, cell or ``pbc``."""

    def _reach(self) -> float:
        """Return the distance, in Å, beyond which atoms do not matter to each other; inf if there is none."""
        return float(getattr(self, "r_cut", None) or np.inf)

    def _cancelling(self) -> npt.NDArray[np.int64] | None:
        """Return where blocks of features begin and the last ends, if features are sums in which terms cancel.

        Rounding then leaves a share of the largest number of a block in all its features, and ``_compute`` makes zeros
        of what is below 2^-44 of it.
        """
        return None

    def _options(self, batch: Batch) -> Any:
        """Return the ``options`` of a call: something with an item for each structure, sliceable as the batch is."""
        return None

    # Analytical derivatives: without them they are numerical.

    def _check_differentiable(self) -> None:
        """Raise ``ValueError`` if the features have no derivatives."""

    def _pairs(self, call: Call) -> Sequence[PairBlock]:
        """Return the derivatives of every row by the vectors from centres to neighbours.

        All other analytical derivatives follow from these, but a subclass may have faster ways to them.
        """
        raise NotImplementedError

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        """Add the derivatives of every row by positions and strain, and write the features.

        Parameters
        ----------
        call : Call
            As for ``_compute``; ``call.selection`` says by which atoms, and where the derivatives by these go.
        out : Derivatives
            Arrays to fill; None is not asked for.
        """
        if out.features is not None:
            self._compute(call, out.features)
        for block in self._pairs(call):
            if out.positions is not None:
                add_by_positions(block, call, call.attach, out.positions)
            if out.strain is not None:
                add_by_strain(block, call, out.strain)

    def _vjp(self, call: Call, cotangents: Array, out: Derivatives) -> None:
        """Add the derivatives of the sum of features times cotangents, and write the features.

        Parameters
        ----------
        call : Call
            As for ``_compute``.
        cotangents : ndarray, shape (n_rows, n_features)
            In the type of the features. Where there are several they have an axis before these, and so have all
            derivatives.
        out : Derivatives
            Arrays to fill; None is not asked for.
        """
        differentiate.contract_jacobian(self, call, cotangents, out)

    # What users call -------------------------------------------------------------------------------------------

    def create(
        self,
        structures: Structures,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
        *,
        out: Array | None = None,
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
        out : ndarray, optional
            Where the result is written: C-contiguous, in the shape of the result or with all rows one after the other,
            which is the only shape where the result is a list. It may be a memory map. In float32 it takes features of
            float64 rounded once. What is returned shares its memory, and is ``out`` itself where that has the shape
            of the result. After an error anything may be in it. Not with ``sparse``.

        Returns
        -------
        ndarray or scipy.sparse.csr_array, shape (n_features,) or (n_structures, n_features)
            A single structure gives no leading axis; a sequence gives one, whatever its length.

        Raises
        ------
        ValueError, TypeError
            If an argument or a structure is not usable; the message names the structure and the atom.
        NotEnoughMemoryError
            If the result does not fit into the memory that is left, dense or sparse. Where it does not when dense but
            does when sparse (many elements, of which each structure has few) it is sparse, and a warning says so.
        """
        return self._create(structures, n_jobs, only_physical_cores, verbose, out)

    def iter_create(
        self,
        structures: Structures,
        *,
        chunk: int | None = None,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
    ) -> Iterator[Features]:
        """Compute the descriptor of many structures piece by piece, with memory that does not grow with their number.

        Parameters
        ----------
        structures : iterable of structures
            As for :meth:`create`, and iterators, which are read no further than the piece needs: a generator, a file
            (as a stream where its format allows), a :class:`~atomprint.structures.Batch`, a data set, a list, also of
            files.
        chunk : int, optional
            Number of structures of a piece. Default: as many as have 4 MiB of features, at most 1024.
        n_jobs, only_physical_cores
            As for :meth:`create`. With several threads the next pieces are read and computed meanwhile, at most one
            more than threads.

        Yields
        ------
        ndarray or sparse array of shape (n_structures, n_features)
            The next structures, in their order: what :meth:`transform` would return for them.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, when the piece is asked for; structures are counted from the start of the stream. An
            empty stream has no pieces.

        See Also
        --------
        create : With ``out`` it writes to a table that is there already, such as a memory map.
        """
        return self._stream(structures, chunk, n_jobs, only_physical_cores)

    def derivatives(
        self,
        structures: Structures,
        include: AtomLists = None,
        exclude: AtomLists = None,
        method: str = "auto",
        return_descriptor: bool = True,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
        *,
        wrt: Variables = "positions",
        out: Any = None,
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
        out : ndarray, or tuple of ndarray, optional
            Where the results are written, as for :meth:`create`: one array for each of them, in their order; None
            stands for a new one.

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
        call = self._call(structures, n_jobs, only_physical_cores, verbose)
        source = self._differentiable(call, method)
        return differentiate.derivatives(source, call, include, exclude, wrt, return_descriptor, out)

    def vjp(
        self,
        structures: Structures,
        cotangents: Features,
        wrt: Variables = VARIABLES,
        return_descriptor: bool = False,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
        *,
        several: bool = False,
        out: Gradient | None = None,
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
        out : Gradient, optional
            Arrays to write to, as for :meth:`create`, those of derivatives in float64; None stands for a new one.
        several : bool
            Whether ``cotangents`` are a sequence of such weights, or an array with an axis for them before all others.
            Neighbours and what features are made of are then found once for all of them.

        Returns
        -------
        Gradient
            Named tuple of ``positions``, ``strain`` and ``descriptor``, None where not asked for. With ``several``,
            item k of ``positions`` and of ``strain`` is for the weights k.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, or if the cotangents or ``wrt`` are not usable, or there are no derivatives.

        Notes
        -----
        For an energy that depends on the features X, the cotangents are dE/dX. Then the forces are
        ``-gradient.positions``, and the stress of a crystal is ``gradient.strain / volume``, in eV/Å^3 for energies
        in eV and positive in tension.

        Cotangents must be finite. Of more than 131,072 together those of features without a derivative here, as of
        species that are not there, are not looked at.
        """
        call = self._call(structures, n_jobs, only_physical_cores, verbose)
        return differentiate.gradient(
            self._differentiable(call), call, cotangents, wrt, return_descriptor, several, out
        )

    def value_and_vjp(
        self,
        structures: Structures,
        function: RowFunction | Array,
        wrt: Variables = VARIABLES,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
    ) -> tuple[Any, Gradient]:
        """Compute a function of the features and its derivatives, in one pass that never holds all features.

        Structures are described, given to the function and differentiated piece by piece, while all of a piece is in
        cache: less time and memory than :meth:`create`, the function and :meth:`vjp` one after the other.

        Parameters
        ----------
        structures : structure or sequence of structures
            As for :meth:`create`.
        function : callable or ndarray of shape (n_features,)
            Is given features of whole structures, an array of shape (n_rows, n_features) with a row for each structure
            or centre, which it must not keep; returns a value for each row, an array with this axis first, and the
            cotangents: the derivative of each row's value by its features, of shape (n_rows, n_features). What it
            returns for a row may depend on no other. An array has the weights of a linear function.
        wrt : {"positions", "strain"} or tuple of both
            What to differentiate by.
        n_jobs, only_physical_cores, verbose
            As for :meth:`create`.

        Returns
        -------
        value : array, or list of arrays
            What the function returned, with the axes that :meth:`create` has before that of the features.
        gradient : Gradient
            Derivatives of the sum of all values, as of :meth:`vjp`.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`vjp`, or if the function returns something else.

        Examples
        --------
        >>> import numpy as np
        >>> from ase.build import molecule
        >>> from atomprint.descriptors import CoulombMatrix
        >>> descriptor = CoulombMatrix(3)
        >>> def energies(X):
        ...     return (X**2).sum(axis=1), 2 * X
        >>> value, gradient = descriptor.value_and_vjp(molecule("H2O"), energies)
        >>> value.shape, gradient.positions.shape
        ((), (3, 3))
        """
        call = self._call(structures, n_jobs, only_physical_cores, verbose)
        return differentiate.value_and_gradient(self._differentiable(call), call, function, wrt)

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
        call = self._call(structures, n_jobs, only_physical_cores)
        return differentiate.rows_by_atom(self._differentiable(call), call)

    def prepare(
        self, structures: Structures, n_jobs: int | None = None, only_physical_cores: bool = False
    ) -> Evaluator:
        """Make the descriptor ready for structures whose atoms will move, as in molecular dynamics.

        Parameters
        ----------
        structures, n_jobs, only_physical_cores
            As for :meth:`create`.

        Returns
        -------
        Evaluator
            Computes features and their derivatives for other positions and cells of these structures.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`.
        """
        return self._evaluator(structures, n_jobs, only_physical_cores)

    def fit(self, X: Structures, y: Any = None) -> Self:
        """Check the parameters, and learn ``species`` and ``periodic`` from the structures if they were left out.

        Parameters
        ----------
        X : sequence of structures
            Structures as for :meth:`create`.
        y : ignored
            But for the names of a series or table of pandas, which must not be components of vectors.

        Returns
        -------
        self
        """
        check_names(y)
        self._validate()
        self.__dict__.pop("periodic_", None)
        batch = self._read(X)
        if "periodic" in self._get_param_names():
            self.periodic_ = bool(batch.pbc.any()) if self.periodic == "auto" else bool(self.periodic)
        if "species" in self._get_param_names():
            given = self.species
            if given is not None:
                self.species_ = check_species(given)
                self._check_species(batch, _index_of_number(self.species_))
            else:
                self.species_ = tuple(int(z) for z in np.unique(batch.numbers))
        return self

    def transform(self, X: Structures) -> Features:
        """Compute the descriptor of a sequence of structures, always with a leading axis; see :meth:`create`."""
        return self.create(as_list(X))

    def fit_transform(self, X: Structures, y: Any = None, **fit_params: Any) -> Features:
        """Call ``fit`` and ``transform`` with the same structures."""
        X = as_list(X)
        return self.fit(X, y).transform(X)

    def check(self, X: Structures) -> None:
        """Raise as :meth:`transform` does if one of a sequence of structures is not usable; nothing is computed."""
        self._call(as_list(X))

    def get_number_of_features(self) -> int:
        """Return the number of features of one row."""
        return self._n_features()

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
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                f"{type(self).__name__}: species is not known: give it to the constructor or call fit first"
            )
        return species

    def _check_species(self, batch: Batch, index_of_number: npt.NDArray[np.int32]) -> None:
        """Raise if the species of an atom is none of those of the table, and name the first."""
        first = _core.first_unknown(batch.numbers, index_of_number)
        if first >= 0:
            structure, atom = batch.locate(first)
            known, symbol = ", ".join(symbols_of(self._species())), chemical_symbols[batch.numbers[first]]
            raise StructureError(structure, atom, f"species must be one of {known}, got {symbol}")

    def _dtype(self) -> np.dtype[Any]:
        return check_dtype(getattr(self, "dtype", "float64"))

    def _reduction(self) -> Pooling | None:
        """Return what makes one row of a structure out of those that ``_compute`` writes, or None."""
        return None

    def _averages(self) -> bool:
        """Return whether ``_compute`` itself writes one row for each structure although there are centres."""
        return False

    def _prepared(self) -> Prepared:
        """Return what all calls have in common, of the last time if nothing has changed since."""
        memo = memo_of(self)
        return memo.once("prepared", lambda: self._prepare(memo))

    def _prepare(self, memo: Memo) -> Prepared:
        has_species, n_jobs = hasattr(self, "species"), getattr(self, "n_jobs", 1)
        species, n_threads = self._species() if has_species else (), check_n_jobs(n_jobs)
        reduction = self._reduction()
        if reduction is not None:
            reduction._validate()
        return Prepared(
            species,
            _index_of_number(species) if has_species else None,
            self._n_features(),
            self._dtype(),
            bool(getattr(self, "sparse", False)),
            self._averages(),
            reduction,
            None if n_jobs is not None and n_jobs < 0 else n_threads,
            memo,
        )

    def _call(
        self,
        structures: Structures,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
        *,
        centers: Centers = None,
        attach: bool = True,
        warn: Warn = warn_user,
        **given: Any,
    ) -> Call:
        """Read and check everything that a call needs, as users give it: the one way in to all that is computed.

        What is ``given`` besides is for ``_options``.
        """
        prepared = self._prepared()
        if not isinstance(structures, Atoms):
            structures = items_of("structures", structures)  # they are read again by samplers and poolings
        n_threads = self._n_threads(n_jobs, only_physical_cores, prepared)
        batch = self._read(structures, n_threads, warn)
        if prepared.index_of_number is not None:
            self._check_species(batch, prepared.index_of_number)
        options = self._options(batch, **given)
        places, plan = self._places(structures, batch, centers, prepared)
        progress = type(self).__name__ if verbose else None
        attached = attach if attach is True else check_bool("attach", attach)
        return Call(batch, prepared, places, options, plan, None, attached, n_threads, progress)

    def _n_threads(self, n_jobs: int | None, only_physical_cores: bool, prepared: Prepared) -> int:
        if n_jobs is None and only_physical_cores is False and prepared.n_threads is not None:
            return prepared.n_threads
        return check_n_jobs(getattr(self, "n_jobs", 1) if n_jobs is None else n_jobs, only_physical_cores)

    def _places(
        self, structures: Structures, batch: Batch, centers: Centers, prepared: Prepared
    ) -> tuple[CenterBatch, Plan | None]:
        """Return the centres, and what makes one row for each structure out of theirs; there are none without centres.

        The batch is what has been read of the structures.
        """
        return NO_CENTERS, None

    def _create(
        self,
        structures: Structures,
        n_jobs: int | None,
        only_physical_cores: bool,
        verbose: bool,
        out: Array | None,
        **given: Any,
    ) -> Features:
        """Return a row for each structure; many of them are read on some threads while others compute."""
        overlapped = is_long(structures) and out is None and verbose is False and not self._of_stream()
        if overlapped and all(value is None or np.isscalar(value) for value in given.values()):
            prepared = self._prepared()
            n_threads = self._n_threads(n_jobs, only_physical_cores, prepared)
            n_bytes = len(structures) * prepared.n_features * prepared.dtype.itemsize
            if n_threads > 1 and not prepared.sparse and left_after(n_bytes) is None:
                rows = np.empty((len(structures), prepared.n_features), dtype=prepared.dtype)
                told = compute_overlapped(
                    lambda part, warn: self._call(part, 1, warn=warn, **given),
                    self._compute,
                    structures,
                    rows,
                    n_threads,
                )
                if told:
                    self._read(structures, n_threads)  # warns of all together
                if told is not None:
                    return rows
        return self._created(self._call(structures, n_jobs, only_physical_cores, verbose, **given), out)

    def _created(self, call: Call, out: Array | None = None) -> Features:
        if out is None:
            call = fitted(call, self)
        return as_given(arranged(compute_rows(self._source(call), call, out), call), out)

    def _stream(
        self, structures: Structures, chunk: int | None, n_jobs: int | None, only_physical_cores: bool, **given: Any
    ) -> Iterator[Features]:
        """Return what :meth:`iter_create` promises, after the checks that need no structure."""
        if chunk is not None:
            check_integer("chunk", chunk, 1)
        prepared = self._prepared()
        n_threads = self._n_threads(n_jobs, only_physical_cores, prepared)
        row_bytes = _row_bytes(self.get_number_of_features(), prepared.dtype, prepared.sparse)
        of_stream = self._of_stream()
        of_pieces = of_stream | given
        centers = of_pieces.pop("centers", None)
        if callable(centers):
            of_pieces["centers"], centers = centers, None
        # What functions of the user draw must not depend on who is first.
        weighs = prepared.reduction is not None and callable(prepared.reduction.weights)
        one_by_one = bool(of_stream) or "centers" in of_pieces or weighs
        in_turn = pieces(structures, centers, chunk, row_bytes, self._has_rows_of_centers())

        def compute(piece: Piece) -> Features:
            first, items, chosen = piece
            own = of_pieces if chosen is None else of_pieces | {"centers": chosen}
            # Threads share out the pieces, but for one that is a single large structure.
            n_of_piece = n_threads if one_by_one or len(items) == 1 else 1
            with counted_from(first):
                return self._table(self._call(items, n_of_piece, **own), items)

        return in_order(compute, in_turn, 1 if one_by_one else n_threads)

    def _of_stream(self) -> dict[str, Any]:
        """Return what all pieces of a stream are given for ``_options``."""
        return {}

    def _has_rows_of_centers(self) -> bool:
        """Return whether there is a row for each centre, and not for each structure."""
        return False

    def _table(self, call: Call, structures: Structures) -> Features:
        """Return the features of a call as :meth:`transform` does."""
        return self._created(call)

    def _evaluator(
        self,
        structures: Structures,
        n_jobs: int | None,
        only_physical_cores: bool,
        centers: Centers = None,
        **given: Any,
    ) -> Evaluator:
        if isinstance(structures, Batch):  # what does not move stays as it is now
            structures = structures.fixed()
        call = self._call(structures, n_jobs, only_physical_cores, centers=centers, **given)
        return Evaluator(deepcopy(self), call, given)

    def _source(self, call: Call) -> Hooks:
        """Return what computes the rows of a call: this, or its pooling."""
        return self if call.plan is None else Pooled(self, call.plan)

    def _differentiable(self, call: Call, method: str = "auto") -> Hooks:
        """Return what computes the derivatives of the rows of a call, or raise where there are none."""
        check_choice("method", method, ("auto", "analytical", "numerical"))
        self._check_differentiable()
        source = self._source(call)
        if method != "numerical" and self._has_analytical():
            return source
        reason = f"{type(self).__name__} has no analytical derivatives"
        if method == "analytical":
            raise ValueError(f"method must be 'auto' or 'numerical', got 'analytical': {reason}")
        if method == "auto":
            warnings.warn(f"{reason}: derivatives are numerical", UserWarning, stacklevel=3)
        return Numerical(source)

    def _has_analytical(self) -> bool:
        """Return whether the hooks give derivatives."""
        return self._has_pairs() or type(self)._jacobian is not Descriptor._jacobian

    def _has_pairs(self) -> bool:
        return type(self)._pairs is not Descriptor._pairs


def _row_bytes(n_features: int, dtype: np.dtype[Any], sparse: bool) -> int:
    """Return about how much memory a row of features needs; of sparse ones few are there."""
    return max(1, min(n_features, SPARSE_ENTRIES) * (dtype.itemsize + 4) if sparse else n_features * dtype.itemsize)


@lru_cache(maxsize=256)
def _index_of_number(species: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Return the index of each atomic number among the species, -1 for others."""
    table = np.full(len(chemical_symbols), -1, dtype=np.int32)
    table[list(species)] = np.arange(len(species))
    table.setflags(write=False)
    return table
