"""From the features of atoms to the features of structures: pooling of local descriptors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from ase.data import atomic_masses, chemical_symbols

from atomprint.chemistry.elements import channel_table, check_channels
from atomprint.layout import Meanings, of_centers, symbols_of
from atomprint.pooling.channels import CHANNEL_METHODS, ChannelPlan
from atomprint.pooling.sampling import CenterSampler, farthest_point
from atomprint.pooling.weights import Entries, RowWeights, check_finite
from atomprint.ragged import locate, offsets_of, owners, pick, totals
from atomprint.structures import StructureError, is_structure
from atomprint.util import sparse
from atomprint.util.indices import narrowed
from atomprint.util.items import items_of
from atomprint.util.memo import memo_of
from atomprint.util.parameters import CheckedParameters
from atomprint.util.registry import public
from atomprint.util.scikit import Transformer
from atomprint.util.types import Array
from atomprint.util.validation import check_bool, check_choice, check_of_elements, check_species

__all__ = ["CenterSampler", "LocalFeatures", "Plan", "Pooling", "PoolingPlan", "farthest_point"]

Rows: TypeAlias = Any
"""Dense ``ndarray`` or SciPy sparse array with one row for each centre."""

_SITE_WEIGHTS = ("atomic_number", "mass", "multiplicity")

# Numbers that are reduced together: 512 KiB of float64, which stay in cache.
_BLOCK_ENTRIES = 2**16


@dataclass(frozen=True, eq=False)
class LocalFeatures(Sequence[Rows]):
    """Features of the centres of several structures: a sequence with one array for each structure.

    Parameters
    ----------
    values : ndarray or scipy.sparse.csr_array, shape (n_centers, n_features)
        Features of all centres, one structure after the other.
    offsets : ndarray of int, shape (n_structures + 1,)
        Structure ``s`` owns the rows ``offsets[s]`` to ``offsets[s + 1]``.
    numbers : ndarray of int, shape (n_centers,), optional
        Atomic number of each centre's atom, 0 for a Cartesian point. None: not known.
    atoms : ndarray of int, shape (n_centers,), optional
        Index of each centre's atom within its structure, -1 for a Cartesian point. None: not known.
    structures : sequence, optional
        The structures as they were given.
    feature_names : sequence of str, optional
        Names of the features.
    """

    values: Rows
    offsets: npt.NDArray[np.integer[Any]]
    numbers: npt.NDArray[np.integer[Any]] | None = None
    atoms: npt.NDArray[np.integer[Any]] | None = None
    structures: Any = None
    feature_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        n_rows = self.values.shape[0]
        if self.offsets[0] != 0 or self.offsets[-1] != n_rows or (np.diff(self.offsets) < 0).any():
            raise ValueError(f"offsets must rise from 0 to the number of rows, {n_rows}, got {self.offsets}")
        for name in ("numbers", "atoms"):
            given = getattr(self, name)
            if given is not None and given.shape != (n_rows,):
                raise ValueError(f"{name} must have shape ({n_rows},), one for each row, got {given.shape}")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: Any) -> Any:
        """Return the features of one structure, or a slice of the structures; both are views."""
        if not isinstance(index, slice):
            s = range(len(self))[index]
            return self.values[self.offsets[s] : self.offsets[s + 1]]
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise ValueError(f"LocalFeatures can only be sliced with step 1, got {step}")
        stop = max(start, stop)
        first, last = self.offsets[start], self.offsets[stop]
        return LocalFeatures(
            self.values[first:last],
            self.offsets[start : stop + 1] - first,
            None if self.numbers is None else self.numbers[first:last],
            None if self.atoms is None else self.atoms[first:last],
            self.structures[start:stop] if isinstance(self.structures, list | tuple) else None,
            self.feature_names,
        )

    def __repr__(self) -> str:
        n_centers, n_features = self.values.shape
        return f"LocalFeatures({len(self)} structures, {n_centers} centres, {n_features} features)"

    @classmethod
    def from_arrays(cls, arrays: Any, numbers: Any = None) -> LocalFeatures:
        """Make local features from plain arrays.

        Parameters
        ----------
        arrays : sequence of arrays, or array of shape (n_structures, n_centers, n_features)
            One dense or sparse array of shape (n_centers, n_features) for each structure.
        numbers : sequence of arrays, optional
            Atomic numbers of the centres of each structure, 0 for a Cartesian point.

        Returns
        -------
        LocalFeatures

        Raises
        ------
        ValueError, TypeError
            If there is no array, or one has the wrong shape or does not hold real numbers.
        """
        if not sparse.issparse(arrays) and not (isinstance(arrays, np.ndarray) and arrays.dtype.kind not in "OV"):
            arrays = items_of("features", arrays)
        if isinstance(arrays, np.ndarray) and arrays.ndim == 3:
            n_structures, n_centers, n_features = arrays.shape
            values: Rows = arrays.reshape(-1, n_features)
            counts = [n_centers] * n_structures
        elif isinstance(arrays, str) or sparse.issparse(arrays) or not hasattr(arrays, "__iter__"):
            raise TypeError(f"features must be a list with one array for each structure, got {arrays!r}")
        else:
            parts = [_as_rows(item, s) for s, item in enumerate(arrays)]
            widths = [part.shape[1] for part in parts]
            for s, width in enumerate(widths):
                if width != widths[0]:
                    raise ValueError(
                        f"features: structure {s}: there must be as many features as in structure 0, "
                        f"{widths[0]}, got {width}"
                    )
            counts = [part.shape[0] for part in parts]
            if any(sparse.issparse(part) for part in parts):
                values = narrowed(sparse.csr_array(sparse.vstack(parts, format="csr")))
            else:
                values = np.concatenate(parts) if parts else np.empty((0, 0))
        if not counts:
            raise ValueError("features must hold at least one structure, got none")
        if values.dtype.kind not in "biuf":
            raise TypeError(f"features must be real numbers, got dtype {values.dtype}")
        offsets = offsets_of(counts)
        if numbers is None:
            return cls(values, offsets)
        flat = _per_centre("numbers", numbers, counts, "iu")
        heaviest = len(chemical_symbols) - 1
        wrong = np.flatnonzero((flat < 0) | (flat > heaviest))
        if len(wrong):
            rule = f"atomic number must be in 0..{heaviest}, got {flat[wrong[0]]}"
            raise _of_centre(offsets, wrong[0], rule, "numbers")
        return cls(values, offsets, flat)


@public("Pooling", version=1, in_recipes=True)
class Pooling(Transformer, CheckedParameters):
    r"""Pool the features of the centres of each structure into one row.

    Works as a step after a local descriptor, or as its ``pooling`` argument; the latter never holds the
    features of all centres at once.

    Parameters
    ----------
    method : str or tuple of str
        ``"mean"``, ``"sum"``, ``"max"``, ``"min"`` or ``"std"`` (the standard deviation of the population),
        or several of them, whose results follow one another. With ``channels`` ``"mean"``, ``"sum"`` or
        ``"covariance"``.
    weights : str, dict, callable or sequence of arrays, optional
        Weights :math:`w_i \ge 0` of the centres, for a mean :math:`\sum_i w_i x_i / \sum_i w_i`, a sum
        :math:`\sum_i w_i x_i` and a standard deviation
        :math:`(\sum_i w_i (x_i - \bar{x})^2 / \sum_i w_i)^{1/2}`:

        - ``"atomic_number"`` or ``"mass"`` (the element's standard mass) of the centre's atom;
        - ``"multiplicity"``: the number of sites in the given cell that symmetry makes equivalent to the
          centre's atom, for centres that are one site of each kind; see Notes;
        - a dict with a weight for each element, as in ``{"Na": 1, "Cl": 0}``;
        - a function that is given a structure and returns a weight for each of its atoms;
        - one array with the weight of each centre for each structure. Such weights belong to these very
          structures, so that only they can be pooled.

        Default: all centres weigh the same.
    by_species : bool
        Whether to pool over the centres of each element separately. Elements follow one another by atomic
        number; those without centres in a structure (or with weights that are all 0) give zeros, whatever the
        method.
    species : sequence of str or int, optional
        The elements for ``by_species`` and ``channels``. Default: those of the centres seen in ``fit``.
    channels : "species", ElementEmbedding, PropertyChannels, or list of these, optional
        Pool once for each channel k of the centres' elements (see :func:`atomprint.elements.channel_table`), in which
        the element of centre i has the number :math:`e_{ik}`: the mean :math:`\sum_i w_i e_{ik} x_i / \sum_i w_i`, the
        sum :math:`\sum_i w_i e_{ik} x_i`, or the covariance over the centres of a structure,
        :math:`\sum_i w_i (e_{ik} - \bar{e}_k) x_i / \sum_i w_i`. The latter says which environments go with which kind
        of atom, and nothing of what the mean of the features and the composition say already; see Notes.

    Attributes
    ----------
    species_ : tuple of int
        Atomic numbers of the elements, if ``by_species`` or ``channels``.

    Notes
    -----
    Multiplicities come from the array ``wyckoff_multiplicity`` of an ``ase.Atoms``, or else from counting
    ``spacegroup_kinds``, which ``ase.spacegroup.crystal`` sets; from the site property
    ``wyckoff_multiplicity`` of a pymatgen ``Structure``, or else the ``equivalent_indices`` of a
    ``SymmetrizedStructure``. The mean over one centre of each kind, weighted by multiplicity, is the mean
    over all sites; with all sites as centres, multiplicities would count twice.

    Sparse features can be pooled with ``"mean"`` and ``"sum"``, and by channels, and give a sparse result.

    For features x of environments that do not tell elements apart (such as SOAP with ``compression="mu2"``) the mean,
    the covariance with ``channels="species"`` and the composition together say which element has which environment. Of
    a structure with the fractions :math:`f_Z` of the elements, the covariance with the channel of Z is
    :math:`f_Z (\bar{x}_Z - \bar{x})`: unlike the mean over the centres of Z alone (``by_species``) it is not dominated
    by what all environments have in common, and goes to zero with the amount of Z. With channels of properties it is
    the same for all structures of similar elements.

    Examples
    --------
    >>> rows = [np.array([[1.0, 2.0], [3.0, 6.0]]), np.array([[5.0, 5.0]])]
    >>> Pooling(("mean", "max")).fit_transform(rows)
    array([[2., 4., 3., 6.],
           [5., 5., 5., 5.]])
    """

    def __init__(
        self,
        method: str | tuple[str, ...] = "mean",
        *,
        weights: Any = None,
        by_species: bool = False,
        species: Any = None,
        channels: Any = None,
    ) -> None:
        self._initialise(locals())

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, and learn ``species`` if it is needed and was left out.

        Parameters
        ----------
        X : LocalFeatures, sequence of arrays, or array of shape (n_structures, n_centers, n_features)
            Features of the centres of each structure.
        y : ignored

        Returns
        -------
        self
        """
        self._validate()
        features = _as_features(X)
        if self._needs_species():
            given = _atomic_numbers(features.offsets, features.numbers, self._species_rule())
            self.species_ = tuple(np.unique(given).tolist()) if self.species is None else check_species(self.species)
        self.n_features_in_ = features.values.shape[1]
        self.__dict__.pop("feature_names_in_", None)
        if features.feature_names is not None:
            self.feature_names_in_ = np.asarray(features.feature_names, dtype=object)
        return self

    def transform(self, X: Any) -> Array | Any:
        """Pool.

        Parameters
        ----------
        X : LocalFeatures, sequence of arrays, or array of shape (n_structures, n_centers, n_features)
            Features of the centres of each structure.

        Returns
        -------
        ndarray or scipy.sparse.csr_array, shape (n_structures, n_features_out)
            In the type of the features, float64 for integers.

        Raises
        ------
        ValueError, TypeError
            If a structure has no centres, features that are not finite, or no usable weights; the message
            names it.
        """
        self._validate()
        features = _as_features(X)
        plan = self._plan(features.offsets, features.numbers, features.atoms, features.structures)
        return plan(features.values)

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Call ``fit`` and ``transform`` with the same features."""
        X = _as_features(X)
        return self.fit(X, y).transform(X)

    def n_features_out(self, n_features: int) -> int:
        """Return the number of features after pooling of ``n_features`` features."""
        return n_features * len(self._methods()) * len(self._groups())

    def names(self, names: Iterable[str]) -> npt.NDArray[np.object_]:
        """Return the names of the features after pooling, such as ``"O: mean SOAP C-O n=1 n'=2 l=3"``."""
        prefixes = [f"{group}: " if group else "" for group in self._groups()]
        parts = [f"{prefix}{method}" for prefix in prefixes for method in self._methods()]
        names = list(names)
        return np.array([f"{part} {name}" for part in parts for name in names], dtype=object)

    def get_feature_meanings(self, given: Meanings) -> Meanings:
        """Return what the features after pooling are about: what they were, of which centres, and how pooled."""
        labels = [
            [*([of_centers(group)] if group else []), ("pooling", method)]
            for group in self._groups()
            for method in self._methods()
        ]
        return given.repeated(self.names(given.names).tolist(), labels)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the features after pooling.

        Parameters
        ----------
        input_features : sequence of str, optional
            Names of the features before. Default: those seen in ``fit``, else x0, x1, …

        Returns
        -------
        ndarray of str, shape (n_features_out,)
        """
        if input_features is None:
            if not hasattr(self, "n_features_in_"):
                from sklearn.exceptions import NotFittedError

                raise NotFittedError("Pooling: the features are not known: give input_features or call fit first")
            default = [f"x{i}" for i in range(self.n_features_in_)]
            input_features = getattr(self, "feature_names_in_", default)
        return self.names(input_features)

    def __sklearn_is_fitted__(self) -> bool:
        return not self._needs_species() or self.species is not None or hasattr(self, "species_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True
        tags.no_validation = True
        tags.requires_fit = not self.__sklearn_is_fitted__()
        return tags

    # -------------------------------------------------------------------------------------------------------

    def _validate(self) -> None:
        methods = self._methods()
        check_bool("by_species", self.by_species)
        if self.channels is not None:
            check_channels(self.channels)
            if self.by_species:
                raise ValueError("by_species must be False with channels, of which 'species' has one for each element")
        if self.species is not None:
            check_species(self.species)
        if self.weights is None:
            return
        for method in methods:
            if method in ("max", "min"):
                raise ValueError(f"weights must be None for method {method!r}, which has no use for them")
        if isinstance(self.weights, str):
            check_choice("weights", self.weights, _SITE_WEIGHTS)
        elif isinstance(self.weights, Mapping):
            check_of_elements("weights", self.weights, at_least=0)
        elif not callable(self.weights) and (
            not hasattr(self.weights, "__len__")
            or isinstance(self.weights, bytes | Set)
            or getattr(self.weights, "ndim", 1) == 0
        ):
            raise TypeError(
                f"weights must be None, one of {', '.join(map(repr, _SITE_WEIGHTS))}, a dict with a weight for each "
                f"element, a function, or a sequence with one array for each structure, got {self.weights!r}"
            )
        elif not callable(self.weights) and len(self.weights) == 0:
            raise ValueError(f"weights must hold one array for each structure, got {self.weights!r}")

    def _methods(self) -> tuple[str, ...]:
        methods = (self.method,) if isinstance(self.method, str) else self.method
        if not isinstance(methods, tuple | list):
            raise TypeError(f"method must be a string or a tuple of strings, got {methods!r}")
        if not methods or not all(isinstance(method, str) for method in methods) or len(set(methods)) < len(methods):
            raise ValueError(f"method must name one or more different methods, got {methods!r}")
        known = _METHODS if self.channels is None else CHANNEL_METHODS
        if self.channels is None and "covariance" in methods:
            raise ValueError("method 'covariance' needs channels: it is that of the features with the channels")
        return tuple(check_choice("method", method, known) for method in methods)

    def _needs_numbers(self) -> bool:
        return self._needs_species() or isinstance(self.weights, str | Mapping)

    def _needs_species(self) -> bool:
        return self.by_species or self.channels is not None

    def _species_rule(self) -> str:
        return "by_species=True" if self.by_species else "channels"

    def _groups(self) -> Sequence[str]:
        """Return the names of what centres are pooled for separately: elements, channels, or one without a name."""
        if self.channels is not None:
            return channel_table(self.channels, self._species())[0]
        return symbols_of(self._species()) if self.by_species else ("",)

    def _species(self) -> tuple[int, ...]:
        if self.species is not None:
            return check_species(self.species)
        if not hasattr(self, "species_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("Pooling: species is not known: give it to the constructor or call fit first")
        return self.species_

    def _plan(
        self,
        offsets: npt.NDArray[np.integer[Any]],
        numbers: npt.NDArray[np.integer[Any]] | None = None,
        atoms: npt.NDArray[np.integer[Any]] | None = None,
        structures: Any = None,
    ) -> Plan:
        """Check all of the centres that can be checked before there are features; see :class:`LocalFeatures`."""
        counts = offsets[1:] - offsets[:-1]
        if np.count_nonzero(counts) < len(counts):
            raise StructureError(int(np.argmin(counts)), None, "must have at least one centre to pool over, got none")
        weights = self._row_weights(offsets, numbers, atoms, structures)
        methods = self._methods()
        if not self._needs_species():
            return PoolingPlan(methods, 1, offsets, np.arange(offsets[-1]), weights)
        given = _atomic_numbers(offsets, numbers, self._species_rule())
        memo = memo_of(self)
        rows = memo.once("rows of numbers", self._rows_of_numbers)[given]
        if rows.min() < 0:
            unknown = int(np.argmin(rows))
            known = ", ".join(symbols_of(self._species()))
            rule = f"species must be one of {known}, got {chemical_symbols[given[unknown]]}"
            raise _of_centre(offsets, unknown, rule)
        if self.channels is not None:
            table = memo.once("channels", lambda: channel_table(self.channels, self._species())[1])
            return ChannelPlan(methods, offsets, weights, rows, table)
        n = len(self._species())
        group = rows if len(offsets) == 2 else owners(offsets) * n + rows
        order = np.argsort(group, kind="stable")
        bounds = offsets_of(np.bincount(group, minlength=(len(offsets) - 1) * n))
        return PoolingPlan(methods, n, bounds, order, weights[order])

    def _rows_of_numbers(self) -> npt.NDArray[np.int64]:
        """Return the place of each atomic number among the species, -1 for others."""
        table = np.full(len(chemical_symbols), -1)
        table[list(self._species())] = np.arange(len(self._species()))
        return table

    def _row_weights(
        self, offsets: npt.NDArray[Any], numbers: Any, atoms: Any, structures: Any
    ) -> npt.NDArray[np.float64]:
        n_rows = int(offsets[-1])
        if self.weights is None:
            return np.ones(n_rows)
        if not isinstance(self.weights, str):
            if isinstance(self.weights, Mapping):
                weights = self._by_element(_atomic_numbers(offsets, numbers, "weights of elements"), offsets)
            elif callable(self.weights):
                weights = self._of_atoms(offsets, atoms, structures)
            else:
                weights = _per_centre("weights", self.weights, np.diff(offsets).tolist()).astype(np.float64)
            wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
            if len(wrong):
                rule = f"weight must be finite and >= 0, got {weights[wrong[0]]}"
                raise _of_centre(offsets, wrong[0], rule, "weights")
            with np.errstate(over="ignore"):
                sums = totals(weights, offsets)
            wrong = np.flatnonzero(~((sums > 0) & np.isfinite(sums)))
            if len(wrong):
                rule = f"the sum must be > 0 and finite, got {sums[wrong[0]]}"
                raise StructureError(wrong[0], None, rule, argument="weights")
            return weights
        rule = f"weights={self.weights!r}"
        given = _atomic_numbers(offsets, numbers, rule)
        if self.weights == "atomic_number":
            return given.astype(np.float64)
        if self.weights == "mass":
            return np.asarray(atomic_masses[given], dtype=np.float64)
        return self._of_atoms(offsets, atoms, structures)

    def _by_element(self, numbers: npt.NDArray[np.integer[Any]], offsets: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        given = check_of_elements("weights", self.weights, at_least=0)
        table = np.full(len(chemical_symbols), np.nan)
        table[list(given)] = list(given.values())
        unknown = np.flatnonzero(np.isnan(table[numbers]))
        if len(unknown):
            known = ", ".join(chemical_symbols[z] for z in sorted(given))
            rule = f"must be an element that has a weight, {known}, got {chemical_symbols[numbers[unknown[0]]]}"
            raise _of_centre(offsets, unknown[0], rule, "weights")
        return table[numbers]

    def _of_atoms(self, offsets: npt.NDArray[Any], atoms: Any, structures: Any) -> npt.NDArray[np.float64]:
        """Return those weights of the centres that are given by the structures themselves."""
        items = [structures] if is_structure(structures) else structures
        known = atoms is not None and hasattr(items, "__len__") and not isinstance(items, str)
        if not known or len(items) != len(offsets) - 1:
            rule = f"weights={self.weights!r}"
            raise ValueError(f"{rule} needs the structures themselves, as a list of ASE or pymatgen objects")
        weights = np.empty(int(offsets[-1]))
        for s, item in enumerate(items):
            rows = slice(offsets[s], offsets[s + 1])
            given = self._of_one(item, s)
            if (atoms[rows] < 0).any():
                centre = int(np.argmax(atoms[rows] < 0))
                rule = "weights of atoms need centres that are atoms, got a Cartesian point"
                raise StructureError(s, None, rule, f"centre {centre}")
            weights[rows] = given[atoms[rows]]
        return weights

    def _of_one(self, item: Any, structure: int) -> npt.NDArray[np.float64]:
        """Return the weight of each atom of a structure."""
        if not callable(self.weights):
            return _multiplicities(item, structure)
        given = np.asarray(self.weights(item))
        if given.shape != (len(item),) or given.dtype.kind not in "biuf":
            rule = f"must be a number for each of {len(item)} atoms, got shape {given.shape} of {given.dtype}"
            raise StructureError(structure, None, rule, argument="weights")
        return given.astype(np.float64)


@dataclass(frozen=True, slots=True)
class PoolingPlan:
    """Which rows go where: a pooling made ready for given centres, before their features exist.

    Parameters
    ----------
    methods : tuple of str
        The reductions.
    n_groups : int
        Number of groups (elements, or 1) in each structure.
    bounds : ndarray of int, shape (n_structures * n_groups + 1,)
        Group ``g`` owns the rows ``order[bounds[g]:bounds[g + 1]]``.
    order : ndarray of int, shape (n_centers,)
        Rows sorted by group.
    weights : ndarray of float64, shape (n_centers,)
        Weights of the rows, in the order of ``order``.
    """

    methods: tuple[str, ...]
    n_groups: int
    bounds: npt.NDArray[np.integer[Any]]
    order: npt.NDArray[np.integer[Any]]
    weights: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return (len(self.bounds) - 1) // self.n_groups

    def __getitem__(self, structures: slice) -> PoolingPlan:
        """Return the plan for a run of consecutive structures."""
        start, stop, _ = structures.indices(len(self))
        bounds = self.bounds[start * self.n_groups : stop * self.n_groups + 1]
        a, b = bounds[0], bounds[-1]
        order, weights = self.order[a:b] - a, self.weights[a:b]
        return PoolingPlan(self.methods, self.n_groups, bounds - a, order, weights)

    def __call__(self, values: Rows) -> Rows:
        """Pool features.

        Parameters
        ----------
        values : ndarray or sparse array, shape (n_centers, n_features)
            Features of all centres.

        Returns
        -------
        ndarray or scipy.sparse.csr_array, shape (n_structures, n_features_out)
        """
        if self.is_linear:
            out = self.row_weights().pool(values, self.bounds[:: self.n_groups])
        elif sparse.issparse(values):
            method = next(method for method in self.methods if not _METHODS[method].linear)
            raise ValueError(f"method must be 'mean' or 'sum' for sparse features, got {method!r}")
        else:
            dtype = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
            groups = np.zeros((len(self.bounds) - 1, len(self.methods), values.shape[1]), dtype=dtype)
            with np.errstate(invalid="ignore", over="ignore"):  # what these would warn of is found below
                self._reduce(values, groups)
            out = groups.reshape(len(self), -1)
        check_finite(out)
        return out

    def row_weights(self) -> RowWeights:
        """Return the pooling as a sparse matrix, where all methods are linear: one row for each group and method."""
        counts, n_centers, n_methods = self.bounds[1:] - self.bounds[:-1], len(self.order), len(self.methods)
        if self.n_groups == 1:
            sums = _nonzero(totals(self.weights, self.bounds))
        else:  # some may be empty
            sums = _nonzero(np.add.reduceat(np.append(self.weights, 0.0), self.bounds[:-1]) * (counts > 0))
        shares = self.weights / (sums if len(sums) == 1 else np.repeat(sums, counts))
        columns = [shares if method == "mean" else self.weights for method in self.methods]
        if self.n_rows == 1:  # most often
            return RowWeights(np.arange(n_centers + 1), np.zeros(n_centers, dtype=np.int64), columns[0], 1)
        offsets = np.arange(n_centers + 1) * n_methods
        values, rows = np.empty((n_centers, n_methods)), np.empty((n_centers, n_methods), dtype=np.int64)
        values[self.order] = np.stack(columns, axis=1)
        rows[self.order] = (owners(self.bounds) % self.n_groups * n_methods)[:, None] + np.arange(n_methods)
        return RowWeights(offsets, rows.ravel(), values.ravel(), self.n_rows)

    def pick(self, structures: npt.NDArray[np.int64]) -> PoolingPlan:
        """Return the plan for the structures with these ascending indices, where there is one group in each."""
        assert self.n_groups == 1
        rows, bounds = pick(self.bounds.astype(np.int64), structures)
        return PoolingPlan(self.methods, 1, bounds, np.arange(bounds[-1]), self.weights[rows])

    @property
    def n_rows(self) -> int:
        """Number of pooled rows of each structure: one for each group and method."""
        return self.n_groups * len(self.methods)

    def repeat(self, n: int) -> PoolingPlan:
        """Return the plan for ``n`` copies of all structures, one after the other."""
        first_rows = np.arange(n)[:, None] * len(self.order)
        bounds = np.concatenate([[0], (first_rows + self.bounds[1:]).ravel()])
        order, weights = (first_rows + self.order).ravel(), np.tile(self.weights, n)
        return PoolingPlan(self.methods, self.n_groups, bounds, order, weights)

    @property
    def is_linear(self) -> bool:
        """Whether pooled features are weighted sums, with weights that do not depend on the features."""
        return all(_METHODS[method].linear for method in self.methods)

    def entries(self, values: npt.NDArray[Any] | None = None) -> Iterator[Entries]:
        """Yield the derivatives of pooled features by the features of each centre, method by method.

        ``"max"`` and ``"min"`` follow the centre that attains the value, the first one where several do: there they
        have a kink, and no derivative. So has ``"std"`` where it is zero; its derivative is taken as zero there,
        and where the features differ by no more than rounding.

        Parameters
        ----------
        values : ndarray, shape (n_centers, n_features), or None
            Features of all centres; not needed where the plan is linear.
        """
        if values is None:
            yield self.row_weights().entries()
            return
        n_centers, n_methods = len(self.order), len(self.methods)
        group = np.empty(n_centers, dtype=np.int64)
        group[self.order] = owners(self.bounds) % self.n_groups
        slopes = [np.empty((n_centers, 1 if _METHODS[name].linear else values.shape[1])) for name in self.methods]
        for _, rows in self._equal_groups(values):
            for slope, method in zip(slopes, self.methods, strict=True):
                slope[rows.rows] = _METHODS[method].slope(rows)
        for m, slope in enumerate(slopes):
            yield np.arange(n_centers), group * n_methods + m, slope

    def _reduce(self, values: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        """Write the pooled features to ``out``, shape (n_structures * n_groups, n_methods, n_features)."""
        for groups, rows in self._equal_groups(values):
            for k, method in enumerate(self.methods):
                out[groups, k] = _METHODS[method].reduce(rows)

    def _equal_groups(self, values: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[np.int64], _WeightedRows]]:
        """Yield groups and their rows.

        Small groups of equal size are taken together, large ones give their rows piece by piece: what is held at
        any time fits in cache.
        """
        n_rows = max(1, _BLOCK_ENTRIES // max(1, values.shape[1]))
        sizes = np.diff(self.bounds)
        for size in np.unique(sizes[sizes > 0]):
            groups = np.flatnonzero(sizes == size)
            n_together = max(1, n_rows // int(size))
            for i in range(0, len(groups), n_together):
                g = groups[i : i + n_together]
                places = self.bounds[g][:, None] + np.arange(size)
                yield g, _WeightedRows(values, self.order[places], self.weights[places], n_rows // len(g))


Plan: TypeAlias = PoolingPlan | ChannelPlan
"""A pooling made ready for given centres."""


class _WeightedRows:
    """Rows of some groups of equal size, piece by piece.

    Iterating yields features of shape (n_groups, n_rows, n_features) and weights of shape (n_groups, n_rows).
    """

    def __init__(
        self, values: npt.NDArray[Any], rows: npt.NDArray[Any], weights: npt.NDArray[np.float64], n_rows: int
    ) -> None:
        self.values, self.rows, self.weights, self.n_rows = values, rows, weights, n_rows
        self.total = _nonzero(weights.sum(axis=1, keepdims=True))

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        for i in range(0, self.rows.shape[1], self.n_rows):
            piece = slice(i, i + self.n_rows)
            yield self.values[self.rows[:, piece]].astype(np.float64, copy=False), self.weights[:, piece]


def _sum(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    return reduce(np.add, ((w[:, None] @ x)[:, 0] for x, w in rows))


def _mean(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    return _sum(rows) / rows.total


def _std(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    mean = _mean(rows)[:, None]
    variance = reduce(np.add, ((w[:, None] @ (x - mean) ** 2)[:, 0] for x, w in rows)) / rows.total
    std = np.sqrt(variance)
    return np.where(std < _rounding(rows), 0, std)


def _rounding(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    """Return by how much features of the rows may differ that mean the same."""
    largest = reduce(np.maximum, (np.abs(x).max(axis=1) for x, _ in rows))
    return 64 * float(np.finfo(rows.values.dtype if rows.values.dtype.kind == "f" else np.float64).eps) * largest


def _max(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    return reduce(np.maximum, (x.max(axis=1) for x, _ in rows))


def _min(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    return reduce(np.minimum, (x.min(axis=1) for x, _ in rows))


def _sum_slope(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    return rows.weights[..., None]


def _mean_slope(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    return (rows.weights / rows.total)[..., None]


def _std_slope(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    x = rows.values[rows.rows].astype(np.float64, copy=False)
    std = _std(rows)[:, None]
    slope = _mean_slope(rows) * (x - _mean(rows)[:, None]) / np.where(std > 0, std, np.inf)
    return np.asarray(slope)


def _max_slope(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    x = rows.values[rows.rows]
    return (np.arange(x.shape[1])[:, None] == x.argmax(axis=1)[:, None]).astype(np.float64)


def _min_slope(rows: _WeightedRows) -> npt.NDArray[np.float64]:
    x = rows.values[rows.rows]
    return (np.arange(x.shape[1])[:, None] == x.argmin(axis=1)[:, None]).astype(np.float64)


def _nonzero(totals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return sums of weights fit to divide by: where all weights are 0, so are their products."""
    return totals + (totals <= 0)


class _Method(NamedTuple):
    """A reduction of rows: (n_groups, n_features), and its derivatives by them, (n_groups, n_rows, n_features or 1)."""

    reduce: Callable[[_WeightedRows], npt.NDArray[np.float64]]
    slope: Callable[[_WeightedRows], npt.NDArray[np.float64]]
    linear: bool = False


_METHODS: Mapping[str, _Method] = MappingProxyType(
    {
        "mean": _Method(_mean, _mean_slope, linear=True),
        "sum": _Method(_sum, _sum_slope, linear=True),
        "max": _Method(_max, _max_slope),
        "min": _Method(_min, _min_slope),
        "std": _Method(_std, _std_slope),
    }
)


def _as_features(X: Any) -> LocalFeatures:
    if isinstance(X, LocalFeatures):
        return X
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype != object:
        raise ValueError(
            "features must be a list with one array of shape (n_centers, n_features) for each structure, "
            f"got one array of shape {X.shape}"
        )
    return LocalFeatures.from_arrays(X)


def _as_rows(item: Any, structure: int) -> Rows:
    rows = item if sparse.issparse(item) else np.asarray(item)
    if rows.ndim != 2:
        raise ValueError(f"features: structure {structure}: shape must be (n_centers, n_features), got {rows.shape}")
    return rows


def _per_centre(name: str, lists: Any, counts: Sequence[int], kinds: str = "iuf") -> npt.NDArray[Any]:
    """Return one flat array from one array of numbers for each structure."""
    if len(lists) != len(counts):
        raise ValueError(
            f"{name} must hold one array for each structure, got {len(lists)} for {len(counts)} structures"
        )
    arrays = [np.asarray(item) for item in lists]
    for s, (array, count) in enumerate(zip(arrays, counts, strict=True)):
        if array.shape != (count,):
            raise ValueError(f"{name}: structure {s}: shape must be ({count},), one for each centre, got {array.shape}")
        if count and array.dtype.kind not in kinds:
            what = "numbers" if "f" in kinds else "integers"
            raise TypeError(f"{name}: structure {s}: must be {what}, got dtype {array.dtype}")
    return np.concatenate(arrays)


def _atomic_numbers(offsets: npt.NDArray[Any], numbers: Any, needed_by: str) -> npt.NDArray[np.integer[Any]]:
    """Return the atomic numbers of all centres, or raise if one is not an atom."""
    if numbers is None:
        raise ValueError(f"{needed_by} needs the atomic numbers of the centres: give LocalFeatures that have them")
    points = np.flatnonzero(numbers == 0)
    if len(points):
        raise _of_centre(offsets, points[0], f"{needed_by} needs centres that are atoms, got a Cartesian point")
    return np.asarray(numbers)


def _of_centre(offsets: npt.NDArray[Any], row: int, rule: str, argument: str = "") -> StructureError:
    """Return the error that the centre of a row does not keep a rule."""
    structure, centre = locate(offsets, row)
    return StructureError(structure, None, rule, f"centre {centre}", argument)


def _multiplicities(item: Any, structure: int) -> npt.NDArray[np.float64]:
    """Return for every atom of a structure the number of sites that are equivalent to it."""
    arrays = getattr(item, "arrays", None) or getattr(item, "site_properties", None) or {}
    given = arrays.get("wyckoff_multiplicity")
    if given is not None:
        multiplicities = np.array([np.nan if m is None else m for m in given], dtype=np.float64)
        if not (np.isfinite(multiplicities) & (multiplicities > 0)).all():
            raise StructureError(structure, None, f"wyckoff_multiplicity must be > 0 for every site, got {given}")
        return multiplicities
    if "spacegroup_kinds" in arrays:
        _, kind, counts = np.unique(arrays["spacegroup_kinds"], return_inverse=True, return_counts=True)
        return counts[kind].astype(np.float64)
    if hasattr(item, "equivalent_indices"):
        multiplicities = np.empty(len(item))
        for sites in item.equivalent_indices:
            multiplicities[sites] = len(sites)
        return multiplicities
    raise StructureError(
        structure,
        None,
        "weights='multiplicity' needs an array 'wyckoff_multiplicity' or "
        "'spacegroup_kinds' (ASE), or a site property 'wyckoff_multiplicity' or a SymmetrizedStructure "
        "(pymatgen), got none of them",
    )
