"""What features are about, read off their names: elements, species pairs, shells, angles, element properties."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

Groups = Mapping[str, npt.NDArray[np.intp]]
"""Columns of each group of features, by its label."""

_Labels = Iterator[tuple[str, str]]  # ways to group a feature, and the group it is in

_SYMBOLS = frozenset(chemical_symbols[1:])
_SHELL = 1.0  # Å
_SECTOR = 30  # degrees
# Ways to group that say nothing if there is only one group.
_COMPARISONS = frozenset({"descriptors", "pooling", "statistics", "terms"})

# "O: mean " in front of a pooled feature.
_POOLED = re.compile(r"(?:(?P<center>\w+): )?(?:(?P<method>mean|sum|max|min|std|covariance) )?(?P<rest>[A-Z]\w+ .+)$")


def feature_groups(names: Iterable[str]) -> dict[str, Groups]:
    """Sort features by their names into groups that have a meaning.

    Parameters
    ----------
    names : iterable of str
        Names as ``get_feature_names_out`` of the descriptors gives them, also pooled, or from a ``FeatureUnion``.

    Returns
    -------
    dict of str to dict of str to ndarray of int
        For each way of grouping the columns of each group, in the order in which they come. A feature may be in
        several groups of one way: one that couples C and O is in the groups of both elements. The ways are those of
        the following that apply:

        - "descriptors": the blocks of a ``FeatureUnion``, if there are several;
        - "elements": the elements that a feature is about, whatever else it is about; of the environment, not the
          centre, for descriptors of centres;
        - "elements of centres": of the atoms pooled, with ``by_species`` or ``channels="species"``;
        - "channels of centres": other channels of the elements of the atoms pooled;
        - "species pairs", "species triples": the combination of elements, in which "X" is the centre of LMBTR and
          "all" any element;
        - "element channels": combinations of the channels of an embedding of the elements;
        - "radial channels" and "angular channels" (SOAP): n, from the centre to the cutoff, and l; features that couple
          two radial channels are in both groups;
        - "radial shells" (MBTR, LMBTR, ValleOganov with distances or inverse distances): distances in steps of 1 Å;
          "angles" (the same with angles or cosines): in steps of 30°;
        - "radial functions" and "angular functions" (ACSF): G1 to G3 and G4, G5 with their parameters;
        - "terms" (MBTR): the geometry, if there are several;
        - "element properties" (ElementProperty, CompositionChannels, OxidationStates), "statistics" (ElementProperty,
          NeighbourStatistics);
        - "rows of the matrix", "eigenvalues" (Coulomb, sine and Ewald matrices);
        - "pooling": the method, if there are several;
        - "features": each feature that is none of these, for itself.
    """
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for column, name in enumerate(names):
        for way, label in dict.fromkeys(_labels(str(name))):
            found[way][label].append(column)
    return {
        way: {label: np.array(columns, dtype=np.intp) for label, columns in groups.items()}
        for way, groups in found.items()
        if len(groups) > 1 or way not in _COMPARISONS
    }


def _labels(name: str) -> _Labels:
    """Yield all groups of one feature."""
    block, _, rest = name.rpartition("__")
    match = _POOLED.match(rest)
    found = list(_of_descriptor(match["rest"])) if match else []
    if not found:
        if counted := re.fullmatch(r"number of ([A-Z][a-z]?)", rest):
            found = [("elements", counted[1])]
        else:
            yield "features", name
    elif match:
        yield "descriptors", block or match["rest"].partition(" ")[0]
        if match["center"]:
            yield ("elements" if match["center"] in _SYMBOLS else "channels") + " of centres", match["center"]
        if match["method"]:
            yield "pooling", match["method"]
    yield from found


def _of_descriptor(name: str) -> _Labels:
    family, _, rest = name.partition(" ")
    if family in _FAMILIES:
        yield from _FAMILIES[family](rest)


def _species(key: str) -> _Labels:
    """Yield the groups of a combination of species, such as "C-O"."""
    parts = key.split("-")
    elements = [part for part in parts if part in _SYMBOLS]
    if all(part in _SYMBOLS or part in ("X", "all") for part in parts):
        for element in elements:
            yield "elements", element
        if len(parts) > 1 and elements:
            yield f"species {'pairs' if len(parts) == 2 else 'triples'}", key
    else:
        yield "element channels", key


def _soap(rest: str) -> _Labels:
    if match := re.fullmatch(r"(\S+) n=(\d+) n'=(\d+) l=(\d+)", rest):
        yield from _species(match[1])
        yield "radial channels", f"n = {match[2]}"
        yield "radial channels", f"n = {match[3]}"
        yield "angular channels", f"l = {match[4]}"


def _acsf(rest: str) -> _Labels:
    if match := re.fullmatch(r"(\S+) (G\d.*)", rest):
        yield from _species(match[1])
        yield ("angular functions" if "-" in match[1] else "radial functions"), match[2]


def _mbtr(rest: str) -> _Labels:
    match = re.fullmatch(r"(\S+) (\w+)=(\S+)", rest)
    if match is None:
        return
    key, geometry, value = match[1], match[2], float(match[3])
    yield from _species(key)
    yield "terms", geometry.replace("_", " ")
    if geometry in ("distance", "inverse_distance"):
        yield "radial shells", _shell(value if geometry == "distance" else 1 / value if value > 0 else np.inf)
    elif geometry in ("angle", "cosine"):
        angle = value if geometry == "angle" else np.degrees(np.arccos(np.clip(value, -1, 1)))
        start = min(max(int(angle // _SECTOR) * _SECTOR, 0), 180 - _SECTOR)
        yield "angles", f"{start}–{start + _SECTOR}°"


def _shell(distance: float) -> str:
    """Return the shell that a distance is in; what is far off, as 1/Å grids have it near zero, is one shell."""
    if distance >= 10:
        return "beyond 10 Å"
    start = max(distance, 0) // _SHELL * _SHELL
    return f"{start:g}–{start + _SHELL:g} Å"


def _neighbours(rest: str) -> _Labels:
    match = re.fullmatch(r"(?:(\S+-\S+) )?(coordination of \S+ by \S+|coordination \w+|bond length \w+)", rest)
    if match is None:
        return
    if match[1]:
        yield from _species(match[1])
    yield "statistics", match[2].partition(" of ")[0] if " of " in match[2] else match[2]


def _element_property(rest: str) -> _Labels:
    if match := re.fullmatch(r"(.+) (\w+)", rest):
        yield "element properties", match[1]
        yield "statistics", match[2]


def _composition_channel(rest: str) -> _Labels:
    if rest in _SYMBOLS:
        yield "elements", rest
    elif re.fullmatch(r"channel\d+", rest):
        yield "element channels", rest
    else:
        yield "element properties", rest


def _oxidation_states(rest: str) -> _Labels:
    yield "element properties", re.sub("^(common|observed) ", "", rest)


def _matrix(rest: str) -> _Labels:
    if match := re.fullmatch(r"(\d+),(\d+)", rest):
        yield "rows of the matrix", f"row {match[1]}"
        yield "rows of the matrix", f"row {match[2]}"
    elif match := re.fullmatch(r"eigenvalue (\d+)", rest):
        yield "eigenvalues", f"eigenvalue {match[1]}"


_FAMILIES: Mapping[str, Callable[[str], _Labels]] = {
    "SOAP": _soap,
    "ACSF": _acsf,
    "MBTR": _mbtr,
    "LMBTR": _mbtr,
    "ValleOganov": _mbtr,
    "NeighbourStatistics": _neighbours,
    "ElementProperty": _element_property,
    "CompositionChannels": _composition_channel,
    "OxidationStates": _oxidation_states,
    "CoulombMatrix": _matrix,
    "SineMatrix": _matrix,
    "EwaldSumMatrix": _matrix,
}
