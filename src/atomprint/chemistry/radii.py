"""Radii of atoms in metals and of ions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ase.data import atomic_numbers

from atomprint.chemistry.elements import N_ELEMENTS, element_properties

# Crystal radii of ions with six neighbours, high spin, in Å: R. D. Shannon, Acta Cryst. A 32, 751 (1976), as tabulated
# in pymatgen (S. P. Ong et al., Comput. Mater. Sci. 68, 314 (2013)), and of Ni2+.
_IONIC = (
    "Li +1:0.9; Be +2:0.59; B +3:0.41; C +4:0.3; N -3:1.32,+3:0.3,+5:0.27; O -2:1.26; F -1:1.19,+7:0.22; Na +1:1.16; "
    "Mg +2:0.86; Al +3:0.675; Si +4:0.54; P +3:0.58,+5:0.52; S -2:1.7,+4:0.51,+6:0.43; Cl -1:1.67,+5:0.26,+7:0.41; "
    "K +1:1.52; Ca +2:1.14; Sc +3:0.885; Ti +2:1,+3:0.81,+4:0.745; V +2:0.93,+3:0.78,+4:0.72,+5:0.68; Cr +2:0.94; "
    "Mn +2:0.97,+3:0.785; Fe +2:0.92,+3:0.785; Co +2:0.885,+3:0.75,+4:0.67; Ni +2:0.83,+3:0.74; "
    "Cu +1:0.91,+2:0.87,+3:0.68; Zn +2:0.88; Ga +3:0.76; Ge +2:0.87,+4:0.67; As +3:0.72,+5:0.6; "
    "Se -2:1.84,+4:0.64,+6:0.56; Br -1:1.82,+3:0.73,+5:0.45,+7:0.53; Rb +1:1.66; Sr +2:1.32; Y +3:1.04; Zr +4:0.86; "
    "Nb +3:0.86,+4:0.82,+5:0.78; Mo +3:0.83,+4:0.79,+5:0.75,+6:0.73; Tc +4:0.785,+5:0.74,+7:0.7; "
    "Ru +3:0.82,+4:0.76,+5:0.705,+7:0.52,+8:0.5; Rh +3:0.805,+4:0.74,+5:0.69; Pd +1:0.73,+2:1,+3:0.9,+4:0.755; "
    "Ag +1:1.29,+2:1.08,+3:0.89; Cd +2:1.09; In +3:0.94; Sn +4:0.83; Sb +3:0.9,+5:0.76; Te -2:2.07,+4:1.11,+6:0.7; "
    "I -1:2.06,+5:1.09,+7:0.67; Xe +8:0.62; Cs +1:1.81; Ba +2:1.49; La +3:1.172; Ce +3:1.15,+4:1.01; "
    "Pr +3:1.13,+4:0.99; Nd +2:1.43,+3:1.123; Pm +3:1.11; Sm +2:1.36,+3:1.098; Eu +2:1.31,+3:1.087; Gd +3:1.075; "
    "Tb +3:1.063,+4:0.9; Dy +2:1.21,+3:1.052; Ho +3:1.041; Er +3:1.03; Tm +2:1.17,+3:1.02; Yb +2:1.16,+3:1.008; "
    "Lu +3:1.001; Hf +4:0.85; Ta +3:0.86,+4:0.82,+5:0.78; W +4:0.8,+5:0.76,+6:0.74; "
    "Re +4:0.77,+5:0.72,+6:0.69,+7:0.67; "
    "Os +4:0.77,+5:0.715,+6:0.685,+7:0.665,+8:0.53; Ir +3:0.82,+4:0.765,+5:0.71; Pt +2:0.94,+4:0.765,+5:0.71; "
    "Au +1:1.51,+3:0.99,+5:0.71; Hg +1:1.33,+2:1.16; Tl +1:1.64,+3:1.025; Pb +2:1.33,+4:0.915; Bi +3:1.17,+5:0.9; "
    "Po +4:1.08,+6:0.81; At +7:0.76; Fr +1:1.94; Ra +2:1.62; Ac +3:1.26; Th +4:1.08; Pa +3:1.16,+4:1.04,+5:0.92; "
    "U +3:1.165,+4:1.03,+5:0.9,+6:0.87; Np +2:1.24,+3:1.15,+4:1.01,+5:0.89,+6:0.86,+7:0.85; "
    "Pu +3:1.14,+4:1,+5:0.88,+6:0.85; Am +2:1.4,+3:1.115,+4:0.99; Cm +3:1.11,+4:0.99; Bk +3:1.1,+4:0.97; "
    "Cf +3:1.09,+4:0.961"
)

# Radii in metals with twelve neighbours in Å: N. N. Greenwood and A. Earnshaw, Chemistry of the Elements, 2nd ed.,
# Butterworth-Heinemann (1997), as tabulated in pymatgen.
_METALLIC = (
    "Li 1.52; Be 1.12; Na 1.86; Mg 1.6; Al 1.43; K 2.27; Ca 1.97; Sc 1.62; Ti 1.47; V 1.34; Cr 1.28; Mn 1.27; Fe 1.26; "
    "Co 1.25; Ni 1.24; Cu 1.28; Zn 1.34; Ga 1.35; Rb 2.48; Sr 2.15; Y 1.8; Zr 1.6; Nb 1.46; Mo 1.39; Tc 1.36; Ru 1.34; "
    "Rh 1.34; Pd 1.37; Ag 1.44; Cd 1.51; In 1.67; Cs 2.65; Ba 2.22; La 1.87; Ce 1.818; Pr 1.824; Nd 1.814; Pm 1.834; "
    "Sm 1.804; Eu 1.804; Gd 1.804; Tb 1.773; Dy 1.781; Ho 1.762; Er 1.761; Tm 1.759; Yb 1.76; Lu 1.738; Hf 1.59; "
    "Ta 1.46; W 1.39; Re 1.37; Os 1.35; Ir 1.355; Pt 1.385; Au 1.44; Hg 1.51; Tl 1.7; Th 1.79; Pa 1.63; U 1.56; "
    "Np 1.55; Pu 1.59; Am 1.73; Cm 1.74; Bk 1.7; Cf 1.86; Es 1.86"
)

COVALENT: Mapping[int, float] = MappingProxyType(
    dict(enumerate(element_properties(range(1, N_ELEMENTS + 1), ["covalent_radius"])[:, 0].tolist(), start=1))
)
"""Covalent radii in Å by atomic number, as :func:`atomprint.elements.element_properties` has them."""

METALLIC: Mapping[int, float] = MappingProxyType(
    {atomic_numbers[symbol]: float(radius) for symbol, radius in (entry.split() for entry in _METALLIC.split("; "))}
)
"""Metallic radii in Å by atomic number, of metals."""

IONIC: Mapping[int, Mapping[int, float]] = MappingProxyType(
    {
        atomic_numbers[symbol]: MappingProxyType(
            {int(charge): float(radius) for charge, radius in (one.split(":") for one in radii.split(","))}
        )
        for symbol, radii in (entry.split() for entry in _IONIC.split("; "))
    }
)
"""Ionic radii in Å by atomic number and charge."""


def metallic_radius(number: int) -> float:
    """Return the metallic radius of an element in Å, and the covalent radius of what is no metal."""
    return METALLIC.get(number, COVALENT[number])


def ionic_radius(number: int, charge: float) -> float:
    """Return the radius of an ion in Å.

    Parameters
    ----------
    number : int
        Atomic number, 1 to 103.
    charge : float
        Charge in e. Of the charges with a tabulated radius the nearest of the same sign counts; without one, and for
        neutral atoms, the covalent radius is returned.
    """
    known = {state: radius for state, radius in IONIC.get(number, {}).items() if state * charge > 0}
    if not known:
        return COVALENT[number]
    return known[min(known, key=lambda state: (abs(state - charge), abs(state)))]
