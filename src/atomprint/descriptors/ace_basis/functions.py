"""Which invariants a basis of the atomic cluster expansion has, and the program that evaluates them.

An invariant of order nu is a sum of products of nu of the A_cnlm, coupled to the scalar that neither rotations nor the
inversion change. For each multiset of labels (c, n, l) there are as many independent ones as the product of the
representations (symmetric in labels that are equal) holds the trivial one: that is counted in integers, and as many are
taken out of all pairings and all intermediate degrees L, of both parities, those first that cost least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement, product

import numpy as np
import numpy.typing as npt

from atomprint.descriptors.ace_basis.coupling import real_coupling
from atomprint.util.types import FloatArray

Label = tuple[int, int, int]
"""Channel c, radial index n and degree l of a factor A_cnlm, all from 0."""

Coupling = tuple[tuple[int, ...], tuple[int, ...], int]
"""Places of the factors on the two sides of a product, and the degree of both."""

MOST_ORDERS = 4
_Degree = tuple[float, Label]
_Pairing = tuple[tuple[int, ...], tuple[int, ...]]  # places of the factors on the left and on the right
# All ways to couple the factors of an order in two groups of at most two.
_PAIRINGS: dict[int, tuple[_Pairing, ...]] = {
    1: (((), (0,)),),
    2: (((0,), (1,)),),
    3: (((0, 1), (2,)), ((0, 2), (1,)), ((1, 2), (0,))),
    4: (((0, 3), (1, 2)), ((0, 2), (1, 3)), ((0, 1), (2, 3))),
}
_SPARE_POINTS = 16  # at which candidates are compared, beyond as many as can be independent
# What a candidate must leave, relative to itself, to be independent of others. Up to l = 20 dependent ones leave 1e-11
# at most, which is rounding, and independent ones more than 1e-3. How many there are is counted, and not judged so.
_INDEPENDENT = 1e-6
_STEP = 0.25  # of degrees, where a number of functions is wanted
_SLACK = 1e-9  # of degrees, which are sums of rounded numbers


@dataclass(frozen=True, eq=False)
class AceBasis:
    r"""Invariants of order 1 to 4 as a bilinear program.

    With X = [1, A_0 .. A_(n_a - 1), D_0 .. D_(n_products - 1)], and the index of an A
    ``(c n_max + n) (l_max + 1)^2 + l^2 + l + m``,

    .. math::
        D_q &= \sum_{t = \mathrm{first}[q]}^{\mathrm{first}[q + 1]} c_t A_{a_t} A_{b_t} \\
        B_k &= \sum_t c_t X_{p_t} X_{q_t}.

    Attributes
    ----------
    n_channels, n_max, l_max : int
        Sizes of the index of A.
    product_first : ndarray of int32, shape (n_products + 1,)
        Where the terms of each D begin.
    product_a, product_b : ndarray of int32
        Indices of A, a <= b.
    product_c : ndarray of float64
    function_first : ndarray of int32, shape (n_functions + 1,)
        Where the terms of each function begin.
    function_p, function_q : ndarray of int32
        Indices of X: 0 and an A (order 1), two A (2), a D and an A (3), two D (4). Those of one function are two runs
        of consecutive indices, the components of two tensors of one degree, and they have one coefficient.
    function_c : ndarray of float64
    order : ndarray of int32, shape (n_functions,)
    degree : ndarray of float64, shape (n_functions,)
        Sum over the factors of n + weight_l l + penalty of the channel.
    factors : tuple of tuple of (c, n, l)
        The factors of each function, in ascending order.
    couplings : tuple of tuple
        How each function couples them: places of one or two factors, of the others, and the degree L of both sides.
    """

    n_channels: int
    n_max: int
    l_max: int
    product_first: npt.NDArray[np.int32]
    product_a: npt.NDArray[np.int32]
    product_b: npt.NDArray[np.int32]
    product_c: FloatArray
    function_first: npt.NDArray[np.int32]
    function_p: npt.NDArray[np.int32]
    function_q: npt.NDArray[np.int32]
    function_c: FloatArray
    order: npt.NDArray[np.int32]
    degree: FloatArray
    factors: tuple[tuple[Label, ...], ...]
    couplings: tuple[Coupling, ...]

    @property
    def n_a(self) -> int:
        """Number of A."""
        return self.n_channels * self.n_max * (self.l_max + 1) ** 2

    @property
    def n_products(self) -> int:
        """Number of D."""
        return len(self.product_first) - 1

    @property
    def n_functions(self) -> int:
        """Number of invariants."""
        return len(self.order)


@lru_cache(maxsize=32)
def ace_basis(
    n_channels: int,
    n_max: int,
    l_max: int,
    max_degree: tuple[float, ...],
    weight_l: float = 1.0,
    penalties: tuple[tuple[float, ...], ...] | None = None,
) -> AceBasis:
    """Choose invariants by their weighted total degree, and write the program that evaluates them.

    Parameters
    ----------
    n_channels, n_max, l_max : int
        Channels, radial functions and largest degree of the A.
    max_degree : tuple of float
        Largest total degree of the functions of order 1, 2, ...; its length is the largest order, at most 4.
    weight_l : float
        What a degree l counts against a radial index.
    penalties : tuple of tuple of float, optional
        What each channel adds to the degree in the functions of each order. Default: nothing.

    Returns
    -------
    AceBasis
        Ordered by channels, then order, then degree.
    """
    chosen = [
        (factors, degree)
        for order, most in enumerate(max_degree, start=1)
        for factors, degree in _multisets(
            order,
            _labels(
                n_channels,
                n_max,
                l_max,
                weight_l,
                penalties[order - 1] if penalties is not None else (0.0,) * n_channels,
            ),
            most,
        )
    ]
    # Low degrees first: what they need as products is there for the others.
    chosen.sort(key=lambda entry: (-len(entry[0]), entry[1]))
    writer = _Writer(n_channels, n_max, l_max)
    for factors, degree in chosen:
        writer.add(factors, degree)
    return writer.basis()


def _labels(n_channels: int, n_max: int, l_max: int, weight_l: float, penalties: Sequence[float]) -> list[_Degree]:
    """Return the degrees and labels of all factors, ascending."""
    every = product(range(n_channels), range(n_max), range(l_max + 1))
    return sorted((n + weight_l * l + penalties[c], (c, n, l)) for c, n, l in every)


def _multisets(order: int, labels: list[_Degree], most: float) -> Iterator[tuple[tuple[Label, ...], float]]:
    """Yield the multisets of so many labels that have invariants, and their degrees, at most ``most``."""

    def extend(
        start: int, left: int, room: float, taken: tuple[Label, ...]
    ) -> Iterator[tuple[tuple[Label, ...], float]]:
        for k in range(start, len(labels)):
            degree, label = labels[k]
            if degree * left > room + _SLACK:
                return
            if left > 1:
                yield from extend(k, left - 1, room - degree, (*taken, label))
            elif _count_of((*taken, label)):
                yield (*taken, label), most - room + degree

    yield from extend(0, order, most, ())


def _count_of(factors: tuple[Label, ...]) -> int:
    """Return how many independent invariants a multiset of factors has."""
    return n_invariants(tuple(sorted((label[2], times) for label, times in Counter(factors).items())))


@lru_cache(maxsize=100_000)
def n_invariants(degrees: tuple[tuple[int, int], ...]) -> int:
    """Return how many independent invariants a product of tensors has, some of which may be there several times.

    Parameters
    ----------
    degrees : tuple of (int, int)
        Degree of each tensor, and how many times it is a factor.

    Returns
    -------
    int
        Times that the symmetric powers' product holds the scalar of O(3): states with M = 0 less those with M = 1.
    """
    if sum(l * times for l, times in degrees) % 2:
        return 0  # odd under inversion
    states = Counter({0: 1})
    for l, times in degrees:
        power = Counter(sum(ms) for ms in combinations_with_replacement(range(-l, l + 1), times))
        both: Counter[int] = Counter()
        for (m, n), (k, o) in product(states.items(), power.items()):
            both[m + k] += n * o
        states = both
    return states[0] - states[1]


@lru_cache(maxsize=100_000)
def _candidates(ls: tuple[int, ...], classes: tuple[int, ...]) -> tuple[tuple[_Pairing, int, FloatArray], ...]:
    """Return all couplings of factors to an invariant that do not vanish, with normalised values at random points.

    Parameters
    ----------
    ls, classes : tuple of int
        Degree of each factor, and the first factor that has the same label.
    """
    couplings = [(pairing, sorted(_reach(ls, pairing[0]) & _reach(ls, pairing[1]))) for pairing in _PAIRINGS[len(ls)]]
    n_points = min(len(degrees) for _, degrees in couplings) + _SPARE_POINTS
    rng = np.random.default_rng(0)
    points = [rng.normal(size=(n_points, 2 * l + 1)) for l in ls]
    points = [points[k] for k in classes]
    result = []
    for (left, right), degrees in couplings:
        for l in degrees:
            values = (_coupled(ls, left, points, l) * _coupled(ls, right, points, l)).sum(axis=1)
            size = np.linalg.norm(values)
            if size > _INDEPENDENT:
                result.append(((left, right), l, values / size))
    return tuple(result)


def _reach(ls: tuple[int, ...], places: tuple[int, ...]) -> set[int]:
    """Return the degrees that these factors can be coupled to."""
    of = [ls[k] for k in places]
    return {0} if not of else set(of) if len(of) == 1 else set(range(abs(of[0] - of[1]), of[0] + of[1] + 1))


def _coupled(ls: tuple[int, ...], places: tuple[int, ...], points: list[FloatArray], l: int) -> FloatArray:
    if not places:
        return np.ones((len(points[0]), 1))
    if len(places) == 1:
        return points[places[0]]
    a, b = places
    # The components of an antisymmetric product of a tensor with itself are zero, but for rounding.
    return np.einsum("abm,pa,pb->pm", real_coupling(ls[a], ls[b], l), points[a], points[b], optimize=True)


class _Writer:
    """Writes the program: products as they are needed, then functions."""

    def __init__(self, n_channels: int, n_max: int, l_max: int) -> None:
        self.sizes = n_channels, n_max, l_max
        self.products: dict[tuple[Label, Label, int], int] = {}  # first D of a pair and degree
        self.product_terms: list[list[tuple[int, int, float]]] = []
        self.functions: list[tuple[tuple[Label, ...], float, _Pairing, int, int, int]] = []

    def add(self, factors: tuple[Label, ...], degree: float) -> None:
        """Add all independent invariants of a multiset of factors, in ascending order of their degrees."""
        classes = tuple(factors.index(label) for label in factors)
        ls = tuple(label[2] for label in factors)
        wanted = _count_of(factors)
        candidates = _candidates(ls, classes)
        # Cheapest first: terms of the function, and of products that are not there yet.
        costs = [2 * l + 1 + sum(self._missing(factors, side, l) for side in pairing) for pairing, l, _ in candidates]
        span: list[FloatArray] = []
        for k in sorted(range(len(candidates)), key=costs.__getitem__):
            if len(span) == wanted:
                break
            pairing, l, values = candidates[k]
            left = values.copy()
            for _ in range(2):  # twice is enough
                for direction in span:
                    left -= (direction @ left) * direction
            size = np.linalg.norm(left)
            if size > _INDEPENDENT:
                span.append(left / size)
                p, q = (self._place(factors, side, l) for side in pairing)
                self.functions.append((factors, degree, pairing, l, p, q))
        if len(span) != wanted:
            raise AssertionError(f"{len(span)} of {wanted} invariants found for degrees {ls}")

    def _key(self, factors: tuple[Label, ...], side: tuple[int, ...], l: int) -> tuple[Label, Label, int]:
        a, b = sorted(factors[k] for k in side)
        return a, b, l

    def _missing(self, factors: tuple[Label, ...], side: tuple[int, ...], l: int) -> int:
        """Return how many terms would have to be added for this side of a function."""
        if len(side) < 2 or self._key(factors, side, l) in self.products:
            return 0
        a, b, _ = self._key(factors, side, l)
        return _n_terms(a[2], b[2], l)

    def _place(self, factors: tuple[Label, ...], side: tuple[int, ...], l: int) -> int:
        """Return the index in X of the first component of one side."""
        n_channels, n_max, l_max = self.sizes
        n_lm = (l_max + 1) ** 2

        def first(label: Label) -> int:
            c, n, l = label
            return (c * n_max + n) * n_lm + l * l

        if not side:
            return 0
        if len(side) == 1:
            return 1 + first(factors[side[0]])
        key = self._key(factors, side, l)
        place = self.products.get(key)
        if place is None:
            place = self.products[key] = len(self.product_terms)
            coupling = real_coupling(key[0][2], key[1][2], l)
            start_a, start_b = first(key[0]), first(key[1])
            for m in range(2 * l + 1):
                terms: Counter[tuple[int, int]] = Counter()
                for a, b in zip(*np.nonzero(coupling[:, :, m]), strict=True):
                    i, j = start_a + int(a), start_b + int(b)
                    terms[min(i, j), max(i, j)] += coupling[a, b, m]
                self.product_terms.append([(i, j, float(c)) for (i, j), c in sorted(terms.items()) if c])
        return 1 + n_channels * n_max * n_lm + place

    def basis(self) -> AceBasis:
        """Return the basis with its functions in order."""
        self.functions.sort(key=lambda f: (tuple(sorted(c for c, _, _ in f[0])), len(f[0]), f[1], f[0], f[2], f[3]))
        terms = [term for of_one in self.product_terms for term in of_one]
        widths = np.array([2 * l + 1 for *_, l, _, _ in self.functions], dtype=np.int32)
        within = np.arange(widths.sum()) - np.repeat(np.cumsum(widths) - widths, widths)
        p, q = (np.array([f[k] for f in self.functions], dtype=np.int32) for k in (4, 5))
        ends = np.cumsum([len(of_one) for of_one in self.product_terms])
        n_channels, n_max, l_max = self.sizes
        return AceBasis(
            n_channels=n_channels,
            n_max=n_max,
            l_max=l_max,
            product_first=_integers([0, *ends]),
            product_a=_integers([a for a, _, _ in terms]),
            product_b=_integers([b for _, b, _ in terms]),
            product_c=_reals([c for _, _, c in terms]),
            function_first=_integers([0, *np.cumsum(widths)]),
            function_p=_integers(np.repeat(p, widths) + within * np.repeat(p > 0, widths)),
            function_q=_integers(np.repeat(q, widths) + within),
            function_c=_reals(np.repeat(1 / np.sqrt(widths), widths)),
            order=_integers([len(factors) for factors, *_ in self.functions]),
            degree=_reals([f[1] for f in self.functions]),
            factors=tuple(tuple(f[0][k] for k in _in_order(f[0])) for f in self.functions),
            couplings=tuple(_coupling(f[0], f[2], f[3]) for f in self.functions),
        )


def _in_order(factors: tuple[Label, ...]) -> list[int]:
    """Return the places of the factors in ascending order of their labels."""
    return sorted(range(len(factors)), key=factors.__getitem__)


def _coupling(factors: tuple[Label, ...], pairing: _Pairing, l: int) -> Coupling:
    """Return the pairing in terms of factors in ascending order."""
    order = _in_order(factors)
    left, right = sorted(tuple(sorted(order.index(k) for k in side)) for side in pairing)
    return left, right, l


def _integers(values: npt.ArrayLike) -> npt.NDArray[np.int32]:
    result = np.array(values, dtype=np.int32)
    result.setflags(write=False)
    return result


def _reals(values: npt.ArrayLike) -> FloatArray:
    result = np.array(values, dtype=np.float64)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=10_000)
def _n_terms(l1: int, l2: int, l: int) -> int:
    return int(np.count_nonzero(real_coupling(l1, l2, l)))


@lru_cache(maxsize=64)
def count_functions(
    n_channels: int,
    n_max: int,
    l_max: int,
    max_degree: tuple[float, ...],
    weight_l: float = 1.0,
    penalties: tuple[tuple[float, ...], ...] | None = None,
    stop: int | None = None,
) -> int:
    """Return how many functions :func:`ace_basis` would choose; or some number above ``stop``, if there are more."""
    total = 0
    for order, most in enumerate(max_degree, start=1):
        own = penalties[order - 1] if penalties is not None else (0.0,) * n_channels
        for factors, _ in _multisets(order, _labels(n_channels, n_max, l_max, weight_l, own), most):
            total += _count_of(factors)
            if stop is not None and total > stop:
                return total
    return total


@lru_cache(maxsize=64)
def degrees_for(
    n_functions: int,
    n_channels: int,
    n_max: int,
    l_max: int,
    max_order: int = MOST_ORDERS,
    weight_l: float = 1.0,
    penalties: tuple[tuple[float, ...], ...] | None = None,
) -> tuple[float, ...]:
    """Return the largest degree of each order with which :func:`ace_basis` has about so many functions.

    All functions of order 1, and those of order 2 to 4 up to degrees d + 3, d + 1 and d. (By cross-validation of
    potentials for Si, Ni and InP: with as many terms to be computed, other differences are worse or no better.)

    Returns
    -------
    tuple of float, one for each order up to ``max_order``
        Those whose number of functions is closest to the one that is wanted.
    """
    penalties = ((0.0,) * n_channels,) * max_order if penalties is None else penalties
    largest = n_max - 1 + weight_l * l_max + max(map(max, penalties))

    def degrees(step: int) -> tuple[float, ...]:
        d = step * _STEP
        return (largest, d + 3, d + 1, d)[:max_order]

    def count(step: int) -> int:
        return count_functions(n_channels, n_max, l_max, degrees(step), weight_l, penalties, stop=3 * n_functions)

    low, high = int(-3 / _STEP), int(MOST_ORDERS * largest / _STEP) + 1  # of order 1 alone, and all functions
    if count(low) >= n_functions:
        return degrees(low)
    if count(high) <= n_functions:
        return degrees(high)
    while high - low > 1:
        middle = (low + high) // 2
        if count(middle) < n_functions:
            low = middle
        else:
            high = middle
    return degrees(min(low, high, key=lambda step: abs(count(step) - n_functions)))
