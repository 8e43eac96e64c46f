"""Radial functions of the atomic cluster expansion, tabulated so that every family costs the same.

An atom at distance r from a centre contributes ``R_n(r) Y_lm`` to A_nlm. R_n is a function of a family, times a cutoff
that is zero at ``r_cut`` with two derivatives, times a switch that is zero where atoms come closer than they ever do;
then orthonormalised in ascending order, so that the first n functions of a family span what they spanned before.
The compiled core knows tables of these functions alone.
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
_CUTOFF_POWER = 3
_QUADRATURE_POINTS = 400
_SMALLEST_RATIO = 1e-9  # of a function left after orthogonalisation to what it was before
_PANELS, _NODES = 32, 20  # of the interpolation that differentiates a user's own functions


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
        Exponent p of "chebyshev", decay lambda of PACE's families; ignored by others.
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
        f"a relative error of {error:.0e}: use a smaller n_max, or smoother functions"
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


def _cutoff(r: FloatArray, r_cut: float) -> FloatArray:
    """(1 - (r / r_cut)^2)^3, zero with two derivatives at the cutoff."""
    x = 1 - (r / r_cut) ** 2
    slope = -2 * r / r_cut**2
    k = _CUTOFF_POWER
    return np.stack(
        [x**k, k * x ** (k - 1) * slope, k * (k - 1) * x ** (k - 2) * slope**2 - 2 * k / r_cut**2 * x ** (k - 1)]
    )


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


def _bessel(r: FloatArray, radial: Radial, r0: float) -> FloatArray:
    """sin(n pi r / r_cut) / r, the spherical Bessel functions j_0 with a node at the cutoff."""
    k = np.arange(1, radial.n_max + 1) * np.pi / radial.r_cut
    s, c = np.sin(np.outer(r, k)), np.cos(np.outer(r, k))
    inverse = _of((1 / r, -1 / r**2, 2 / r**3), _distance(r))[:, :, None]
    return _times(np.stack([s, k * c, -(k**2) * s]), np.broadcast_to(inverse, (3, *s.shape)))


_Family = Callable[[FloatArray, Radial, float], FloatArray]
_FAMILIES: dict[str, _Family] = {"chebyshev": _chebyshev, "bessel": _bessel}
FAMILIES = tuple(_FAMILIES)
"""Names of the families."""


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


def _functions(radial: Radial, pair: PairRange) -> Callable[[FloatArray], FloatArray]:
    """Return the functions of a family, with derivatives."""
    if not isinstance(radial.family, str):
        return _own(radial.family, radial, pair.inner[0])
    family = _FAMILIES[radial.family]
    return lambda r: family(r, radial, pair.r0)


def _orthonormal(radial: Radial, pair: PairRange) -> Callable[[FloatArray], FloatArray]:
    """Return the orthonormalised functions, with derivatives, of distances from 0 to the cutoff."""
    start = pair.inner[0]
    functions = _functions(radial, pair)

    def smooth(r: FloatArray) -> FloatArray:
        result = np.zeros((3, len(r), radial.n_max))
        inside = r > start
        r = r[inside]
        both = _times(_cutoff(r, radial.r_cut), _switch(r, pair.inner))
        result[:, inside] = _times(functions(r), np.broadcast_to(both[:, :, None], (3, len(r), radial.n_max)))
        return result

    nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE_POINTS)
    r = start + (radial.r_cut - start) * (1 + nodes) / 2
    weights = weights * r  # atoms at constant density (r^2), near ones for more (1 / r)
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
