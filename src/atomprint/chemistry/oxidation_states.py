"""Oxidation states of the elements."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ase.data import atomic_numbers

# The commonest oxidation states: N. N. Greenwood and A. Earnshaw, Chemistry of the Elements, 2nd ed.,
# Butterworth-Heinemann (1997), front endpaper, as tabulated in pymatgen (S. P. Ong et al., Comput. Mater. Sci. 68, 314
# (2013)).
_COMMON = (
    "H -1,+1; Li +1; Be +2; B +3; C -4,-3,-2,-1,+0,+1,+2,+3,+4; N -3,+3,+5; O -2; F -1; Na +1; Mg +2; Al +3; "
    "Si -4,+4; P -3,+3,+5; S -2,+2,+4,+6; Cl -1,+1,+3,+5,+7; K +1; Ca +2; Sc +3; Ti +4; V +5; Cr +3,+6; Mn "
    "+2,+4,+7; Fe +2,+3; Co +2,+3; Ni +2; Cu +2; Zn +2; Ga +3; Ge -4,+2,+4; As -3,+3,+5; Se -2,+2,+4,+6; Br "
    "-1,+1,+3,+5; Kr +2; Rb +1; Sr +2; Y +3; Zr +4; Nb +5; Mo +4,+6; Tc +4,+7; Ru +3,+4; Rh +3; Pd +2,+4; Ag "
    "+1; Cd +2; In +3; Sn -4,+2,+4; Sb -3,+3,+5; Te -2,+2,+4,+6; I -1,+1,+3,+5,+7; Xe +2,+4,+6; Cs +1; Ba +2; "
    "La +3; Ce +3,+4; Pr +3; Nd +3; Pm +3; Sm +3; Eu +2,+3; Gd +3; Tb +3; Dy +3; Ho +3; Er +3; Tm +3; Yb +3; "
    "Lu +3; Hf +4; Ta +5; W +4,+6; Re +4,+7; Os +4; Ir +3,+4; Pt +2,+4; Au +3; Hg +1,+2; Tl +1,+3; Pb +2,+4; "
    "Bi +3; Po -2,+2,+4; At -1,+1; Fr +1; Ra +2; Ac +3; Th +4; Pa +5; U +6; Np +5; Pu +4; Am +3; Cm +3; Bk "
    "+3; Cf +3; Es +3; Fm +3; Md +3; No +3; Lr +3"
)

# Those that occur in the Inorganic Crystal Structure Database, as tabulated in pymatgen.
_OBSERVED = (
    "H -1,+1; Li +1; Be +2; B -3,+3; C -4,-3,-2,+2,+3,+4; N -3,-2,-1,+1,+3,+5; O -2; F -1; Na +1; Mg +2; Al "
    "+3; Si -4,+4; P -3,-2,-1,+3,+4,+5; S -2,-1,+2,+4,+6; Cl -1; K +1; Ca +2; Sc +2,+3; Ti +2,+3,+4; V "
    "+2,+3,+4,+5; Cr +2,+3,+4,+5,+6; Mn +2,+3,+4,+7; Fe +2,+3; Co +1,+2,+3,+4; Ni +1,+2,+3,+4; Cu +1,+2,+3; "
    "Zn +2; Ga +2,+3; Ge +2,+3,+4; As -3,-2,-1,+2,+3,+5; Se -2,-1,+4,+6; Br -1,+5; Rb +1; Sr +2; Y +3; Zr "
    "+2,+3,+4; Nb +2,+3,+4,+5; Mo +2,+3,+4,+5,+6; Ru +2,+3,+4,+5,+6; Rh +3,+4; Pd +2,+4; Ag +1,+2,+3; Cd +2; "
    "In +1,+2,+3; Sn +2,+3,+4; Sb -3,-2,-1,+3,+5; Te -2,-1,+4,+6; I -1,+5; Cs +1; Ba +2; La +2,+3; Ce +3,+4; "
    "Pr +3,+4; Nd +2,+3; Sm +2,+3; Eu +2,+3; Gd +3; Tb +3,+4; Dy +3; Ho +3; Er +3; Tm +3; Yb +2,+3; Lu +3; Hf "
    "+4; Ta +3,+4,+5; W +2,+3,+4,+5,+6; Re +3,+4,+5,+6,+7; Ir +3,+4,+5; Hg +1,+2; Tl +1,+3; Pb +2,+4; Bi "
    "+1,+2,+3,+5; Th +4; U +3,+4,+5,+6"
)


def _parse(text: str) -> Mapping[int, tuple[int, ...]]:
    entries = (entry.split() for entry in text.split("; "))
    return MappingProxyType(
        {atomic_numbers[symbol]: tuple(int(state) for state in states.split(",")) for symbol, states in entries}
    )


COMMON = _parse(_COMMON)
"""Common oxidation states by atomic number; He, Ne, Ar and Rn have none."""

OBSERVED: Mapping[int, tuple[int, ...]] = MappingProxyType({**COMMON, **_parse(_OBSERVED)})
"""Oxidation states that are observed in crystals; the common ones for elements of which none is recorded."""
