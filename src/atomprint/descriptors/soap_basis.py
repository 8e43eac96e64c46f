"""Radial functions of the density expansion, tabulated once so that every basis costs the same.

An atom at distance r from the centre contributes ``R_nl(r) Y_lm`` to the expansion coefficients, where R_nl is the
overlap of basis function g_nl with the atom's Gaussian. The compiled core knows only a table of these functions;
here they are computed from the definitions and checked against the stated error.

The bases are orthonormalised symmetrically (Löwdin): with the primitives as columns of a matrix A on a quadrature
grid, A = U s V^T, the orthonormal functions on the grid are U V^T. One-sided Jacobi rotations give this
decomposition to high relative accuracy, however different the norms of the primitives are, and the overlap matrix,
whose condition number is the square, is never formed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import factorial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
RadialFunctions: TypeAlias = Callable[[FloatArray], FloatArray]
"""Maps distances (n,) to R_nl(r) / r^l of shape (n, l_max + 1, n_max), even in r."""

TABLE_ERROR = {"float64": 1e-11, "float32": 1e-8}
"""Largest error of a tabulated R_nl, relative to the largest value of any R_n'l of the same l."""

ZONE_RANK = 8
"""Functions that span all radial functions of a zone; fixed in the compiled core."""

_DEGREE = 5
_FEWEST_SAMPLES = 16  # of a zone
_ZONE_SAMPLES = 256  # of all distances, or more
_MARGIN = 8  # cells beyond both ends, where the spline's end conditions are felt
_LARGEST_BASIS_ERROR = 1e-7
_MOST_PANELS = 1000
_MOST_CELLS = 20_000
_QUADRATURE_POINTS = 16  # of each panel


@lru_cache(maxsize=32)
def radial_table(
    rbf: str, n_max: int, l_max: int, r_cut: float, sigma: float, reach: float, error: float
) -> FloatArray:
    """Tabulate the radial functions as quintic splines on equal cells.

    Parameters
    ----------
    rbf : {"gto", "polynomial"}
        The basis.
    n_max, l_max : int
        Number of radial functions and largest degree.
    r_cut, sigma, reach : float
        Cutoff of the basis, width of the Gaussians, and the largest distance of a neighbour, in Å.
    error : float
        Largest error, see :data:`TABLE_ERROR`.

    Returns
    -------
    ndarray, shape (n_cells, 6, l_max + 1, n_max)
        Coefficients of ``R_nl(r) / (r / reach)^l`` in ascending powers of the position within the cell, from 0 to
        1; cell k covers r from ``k reach / n_cells``. Twice continuously differentiable and more.

    Raises
    ------
    ValueError
        If rounding would spoil the orthonormal basis.
    """
    functions, width = _BASES[rbf](n_max, l_max, r_cut, sigma)
    power = np.arange(l_max + 1)[:, None]

    def values(s: FloatArray) -> FloatArray:
        return functions(s * reach) * reach**power

    # Errors count in R = s^l G, not in G, and relative to the largest R of the same l.
    probe = np.linspace(0.0, 1.0, 200)
    scale = np.abs(values(probe) * probe[:, None, None] ** power).max(axis=(0, 2))[:, None]
    n_cells = max(16, int(np.ceil(reach / (0.12 * width))))
    for _ in range(6):
        if n_cells > _MOST_CELLS:
            break
        table = _spline_table(values, n_cells)
        middle = (np.arange(n_cells) + 0.5) / n_cells
        t = 0.5 ** np.arange(_DEGREE + 1)
        difference = np.einsum("cpln,p->cln", table, t) - values(middle)
        worst = float(np.abs(difference * middle[:, None, None] ** power / scale).max())
        if worst < error:
            table.setflags(write=False)
            return table
        n_cells = int(np.ceil(n_cells * min(4.0, 1.05 * (worst / error) ** (1 / (_DEGREE + 1)))))
    raise ValueError(
        f"the radial functions of rbf={rbf!r}, n_max={n_max}, l_max={l_max}, r_cut={r_cut:g}, sigma={sigma:g} cannot "
        f"be tabulated to a relative error of {error:.0e}: use a smaller n_max or l_max, or a larger sigma"
    )


@dataclass(frozen=True)
class Zones:
    """Ranges of distance in which few functions span all radial functions, see ``zones``.

    Parameters
    ----------
    short_table : ndarray, shape (n_cells, 6, ZONE_RANK)
        Coefficients of the spanning functions, as in the table; zero outside all zones.
    basis : ndarray, shape (l_max + 1, n_zones, ZONE_RANK, n_max)
        Coefficients that turn them back into the radial functions.
    of_cell : ndarray of int32, shape (n_cells,)
        The zone of each cell, -1 outside all zones.
    """

    short_table: FloatArray
    basis: FloatArray
    of_cell: npt.NDArray[np.int32]


def zones(table: FloatArray, error: float) -> Zones:
    """Find ranges of distance in which ZONE_RANK functions span all tabulated ones to within ``error``.

    Far from the centre the radial functions are smooth and alike. From the outer end, the widest zone is taken in
    which the singular values of the table beyond ZONE_RANK stay below the error, then the next. Where cells are wide,
    as for float32, several samples of each show how few directions there are.
    """
    n_cells, powers, n_l, n_max = table.shape
    power = np.arange(n_l)[:, None]
    per_cell = -(-_ZONE_SAMPLES // n_cells)
    t = (np.arange(per_cell)[:, None] + 0.5) / per_cell
    samples = np.einsum("cpln,tp->ctln", table, t ** np.arange(powers)).reshape(-1, n_l, n_max)
    s = (np.arange(len(samples)) + 0.5) / len(samples)
    scale = np.abs(samples * s[:, None, None] ** power).max(axis=(0, 2))[:, None]

    def directions(start: int, stop: int, step: int) -> FloatArray | None:
        """Return what spans the weighted functions on the cells, if so few directions do; looks at every step-th."""
        picked = samples[start * per_cell : stop * per_cell : step]
        weighted = (picked * ((stop / n_cells) ** power / scale)).reshape(len(picked), -1)
        _, singular, vectors = np.linalg.svd(weighted, full_matrices=False)
        if len(singular) > ZONE_RANK and singular[ZONE_RANK] > error * np.sqrt(len(picked)):
            return None
        return np.asarray(vectors[:ZONE_RANK])

    short_table = np.zeros((n_cells, powers, ZONE_RANK))
    of_cell = np.full(n_cells, -1, dtype=np.int32)
    bases = []
    stop = n_cells
    fewest = -(-_FEWEST_SAMPLES // per_cell)
    while n_max * n_l > ZONE_RANK and stop >= fewest and directions(stop - fewest, stop, 1) is not None:
        # The widest zone, by bisection on as many samples as are needed; then to be sure on all.
        width, too_wide = fewest, stop + 1
        while too_wide - width > 1:
            middle = (width + too_wide) // 2
            if directions(stop - middle, stop, max(1, middle * per_cell // 32)) is not None:
                width = middle
            else:
                too_wide = middle
        while (spanning := directions(stop - width, stop, 1)) is None:
            width -= 1
        start = stop - width
        weight = (stop / n_cells) ** power / scale
        direction = spanning.reshape(len(spanning), n_l, n_max)
        n_used = len(direction)
        short_table[start:stop, :, :n_used] = np.einsum("cpln,qln->cpq", table[start:stop] * weight, direction)
        basis = np.zeros((n_l, ZONE_RANK, n_max))
        basis[:, :n_used] = (direction / weight).transpose(1, 0, 2)
        bases.append(basis)
        of_cell[start:stop] = len(bases) - 1
        stop = start
    return Zones(short_table, np.array(bases).reshape(-1, n_l, ZONE_RANK, n_max).transpose(1, 0, 2, 3).copy(), of_cell)


def _spline_table(values: RadialFunctions, n_cells: int) -> FloatArray:
    from scipy.interpolate import make_interp_spline

    knots = np.arange(-_MARGIN, n_cells + _MARGIN + 1) / n_cells
    samples = values(knots)
    spline = make_interp_spline(knots, samples.reshape(len(knots), -1), k=_DEGREE)
    left = knots[_MARGIN : _MARGIN + n_cells]
    powers = [spline(left, nu=p) / (factorial(p) * float(n_cells) ** p) for p in range(_DEGREE + 1)]
    return np.ascontiguousarray(np.stack(powers, axis=1)).reshape(n_cells, _DEGREE + 1, *samples.shape[1:])


def _functions(
    primitives: Callable[[FloatArray, int], FloatArray],
    rbf: str,
    n_max: int,
    l_max: int,
    sigma: float,
    end: float,
    panel: float,
) -> RadialFunctions:
    """Project Gaussians on orthonormalised primitives: 4 pi int r^2 g_nl(r) exp(-eta (r^2 + R^2)) i_l(2 eta r R) dr."""
    eta = 1 / (2 * sigma**2)
    q, w = _quadrature(end, min(panel, 2 * sigma))
    weighted = np.sqrt(w) * q
    degrees: list[FloatArray] = []
    last = np.empty(0)
    for l in range(l_max + 1):
        columns = weighted[:, None] * primitives(q, l)
        # Two degrees with the same primitives, as in the polynomial basis, share their orthonormal functions.
        if l > 0 and np.array_equal(columns, last):
            degrees.append(degrees[-1] * (2 * eta * q)[:, None])
        else:
            degrees.append(4 * np.pi * (weighted * (2 * eta * q) ** l)[:, None] * _loewdin(columns, rbf, n_max))
        last = columns

    def functions(r: FloatArray) -> FloatArray:
        distance = np.abs(r)[:, None]
        gauss = np.exp(-eta * (distance - q) ** 2)
        result = np.empty((len(r), l_max + 1, n_max))
        for l, bessel in enumerate(_scaled_bessel_over_power(l_max, 2 * eta * distance * q)):
            result[:, l] = (gauss * bessel) @ degrees[l]
        return result

    return functions


def _gto(n_max: int, l_max: int, r_cut: float, sigma: float) -> tuple[RadialFunctions, float]:
    """Gaussian-type orbitals r^l exp(-alpha r^2), alpha chosen so that they decay to 1e-3 at points up to r_cut."""
    decay = np.linspace(1.0, r_cut, n_max)
    alpha = -np.log(1e-3 / decay ** np.arange(l_max + 1)[:, None]) / decay**2  # (l, n)

    def primitives(q: FloatArray, l: int) -> FloatArray:
        return q[:, None] ** l * np.exp(-alpha[l] * q[:, None] ** 2)

    end = float(np.sqrt((40 + l_max * np.log(1 + l_max)) / alpha.min()))
    functions = _functions(primitives, "gto", n_max, l_max, sigma, end, 1.5 / float(np.sqrt(alpha.max())))
    # Gaussian of exponent alpha smeared with that of the atom.
    return functions, float(np.sqrt(0.5 / alpha.max() + sigma**2))


def _polynomial(n_max: int, l_max: int, r_cut: float, sigma: float) -> tuple[RadialFunctions, float]:
    """Polynomials (r_cut - r)^(n + 2) on [0, r_cut]."""

    def primitives(q: FloatArray, l: int) -> FloatArray:
        return (r_cut - q[:, None]) ** np.arange(3, n_max + 3)

    return _functions(primitives, "polynomial", n_max, l_max, sigma, r_cut, r_cut / 2), sigma


def _quadrature(end: float, panel: float) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights of Gauss-Legendre panels of at most the given width on [0, end]."""
    x, w = np.polynomial.legendre.leggauss(_QUADRATURE_POINTS)
    if end > _MOST_PANELS * panel:
        raise ValueError(f"sigma must not be so small against r_cut: {end / panel:.0g} panels of quadrature are needed")
    n = max(2, int(np.ceil(end / panel)))
    half = end / n / 2
    nodes = (2 * half * np.arange(n)[:, None] + half * (x + 1)).ravel()
    return nodes, np.tile(half * w, n)


def _loewdin(primitives: FloatArray, rbf: str, n_max: int) -> FloatArray:
    """Return the symmetrically orthonormalised functions on the grid; raise if rounding spoils them."""
    orthonormal = _polar(primitives)
    # What rounding does: the same with the last bit of every number changed at random.
    rng = np.random.default_rng(0)
    noise = 1 + np.finfo(float).eps * rng.choice([-1.0, 1.0], primitives.shape)
    error = np.abs(_polar(primitives * noise) - orthonormal).max() / np.abs(orthonormal).max()
    if not error < _LARGEST_BASIS_ERROR:
        raise ValueError(
            f"n_max is too large for a stable {rbf} basis: with n_max={n_max} and this r_cut, rounding changes the "
            f"basis by {error:.0e} (at most {_LARGEST_BASIS_ERROR:.0e} is allowed); use a smaller n_max"
        )
    return orthonormal


def _polar(a: FloatArray) -> FloatArray:
    """Return the orthogonal polar factor of a tall matrix, U V^T of its singular value decomposition."""
    if len(a) < a.shape[1] or not np.isfinite(a).all() or not a.any(axis=0).all():
        return np.full_like(a, np.nan)
    from scipy.linalg import lapack

    singular, u, v, _, _, info = lapack.dgejsv(a, joba=0, jobu=0, jobv=0, jobr=0, jobp=0)
    if info != 0 or singular[-1] <= 0:
        return np.full_like(a, np.nan)
    return np.asarray(u @ v.T)


def _scaled_bessel_over_power(l_max: int, x: FloatArray) -> list[FloatArray]:
    """Return exp(-x) i_l(x) / x^l for l = 0..l_max, i_l the modified spherical Bessel functions, x >= 0.

    The functions j_l = i_l / x^l obey j_(l-1) = x^2 j_(l+1) + (2 l + 1) j_l. Downwards all terms are positive, so
    nothing cancels, at x = 0 or elsewhere; upwards the recursion is stable only for x well beyond l and is used there.
    """
    result = [np.empty_like(x) for _ in range(l_max + 1)]
    split = 10.0 + l_max**2 / 4
    small = x <= split
    if small.any():
        xs = x[small]
        start = l_max + 20 + int(np.sqrt(45 * xs.max()))
        after, j = np.zeros_like(xs), np.full_like(xs, 1e-280)
        kept: dict[int, Any] = {}
        square = xs**2
        for l in range(start, 0, -1):
            after, j = j, square * after + (2 * l + 1) * j
            if l - 1 <= l_max:
                kept[l - 1] = j
            elif j.max() > 1e100:
                after, j = after * 1e-180, j * 1e-180
        first = np.where(xs > 1e-8, -np.expm1(-2 * xs) / np.where(xs > 1e-8, 2 * xs, 1.0), 1 - xs)
        for l in range(l_max + 1):
            result[l][small] = kept[l] / kept[0] * first
    if not small.all():
        xl = x[~small]
        before = -np.expm1(-2 * xl) / (2 * xl)
        result[0][~small] = before
        j = ((1 + np.exp(-2 * xl)) / (2 * xl) - before / xl) / xl
        for l in range(1, l_max + 1):
            result[l][~small] = j
            before, j = j, (before - (2 * l + 1) * j) / xl**2
    return result


_BASES: dict[str, Callable[[int, int, float, float], tuple[RadialFunctions, float]]] = {
    "gto": _gto,
    "polynomial": _polynomial,
}
