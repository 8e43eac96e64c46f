"""Radial functions of the atomic cluster expansion, tabulated so that every family costs the same.

An atom at distance r from a centre contributes ``R_n(r) Y_lm`` to A_nlm. R_n is a function of a family; times the power
of 1 - (r / r_cut)^2 that makes it zero at ``r_cut`` with two derivatives, 3 or what its own zero there leaves of it;
times a switch that is zero where atoms come closer than they ever do; then orthonormalised in ascending order, so that
the first n functions of a family span what they spanned before. The compiled core knows tables of these alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from atomprint.util.types import FloatArray

TABLE_ERROR = {"float64": 1e-8, "float32": 1e-7}
"""Largest error of a tabulated R_n, relative to the largest of R_n at this distance or any beyond the inner switch."""

RadialFunction = Callable[[FloatArray], npt.ArrayLike]
"""A user's own family: maps distances (n,) in Å to the functions (n, n_max)."""

_WIDEST_CELL = 0.05  # Å
_MOST_CELLS = 20_000
_CHECKS = 3  # of each cell
_ZERO = 3  # power of (r_cut - r) at the cutoff
_QUADRATURE_POINTS = 16  # of each panel
_SMALLEST_RATIO = 1e-9  # of a function left after orthogonalisation to what it was before
_PANELS, _NODES = 32, 20  # nodes in each of the interpolation that differentiates a user's own functions


@dataclass(frozen=True)
class Radial:
    """A family of radial functions.

    Parameters
    ----------
    family : str or callable
        One of :data:`FAMILIES`, or a function from distances (n,) to values (n, n_max).
    n_max : int
        Number of functions.
    r_cut : float
        Cutoff in Å.
    parameter : float
        Exponent p of "chebyshev", lambda of "ChebExpCos" and "ChebPow"; ignored by others.
    """

    family: str | RadialFunction
    n_max: int
    r_cut: float
    parameter: float = 2.0


@dataclass(frozen=True)
class PairRange:
    """Lengths that belong to a centre and a neighbour of certain species, in Å.

    Parameters
    ----------
    r0 : float
        Distance of nearest neighbours, the scale of the distance transform.
    inner : tuple of float
        Below the first all functions are zero, above the second, which is larger, they are what they are.
    """

    r0: float
    inner: tuple[float, float]


@lru_cache(maxsize=16)
def radial_tables(radial: Radial, ranges: tuple[PairRange, ...], error: float) -> FloatArray:
    """Tabulate the radial functions of each of several ranges as quintics on equal cells.

    Parameters
    ----------
    radial : Radial
    ranges : tuple of PairRange
    error : float
        Largest error, see :data:`TABLE_ERROR`; checked inside of each cell.

    Returns
    -------
    ndarray, shape (n_ranges, n_cells, 6, n_max)
        Coefficients in ascending powers of the position within the cell, from 0 to 1; cell k covers r from
        ``k r_cut / n_cells``. Two derivatives are continuous, and zero at r_cut.

    Raises
    ------
    ValueError
        If the functions are dependent, not finite, or too rough to be tabulated.
    """
    bases = [_orthonormal(radial, pair) for pair in ranges]
    n_cells = int(np.ceil(radial.r_cut / _WIDEST_CELL))
    while n_cells <= _MOST_CELLS:
        step = radial.r_cut / n_cells
        knots = np.append(np.arange(n_cells) * step, radial.r_cut)
        tables = np.array([_quintics(basis(knots), step) for basis in bases])
        worst = 0.0
        t = (np.arange(_CHECKS) + 0.5) / _CHECKS
        r = ((np.arange(n_cells)[:, None] + t) * step).ravel()
        for pair, basis, table in zip(ranges, bases, tables, strict=True):
            outside = pair.inner[1]
            exact = basis(r)[0]
            found = np.einsum("cpn,tp->ctn", table, t[:, None] ** np.arange(6)).reshape(exact.shape)
            size = np.abs(exact).max(axis=1)
            worst = max(
                worst, float((np.abs(found - exact).max(axis=1) / np.maximum(size, size[r >= outside].max())).max())
            )
        if worst < error:
            tables.setflags(write=False)
            return tables
        n_cells = int(np.ceil(n_cells * min(4.0, max(1.1, 1.05 * (worst / error) ** (1 / 6)))))
    raise ValueError(
        f"radial: functions {radial.family!r} with n_max={radial.n_max}, r_cut={radial.r_cut:g} cannot be tabulated to "
        f"a relative error of {error:.0e}: use a smaller n_max, smoother functions or a wider inner switch"
    )


# Functions come with their first and second derivatives, along the first axis of an array.


def _times(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.stack([a[0] * b[0], a[1] * b[0] + a[0] * b[1], a[2] * b[0] + 2 * a[1] * b[1] + a[0] * b[2]])


def _constant(value: float, like: FloatArray) -> FloatArray:
    result = np.zeros_like(like)
    result[0] = value
    return result


def _of(outer: tuple[FloatArray, FloatArray, FloatArray], inner: FloatArray) -> FloatArray:
    """Return f(x(r)) from f, f', f'' at x and x with its derivatives."""
    f, slope, curvature = outer
    return np.stack([f, slope * inner[1], curvature * inner[1] ** 2 + slope * inner[2]])


def _distance(r: FloatArray) -> FloatArray:
    return np.stack([r, np.ones_like(r), np.zeros_like(r)])


def _chebyshev_polynomials(x: FloatArray, n: int) -> list[FloatArray]:
    result = [_constant(1.0, x), x]
    while len(result) < n:
        result.append(2 * _times(x, result[-1]) - result[-2])
    return result[:n]


def _cutoff(r: FloatArray, r_cut: float, power: float) -> FloatArray:
    """(1 - (r / r_cut)^2)^power."""
    x, slope, k = 1 - (r / r_cut) ** 2, -2 * r / r_cut**2, power
    if k == 0:
        return _constant(1.0, np.stack([x] * 3))
    curvature = -2 * k / r_cut**2 * x ** (k - 1)
    if k != 1:
        curvature += k * (k - 1) * slope**2 * x ** (k - 2)
    return np.stack([x**k, k * x ** (k - 1) * slope, curvature])


def _switch(r: FloatArray, inner: tuple[float, float]) -> FloatArray:
    """From 0 to 1 with four continuous derivatives: x^5 (126 - 420 x + 540 x^2 - 315 x^3 + 70 x^4)."""
    start, stop = inner
    width = stop - start
    x = np.clip((r - start) / width, 0.0, 1.0)
    value = x**5 * (126 + x * (-420 + x * (540 + x * (-315 + x * 70))))
    slope = 630 * (x * (1 - x)) ** 4
    curvature = 2520 * (x * (1 - x)) ** 3 * (1 - 2 * x)
    return np.stack([value, slope / width, curvature / width**2])


def _chebyshev(r: FloatArray, radial: Radial, r0: float) -> FloatArray:
    """T_n of u = 1 / (1 + (r / r0)^p), scaled to -1 at the cutoff and 1 at the centre."""
    p = radial.parameter
    q = np.stack([r**p, p * r ** (p - 1), p * (p - 1) * r ** (p - 2)]) / r0**p
    y = 1 + q[0]
    u = _of((1 / y, -1 / y**2, 2 / y**3), q)
    last = 1 / (1 + (radial.r_cut / r0) ** p)
    x = u * (2 / (1 - last))
    x[0] -= 2 * last / (1 - last) + 1
    return np.stack(_chebyshev_polynomials(x, radial.n_max), axis=-1)


def _waves(r: FloatArray, k: FloatArray) -> FloatArray:
    """sin(k r) / r for each k."""
    s, c = np.sin(np.outer(r, k)), np.cos(np.outer(r, k))
    inverse = _of((1 / r, -1 / r**2, 2 / r**3), _distance(r))[:, :, None]
    return _times(np.stack([s, k * c, -(k**2) * s]), np.broadcast_to(inverse, (3, *s.shape)))


def _bessel(r: FloatArray, radial: Radial, r0: float) -> FloatArray:
    """sin(n pi r / r_cut) / r, the spherical Bessel functions j_0 with a node at the cutoff."""
    return _waves(r, np.arange(1.0, radial.n_max + 1) * (np.pi / radial.r_cut))


# Those of pacemaker (Bochkarev et al., Phys. Rev. Materials 6, 013804 (2022); Lysogorskiy et al., npj Comput. Mater. 7,
# 97 (2021)): (1 - T_n(x)) / 2 from n = 1 on, which are zero at x = 1.


def _half_chebyshev(x: FloatArray, n: int) -> FloatArray:
    polynomials = np.stack(_chebyshev_polynomials(x, n + 1)[1:], axis=-1)
    result = -polynomials / 2
    result[0] += 0.5
    return result


def _cheb_exp_cos(r: FloatArray, radial: Radial, r0: float) -> FloatArray:
    """Return a cosine, and it times those of x = 1 - 2 (exp(-lambda r / r_cut) - exp(-lambda)) / (1 - exp(-lambda))."""
    rate, last = radial.parameter / radial.r_cut, np.exp(-radial.parameter)
    decay = np.exp(-rate * r)
    x = -2 / (1 - last) * np.stack([decay, -rate * decay, rate**2 * decay])
    x[0] += 1 + 2 * last / (1 - last)
    k = np.pi / radial.r_cut
    cosine = np.stack([1 + np.cos(k * r), -k * np.sin(k * r), -(k**2) * np.cos(k * r)]) / 2
    others = _half_chebyshev(x, radial.n_max)[:, :, : radial.n_max - 1]
    functions = np.concatenate([_constant(1.0, x)[:, :, None], others], axis=2)
    return _times(functions, np.broadcast_to(cosine[:, :, None], functions.shape))


def _cheb_pow(r: FloatArray, radial: Radial, r0: float) -> FloatArray:
    """Return those of x = 1 - 2 (1 - r / r_cut)^lambda."""
    y, power = 1 - r / radial.r_cut, radial.parameter
    slope, curvature = -power / radial.r_cut, power * (power - 1) / radial.r_cut**2
    # At the cutoff itself the power may be of zero; other factors are zero there.
    y = np.maximum(y, np.finfo(float).eps)
    x = -2 * np.stack([y**power, slope * y ** (power - 1), curvature * y ** (power - 2)])
    x[0] += 1
    return _half_chebyshev(x, radial.n_max)


def _cheb_linear(r: FloatArray, radial: Radial, r0: float) -> FloatArray:
    """Return those of x = 1 - r / r_cut, which are not zero at the cutoff."""
    x = -_distance(r) / radial.r_cut
    x[0] += 1
    return _half_chebyshev(x, radial.n_max)


def _simplified_bessel(r: FloatArray, radial: Radial, r0: float) -> FloatArray:
    """Return combinations of two j_0 that are zero at the cutoff with two derivatives, orthonormal with weight r^2.

    Kocer, Mason and Erturk, J. Chem. Phys. 150, 154102 (2019), eqs. 15-19.
    """
    n_max, r_cut = radial.n_max, radial.r_cut
    n = np.arange(n_max)
    k = np.arange(1.0, n_max + 2) * (np.pi / r_cut)
    waves = _waves(r, k) / k
    size = (-1.0) ** n * np.sqrt(2) * np.pi / r_cut**1.5 * (n + 1) * (n + 2) / np.hypot(n + 1, n + 2)
    functions = size * (waves[:, :, :-1] + waves[:, :, 1:])
    last = 1.0
    for i in range(1, n_max):
        overlap = i**2 * (i + 2) ** 2 / (4 * (i + 1) ** 4 + 1) / last
        last = 1 - overlap
        functions[:, :, i] = (functions[:, :, i] + np.sqrt(overlap) * functions[:, :, i - 1]) / np.sqrt(last)
    return functions


_Family = Callable[[FloatArray, Radial, float], FloatArray]
# Each with the power of its own zero at the cutoff, which may be its parameter.
_FAMILIES: dict[str, tuple[_Family, float | None]] = {
    "chebyshev": (_chebyshev, 0),
    "bessel": (_bessel, 1),
    "ChebExpCos": (_cheb_exp_cos, 2),
    "ChebPow": (_cheb_pow, None),
    "ChebLinear": (_cheb_linear, 0),
    "SBessel": (_simplified_bessel, 3),
}
FAMILIES = tuple(_FAMILIES)
"""Names of the families: our own, and those that are called so in pacemaker."""

PARAMETERS = {"chebyshev": 2.0, "ChebExpCos": 5.25, "ChebPow": 2.0}
"""Defaults of the parameters of the families that have one."""


def _own(functions: RadialFunction, radial: Radial, start: float) -> Callable[[FloatArray], FloatArray]:
    """Return a user's own functions with derivatives, by interpolation at Chebyshev points of panels."""
    edges = np.linspace(start, radial.r_cut, _PANELS + 1)
    nodes = np.polynomial.chebyshev.chebpts1(_NODES)
    half = (edges[1] - edges[0]) / 2
    points = (edges[:-1, None] + half * (1 + nodes)).ravel()
    values = np.asarray(functions(points), dtype=float)
    if values.shape != (len(points), radial.n_max) or not np.isfinite(values).all():
        raise ValueError(
            f"radial must be a function from distances (n,) to finite values (n, n_max) with n_max = {radial.n_max}, "
            f"got shape {values.shape} for ({len(points)},)"
        )
    panels = values.reshape(_PANELS, _NODES, radial.n_max)
    fitted = np.linalg.solve(np.polynomial.chebyshev.chebvander(nodes, _NODES - 1), panels)  # (panel, power, n)

    def evaluate(r: FloatArray) -> FloatArray:
        panel = np.clip(((r - start) / (2 * half)).astype(int), 0, _PANELS - 1)
        x = (r - edges[panel]) / half - 1
        result = []
        for derivative in range(3):
            powers = np.polynomial.chebyshev.chebder(fitted, derivative, axis=1) / half**derivative
            vander = np.polynomial.chebyshev.chebvander(x, powers.shape[1] - 1)
            result.append(np.einsum("rk,rkn->rn", vander, powers[panel]))
        return np.stack(result)

    return evaluate


def _cutoff_power(radial: Radial) -> float:
    """Return the power of the cutoff that is needed for two derivatives beside the zero that the functions have."""
    own = _FAMILIES[radial.family][1] if isinstance(radial.family, str) else 0
    return max(0.0, _ZERO - (radial.parameter if own is None else own))


def family_functions(radial: Radial, pair: PairRange) -> Callable[[FloatArray], FloatArray]:
    """Return the functions of a family, with first and second derivatives: (n,) to (3, n, n_max)."""
    if not isinstance(radial.family, str):
        return _own(radial.family, radial, pair.inner[0])
    family = _FAMILIES[radial.family][0]
    return lambda r: family(r, radial, pair.r0)


def _orthonormal(radial: Radial, pair: PairRange) -> Callable[[FloatArray], FloatArray]:
    """Return the orthonormalised functions, with derivatives, of distances from 0 to the cutoff."""
    start = pair.inner[0]
    functions = family_functions(radial, pair)

    power = _cutoff_power(radial)

    def smooth(r: FloatArray) -> FloatArray:
        result = np.zeros((3, len(r), radial.n_max))
        inside = r > start
        r = r[inside]
        both = _times(_cutoff(r, radial.r_cut, power), _switch(r, pair.inner))
        result[:, inside] = _times(functions(r), np.broadcast_to(both[:, :, None], (3, len(r), radial.n_max)))
        return result

    nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE_POINTS)
    panel = (radial.r_cut - start) / _PANELS
    r = (start + panel * (np.arange(_PANELS)[:, None] + (1 + nodes) / 2)).ravel()
    weights = np.tile(weights, _PANELS) * r  # atoms at constant density (r^2), near ones for more (1 / r)
    columns = smooth(r)[0] * np.sqrt(weights / weights.sum())[:, None]
    triangle = np.linalg.qr(columns, mode="r")
    size = np.abs(np.diag(triangle)) / np.linalg.norm(columns, axis=0)
    if not (size > _SMALLEST_RATIO).all():
        raise ValueError(
            f"radial: functions {radial.family!r} with n_max={radial.n_max}, r_cut={radial.r_cut:g} depend on each "
            "other: use a smaller n_max"
        )
    transform = np.linalg.inv(triangle * np.sign(np.diag(triangle))[:, None])

    def basis(r: FloatArray) -> FloatArray:
        return smooth(r) @ transform

    return basis


def _quintics(values: FloatArray, step: float) -> FloatArray:
    """Return the coefficients of the quintics that have these values, slopes and curvatures at the cells' ends."""
    f, slope, curvature = values[0], values[1] * step, values[2] * step**2
    a, b, c = f[:-1], slope[:-1], curvature[:-1] / 2
    value = f[1:] - a - b - c
    first = slope[1:] - b - 2 * c
    second = curvature[1:] / 2 - c
    third = [10 * value - 4 * first + second, -15 * value + 7 * first - 2 * second, 6 * value - 3 * first + second]
    return np.ascontiguousarray(np.stack([a, b, c, *third], axis=1))
