"""Descriptors of the structures of a request, by name, with those parameters that cannot cost too much."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from atomprint import descriptors
from atomprint.chemistry.contents import amounts_of
from atomprint.chemistry.smiles import Smiles
from atomprint.datasets.failures import Failure
from atomprint.descriptors.usual import usual_parameters
from atomprint.pooling.pooling import LocalFeatures
from atomprint.service.problems import Problem
from atomprint.service.reading import Found
from atomprint.service.settings import Limits
from atomprint.service.work import Ticket
from atomprint.structures import reason_of
from atomprint.util.objects import make_object
from atomprint.util.plain import plain
from atomprint.util.validation import meant

Span = tuple[float, float]
Choice = tuple[str, ...]
"""Numbers from and to, or words."""

_RADIUS: Span = (0.5, 8.0)
_POOLING: Choice = ("mean", "sum", "max", "min", "std", "none")
_MATRIX: Mapping[str, Span | Choice] = {"permutation": ("sorted_l2", "eigenspectrum", "none")}
BOUNDS: Mapping[str, Mapping[str, Span | Choice]] = {
    "ACE": {"r_cut": _RADIUS, "n_max": (1, 8), "l_max": (0, 4), "max_order": (1, 4), "pooling": _POOLING},
    "ACSF": {"r_cut": _RADIUS, "pooling": _POOLING},
    "CoulombMatrix": _MATRIX,
    "ElementProperty": {"properties": ("default",)},
    "EwaldSumMatrix": _MATRIX,
    "LMBTR": {"pooling": _POOLING},
    "MBTR": {"normalization": ("none", "l2", "n_atoms", "valle_oganov")},
    "NeighbourStatistics": {"r_cut": _RADIUS},
    "OxidationStates": {},
    "SOAP": {
        "r_cut": _RADIUS,
        "n_max": (1, 12),
        "l_max": (0, 9),
        "sigma": (0.1, 2.0),
        "average": ("off", "inner", "outer"),
        "rbf": ("gto", "polynomial"),
        "pooling": _POOLING,
    },
    "SineMatrix": _MATRIX,
    "ValleOganov": {"r_cut": _RADIUS, "n": (2, 200), "sigma": (0.01, 2.0)},
}
"""Which descriptors are computed, and what their parameters may be; classes of others are not even imported."""

_MOST_ELEMENTS = {"ACE": 20}  # of others, memory would grow beyond what a service may take


def described_in_words() -> list[dict[str, Any]]:
    """Return which descriptors there are, and what their parameters may be, in types of JSON."""
    return [
        {
            "name": name,
            "summary": (inspect.getdoc(getattr(descriptors, name)) or "").partition("\n")[0],
            "parameters": {key: list(span) for key, span in bounds.items()},
        }
        for name, bounds in BOUNDS.items()
    ]


def describe(
    found: Found, name: str, parameters: Mapping[str, Any], limits: Limits, ticket: Ticket
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the features of structures, and what could not be described, in types of JSON.

    Raises
    ------
    Problem
        404 if there is no such descriptor, 413 if there would be more numbers than an answer may have, 422 if a
        parameter is none or outside its bounds, or none of the structures can be described.
    """
    if name not in BOUNDS:
        raise Problem(
            404, f"there is no descriptor of this name{meant(name, tuple(BOUNDS))}; there are {', '.join(BOUNDS)}"
        )
    given = _checked(name, parameters)
    good = [k for k, item in enumerate(found.items) if not isinstance(item, Failure)]
    items = [found.items[k] for k in good]
    elements = len({symbol for item in items for symbol in _symbols(item)})
    if elements > (most := _MOST_ELEMENTS.get(name, elements)):
        raise Problem(422, f"{name} takes structures of up to {most} elements here, these have {elements}")
    try:
        descriptor = make_object({"type": name, **usual_parameters(name, given, elements), **given}, "parameters", 1)
        descriptor = descriptor.fit(items)
        n_features = int(descriptor.get_number_of_features())
    except (ValueError, TypeError) as error:
        raise Problem(422, f"{name} cannot describe these: {reason_of(error)}"[:1000]) from error
    if n_features * len(items) > limits.numbers:
        raise Problem(
            413,
            f"an answer may have {limits.numbers} numbers, and {name} would make {n_features} for each of "
            f"{len(items)} rows: send fewer structures, or choose smaller parameters",
        )
    names = [str(column) for column in descriptor.get_feature_names_out()]
    rows, failures = [], []
    for k, item in zip(good, items, strict=True):
        ticket.check()
        try:
            rows += _rows(descriptor.transform([item]), found.ids[k], k)
        except (ValueError, TypeError) as error:
            failures.append(Failure(k, found.ids[k], "features", reason_of(error)).to_dict())
        if len(rows) * len(names) > limits.numbers:
            raise Problem(
                413, f"an answer may have {limits.numbers} numbers: ask for a pooling, or for fewer structures"
            )
    if not rows:
        raise Problem(422, str(failures[0]["reason"]), failures=failures)
    used = {key: value for key, value in plain(descriptor.get_params(deep=False)).items() if key != "n_jobs"}
    return {"descriptor": name, "parameters": used, "names": names, "rows": rows}, failures


def _symbols(item: Any) -> set[str]:
    return set(amounts_of(item)) if isinstance(item, dict | Smiles) else set(item.get_chemical_symbols())


def _rows(values: Any, id_: str, structure: int) -> list[dict[str, Any]]:
    atoms = None
    if isinstance(values, LocalFeatures):
        atoms, values = values.atoms, values.values
    dense = values.toarray() if sparse.issparse(values) else np.asarray(values)
    if not np.isfinite(dense).all():
        raise ValueError("a feature is not a finite number")
    if atoms is None:
        return [{"id": id_, "structure": structure, "values": dense[0].tolist()}]
    return [
        {"id": f"{id_}/{atom}", "structure": structure, "atom": int(atom), "values": row.tolist()}
        for atom, row in zip(atoms, dense, strict=True)
    ]


def _checked(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters that are within their bounds, with a mean over atoms where nothing else is asked for."""
    bounds = BOUNDS[name]
    for key, value in parameters.items():
        if key not in bounds:
            takes = ", ".join(bounds) or "none"
            raise Problem(422, f"{key!r} is no parameter of {name} here, which takes {takes}{meant(key, bounds)}")
        span = bounds[key]
        if isinstance(span[0], str):
            if value not in span:
                raise Problem(422, f"{key} must be one of {', '.join(map(str, span))}, got {value!r:.60}")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not span[0] <= value <= span[1]:
            raise Problem(422, f"{key} must be a number from {span[0]} to {span[1]}, got {value!r:.60}")
    given = dict(parameters)
    if "pooling" in bounds and given.get("average", "off") == "off":
        given.setdefault("pooling", "mean")
    if given.get("pooling") == "none":
        del given["pooling"]
    return given
