"""Slow, direct versions of the descriptors: the formulas and nothing else.

They serve two ends. ``make_golden.py`` uses them to keep only those reference values in which the reference
program is right, and the tests use them as an oracle where no reference value exists. They need NumPy and
SciPy, loop over everything, and share no code with the package.

Lengths are in Å. Index suffixes: ``p`` pair, ``n`` radial function, ``m`` spherical harmonic (all degrees
in one axis), ``k`` centre, ``s`` species.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from functools import cache
from math import erfc, isqrt, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive, sph_harm_y

Array = NDArray[np.float64]
DIGITS = 60  # of the decimal arithmetic in which the radial bases are orthonormalised


def lattice_points(cell: Array, pbc: Sequence[bool], cutoff: float, spread: float = 0.0) -> Array:
    """Lattice vectors that can join two points at most `spread` apart over less than `cutoff`.

    Parameters
    ----------
    cell : array, shape (3, 3)
        Rows are the lattice vectors.
    pbc : sequence of bool
        Directions that repeat.
    cutoff, spread : float
        Lengths.

    Returns
    -------
    array, shape (n_points, 3)
        Cartesian lattice vectors, the zero vector among them.
    """
    if not any(pbc):
        return np.zeros((1, 3))
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = [int(np.ceil((cutoff + spread) / h)) + 1 if p else 0 for h, p in zip(heights, pbc, strict=True)]
    axes = [np.arange(-n, n + 1) for n in reach]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3) @ np.asarray(cell)


def neighbours(
    positions: Array, cell: Array, pbc: Sequence[bool], centre: Array, cutoff: float
) -> tuple[NDArray[np.intp], Array]:
    """Atoms and periodic images within `cutoff` of a point, a point on top of an atom included.

    Returns
    -------
    atoms : array, shape (n_pairs,)
        Index of the atom of each pair.
    vectors : array, shape (n_pairs, 3)
        From the centre to the atom.
    """
    offsets = positions - centre
    spread = float(np.linalg.norm(offsets, axis=1).max(initial=0.0))
    vectors = offsets[:, None, :] + lattice_points(cell, pbc, cutoff, spread)[None, :, :]
    near = np.linalg.norm(vectors, axis=-1) < cutoff
    return np.nonzero(near)[0], vectors[near]


def real_harmonics(vectors: Array, l_max: int) -> Array:
    """Orthonormal real spherical harmonics, shape (n_pairs, (l_max + 1)^2), column l^2 + l + m."""
    x, y, z = vectors.T
    polar, azimuth = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    out = np.empty((len(vectors), (l_max + 1) ** 2))
    for ell in range(l_max + 1):
        for m in range(-ell, ell + 1):
            value = sph_harm_y(ell, abs(m), polar, azimuth)
            sign = sqrt(2.0) * (-1) ** m
            out[:, ell * ell + ell + m] = value.real if m == 0 else sign * (value.real if m > 0 else value.imag)
    return out


def inverse_square_root(matrix: Sequence[Sequence[Decimal]]) -> NDArray[np.longdouble]:
    """S^(-1/2) of a symmetric positive definite matrix, by cyclic Jacobi rotations in decimal arithmetic.

    The overlap of radial functions is nearly singular (eight polynomials: condition number 10^16), so that
    double precision would leave few correct digits or none.
    """
    size = len(matrix)
    a = [list(row) for row in matrix]
    v = [[Decimal(int(i == j)) for j in range(size)] for i in range(size)]
    tiny = Decimal(10) ** -DIGITS  # of a squared cosine, so half of the digits
    while any(a[i][j] ** 2 > tiny * a[i][i] * a[j][j] for i in range(size) for j in range(i)):
        for i in range(size):
            for j in range(i + 1, size):
                if a[i][j] ** 2 <= tiny * a[i][i] * a[j][j]:
                    continue
                theta = (a[j][j] - a[i][i]) / (2 * a[i][j])
                t = (1 if theta >= 0 else -1) / (abs(theta) + (theta * theta + 1).sqrt())
                c = 1 / (t * t + 1).sqrt()
                s = t * c
                for k in range(size):
                    a[k][i], a[k][j] = c * a[k][i] - s * a[k][j], s * a[k][i] + c * a[k][j]
                for k in range(size):
                    a[i][k], a[j][k] = c * a[i][k] - s * a[j][k], s * a[i][k] + c * a[j][k]
                    v[k][i], v[k][j] = c * v[k][i] - s * v[k][j], s * v[k][i] + c * v[k][j]
    roots = [1 / a[k][k].sqrt() for k in range(size)]
    result = [
        [np.longdouble(str(sum(v[i][k] * roots[k] * v[j][k] for k in range(size)))) for j in range(size)]
        for i in range(size)
    ]
    return np.array(result, dtype=np.longdouble)


@cache
def gto_basis(n_max: int, ell: int, r_cut: float) -> tuple[NDArray[np.longdouble], NDArray[np.longdouble]]:
    """Exponents alpha_n and Löwdin coefficients beta_nn' of the Gaussian basis for one l."""
    with localcontext() as context:
        context.prec = DIGITS
        end, step = Decimal(r_cut), Decimal(max(n_max - 1, 1))
        radii = [1 + (end - 1) * n / step for n in range(n_max)]
        alpha = [-(Decimal("1e-3") / r**ell).ln() / r**2 for r in radii]
        half = Decimal(2 * ell + 3) / 2
        # 1/2 Gamma(l + 3/2); Gamma(1/2) = sqrt(pi)
        factor = Decimal("3.14159265358979323846264338327950288419716939937510582097494459").sqrt() / 2
        for k in range(ell + 1):
            factor *= Decimal(2 * k + 1) / 2
        beta = inverse_square_root([[factor / (p + q) ** half for q in alpha] for p in alpha])
        return np.array([np.longdouble(str(p)) for p in alpha]), beta


@cache
def polynomial_basis(n_max: int, r_cut: float) -> NDArray[np.longdouble]:
    """Löwdin coefficients of the functions (r_cut - r)^(n + 2), n = 1 .. n_max."""
    with localcontext() as context:
        context.prec = DIGITS
        cut, orders = Decimal(r_cut), range(1, n_max + 1)
        return inverse_square_root(
            [[2 * cut ** (7 + i + j) / ((5 + i + j) * (6 + i + j) * (7 + i + j)) for j in orders] for i in orders]
        )


def radial_gto(distances: Array, ell: int, n_max: int, r_cut: float, sigma: float) -> Array:
    """Closed form of the radial integral for the Gaussian basis, shape (n_pairs, n_max)."""
    r = distances[:, None].astype(np.longdouble)
    alpha, beta = gto_basis(n_max, ell, r_cut)
    eta = 1.0 / (2.0 * sigma**2)
    width = eta + alpha
    primitive = eta**ell / width ** (ell + 1.5) * np.exp(-alpha * eta / width * r**2) * r**ell
    return (pi**1.5 * primitive @ beta.T).astype(np.float64)


def radial_quadrature(
    distances: Array, ell: int, n_max: int, r_cut: float, sigma: float, rbf: str, n_points: int = 600
) -> Array:
    """The same by Gauss-Legendre quadrature, for either basis, shape (n_pairs, n_max).

    4 pi int r^2 g_n(r) exp(-eta (r^2 + R^2)) i_l(2 eta r R) dr, with i_l scaled by exp(-2 eta r R) so that
    nothing overflows.
    """
    eta = 1.0 / (2.0 * sigma**2)
    x, w = np.polynomial.legendre.leggauss(n_points)
    if rbf == "gto":
        alpha, beta = gto_basis(n_max, ell, r_cut)
        end = 8.0 * sqrt(1.0 / float(alpha.min())) + 8.0 * sigma + r_cut
        r = (x + 1.0) * end / 2.0
        g = beta @ (r**ell * np.exp(-alpha[:, None] * r**2))
    else:
        end = r_cut
        r = (x + 1.0) * end / 2.0
        powers = np.arange(1, n_max + 1)[:, None] + 2
        g = polynomial_basis(n_max, r_cut) @ (np.longdouble(r_cut) - r.astype(np.longdouble)) ** powers
    z = 2.0 * eta * r * distances[:, None]
    safe = np.maximum(z, 1e-200)
    bessel = np.where(z > 0.0, np.sqrt(pi / (2.0 * safe)) * ive(ell + 0.5, safe), float(ell == 0))
    kernel = w * end / 2.0 * r**2 * np.exp(-eta * (r - distances[:, None]) ** 2) * bessel
    return (4.0 * pi * kernel.astype(np.longdouble) @ g.T).astype(np.float64)


def soap_weights(distances: Array, weighting: Mapping[str, float | str] | None) -> Array:
    """Weight of each neighbour: the function of its distance, and w0 on top of the centre."""
    rule: dict[str, float] = {k: float(v) for k, v in (weighting or {}).items() if k != "function"}
    name = None if weighting is None else weighting.get("function")
    weights = np.ones_like(distances)
    on_top = distances < 1e-6
    x = np.where(on_top & ("w0" in rule), 1.0, distances) / rule.get("r0", 1.0)
    if name == "poly":
        weights = np.where(x < 1.0, rule["c"] * np.maximum(1 + 2 * x**3 - 3 * x**2, 0.0) ** rule["m"], 0.0)
    elif name == "pow":
        weights = rule["c"] / (rule["d"] + x ** rule["m"])
    elif name == "exp":
        weights = rule["c"] / (rule["d"] + np.exp(-x))
    return np.where(on_top, rule["w0"], weights) if "w0" in rule else weights


def soap_cutoff(weighting: Mapping[str, float | str]) -> float:
    """Cutoff that follows from a weighting function where none is given."""
    rule: dict[str, float] = {k: float(v) for k, v in weighting.items() if k != "function"}
    if weighting["function"] == "poly":
        return rule["r0"]
    ratio = rule["c"] / rule.get("threshold", 1e-2) - rule["d"]
    return rule["r0"] * (ratio ** (1.0 / rule["m"]) if weighting["function"] == "pow" else log(ratio))


def soap_expansion(
    numbers: NDArray[np.int64],
    positions: Array,
    cell: Array,
    pbc: Sequence[bool],
    centres: Array,
    *,
    species: Sequence[int],
    r_cut: float,
    n_max: int,
    l_max: int,
    sigma: float = 1.0,
    rbf: str = "gto",
    weighting: Mapping[str, float | str] | None = None,
    species_weighting: Mapping[int, float] | None = None,
    quadrature: bool = False,
) -> Array:
    """Coefficients c_nlm, shape (n_centres, n_species, n_max, (l_max + 1)^2)."""
    out = np.zeros((len(centres), len(species), n_max, (l_max + 1) ** 2))
    cutoff = r_cut + sigma * sqrt(-2.0 * log(1e-3))
    for c_k, centre in zip(out, centres, strict=True):
        atoms, vectors = neighbours(positions, cell, pbc, centre, cutoff)
        distances = np.linalg.norm(vectors, axis=1)
        weights = soap_weights(distances, weighting)
        if species_weighting is not None:
            weights = weights * np.array([species_weighting[int(z)] for z in numbers[atoms]])
        harmonics = real_harmonics(vectors, l_max)
        for ell in range(l_max + 1):
            if quadrature or rbf == "polynomial":
                radial = radial_quadrature(distances, ell, n_max, r_cut, sigma, rbf)
            else:
                radial = radial_gto(distances, ell, n_max, r_cut, sigma)
            block = slice(ell * ell, (ell + 1) ** 2)
            for c_nm, z in zip(c_k, species, strict=True):
                p = numbers[atoms] == z
                c_nm[:, block] += np.einsum("p,pn,pm->nm", weights[p], radial[p], harmonics[p, block])
    return out


def power_spectrum(c: Array, mode: str = "off") -> Array:
    """Invariants of the coefficients (see `soap_expansion`), shape (n_centres, n_features)."""
    if mode == "mu2":
        c = c.sum(axis=1, keepdims=True)
    n_species, n_max, l_max = c.shape[1], c.shape[2], isqrt(c.shape[3]) - 1
    total = c.sum(axis=1)
    upper = np.triu_indices(n_max)
    blocks = []
    for s in range(n_species):
        for t in range(s, n_species if mode == "off" else s + 1):
            for ell in range(l_max + 1):
                m = slice(ell * ell, (ell + 1) ** 2)
                other = total if mode == "mu1nu1" else c[:, t]
                p = pi * sqrt(8.0 / (2 * ell + 1)) * np.einsum("kim,kjm->kij", c[:, s, :, m], other[:, :, m])
                blocks.append(p[:, *upper] if s == t and mode != "mu1nu1" else p.reshape(len(c), -1))
    return np.concatenate(blocks, axis=1)


def soap(
    numbers: NDArray[np.int64],
    positions: Array,
    cell: Array,
    pbc: Sequence[bool],
    centres: Array,
    *,
    mode: str = "off",
    average: str = "off",
    **parameters: object,
) -> Array:
    """SOAP features, shape (n_centres, n_features), or (n_features,) with an average."""
    c = soap_expansion(numbers, positions, cell, pbc, centres, **parameters)  # type: ignore[arg-type]
    if average == "inner":
        return power_spectrum(c.mean(axis=0, keepdims=True), mode)[0]
    p = power_spectrum(c, mode)
    return p.mean(axis=0) if average == "outer" else p


def acsf(
    numbers: NDArray[np.int64],
    positions: Array,
    cell: Array,
    pbc: Sequence[bool],
    centres: Array,
    *,
    species: Sequence[int],
    r_cut: float,
    g2_params: Sequence[Sequence[float]] | None = None,
    g3_params: Sequence[float] | None = None,
    g4_params: Sequence[Sequence[float]] | None = None,
    g5_params: Sequence[Sequence[float]] | None = None,
) -> Array:
    """Symmetry functions, shape (n_centres, n_features); an atom on a centre is not its neighbour."""

    def fade(r: Array) -> Array:
        return np.where(r < r_cut, (np.cos(pi * r / r_cut) + 1.0) / 2.0, 0.0)

    rows = []
    for centre in centres:
        atoms, d = neighbours(positions, cell, pbc, centre, r_cut)
        apart = np.linalg.norm(d, axis=1) > 1e-5
        atoms, d = atoms[apart], d[apart]
        r = np.linalg.norm(d, axis=1)
        row: list[float] = []
        for z in species:
            own = r[numbers[atoms] == z]
            row.append(fade(own).sum())
            row += [(np.exp(-eta * (own - shift) ** 2) * fade(own)).sum() for eta, shift in g2_params or ()]
            row += [(np.cos(kappa * own) * fade(own)).sum() for kappa in g3_params or ()]
        r_jk = np.linalg.norm(d[:, None] - d, axis=-1)
        cosine = np.clip(d @ d.T / np.outer(r, r), -1.0, 1.0)
        for j, z in enumerate(species):
            for z_k in species[: j + 1]:
                # Each pair once: half of those that are the same both ways.
                weight = 0.5 if z == z_k else 1.0
                pairs = np.outer(numbers[atoms] == z, numbers[atoms] == z_k) & ~np.eye(len(r), dtype=bool)
                f = weight * np.where(pairs, np.outer(fade(r), fade(r)), 0.0)
                squares = np.add.outer(r**2, r**2)
                for near, params in ((True, g4_params), (False, g5_params)):
                    for eta, zeta, lam in params or ():
                        angle = 2.0 * ((1.0 + lam * cosine) / 2.0) ** zeta
                        damped = np.exp(-eta * (squares + r_jk**2)) * fade(r_jk) if near else np.exp(-eta * squares)
                        row.append((f * angle * damped).sum())
        rows.append(row)
    return np.array(rows)


def coulomb_matrix(numbers: NDArray[np.int64], positions: Array) -> Array:
    """Coulomb matrix: Z^2.4 / 2 on the diagonal, Z Z' / R off it."""
    z = numbers.astype(np.float64)
    out = np.diag(0.5 * z**2.4)
    for i in range(len(z)):
        for j in range(len(z)):
            if i != j:
                out[i, j] = z[i] * z[j] / np.linalg.norm(positions[i] - positions[j])
    return out


def sine_matrix(numbers: NDArray[np.int64], positions: Array, cell: Array) -> Array:
    """Sine matrix: Z Z' / |B sin^2(pi B^-1 (r - r'))| off the diagonal; all three directions repeat."""
    z = numbers.astype(np.float64)
    inverse = np.linalg.inv(cell)
    out = np.diag(0.5 * z**2.4)
    for i in range(len(z)):
        for j in range(len(z)):
            if i != j:
                fractional = (positions[i] - positions[j]) @ inverse
                out[i, j] = z[i] * z[j] / np.linalg.norm(np.sin(pi * fractional) ** 2 @ cell)
    return out


def ewald_matrix(
    numbers: NDArray[np.int64],
    positions: Array,
    cell: Array,
    *,
    accuracy: float = 1e-5,
    w: float = 1.0,
    r_cut: float | None = None,
    g_cut: float | None = None,
    a: float | None = None,
) -> Array:
    """Ewald sum matrix: the upper triangle sums to the electrostatic energy, in e^2 / Å."""
    z, size = numbers.astype(np.float64), len(numbers)
    volume = abs(float(np.linalg.det(cell)))
    if a is None:
        a = sqrt(pi) * (size * w / volume**2) ** (1.0 / 6.0)
    r_cut = sqrt(-log(accuracy)) / a if r_cut is None else r_cut
    g_cut = 2.0 * a * sqrt(-log(accuracy)) if g_cut is None else g_cut
    spread = float(np.linalg.norm(positions[:, None] - positions, axis=-1).max())
    shifts = lattice_points(cell, (True, True, True), r_cut, spread)
    waves = lattice_points(2.0 * pi * np.linalg.inv(cell).T, (True, True, True), g_cut)
    square = (waves**2).sum(axis=1)
    keep = (square > 1e-12) & (square <= g_cut**2)
    waves, square = waves[keep], square[keep]
    out = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            d = positions[j] - positions[i]
            lengths = np.linalg.norm(d + shifts, axis=1)
            real = sum(erfc(a * r) / r for r in lengths if 1e-8 < r <= r_cut)
            damped = np.exp(-square / (4.0 * a * a)) / square
            reciprocal = 4.0 * pi / volume * np.sum(damped * np.cos(waves @ d))
            out[i, j] = z[i] * z[j] * (real + reciprocal - pi / (volume * a * a))
        out[i, i] = 0.5 * out[i, i] - a * z[i] ** 2 / sqrt(pi)
    return out


def flatten(matrix: Array, permutation: str, n_atoms_max: int) -> Array:
    """A matrix as a padded feature vector, for one `permutation` rule (``random`` excepted)."""
    if permutation == "eigenspectrum":
        values = np.linalg.eigvalsh(matrix)
        out = np.zeros(n_atoms_max)
        out[: len(values)] = values[np.argsort(-np.abs(values), kind="stable")]
        return out
    if permutation == "sorted_l2":
        order = np.argsort(-np.linalg.norm(matrix, axis=1), kind="stable")
        matrix = matrix[np.ix_(order, order)]
    padded = np.zeros((n_atoms_max, n_atoms_max))
    padded[: len(matrix), : len(matrix)] = matrix
    return padded.ravel()
