"""Couplings of real spherical harmonics.

The harmonics are those of ``cpp/kernels/harmonics.hpp``: m = -l .. l, proportional to sin(abs(m) phi) for m < 0 and to
cos(m phi) for m >= 0, without the phase (-1)^m; (1, -1), (1, 0), (1, 1) are y, z, x.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import factorial, sqrt

import numpy as np
import numpy.typing as npt

from atomprint.util.types import FloatArray

_ROUNDING = 1e-13  # of couplings, all of which are at most 1


@lru_cache(maxsize=4096)
def real_coupling(l1: int, l2: int, l: int) -> FloatArray:
    r"""Return the coefficients that couple two real tensors of degrees l1 and l2 to one of degree l.

    With :math:`T_M = \sum_{ab} C_{abM} P_a Q_b`, T turns as the real harmonics of degree l do if P and Q turn as those
    of degrees l1 and l2. Where l1 + l2 + l is odd, T is a pseudo-tensor: it changes its sign under inversion if
    :math:`(-1)^{l_1 + l_2}` does not say so, and the other way round.

    Parameters
    ----------
    l1, l2, l : int
        Degrees.

    Returns
    -------
    ndarray, shape (2 l1 + 1, 2 l2 + 1, 2 l + 1)
        Orthonormal: :math:`\sum_{ab} C_{abM} C_{abN} = \delta_{MN}`. Zero unless abs(l1 - l2) <= l <= l1 + l2.

    Notes
    -----
    Clebsch-Gordan coefficients (Racah's formula, in exact integers until the last root; Varshalovich et al., Quantum
    Theory of Angular Momentum, sec. 8.2) between the unitary transformations of complex to real harmonics. The result
    is real for even l1 + l2 + l and imaginary for odd, where it is divided by i.
    """
    complex_coupling = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l + 1))
    if abs(l1 - l2) <= l <= l1 + l2:
        for m1 in range(-l1, l1 + 1):
            for m2 in range(max(-l2, -l - m1), min(l2, l - m1) + 1):
                complex_coupling[l1 + m1, l2 + m2, l + m1 + m2] = _clebsch_gordan(l1, m1, l2, m2, l)
    first, second, third = (_to_real(degree) for degree in (l1, l2, l))
    coupled = np.einsum("ax,by,cz,xyz->abc", first.conj(), second.conj(), third, complex_coupling, optimize=True)
    result = np.ascontiguousarray(coupled.imag if (l1 + l2 + l) % 2 else coupled.real)
    result[np.abs(result) < _ROUNDING] = 0.0
    result.setflags(write=False)
    return result


def _to_real(l: int) -> npt.NDArray[np.complex128]:
    """Return the unitary matrix from complex harmonics (with the phase of Condon and Shortley) to real ones."""
    matrix = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    matrix[l, l] = 1.0
    for m in range(1, l + 1):
        sign = (-1) ** m
        matrix[l + m, [l + m, l - m]] = np.array([sign, 1]) / sqrt(2)
        matrix[l - m, [l + m, l - m]] = np.array([sign, -1]) / (1j * sqrt(2))
    return matrix


def _clebsch_gordan(l1: int, m1: int, l2: int, m2: int, l: int) -> float:
    """Return <l1 m1 l2 m2 | l m1 + m2>."""
    f, m = factorial, m1 + m2
    total = Fraction(0)
    for k in range(max(0, l2 - l - m1, l1 - l + m2), min(l1 + l2 - l, l1 - m1, l2 + m2) + 1):
        below = f(k) * f(l1 + l2 - l - k) * f(l1 - m1 - k) * f(l2 + m2 - k) * f(l - l2 + m1 + k) * f(l - l1 - m2 + k)
        total += Fraction((-1) ** k, below)
    triangle = Fraction((2 * l + 1) * f(l + l1 - l2) * f(l - l1 + l2) * f(l1 + l2 - l), f(l1 + l2 + l + 1))
    squared = triangle * f(l + m) * f(l - m) * f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2) * total**2
    return sqrt(squared) if total > 0 else -sqrt(squared)
