"""Many-body tensor representation, of structures, of crystals as fingerprints, and around centres."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from atomprint import _core
from atomprint.descriptors.engine.compiled import Compiled, CompiledDescriptor
from atomprint.layout import Axis, Block, Layout, sector, shell, symbols_of
from atomprint.structures import Batch, StructureError
from atomprint.util.memo import memo_of
from atomprint.util.registry import public
from atomprint.util.validation import (
    check_bool,
    check_choice,
    check_integer,
    check_keys,
    check_length,
    check_periodic,
    check_real,
)

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
_NORMALIZATIONS = {
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
class _Term:
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
def _calculator(
    dtype: str,
    terms: tuple[_Term, ...],
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
            normalization=_NORMALIZATIONS[normalization],
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


def _check_term(given: Mapping[str, Any], where: str, periodic: bool, orders: Sequence[int]) -> _Term:
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
    term = _Term(geometry, minimum, maximum, n, sigma)
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


class _Broadened(Compiled):
    """What MBTR, Valle-Oganov fingerprints and LMBTR share: terms, their layout, and the calls of the core."""

    species: Any
    periodic: bool | str
    sparse: bool
    dtype: Any
    n_jobs: int | None

    _local = False
    _has_gaps = True

    def _terms(self) -> tuple[_Term, ...]:
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
            "endless", lambda: any(term.weighting == "unity" and term.order > 1 for term in self._terms())
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
        return _calculator(str(self._dtype()), self._terms(), *self._scaling(), self._local, self._species())


def _check_volumes(batch: Batch) -> None:
    flat = np.flatnonzero(~(np.abs(np.linalg.det(batch.cells)) > 0))
    if len(flat):
        rule = f"normalization 'valle_oganov' needs a cell with a volume, got {batch.cells[flat[0]].tolist()}"
        raise StructureError(flat[0], None, rule)


@public("MBTR", version=1, in_recipes=True)
class MBTR(_Broadened):
    r"""Many-body tensor representation: distributions of atomic numbers, distances and angles on grids.

    Every atom (k = 1), pair of atoms (k = 2) or pair of neighbours of an atom (k = 3) has a value :math:`x`, from
    the geometry function, and a weight :math:`w`. The features of a combination of species are

    .. math:: f(g) = \sum w \, [\Phi((g + \Delta/2 - x) / \sigma) - \Phi((g - \Delta/2 - x) / \sigma)] / \Delta

    at the grid points :math:`g` with distance :math:`\Delta`: a Gaussian of width :math:`\sigma` for each term,
    averaged over the cell of the grid point (:math:`\Phi` is the normal cumulative distribution) [1]_.

    Parameters
    ----------
    geometry : dict
        ``{"function": ...}``: for k = 1 ``"atomic_number"``, for k = 2 ``"distance"`` (Å) or ``"inverse_distance"``
        (1/Å), for k = 3 ``"angle"`` (degrees) or ``"cosine"``.
    grid : dict
        ``"min"``, ``"max"`` and number ``"n"`` of the grid points, and ``"sigma"``, in units of the geometry
        function.
    weighting : dict, optional
        ``{"function": ...}`` with its parameters. ``"unity"`` (default): 1, not for periodic structures.
        ``"exp"``: :math:`e^{-s x}` with the distance for k = 2 and the perimeter of the triangle for k = 3; terms
        below ``"threshold"`` are dropped; ``"scale"`` is s, or ``"r_cut"`` the distance (half the perimeter) at
        which the threshold is reached. ``"inverse_square"`` (k = 2): :math:`1 / r^2` up to ``"r_cut"``.
        ``"smooth_cutoff"`` (k = 3): :math:`f(r_{ij}) f(r_{jk})` with
        :math:`f = 1 + y (r / r_{cut})^{y + 1} - (y + 1) (r / r_{cut})^y`, ``"r_cut"`` and y = ``"sharpness"``
        (default 2).
    normalize_gaussians : bool
        Whether Gaussians have the area 1, or else the height 1.
    normalization : {"none", "l2", "n_atoms", "valle_oganov"}
        Of the features of each term: by their Euclidean length, the number of atoms in the cell, or with
        :math:`V / (4 \pi N_A N_B)` (twice that for A = B) and :math:`V / (N_A N_B N_C)` with the volume of the cell
        and the numbers of atoms of the species in it [2]_.
    species : sequence of str or int, optional
        All species that may occur. Default: learnt in :meth:`fit`.
    periodic : "auto" or bool
        As for :class:`SOAP`.
    sparse : bool
        Whether :meth:`create` returns SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Of the features. The computation is in double precision, and the result is rounded once.
    n_jobs : int
        Number of threads; -1 means all cores. Structures are shared out over them.
    terms : sequence of dict, optional
        Instead of ``geometry``, ``grid`` and ``weighting``: any number of dicts with these keys. The features are
        those of the single terms, one after the other.

    Notes
    -----
    A pair or triple counts once for each cell that is repeated, whichever images its atoms are: features of a
    supercell are those of the cell times the number of cells in it (without normalization), and neither the choice
    of the cell nor the wrapping of atoms matters. So ``"l2"``, ``"n_atoms"`` and, for pairs, ``"valle_oganov"``
    give a supercell the features of its cell; for angles, the definition of ``"valle_oganov"`` divides them by the
    number of cells.

    The Gaussians come from tables of Taylor series that are exact to rounding (1e-15 of the largest value).

    Features are named after species, geometry function and grid point, as in ``"MBTR H-O-H angle=90"``.

    Derivatives with ``"exp"`` and ``"inverse_square"`` are at fixed sets of terms: where a term is dropped features
    jump. An angle has a kink at 0 and 180 degrees, where its derivative is taken as zero, the mean over all
    directions. Where all features of a term are zero, so are their normalised ones and their derivatives.

    References
    ----------
    .. [1] H. Huo, M. Rupp, Mach. Learn.: Sci. Technol. 3 (2022) 045017.
    .. [2] M. Valle, A. R. Oganov, Acta Cryst. A 66 (2010) 507.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from atomprint.descriptors import MBTR
    >>> distances = {
    ...     "geometry": {"function": "inverse_distance"},
    ...     "grid": {"min": 0.1, "max": 1.1, "n": 50, "sigma": 0.02},
    ... }
    >>> angles = {"geometry": {"function": "angle"}, "grid": {"min": 0, "max": 180, "n": 60, "sigma": 5}}
    >>> MBTR(terms=[distances, angles], species=["H", "O"]).create(molecule("H2O")).shape
    (510,)
    """

    def __init__(
        self,
        geometry: Mapping[str, Any] | None = None,
        grid: Mapping[str, Any] | None = None,
        weighting: Mapping[str, Any] | None = None,
        normalize_gaussians: bool = True,
        normalization: str = "none",
        species: Any = None,
        periodic: bool | str = "auto",
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
        terms: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self._initialise(locals())

    def _terms(self) -> tuple[_Term, ...]:
        periodic, single = check_periodic(self.periodic) is True, (self.geometry, self.grid, self.weighting)
        if self.terms is None:
            if self.geometry is None or self.grid is None:
                raise ValueError("geometry and grid must be given, or terms")
            given = dict(zip(("geometry", "grid", "weighting"), single, strict=True))
            return (_check_term(given, "", periodic, (1, 2, 3)),)
        if any(part is not None for part in single):
            raise ValueError("terms must not be given together with geometry, grid or weighting")
        if isinstance(self.terms, str | Mapping) or not isinstance(self.terms, Sequence):
            raise TypeError(f"terms must be a sequence of dicts, got {self.terms!r}")
        if not self.terms:
            raise ValueError("terms must hold at least one term, got none")
        return tuple(
            _check_term(
                check_keys(f"terms[{t}]", term, ["geometry", "grid"], ["weighting"]),
                f"terms[{t}]: ",
                periodic,
                (1, 2, 3),
            )
            for t, term in enumerate(self.terms)
        )

    def _scaling(self) -> tuple[str, bool]:
        normalization = check_choice("normalization", self.normalization, _NORMALIZATIONS)
        if normalization == "valle_oganov":
            if not self.periodic:
                raise ValueError("normalization must not be 'valle_oganov' with periodic=False")
            if any(term.order == 1 for term in self._terms()):
                raise ValueError("normalization must not be 'valle_oganov' with 'atomic_number'")
        return normalization, check_bool("normalize_gaussians", self.normalize_gaussians)

    def _check_batch(self, batch: Batch) -> None:
        super()._check_batch(batch)
        if self.normalization == "valle_oganov":
            _check_volumes(batch)


@public("ValleOganov", version=1, in_recipes=True)
class ValleOganov(_Broadened):
    """Fingerprint of crystals by Valle and Oganov, from distances or angles.

    Distances have the weight 1 / r^2 and are normalised with V / (4 π N_A N_B), twice that for A = B, so that they
    are 1 where there is no order [1]_. Angles have the weight f(r_ij) f(r_jk) with
    f = 1 + 2 (r / r_cut)^3 - 3 (r / r_cut)^2 and are normalised with V / (N_A N_B N_C): these fall with the number
    of cells in a supercell, so that crystals should be compared in primitive cells. This is
    :class:`MBTR` with ``normalization="valle_oganov"`` and a grid from 0 to ``r_cut`` or 180 degrees.

    Parameters
    ----------
    species : sequence of str or int
        All species that may occur, or None to learn them in :meth:`fit`.
    function : {"distance", "angle"}
        Geometry function.
    n : int
        Number of grid points.
    sigma : float
        Width of the Gaussians, in Å or degrees.
    r_cut : float
        Cutoff of distances, in Å.
    sparse : bool
        Whether :meth:`create` returns SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Of the features. The computation is in double precision, and the result is rounded once.
    n_jobs : int
        Number of threads; -1 means all cores.

    References
    ----------
    .. [1] M. Valle, A. R. Oganov, Acta Cryst. A 66 (2010) 507.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import ValleOganov
    >>> ValleOganov(["Na", "Cl"], "distance", n=100, sigma=0.1, r_cut=6.0).create(bulk("NaCl", "rocksalt", 5.6)).shape
    (300,)
    """

    periodic = True

    def __init__(
        self,
        species: Any,
        function: str,
        n: int,
        sigma: float,
        r_cut: float,
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _terms(self) -> tuple[_Term, ...]:
        function = check_choice("function", self.function, ("distance", "angle"))
        r_cut = check_length("r_cut", self.r_cut)
        grid = {"min": 0.0, "max": r_cut if function == "distance" else 180.0, "n": self.n, "sigma": self.sigma}
        kind = "inverse_square" if function == "distance" else "smooth_cutoff"
        given = {"geometry": {"function": function}, "grid": grid, "weighting": {"function": kind, "r_cut": r_cut}}
        return (_check_term(given, "", True, (2, 3)),)

    def _scaling(self) -> tuple[str, bool]:
        return "valle_oganov", True

    def _check_batch(self, batch: Batch) -> None:
        super()._check_batch(batch)
        _check_volumes(batch)


@public("LMBTR", version=1, in_recipes=True)
class LMBTR(_Broadened, CompiledDescriptor):
    r"""Many-body tensor representation around centres.

    As :class:`MBTR`, but only with pairs and triples of which one atom is the centre of the row. In these it is a
    species of its own, called X. In triples X may be in the middle or at the end; combinations without features,
    such as X-X, are kept, so that the places of all others are those that users of DScribe know.

    Parameters
    ----------
    geometry : dict
        ``{"function": ...}``: for pairs ``"distance"`` (Å) or ``"inverse_distance"`` (1/Å), for triples ``"angle"``
        (degrees) or ``"cosine"``.
    grid, weighting, normalize_gaussians
        As for :class:`MBTR`.
    normalization : {"none", "l2"}
        Of the features of each centre: by their Euclidean length.
    species, periodic, sparse, dtype, n_jobs
        As for :class:`MBTR`.
    centers : sequence, optional
        The centres where :meth:`create` is given none; default: all atoms.
    pooling : str, tuple of str or Pooling, optional
        How the rows of a structure become one, see :class:`~atomprint.pooling.Pooling`.

    Notes
    -----
    The atom that is the centre is not counted among the neighbours; its periodic images are, as atoms of their
    species. A Cartesian centre within 1e-5 Å of an atom stands for that atom.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from atomprint.descriptors import LMBTR
    >>> lmbtr = LMBTR(
    ...     geometry={"function": "distance"},
    ...     grid={"min": 0, "max": 5, "n": 50, "sigma": 0.1},
    ...     weighting={"function": "exp", "r_cut": 5, "threshold": 1e-3},
    ...     species=["H", "O"],
    ... )
    >>> lmbtr.create(molecule("H2O"), centers=[0]).shape
    (1, 150)
    """

    _local = True
    _pools = ("_compute", "_vjp")

    def __init__(
        self,
        geometry: Mapping[str, Any] | None = None,
        grid: Mapping[str, Any] | None = None,
        weighting: Mapping[str, Any] | None = None,
        normalize_gaussians: bool = True,
        normalization: str = "none",
        species: Any = None,
        periodic: bool | str = "auto",
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
        centers: Any = None,
        pooling: Any = None,
    ) -> None:
        self._initialise(locals())

    def _terms(self) -> tuple[_Term, ...]:
        if self.geometry is None or self.grid is None:
            raise ValueError("geometry and grid must be given")
        given = {"geometry": self.geometry, "grid": self.grid, "weighting": self.weighting}
        return (_check_term(given, "", check_periodic(self.periodic) is True, (2, 3)),)

    def _scaling(self) -> tuple[str, bool]:
        normalization = check_choice("normalization", self.normalization, ("none", "l2"))
        return normalization, check_bool("normalize_gaussians", self.normalize_gaussians)
