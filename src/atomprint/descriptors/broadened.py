"""Terms of many-body distributions: what MBTR, its local form and distributions of distances and angles share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from atomprint import _core
from atomprint.descriptors.engine.compiled import Compiled
from atomprint.layout import Axis, Block, Layout, sector, shell, symbols_of
from atomprint.structures import Batch, StructureError
from atomprint.util.memo import memo_of
from atomprint.util.validation import check_choice, check_integer, check_keys, check_real

# Name in the core, and number of atoms.
_GEOMETRIES = {
    "atomic_number": (_core.MbtrParameters.Geometry.atomic_number, 1),
    "distance": (_core.MbtrParameters.Geometry.distance, 2),
    "inverse_distance": (_core.MbtrParameters.Geometry.inverse_distance, 2),
    "angle": (_core.MbtrParameters.Geometry.angle, 3),
    "cosine": (_core.MbtrParameters.Geometry.cosine, 3),
}
# Name in the core, numbers of atoms, and parameters.
_WEIGHTINGS: dict[str, tuple[_core.MbtrParameters.Weighting, tuple[int, ...], tuple[str, ...]]] = {
    "unity": (_core.MbtrParameters.Weighting.unity, (1, 2, 3), ()),
    "exp": (_core.MbtrParameters.Weighting.exponential, (2, 3), ("scale", "r_cut", "threshold")),
    "inverse_square": (_core.MbtrParameters.Weighting.inverse_square, (2,), ("r_cut",)),
    "smooth_cutoff": (_core.MbtrParameters.Weighting.smooth_cutoff, (3,), ("r_cut", "sharpness")),
}
NORMALIZATIONS = {
    "none": _core.MbtrParameters.Normalization.none,
    "l2": _core.MbtrParameters.Normalization.l2,
    "n_atoms": _core.MbtrParameters.Normalization.n_atoms,
    "valle_oganov": _core.MbtrParameters.Normalization.valle_oganov,
}
# What values of a geometry function are grouped by, and into which group each comes.
_GROUPS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "distance": ("radial shells", shell),
    "inverse_distance": ("radial shells", lambda value: shell(1 / value if value > 0 else np.inf)),
    "angle": ("angles", sector),
    "cosine": ("angles", lambda value: sector(float(np.degrees(np.arccos(np.clip(value, -1, 1)))))),
}
_LARGEST_GRID = 10**5
# The Gaussians are tabulated, and so are not much narrower than a step of the grid, nor wider than the grid.
_NARROWEST = 1e-3


@dataclass(frozen=True, slots=True)
class Term:
    """One checked term: a geometry function, its grid and weighting."""

    geometry: str
    minimum: float
    maximum: float
    n: int
    sigma: float
    weighting: str = "unity"
    scale: float = 0.0
    cutoff: float = np.inf
    sharpness: float = 2.0

    @property
    def order(self) -> int:
        """Number of atoms."""
        return _GEOMETRIES[self.geometry][1]

    @property
    def spacing(self) -> float:
        """Distance of two grid points."""
        return (self.maximum - self.minimum) / (self.n - 1)

    def keys(self, symbols: Sequence[str], local: bool) -> list[tuple[str, ...]]:
        """Return the combinations of species in the order of the features; for triples the middle one is central."""
        if local:
            symbols = ("X", *symbols)
        if self.order == 1:
            return [(a,) for a in symbols]
        if self.order == 2:
            return [("X", a) for a in symbols] if local else list(combinations_with_replacement(symbols, 2))
        keys = [(a, j, b) for j in symbols for a, b in combinations_with_replacement(symbols, 2)]
        return [key for key in keys if not local or "X" in key]

    def n_features(self, n_species: int, local: bool) -> int:
        """Return the number of features without making names."""
        n = n_species + local
        pairs = n * (n + 1) // 2
        slots = {1: n, 2: n if local else pairs, 3: pairs + (n - 1) * n if local else n * pairs}
        return self.n * slots[self.order]


@lru_cache(maxsize=32)
def calculator(
    dtype: str,
    terms: tuple[Term, ...],
    normalization: str,
    normalize_gaussians: bool,
    local: bool,
    species: tuple[int, ...],
) -> Any:
    """Return the compiled calculator: immutable, shared by all descriptors with these parameters."""
    parameters = [
        _core.MbtrParameters(
            geometry=_GEOMETRIES[term.geometry][0],
            weighting=_WEIGHTINGS[term.weighting][0],
            normalization=NORMALIZATIONS[normalization],
            local=local,
            species=species,
            n=term.n,
            minimum=term.minimum,
            spacing=term.spacing,
            sigma=term.sigma,
            height=1.0 if normalize_gaussians else term.sigma * float(np.sqrt(2 * np.pi)),
            scale=term.scale,
            cutoff=term.cutoff,
            sharpness=term.sharpness,
        )
        for term in terms
    ]
    return (_core.Mbtr64 if dtype == "float64" else _core.Mbtr32)(parameters)


def check_term(given: Mapping[str, Any], where: str, periodic: bool, orders: Sequence[int]) -> Term:
    """Check one term, whose parameters are called ``where`` and their name in errors."""
    function = check_keys(f"{where}geometry", given["geometry"], ["function"])["function"]
    known = [name for name, (_, order) in _GEOMETRIES.items() if order in orders]
    geometry = check_choice(f"{where}geometry: function", function, known)
    order = _GEOMETRIES[geometry][1]
    grid = check_keys(f"{where}grid", given["grid"], ["min", "max", "n", "sigma"])
    minimum = check_real(f"{where}grid: min", grid["min"])
    maximum = check_real(f"{where}grid: max", grid["max"], above=minimum)
    n = check_integer(f"{where}grid: n", grid["n"], 2, _LARGEST_GRID)
    sigma = check_real(f"{where}grid: sigma", grid["sigma"], above=0.0)
    step = (maximum - minimum) / (n - 1)
    if not _NARROWEST * step <= sigma <= (maximum - minimum):
        raise ValueError(
            f"{where}grid: sigma must be between {_NARROWEST:g} steps of the grid and its length, "
            f"{_NARROWEST * step:g} to {(maximum - minimum):g}, got {sigma}"
        )
    term = Term(geometry, minimum, maximum, n, sigma)
    name = f"{where}weighting"
    weighting = {"function": "unity"} if given.get("weighting") is None else given["weighting"]
    if not isinstance(weighting, Mapping) or "function" not in weighting:
        raise TypeError(f"{name} must be None or a dict with a 'function', got {weighting!r}")
    allowed = [key for key, (_, orders, _) in _WEIGHTINGS.items() if order in orders]
    kind = check_choice(f"{name}: function (of {geometry!r})", weighting["function"], allowed)
    check_keys(name, weighting, ["function"], _WEIGHTINGS[kind][2])
    values = {
        key: check_real(f"{name}: {key}", value, above=0.0) for key, value in weighting.items() if key != "function"
    }
    if kind == "unity":
        if periodic and order > 1:
            raise ValueError(f"{name}: function must not be 'unity' with periodic=True, which has no cutoff")
        return term
    if kind == "exp":
        if "threshold" not in values or ("scale" in values) == ("r_cut" in values):
            raise ValueError(f"{name}: 'exp' needs 'threshold' and one of 'scale' and 'r_cut', got {dict(weighting)!r}")
        if not values["threshold"] < 1:
            raise ValueError(f"{name}: threshold must be < 1, got {values['threshold']}")
        reach = -float(np.log(values["threshold"])) / (order - 1)  # times the scale; a triangle has two such sides
        cutoff = values["r_cut"] if "r_cut" in values else reach / values["scale"]
        return replace(term, weighting=kind, scale=values.get("scale", reach / cutoff), cutoff=cutoff)
    if "r_cut" not in values:
        raise ValueError(f"{name}: {kind!r} needs 'r_cut', got {dict(weighting)!r}")
    sharpness = values.get("sharpness", 2.0)
    return replace(term, weighting=kind, cutoff=values["r_cut"], sharpness=sharpness)


class Broadened(Compiled):
    """What MBTR, Valle-Oganov fingerprints and LMBTR share: terms, their layout, and the calls of the core."""

    species: Any
    periodic: bool | str
    sparse: bool
    dtype: Any
    n_jobs: int | None

    _local = False
    _has_gaps = True

    def _terms(self) -> tuple[Term, ...]:
        """Return the checked terms."""
        raise NotImplementedError

    def _scaling(self) -> tuple[str, bool]:
        """Return the normalization, and whether Gaussians are normalised."""
        raise NotImplementedError

    def _validate(self) -> None:
        super()._validate()
        self._terms()
        self._scaling()

    def _check_batch(self, batch: Batch) -> None:
        if np.count_nonzero(batch.pbc) and self._is_endless():
            rule = "repeats, so that weighting must have a function with a cutoff, got 'unity'"
            repeating = int(np.argmax(batch.pbc.any(axis=1)))
            raise StructureError(repeating, None, f"{rule}; periodic=False ignores the cell")

    def _is_endless(self) -> bool:
        """Return whether a term of several atoms has no cutoff."""
        return memo_of(self).once(
            "endless", lambda: any(np.isinf(term.cutoff) and term.order > 1 for term in self._terms())
        )

    def _reach(self) -> float:
        # That of an angle may be so far from both others; otherwise it is of a distance, or half of a perimeter.
        several = (term for term in self._terms() if term.order > 1)
        return max((term.cutoff * (2 if term.weighting == "smooth_cutoff" else 1) for term in several), default=0.0)

    def _n_features(self) -> int:
        n = len(self._species())
        return sum(term.n_features(n, self._local) for term in self._terms())

    def _blocks(self, index: int) -> list[Block]:
        """Return the blocks of a term; labels tell terms of one geometry function apart."""
        terms = self._terms()
        term = terms[index]
        alike = [i for i, other in enumerate(terms) if other.geometry == term.geometry]
        name = term.geometry if len(alike) == 1 else f"{term.geometry}[{alike.index(index)}]"
        points = np.linspace(term.minimum, term.maximum, term.n)
        digits = 6
        while len(set(texts := [f"{x:.{digits}g}" for x in points])) < term.n:
            digits += 1
        way, group_of = _GROUPS.get(term.geometry, ("", lambda value: ""))
        axes = [
            Axis("terms", [""], [name.replace("_", " ")], np.zeros(term.n)),
            Axis(way, [f"{name}={text}" for text in texts], [group_of(float(text)) for text in texts]),
        ]
        return [Block(key, axes) for key in term.keys(symbols_of(self._species()), self._local)]

    def _layout(self) -> Layout:
        return Layout(type(self).__name__, [block for t in range(len(self._terms())) for block in self._blocks(t)])

    def get_location(self, species: Any, term: int | None = None) -> slice:
        """Return where the features of a combination of species are.

        Parameters
        ----------
        species : sequence of str or int
            Chemical symbols or atomic numbers of one, two or three species, such as ``("H", "O")``; the middle one
            of three is the central atom. Also backwards. In :class:`LMBTR` the centre is ``"X"``.
        term : int, optional
            Index of the term that is meant. May be left out where only one term has as many species.

        Returns
        -------
        slice
            Into the features of a row.

        Raises
        ------
        ValueError
            If there are no features for this combination, or several terms have them.
        """
        key = (species,) if isinstance(species, str | int | np.integer) else species
        if not isinstance(key, Sequence):
            raise ValueError(f"species must be chemical symbols or atomic numbers, got {species!r}")
        terms = self._terms()
        if term is None:
            fitting = [t for t, each in enumerate(terms) if each.order == len(key)]
            if len(fitting) != 1:
                orders = ", ".join(str(each.order) for each in terms)
                raise ValueError(
                    f"species: {len(fitting)} terms have features for {len(key)} species (the terms take {orders})"
                    + (": give term, too" if fitting else "")
                )
            term = fitting[0]
        if check_integer("term", term, 0) >= len(terms):
            raise ValueError(f"term must be < {len(terms)}, the number of terms, got {term}")
        n = len(self._species())
        first = sum(each.n_features(n, self._local) for each in terms[:term])
        found = Layout(type(self).__name__, self._blocks(term)).location(key)
        return slice(first + found.start, first + found.stop)

    # The core -------------------------------------------------------------------------------------------------------

    def _calculator(self) -> Any:
        return calculator(str(self._dtype()), self._terms(), *self._scaling(), self._local, self._species())
