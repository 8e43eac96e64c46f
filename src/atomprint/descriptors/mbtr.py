"""Many-body tensor representation, of structures, of crystals as fingerprints, and around centres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from atomprint.descriptors.broadened import NORMALIZATIONS, Broadened, Term, check_term
from atomprint.descriptors.engine.compiled import CompiledDescriptor
from atomprint.structures import Batch, StructureError
from atomprint.util.registry import public
from atomprint.util.validation import (
    check_bool,
    check_choice,
    check_keys,
    check_length,
    check_periodic,
)


def _check_volumes(batch: Batch) -> None:
    flat = np.flatnonzero(~(np.abs(np.linalg.det(batch.cells)) > 0))
    if len(flat):
        rule = f"normalization 'valle_oganov' needs a cell with a volume, got {batch.cells[flat[0]].tolist()}"
        raise StructureError(flat[0], None, rule)


@public("MBTR", version=1, in_recipes=True)
class MBTR(Broadened):
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

    def _terms(self) -> tuple[Term, ...]:
        periodic, single = check_periodic(self.periodic) is True, (self.geometry, self.grid, self.weighting)
        if self.terms is None:
            if self.geometry is None or self.grid is None:
                raise ValueError("geometry and grid must be given, or terms")
            given = dict(zip(("geometry", "grid", "weighting"), single, strict=True))
            return (check_term(given, "", periodic, (1, 2, 3)),)
        if any(part is not None for part in single):
            raise ValueError("terms must not be given together with geometry, grid or weighting")
        if isinstance(self.terms, str | Mapping) or not isinstance(self.terms, Sequence):
            raise TypeError(f"terms must be a sequence of dicts, got {self.terms!r}")
        if not self.terms:
            raise ValueError("terms must hold at least one term, got none")
        return tuple(
            check_term(
                check_keys(f"terms[{t}]", term, ["geometry", "grid"], ["weighting"]),
                f"terms[{t}]: ",
                periodic,
                (1, 2, 3),
            )
            for t, term in enumerate(self.terms)
        )

    def _scaling(self) -> tuple[str, bool]:
        normalization = check_choice("normalization", self.normalization, NORMALIZATIONS)
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
class ValleOganov(Broadened):
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

    def _terms(self) -> tuple[Term, ...]:
        function = check_choice("function", self.function, ("distance", "angle"))
        r_cut = check_length("r_cut", self.r_cut)
        grid = {"min": 0.0, "max": r_cut if function == "distance" else 180.0, "n": self.n, "sigma": self.sigma}
        kind = "inverse_square" if function == "distance" else "smooth_cutoff"
        given = {"geometry": {"function": function}, "grid": grid, "weighting": {"function": kind, "r_cut": r_cut}}
        return (check_term(given, "", True, (2, 3)),)

    def _scaling(self) -> tuple[str, bool]:
        return "valle_oganov", True

    def _check_batch(self, batch: Batch) -> None:
        super()._check_batch(batch)
        _check_volumes(batch)


@public("LMBTR", version=1, in_recipes=True)
class LMBTR(Broadened, CompiledDescriptor):
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

    def _terms(self) -> tuple[Term, ...]:
        if self.geometry is None or self.grid is None:
            raise ValueError("geometry and grid must be given")
        given = {"geometry": self.geometry, "grid": self.grid, "weighting": self.weighting}
        return (check_term(given, "", check_periodic(self.periodic) is True, (2, 3)),)

    def _scaling(self) -> tuple[str, bool]:
        normalization = check_choice("normalization", self.normalization, ("none", "l2"))
        return normalization, check_bool("normalize_gaussians", self.normalize_gaussians)
