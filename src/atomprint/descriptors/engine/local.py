"""Descriptors of local environments: choice of centres, pooling, and the shape of the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.engine import differentiate
from atomprint.descriptors.engine.arguments import LAYOUTS, VARIABLES, AtomLists, Gradient, Variables
from atomprint.descriptors.engine.call import Array, Call, Prepared
from atomprint.descriptors.engine.centers import CenterBatch, Centers, center_batch, check_centers
from atomprint.descriptors.engine.contract import Descriptor, Features
from atomprint.descriptors.engine.differentiate import RowFunction
from atomprint.descriptors.engine.evaluator import Evaluator
from atomprint.descriptors.engine.pairs import PairJacobian
from atomprint.descriptors.engine.parts import compute_rows
from atomprint.descriptors.engine.pooled import Pooled
from atomprint.descriptors.engine.room import fitted
from atomprint.layout import Meanings
from atomprint.pooling.pooling import LocalFeatures, Plan, Pooling
from atomprint.structures import Batch, StructureError, Structures, as_list
from atomprint.util.validation import check_choice


class LocalDescriptor(Descriptor, auto_wrap_output_keys=None):  # type: ignore[call-arg]  # scikit-learn's
    """Base of descriptors that have one row for each centre.

    A subclass has the parameters ``centers`` and ``pooling`` and may average by itself (see ``_averages``).
    """

    def _validate(self) -> None:
        super()._validate()
        check_centers(getattr(self, "centers", None))
        self._given_pooling()

    def create(  # type: ignore[override]  # DScribe's order of arguments
        self,
        structures: Structures,
        centers: Centers = None,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
        *,
        out: Array | None = None,
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
        out : ndarray, optional
            Where the result is written, see :meth:`Descriptor.create`: of shape (n_centers in all, n_features) where
            the result is a list.

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
        NotEnoughMemoryError
            As for :meth:`Descriptor.create`, which says when a result is sparse that was not asked to be.
        """
        return self._created(self._call(structures, n_jobs, only_physical_cores, verbose, centers=centers), out)

    def iter_create(
        self,
        structures: Structures,
        centers: Centers = None,
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
        centers : iterable or callable, optional
            An item for each structure, as for :meth:`create`; or a function that is given the structures of a piece.
        chunk : int, optional
            Number of structures of a piece. Default: as many as have 4 MiB of features, at most 1024.
        n_jobs, only_physical_cores
            As for :meth:`create`. With several threads the next pieces are read and computed meanwhile, at most one
            more than threads.

        Yields
        ------
        ndarray or sparse array of shape (n_structures, n_features), or LocalFeatures
            The next structures, in their order: what :meth:`transform` would return for them. Where neither averaging
            nor pooling makes one row for each structure, the rows of all centres and where those of each structure
            begin.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, when the piece is asked for; structures are counted from the start of the stream. An
            empty stream has no pieces.

        See Also
        --------
        create : With ``out`` it writes to a table that is there already, such as a memory map.
        """
        centers = getattr(self, "centers", None) if centers is None else centers
        if centers is not None and not callable(centers) and not isinstance(centers, Iterable):
            raise TypeError(
                f"centers must be a function, or an iterable with an item for each structure, got {centers!r}"
            )
        return self._stream(structures, chunk, n_jobs, only_physical_cores, centers=centers)

    def derivatives(  # type: ignore[override]  # DScribe's order of arguments
        self,
        structures: Structures,
        centers: Centers = None,
        include: AtomLists = None,
        exclude: AtomLists = None,
        method: str = "auto",
        return_descriptor: bool = True,
        attach: bool = False,
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
        structures, centers
            As for :meth:`create`.
        include, exclude, method, return_descriptor, wrt, out
            As for :meth:`Descriptor.derivatives`: which atoms, how, and by what. The strain e takes the centres from r
            to (1 + e) r, too.
        attach : bool
            Whether a centre given as an atom moves with it. Without, all centres are fixed points, as Cartesian ones
            always are. This makes no difference for strain.
        n_jobs, only_physical_cores, verbose
            As for :meth:`create`.

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
        call = self._call(structures, n_jobs, only_physical_cores, verbose, centers=centers, attach=attach)
        source = self._differentiable(call, method)
        return differentiate.derivatives(source, call, include, exclude, wrt, return_descriptor, out)

    def vjp(  # type: ignore[override]  # centres come before what is derived
        self,
        structures: Structures,
        cotangents: Features,
        centers: Centers = None,
        wrt: Variables = VARIABLES,
        attach: bool = True,
        return_descriptor: bool = False,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
        *,
        several: bool = False,
        out: Gradient | None = None,
    ) -> Gradient:
        """Differentiate the sum of features times cotangents, as :meth:`Descriptor.vjp` does, around centres.

        Besides features and cotangents, memory grows with the number of pairs of neighbours at most.

        Parameters
        ----------
        structures, centers
            As for :meth:`create`.
        cotangents, wrt, return_descriptor, several, out
            As for :meth:`Descriptor.vjp`. The strain e takes the centres from r to (1 + e) r, too.
        attach : bool
            Whether a centre given as an atom moves with it, as is right for forces. Without, all centres are fixed
            points, as Cartesian ones always are. This makes no difference for strain.
        n_jobs, only_physical_cores, verbose
            As for :meth:`create`.

        Returns
        -------
        Gradient
            Named tuple of ``positions``, ``strain`` and ``descriptor``, None where not asked for. With ``several``,
            item k of ``positions`` and of ``strain`` is for the weights k.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, or if the cotangents or ``wrt`` are not usable, or there are no derivatives.
        """
        call = self._call(structures, n_jobs, only_physical_cores, verbose, centers=centers, attach=attach)
        return differentiate.gradient(
            self._differentiable(call), call, cotangents, wrt, return_descriptor, several, out
        )

    def value_and_vjp(  # type: ignore[override]  # centres come before what is derived
        self,
        structures: Structures,
        function: RowFunction | Array,
        centers: Centers = None,
        wrt: Variables = VARIABLES,
        attach: bool = True,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
        verbose: bool = False,
    ) -> tuple[Any, Gradient]:
        """Compute a function of the features and its derivatives, in one pass that never holds all features.

        Structures are described, given to the function and differentiated piece by piece, while all of a piece is in
        cache: less time and memory than :meth:`create`, the function and :meth:`vjp` one after the other.

        Parameters
        ----------
        structures, centers : structures and their centres
            As for :meth:`create`.
        function : callable or ndarray of shape (n_features,)
            Is given features of whole structures, an array of shape (n_rows, n_features) with a row for each structure
            or centre, which it must not keep; returns a value for each row, an array with this axis first, and the
            cotangents: the derivative of each row's value by its features, of shape (n_rows, n_features). What it
            returns for a row may depend on no other. An array has the weights of a linear function.
        wrt : {"positions", "strain"} or tuple of both
            What to differentiate by.
        attach : bool
            As for :meth:`vjp`.
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
        >>> from atomprint.descriptors import SOAP
        >>> descriptor = SOAP(species=["H", "O"], r_cut=3.0, n_max=4, l_max=3)
        >>> def energies(X):
        ...     return (X**2).sum(axis=1), 2 * X
        >>> value, gradient = descriptor.value_and_vjp(molecule("H2O"), energies)
        >>> value.shape, gradient.positions.shape
        ((3,), (3, 3))
        """
        call = self._call(structures, n_jobs, only_physical_cores, verbose, centers=centers, attach=attach)
        return differentiate.value_and_gradient(self._differentiable(call), call, function, wrt)

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
            Blocks of pairs, with the indices of centre, atom and periodic image, and their derivatives when they are
            asked for; with methods that contract them, sum them to dense derivatives or return some of them.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`, or if ``layout`` is not known, or there are no derivatives of this kind.
        """
        check_choice("layout", layout, LAYOUTS)
        if isinstance(structures, Batch):  # numbers are computed later, for these pairs
            structures = structures.fixed()
        call = self._call(structures, n_jobs, only_physical_cores, centers=centers)
        self._check_differentiable()
        if not self._has_pairs():
            raise ValueError(f"{type(self).__name__} has no derivatives by pairs: call derivatives or vjp")
        own = copy(self)  # which nobody changes afterwards
        source = own if call.plan is None else Pooled(own, call.plan)
        blocks = own._pairs(call) if call.plan is None else Pooled(own, call.plan).pairs(call, own._pairs)
        has_faster_ways = type(self)._vjp is not Descriptor._vjp and type(self)._jacobian is not Descriptor._jacobian
        return PairJacobian(blocks, call, source if has_faster_ways else None)

    def prepare(  # type: ignore[override]  # centres come first
        self,
        structures: Structures,
        centers: Centers = None,
        n_jobs: int | None = None,
        only_physical_cores: bool = False,
    ) -> Evaluator:
        """Make the descriptor ready for structures whose atoms will move, as in molecular dynamics.

        Parameters
        ----------
        structures, centers, n_jobs, only_physical_cores
            As for :meth:`create`.

        Returns
        -------
        Evaluator
            Computes features and their derivatives for other positions and cells of these structures. Centres that are
            atoms move with them.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`create`.
        """
        return self._evaluator(structures, n_jobs, only_physical_cores, centers)

    def transform(self, X: Structures) -> Features:
        """Compute the descriptor of a sequence of structures; see :meth:`create`.

        Returns
        -------
        ndarray or sparse array of shape (n_structures, n_features), or LocalFeatures
            The latter where neither averaging nor pooling makes one row for each structure.
        """
        # Only tables with a row for each structure become data frames where scikit-learn is told to make them.
        if not self._has_rows_of_centers():
            return super().transform(X)
        X = as_list(X)
        return self._table(self._call(X), X)

    def _has_rows_of_centers(self) -> bool:
        prepared = self._prepared()
        return not prepared.averages and prepared.reduction is None

    def _table(self, call: Call, structures: Structures) -> Features:
        if call.per_structure:
            return super()._table(call, structures)
        call = fitted(call, self)
        values, centers = compute_rows(self, call).array, call.centers
        return LocalFeatures(values, centers.offsets, centers.numbers(call.batch), centers.atoms, structures)

    def fit_transform(self, X: Structures, y: Any = None, **fit_params: Any) -> Features:
        """Call ``fit`` and ``transform`` with the same structures."""
        X = as_list(X)
        return self.fit(X, y).transform(X)

    def get_number_of_features(self) -> int:
        """Return the number of features of one row."""
        pooling = self._pooling()
        return self._n_features() if pooling is None else pooling.n_features_out(self._n_features())

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the features, in their order; see :meth:`Descriptor.get_feature_names_out`."""
        pooling, names = self._pooling(), self._layout().names()
        return names if pooling is None else pooling.names(names)

    def get_feature_meanings(self, given: Meanings | None = None) -> Meanings:
        """Return what the features are about, and of which atoms they are pooled."""
        pooling, meanings = self._pooling(), self._layout().meanings()
        return meanings if pooling is None else pooling.get_feature_meanings(meanings)

    # -----------------------------------------------------------------------------------------------------------

    def _given_pooling(self) -> Pooling | None:
        given = getattr(self, "pooling", None)
        if given is None or isinstance(given, Pooling):
            return given
        try:
            return _named(given) if isinstance(given, str) else Pooling(given)
        except (ValueError, TypeError) as error:
            raise type(error)(f"pooling: {error}") from error

    def _pooling(self) -> Pooling | None:
        """Return the pooling step with its species settled, or None."""
        pooling = self._given_pooling()
        if pooling is None or pooling.species is not None or not (pooling.by_species or pooling.channels is not None):
            return pooling
        return Pooling(**pooling.get_params(deep=False) | {"species": self._species()})

    def _reduction(self) -> Pooling | None:
        """Return the pooling step, or a mean that names do not tell of."""
        return self._pooling()

    def _places(
        self, structures: Structures, batch: Batch, centers: Centers, prepared: Prepared
    ) -> tuple[CenterBatch, Plan | None]:
        chosen = getattr(self, "centers", None) if centers is None else centers
        single = batch.single
        if callable(chosen):
            chosen = chosen([structures] if single and not isinstance(structures, Batch) else structures)
            single = False
        places = center_batch(batch, chosen, single=single)
        reduction = prepared.reduction
        if reduction is None and not prepared.averages:
            return places, None
        if chosen is not None:
            counts = places.offsets[1:] - places.offsets[:-1]
            if not counts.all():
                rule = "must have at least one centre to average over, got none"
                raise StructureError(int(np.argmin(counts)), None, rule)
        if reduction is None:
            return places, None
        numbers = places.numbers(batch) if reduction._needs_numbers() else None
        return places, reduction._plan(places.offsets, numbers, places.atoms, structures)


@lru_cache(maxsize=32)
def _named(method: str) -> Pooling:
    """Return the pooling by a method, which nobody changes."""
    return Pooling(method)
