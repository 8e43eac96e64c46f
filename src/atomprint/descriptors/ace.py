"""The atomic cluster expansion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint import _core
from atomprint.chemistry.elements import N_ELEMENTS, element_properties
from atomprint.descriptors.ace_basis.functions import MOST_ORDERS, AceBasis, ace_basis, count_functions, degrees_for
from atomprint.descriptors.ace_basis.radial import (
    FAMILIES,
    PARAMETERS,
    TABLE_ERROR,
    PairRange,
    Radial,
    radial_tables,
)
from atomprint.descriptors.learned_embedding import LearnedEmbedding
from atomprint.descriptors.mixing import MixesSpecies
from atomprint.layout import Axis, Block, Layout, symbols_of
from atomprint.ragged import offsets_of
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice, check_filled, check_integer, check_length, check_real, check_species

_CHANNELS = ("mixed", "full")
_N_FUNCTIONS = 500
MOST_FUNCTIONS = 30_000
_UNKNOWN_RADIUS = 1.6  # Å, of elements beyond the table
_LENGTH_STEP = 0.05  # Å; pairs that are alike share one table
_R0 = 1.75
# The nearest atoms of molecules and crystals are 0.75 (N2) to 1.2 times the sum of their covalent radii apart.
_INNER = (0.35, 0.65)
_DEPENDENT = 1e-6
_LATER = 0.5  # what each further difference of species costs, in units of the first


@public("ACE", version=1, in_recipes=True)
class ACE(MixesSpecies):
    r"""Atomic cluster expansion: a complete set of invariants of the neighbours' density, up to five-body terms.

    The density around a centre *i* is expanded in radial functions and real spherical harmonics without smearing,

    .. math:: A_{cnlm} = \sum_{j \ne i} W_{c Z_j} R_n^{Z_i Z_j}(r_{ij}) Y_{lm}(\hat r_{ij}),

    and the features are products of one to four of these, coupled to scalars by all intermediate degrees of both
    parities: as many of each multiset of (c, n, l) as are linearly independent.

    Parameters
    ----------
    r_cut : float
        Cutoff in Å. Features and two of their derivatives go to zero there.
    n_max : int
        Number of radial functions.
    l_max : int
        Largest degree of the spherical harmonics.
    max_order : int
        Largest number of neighbours in one term: 1 to 4.
    max_degree : sequence of float, optional
        For each order the largest degree of a function: the sum over its factors of n (from 0), ``weight_l`` l, and
        what the channel costs. Default: chosen such that there are about ``n_functions``.
    n_functions : int, optional
        About how many functions there are to be, where ``max_degree`` is not given. Default: 500.
    weight_l : float
        What a degree l counts against a radial index n.
    channels : {"mixed", "full"}
        How neighbours of several species are told apart. "full": each is a channel. "mixed": the first channel is the
        sum of all, the others are orthogonal differences between species, alike ones last; those cost a ``penalty`` in
        the functions of orders 3 and 4, where not much is lost without them. Functions of orders 1 and 2 span the same.
    penalty : float
        What each factor that is a difference adds to the degree of a function of order 3 or 4; the second difference
        1.5 times that, the third 2 times, and so on; and in order 2 these 0, 0.5, 1 times, and so on.
    species_embedding : array of shape (n_species, n_channels), or an embedding, optional
        Mixes the species into channels, instead of ``channels``: the choice for many elements; as for :class:`SOAP`.
    radial : str or callable
        Family of radial functions:

        - ``"chebyshev"``: Chebyshev polynomials of :math:`1 / (1 + (r / r_0)^p)`, which resolve near neighbours best;
        - ``"bessel"``: :math:`\sin(n \pi r / r_\mathrm{cut}) / r`;
        - ``"ChebExpCos"``, ``"ChebPow"``, ``"ChebLinear"``, ``"SBessel"``: those of pacemaker (PACE);
        - a function of your own that maps distances in Å, shape (n,), to values of shape (n, ``n_max``).

        All are multiplied by the power of :math:`1 - (r / r_\mathrm{cut})^2` that makes them zero at the cutoff with
        two derivatives, and orthonormalised in their order.
    radial_parameter : float, optional
        The exponent p of "chebyshev" (default 2), or the lambda of "ChebExpCos" (5.25) and "ChebPow" (2).
    r0 : float or dict, optional
        The length r0 of "chebyshev" in Å, where they resolve most: one for all, or by pairs such as ``{"In-P": 4}``.
        Default: 1.75 times the sum of the covalent radii of centre and neighbour.
    inner : tuple of float or dict, optional
        Two distances in Å, for all pairs or by pairs as ``r0``: neighbours nearer than the first do not count, those
        beyond the second count in full, and between they are switched on smoothly. Default: 0.35 and 0.65 times the sum
        of the covalent radii, nearer than any two atoms are.
    species, periodic, sparse
        As for :class:`SOAP`.
    dtype : {"float64", "float32"}
        Precision of computation and result. In float32 features have errors of 5e-7 of the largest values that they
        take, and contracted derivatives of 1e-6 of the largest.
    centers, pooling, n_jobs
        As for :class:`SOAP`.

    Notes
    -----
    Features are ordered by the channels of their factors, and those of the same channels by degree. Names list n (from
    1) and l of the factors; those of order 4 end with which factors are coupled to which degree, as there may be
    several of the same n and l.

    A centre is not its own neighbour, though its periodic images are, and an atom on a Cartesian centre counts nothing:
    it is nearer than ``inner``. For such a centre, of no species, lengths are those of two atoms of the neighbour's.

    Terms that symmetry forbids are exact zeros: so is what is below 2^-44 (6e-14; 2^-22, 2e-7, in float32) of the
    largest feature of as many factors of the same channels.

    Radial functions are tabulated to 1e-8 of the largest (float32: 1e-7), with two continuous derivatives.

    References
    ----------
    Drautz, Phys. Rev. B 99, 014104 (2019); Dusson et al., J. Comput. Phys. 454, 110946 (2022); Lysogorskiy et al., npj
    Comput. Mater. 7, 97 (2021); Darby et al., Phys. Rev. Lett. 131, 028001 (2023) on channels.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from atomprint.descriptors import ACE
    >>> ace = ACE(species=["H", "O"], r_cut=5.0, n_functions=300)
    >>> ace.create(molecule("H2O")).shape
    (3, 284)
    """

    _pools = ("_compute", "_vjp", "_jacobian", "_pairs")
    # What ``_with_channels`` has been given.
    _fixed_channels: FloatArray | None = None

    def __init__(
        self,
        r_cut: float = 5.0,
        n_max: int = 8,
        l_max: int = 4,
        max_order: int = 4,
        max_degree: Sequence[float] | None = None,
        n_functions: int | None = None,
        weight_l: float = 0.75,
        channels: str = "mixed",
        penalty: float = 1.0,
        species_embedding: Any = None,
        radial: str | Callable[[FloatArray], Any] = "chebyshev",
        radial_parameter: float | None = None,
        r0: float | Mapping[Any, float] | None = None,
        inner: Sequence[float] | Mapping[Any, Sequence[float]] | None = None,
        species: Any = None,
        periodic: bool | str = "auto",
        sparse: bool = False,
        dtype: str = "float64",
        centers: Any = None,
        pooling: Any = None,
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    # -----------------------------------------------------------------------------------------------------------

    def _validate(self) -> None:
        super()._validate()
        r_cut = check_length("r_cut", self.r_cut)
        check_integer("n_max", self.n_max, 1, 64)
        check_integer("l_max", self.l_max, 0, 20)
        order = check_integer("max_order", self.max_order, 1, MOST_ORDERS)
        if self.max_degree is not None:
            if self.n_functions is not None:
                raise ValueError(
                    "max_degree and n_functions cannot be combined: each says how many functions there are"
                )
            given = self.max_degree
            if isinstance(given, str | bytes) or not isinstance(given, Sequence | np.ndarray) or len(given) != order:
                raise ValueError(
                    f"max_degree must be {order} numbers, one for each order up to max_order, got {given!r}"
                )
            for k, most in enumerate(given, start=1):
                check_real(f"max_degree of order {k}", most, at_least=0)
        if self.n_functions is not None:
            check_integer("n_functions", self.n_functions, 1, MOST_FUNCTIONS)
        check_real("weight_l", self.weight_l, above=0)
        check_choice("channels", self.channels, _CHANNELS)
        check_real("penalty", self.penalty, at_least=0)
        if not callable(self.radial):
            check_choice("radial", self.radial, FAMILIES)
        if self.radial_parameter is not None:
            if callable(self.radial) or self.radial not in PARAMETERS:
                having = ", ".join(PARAMETERS)
                raise ValueError(
                    f"radial_parameter must be left out unless radial is one of {having}, got "
                    f"{self.radial_parameter!r} with {self.radial!r}"
                )
            check_real("radial_parameter", self.radial_parameter, at_least=1, at_most=20)
        _by_pair("r0", self.r0, _check_r0)
        for (a, b), (_, stop) in _by_pair("inner", self.inner, _check_inner).items():
            if stop >= r_cut:
                raise ValueError(f"inner{_of_pair(a, b)} must end before r_cut = {r_cut:g}, got {stop:g}")
        if self.species is not None and not isinstance(self.species_embedding, LearnedEmbedding):
            self._core_basis()  # so that what cannot be tabulated is reported at once; it is cached for later

    def basis(self) -> AceBasis:
        """Return the functions: their order, degree and factors, and the program that evaluates them.

        Raises
        ------
        ValueError
            If the species are neither given nor learnt yet.
        """
        n_channels = len(self._channels()[0])
        penalties = self._penalties(n_channels)
        n_max, l_max, weight_l = int(self.n_max), int(self.l_max), float(self.weight_l)
        if self.max_degree is not None:
            degrees = tuple(map(float, self.max_degree))
        else:
            wanted = _N_FUNCTIONS if self.n_functions is None else int(self.n_functions)
            degrees = degrees_for(wanted, n_channels, n_max, l_max, int(self.max_order), weight_l, penalties)
        if count_functions(n_channels, n_max, l_max, degrees, weight_l, penalties, MOST_FUNCTIONS) > MOST_FUNCTIONS:
            raise ValueError(f"max_degree must leave at most {MOST_FUNCTIONS} functions, got more with {list(degrees)}")
        return ace_basis(n_channels, n_max, l_max, degrees, weight_l, penalties)

    def _channels(self) -> tuple[FloatArray, tuple[str, ...]]:
        """Return what each species counts in each channel, shape (n_channels, n_species), and their names."""
        weights, names = self._found_channels()
        return (weights if self._fixed_channels is None else self._fixed_channels), names

    def _with_channels(self, channels: FloatArray) -> Self:
        """Return a copy whose channels are these, as another machine has found them: to the last bit.

        Parameters
        ----------
        channels : ndarray, shape (n_channels, n_species)
            What each species counts in each channel, the same as here but for rounding.
        """
        found = self._found_channels()[0]
        if channels.shape != found.shape or not np.allclose(channels, found, rtol=0, atol=1e-6):
            raise ValueError(f"channels must be those of the species, got others, of shape {channels.shape}")
        copy = deepcopy(self)
        copy._fixed_channels = np.ascontiguousarray(channels)
        return copy

    def _found_channels(self) -> tuple[FloatArray, tuple[str, ...]]:
        species = self._species()
        mixing = self._mixing(species)
        if mixing is not None:
            return np.ascontiguousarray(mixing.T), self._mixed_names(species, mixing.shape[1])
        if self.channels == "full" or len(species) == 1:
            return np.eye(len(species)), symbols_of(species)
        return differences(species), ("sum", *(f"difference{k}" for k in range(1, len(species))))

    def _penalties(self, n_channels: int) -> tuple[tuple[float, ...], ...]:
        if self.channels == "full" or self.species_embedding is not None:
            cost = np.zeros((2, n_channels))
        else:
            later = _LATER * np.maximum(np.arange(n_channels) - 1, 0)
            cost = float(self.penalty) * np.stack([later, later + (np.arange(n_channels) > 0)])
        none, second, others = (0.0,) * n_channels, tuple(cost[0].tolist()), tuple(cost[1].tolist())
        return (none, second, others, others)[: int(self.max_order)]

    def _ranges(self, species: tuple[int, ...]) -> tuple[tuple[PairRange, ...], npt.NDArray[np.int32]]:
        """Return the lengths of all kinds of pairs, and which of them each centre (or none) and neighbour has."""
        radii = np.array([_radius(z) for z in species])
        r_cut = float(self.r_cut)
        given_r0, given_inner = _by_pair("r0", self.r0, _check_r0), _by_pair("inner", self.inner, _check_inner)
        found: dict[PairRange, int] = {}
        table_of = np.empty((len(species) + 1, len(species)), dtype=np.int32)
        for k, second in enumerate(species):
            for i, first in enumerate((*species, second)):
                length = max(1, round((radii[k] + radii[i if i < len(species) else k]) / _LENGTH_STEP)) * _LENGTH_STEP
                pair = (min(first, second), max(first, second))
                r0 = given_r0.get(pair, given_r0.get(_ALL, _R0 * length))
                # Where the cutoff is that short, as of contacts alone, half of it is left.
                default = tuple(share * min(length, r_cut / (2 * _INNER[1])) for share in _INNER)
                inner = given_inner.get(pair, given_inner.get(_ALL, default))
                table_of[i, k] = found.setdefault(PairRange(r0, (inner[0], inner[1])), len(found))
        return tuple(found), table_of

    def _core_basis(self) -> _core.AceBasis:
        """Return the basis of the compiled core, from the cache if these parameters have been used before."""
        species = self._species()
        weights, _ = self._channels()
        family = self.radial
        default = PARAMETERS.get(family, 1.0) if isinstance(family, str) else 1.0
        parameter = default if self.radial_parameter is None else float(self.radial_parameter)
        radial = Radial(family, int(self.n_max), float(self.r_cut), parameter)
        ranges, table_of = self._ranges(species)
        error = TABLE_ERROR[str(self._dtype())]
        return _core_basis(
            self.basis(), species, radial, ranges, table_of.tobytes(), weights.tobytes(), weights.shape, error
        )

    @property
    def _has_gaps(self) -> bool:  # type: ignore[override]
        """Whether species have blocks of features of their own."""
        return self.species_embedding is None and self.channels == "full"

    def _calculator(self) -> Any:
        return _calculator(self._core_basis(), str(self._dtype()))

    def _n_features(self) -> int:
        return self.basis().n_functions

    def _cancelling(self) -> npt.NDArray[np.int64]:
        return offsets_of(self._layout().sizes)

    def _layout(self) -> Layout:
        basis, names = self.basis(), self._channels()[1]
        by_channels: dict[tuple[int, ...], list[int]] = {}
        for k, labels in enumerate(basis.factors):
            by_channels.setdefault(tuple(sorted(c for c, _, _ in labels)), []).append(k)
        blocks = []
        for channels, functions in by_channels.items():
            factors = [basis.factors[k] for k in functions]
            # Of fewer factors there is one invariant.
            couplings = [_coupling(*basis.couplings[k]) if len(channels) == MOST_ORDERS else "" for k in functions]
            axes = [
                Axis("body orders", [""] * len(functions), [f"{len(channels) + 1}-body"] * len(functions)),
                Axis(
                    "radial channels",
                    ["n=" + ",".join(str(n + 1) for _, n, _ in each) for each in factors],
                    [f"n up to {max(n for _, n, _ in each) + 1}" for each in factors],
                ),
                Axis(
                    "angular channels",
                    ["l=" + ",".join(str(l) for _, _, l in each) for each in factors],
                    [f"l up to {max(l for _, _, l in each)}" for each in factors],
                ),
                Axis("couplings", couplings, [""] * len(functions)),
            ]
            blocks.append(Block(tuple(names[c] for c in channels), axes))
        return Layout("ACE", blocks)

    def get_location(self, species: Any) -> slice:
        """Return where the features of some species are, each as often as it is a factor.

        Parameters
        ----------
        species : sequence of str or int
            One to four chemical symbols or atomic numbers, in any order; with ``channels="full"`` alone.

        Returns
        -------
        slice
            Into the features of a row.

        Raises
        ------
        ValueError
            If there are no features for this combination.
        """
        if self.species_embedding is not None or (self.channels != "full" and len(self._species()) > 1):
            raise ValueError("get_location: features belong to channels, not to species, unless channels='full'")
        if isinstance(species, str) or not isinstance(species, Sequence) or not 1 <= len(species) <= MOST_ORDERS:
            raise ValueError(f"species must be one to four chemical symbols or atomic numbers, got {species!r}")
        return self._layout().location(symbols_of(sorted(z for s in species for z in check_species([s]))))


def differences(species: Sequence[int]) -> FloatArray:
    """Return weights of species in channels: their sum, and orthogonal differences, those of the least alike first.

    Returns
    -------
    ndarray, shape (n_species, n_species)
        A row for each channel, of length sqrt(n_species). Differences are the principal directions of the properties of
        the elements, which are standardised over these.
    """
    n = len(species)
    directions = [np.ones(n)]
    if all(z <= N_ELEMENTS for z in species):
        properties = element_properties(list(species))
        properties = properties - properties.mean(axis=0)
        properties /= np.where(properties.any(axis=0), properties.std(axis=0), 1.0)
        directions += list(np.linalg.svd(properties, full_matrices=False)[0].T[: n - 1])
    channels: list[FloatArray] = []
    # Unit vectors follow, so that all directions are there.
    for direction in (*directions, *np.eye(n)):
        left = direction / np.linalg.norm(direction)
        for channel in channels * 2:
            left = left - (channel @ left) / n * channel
        size = np.linalg.norm(left)
        if size > _DEPENDENT and len(channels) < n:
            # A direction has no sign: make its largest component positive.
            channels.append(left * (np.sqrt(n) / size * np.sign(left[np.abs(np.round(left, 9)).argmax()])))
    return np.array(channels)


def _coupling(left: tuple[int, ...], right: tuple[int, ...], l: int) -> str:
    return f"{''.join(str(k + 1) for k in left)}-{''.join(str(k + 1) for k in right)} L={l}"


_ALL = (0, 0)
"""In place of a pair: all of them."""


def _radius(z: int) -> float:
    return float(element_properties([z], ("covalent_radius",))[0, 0]) if z <= N_ELEMENTS else _UNKNOWN_RADIUS


def _of_pair(a: int, b: int) -> str:
    return "" if (a, b) == _ALL else f" of {chemical_symbols[a]}-{chemical_symbols[b]}"


def _by_pair(name: str, given: Any, check: Callable[[str, Any], Any]) -> dict[tuple[int, int], Any]:
    """Return checked values by ascending pairs of atomic numbers, or of ``_ALL``; nothing where nothing is given."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        return {_ALL: check(name, given)}
    values: dict[tuple[int, int], Any] = {}
    for key, value in check_filled(name, given).items():
        parts = key.split("-") if isinstance(key, str) else key
        if not isinstance(parts, Sequence) or len(parts) != 2:
            raise ValueError(f"{name}: keys must be pairs of elements such as 'In-P', got {key!r}")
        try:
            numbers = sorted(z for part in parts for z in check_species([part]))
        except (ValueError, TypeError) as error:
            raise type(error)(f"{name}: {error}") from None
        pair = numbers[0], numbers[1]
        checked = check(f"{name}{_of_pair(*pair)}", value)
        if values.setdefault(pair, checked) != checked:
            raise ValueError(f"{name} must be one for each pair, got {values[pair]} and {checked}{_of_pair(*pair)}")
    return values


def _check_r0(name: str, value: Any) -> float:
    return check_length(name, value)


def _check_inner(name: str, value: Any) -> tuple[float, float]:
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or len(value) != 2:
        raise ValueError(f"{name} must be two distances, got {value!r}")
    start, stop = check_real(name, value[0], at_least=0), check_length(name, value[1])
    if start >= stop:
        raise ValueError(f"{name} must be two ascending distances, got {start:g} and {stop:g}")
    return start, stop


@lru_cache(maxsize=16)
def _core_basis(
    basis: AceBasis,
    species: tuple[int, ...],
    radial: Radial,
    ranges: tuple[PairRange, ...],
    table_of: bytes,
    weights: bytes,
    shape: tuple[int, int],
    error: float,
) -> _core.AceBasis:
    return _core.AceBasis(
        species=list(species),
        cutoff=radial.r_cut,
        n_max=basis.n_max,
        l_max=basis.l_max,
        tables=radial_tables(radial, ranges, error),
        table_of=np.frombuffer(table_of, dtype=np.int32).reshape(-1, len(species)),
        channels=np.frombuffer(weights).reshape(shape),
        product_first=basis.product_first,
        product_a=basis.product_a,
        product_b=basis.product_b,
        product_c=basis.product_c,
        function_first=basis.function_first,
        function_p=basis.function_p,
        function_q=basis.function_q,
        function_c=basis.function_c,
    )


@lru_cache(maxsize=16)
def _calculator(basis: _core.AceBasis, dtype: str) -> Any:
    return (_core.Ace64 if dtype == "float64" else _core.Ace32)(basis)
