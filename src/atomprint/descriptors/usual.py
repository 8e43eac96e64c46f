"""Parameters that a descriptor cannot do without, where nobody gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FEW_ELEMENTS = 8  # up to here, every pair of elements has its own SOAP features

_DISTANCES = {
    "geometry": {"function": "distance"},
    "grid": {"min": 0.5, "max": 6.0, "n": 50, "sigma": 0.1},
    "weighting": {"function": "exp", "scale": 0.75, "threshold": 1e-3},
}
_GIVEN: Mapping[str, Mapping[str, Any]] = {
    "SOAP": {"r_cut": 5.0},
    "ACSF": {"r_cut": 6.0, "g2_params": [[eta, shift] for eta in (0.5, 2.0) for shift in (0.0, 2.0, 4.0)]},
    "MBTR": _DISTANCES,
    "LMBTR": _DISTANCES,
    "ValleOganov": {"species": None, "function": "distance", "n": 50, "sigma": 0.1, "r_cut": 6.0},
    "ElementProperty": {"missing": "impute"},
}


def usual_parameters(descriptor: str, given: Mapping[str, Any], n_elements: int) -> dict[str, Any]:
    """Return parameters that a descriptor needs and that are not given, with values that suit most structures.

    Parameters
    ----------
    descriptor : str
        Name of a class of :mod:`atomprint.descriptors`.
    given : mapping
        Parameters that are given.
    n_elements : int
        How many elements the structures have: SOAP mixes many.
    """
    chosen = {name: value for name, value in _GIVEN.get(descriptor, {}).items() if name not in given}
    if descriptor in ("MBTR", "LMBTR") and given.keys() & {"terms", "geometry"}:
        chosen = {}
    if descriptor == "ACSF" and any(name.endswith("_params") for name in given):
        chosen.pop("g2_params", None)
    if descriptor == "SOAP":
        if "weighting" in given:
            chosen.pop("r_cut", None)
        if n_elements > FEW_ELEMENTS and not given.keys() & {"species_embedding", "compression", "species"}:
            chosen["species_embedding"] = {"type": "ElementEmbedding", "n_channels": FEW_ELEMENTS}
    return chosen
