"""How atoms scatter X-rays and neutrons, and the usual wavelengths."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

WAVELENGTHS: Mapping[str, float] = MappingProxyType(
    {
        "CuKa": 1.54184,
        "CuKa2": 1.54439,
        "CuKa1": 1.54056,
        "CuKb1": 1.39222,
        "MoKa": 0.71073,
        "MoKa2": 0.71359,
        "MoKa1": 0.70930,
        "MoKb1": 0.63229,
        "CrKa": 2.29100,
        "CrKa2": 2.29361,
        "CrKa1": 2.28970,
        "CrKb1": 2.08487,
        "FeKa": 1.93735,
        "FeKa2": 1.93998,
        "FeKa1": 1.93604,
        "FeKb1": 1.75661,
        "CoKa": 1.79026,
        "CoKa2": 1.79285,
        "CoKa1": 1.78896,
        "CoKb1": 1.63079,
        "AgKa": 0.560885,
        "AgKa2": 0.563813,
        "AgKa1": 0.559421,
        "AgKb1": 0.497082,
    }
)
"""Wavelengths of characteristic X-rays in Å (International Tables for Crystallography C, 4.2.2), Ka the usual means."""


@lru_cache(maxsize=256)
def xray_coefficients(number: int) -> FloatArray | None:
    """Return the coefficients of the form factor of an element, or None where none are tabulated (beyond Cf).

    Parameters
    ----------
    number : int
        Atomic number.

    Returns
    -------
    ndarray, shape (9,)
        Of f(s) = sum a_i exp(-b_i s^2) + c with s = sin θ / λ in 1/Å: four a, four b, and c, of the neutral atom,
        from the International Tables for Crystallography C (1992), as gemmi has them. They hold for s < 2 / Å.
    """
    import gemmi

    table = gemmi.Element(number).it92
    return None if table is None else np.array(table.get_coefs())


@lru_cache(maxsize=256)
def neutron_length(number: int) -> float | None:
    """Return the coherent scattering length of an element in fm, or None where none is tabulated.

    V. F. Sears, Neutron News 3, 26 (1992), of the natural mixture of isotopes, as gemmi has it.
    """
    import gemmi

    (length,) = gemmi.Element(number).neutron92.get_coefs()
    return float(length) or None
