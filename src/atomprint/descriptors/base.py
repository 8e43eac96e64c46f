"""The contract that every descriptor keeps: create, fit, transform, names, counts, shapes."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError

from atomprint.layout import Layout
from atomprint.structures import Batch, Structures, as_batch, as_list
from atomprint.validation import check_dtype, check_n_jobs, check_species

Features: TypeAlias = Any
"""Dense ``ndarray``, SciPy sparse array, or a list of them where structures have different numbers of centres."""

# Dense scratch for sparse output, and the share of work between two progress messages.
_CHUNK_BYTES = 16 * 2**20


class Descriptor(TransformerMixin, BaseEstimator):
    """Base of all descriptors: a scikit-learn transformer whose input is structures.

    A subclass sets the parameters in ``__init__`` (after which they are never changed), checks them in
    ``_validate``, and gives ``_layout`` and ``_compute``. Everything else, from reading structures to the shape and
    format of the result, is done here, once for all descriptors.

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
        batch = self._read(structures)
        return self._one_row_each(batch, self._options(batch), self._n_threads(n_jobs, only_physical_cores), verbose)

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
        species = np.array(self._species())
        table = np.full(len(chemical_symbols), -1, dtype=np.int32)
        table[species] = np.arange(len(species))
        index: npt.NDArray[np.int32] = table[batch.numbers]
        if index.min() < 0:
            structure, atom = batch.locate(int(np.argmin(index)))
            symbol = chemical_symbols[int(batch.numbers[int(np.argmin(index))])]
            known = ", ".join(chemical_symbols[z] for z in species)
            raise ValueError(f"structure {structure}, atom {atom}: species must be one of {known}, got {symbol}")
        return index

    def _n_threads(self, n_jobs: int | None, only_physical_cores: bool) -> int:
        return check_n_jobs(getattr(self, "n_jobs", 1) if n_jobs is None else n_jobs, only_physical_cores)

    def _options(self, batch: Batch) -> Any:
        """Return what ``_compute`` needs besides the batch, sliceable by structures, or None."""
        return None

    def _one_row_each(self, batch: Batch, options: Any, n_threads: int, verbose: bool) -> Features:
        X = self._rows(batch, np.arange(len(batch) + 1), options, n_threads, verbose)
        return self._first_row(X) if batch.single else X

    def _rows(self, batch: Batch, first_rows: npt.NDArray[Any], options: Any, n_threads: int, verbose: bool) -> Any:
        """Compute all rows of a batch as one dense or sparse two-dimensional array.

        ``first_rows[s]`` is the first row of structure ``s``. The work is cut at structures where the result is
        sparse (dense scratch stays small) or progress is to be shown.
        """
        dtype = check_dtype(getattr(self, "dtype", "float64"))
        n_rows, n_features = int(first_rows[-1]), self._n_features()
        as_sparse = bool(getattr(self, "sparse", False))
        out = None if as_sparse else np.empty((n_rows, n_features), dtype=dtype)
        if out is not None and not verbose:
            self._compute(batch, out, n_threads, options)
            return out
        rows = _SparseRows(n_features, dtype)
        for start, stop in row_chunks(first_rows, n_features * dtype.itemsize):
            begin, end = int(first_rows[start]), int(first_rows[stop])
            dense = np.empty((end - begin, n_features), dtype=dtype) if out is None else out[begin:end]
            picked = options[start:stop] if options is not None else None
            self._compute(batch[start:stop], dense, n_threads, picked)
            if as_sparse:
                rows.append(sparse.csr_array(dense))
            if verbose:
                end_of_line = "\n" if stop == len(batch) else ""
                print(
                    f"\r{type(self).__name__}: {stop} of {len(batch)} structures",
                    end=end_of_line,
                    file=sys.stderr,
                    flush=True,
                )
        return rows.finish() if as_sparse else out

    @staticmethod
    def _first_row(X: Any) -> Any:
        return X[0] if isinstance(X, np.ndarray) else sparse.coo_array(X).reshape((X.shape[1],))


class _SparseRows:
    """Sparse rows that grow in place: stacking finished parts would need the memory twice."""

    def __init__(self, n_features: int, dtype: np.dtype[Any]) -> None:
        self._n_features = n_features
        self._data = np.empty(0, dtype=dtype)
        self._indices = np.empty(0, dtype=np.int32)
        self._ends = [np.zeros(1, dtype=np.int64)]

    def append(self, part: sparse.csr_array) -> None:
        n = len(self._data)
        for array, values in ((self._data, part.data), (self._indices, part.indices)):
            array.resize(n + len(values), refcheck=False)
            array[n:] = values
        self._ends.append(part.indptr[1:].astype(np.int64) + n)

    def finish(self) -> sparse.csr_array:
        ends = np.concatenate(self._ends)
        return sparse.csr_array((self._data, self._indices, ends), shape=(len(ends) - 1, self._n_features))


def row_chunks(first_rows: npt.NDArray[Any], row_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield runs of structures whose rows take about ``_CHUNK_BYTES`` bytes together."""
    limit = max(1, _CHUNK_BYTES // max(row_bytes, 1))
    start, n = 0, len(first_rows) - 1
    while start < n:
        stop = int(np.searchsorted(first_rows, first_rows[start] + limit, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield start, stop
        start = stop
