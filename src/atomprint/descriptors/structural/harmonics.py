"""Real spherical harmonics of directions, and their gradients."""

from __future__ import annotations

from math import factorial, pi, sqrt

import numpy as np

from atomprint.util.types import FloatArray


def real_harmonics(directions: FloatArray, degree: int) -> FloatArray:
    """Return the real spherical harmonics of one degree, shape (n, 2 degree + 1), in the order m = -l .. l.

    They are orthonormal on the sphere, without the phase of Condon and Shortley, as those of the core: (1, -1), (1, 0)
    and (1, 1) are proportional to y, z and x.

    Parameters
    ----------
    directions : ndarray, shape (n, 3)
        Unit vectors.
    degree : int
        l, from 0.
    """
    return _values(*_parts(directions, degree), degree)


def harmonics_and_gradients(directions: FloatArray, degree: int) -> tuple[FloatArray, FloatArray]:
    """Return the same, and their gradients on the sphere: shapes (n, 2 degree + 1) and (n, 3, 2 degree + 1).

    The gradient by a vector of length r along the direction is that divided by r.
    """
    l = degree
    legendre, powers = _parts(directions, l)
    values = _values(legendre, powers, l)
    plain = np.zeros((len(directions), 3, 2 * l + 1))
    for m in range(l + 1):
        n, q, slope = _norm(l, m), legendre[m], legendre[m + 1]
        z = n * slope * powers[m]
        plain[:, 2, l + m] = z.real
        if m:
            turn = n * m * q * powers[m - 1]  # derivative by x; that by y has a factor i
            plain[:, 0, l + m], plain[:, 1, l + m] = turn.real, -turn.imag
            plain[:, 0, l - m], plain[:, 1, l - m], plain[:, 2, l - m] = turn.imag, turn.real, z.imag
    along = np.einsum("na,nam->nm", directions, plain)
    return values, plain - directions[:, :, None] * along[:, None]


def _norm(l: int, m: int) -> float:
    """Return the factor of the derivative m of the Legendre polynomial l, times the power m of x + iy."""
    return sqrt((2 * l + 1) / (4 * pi) * factorial(l - m) / factorial(l + m) * (2 if m else 1))


def _parts(directions: FloatArray, l: int) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return derivatives 0 to l + 1 of the Legendre polynomial l at z, and powers 0 to l of x + iy."""
    x, y, z = directions.T
    legendre, top = [], 1.0
    for m in range(l + 1):
        top *= 2 * m - 1 if m else 1
        before, value = np.zeros_like(z), np.full_like(z, top)  # of l = m - 1 and m
        for k in range(m + 1, l + 1):
            before, value = value, ((2 * k - 1) * z * value - (k + m - 1) * before) / (k - m)
        legendre.append(value)
    legendre.append(np.zeros_like(z))
    powers = [np.ones(len(z), dtype=complex)]
    for _ in range(l):
        powers.append(powers[-1] * (x + 1j * y))
    return legendre, powers


def _values(legendre: list[FloatArray], powers: list[FloatArray], l: int) -> FloatArray:
    values = np.empty((len(powers[0]), 2 * l + 1))
    for m in range(l + 1):
        part = _norm(l, m) * legendre[m] * powers[m]
        values[:, l + m] = part.real
        if m:
            values[:, l - m] = part.imag
    return values
