"""Coordination numbers of atoms, by several definitions of a neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint.chemistry.elements import N_ELEMENTS
from atomprint.descriptors.engine.call import Array, Call
from atomprint.descriptors.engine.local import LocalDescriptor
from atomprint.descriptors.engine.pairs import PairBlock
from atomprint.descriptors.structural.bonds import NONE, RADII, WHOLE, charges_of, faded, metal_ions
from atomprint.descriptors.structural.voronoi import voronoi_faces
from atomprint.layout import Axis, Block, Layout, symbols_of
from atomprint.ragged import locate
from atomprint.structures import Batch, StructureError, counted_from
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice, check_length, check_real

IndexArray = npt.NDArray[np.int64]

_DEFINITIONS = ("covalent", "cutoff", "solid_angle")
_COINCIDENT = 1e-5  # Å, as anywhere


class _Counted(NamedTuple):
    """Neighbours of centres."""

    structures: IndexArray
    centers: IndexArray  # among those of the structure
    atoms: IndexArray  # within the structure
    shifts: IndexArray
    vectors: FloatArray
    units: FloatArray
    weights: FloatArray
    slopes: FloatArray  # of the weights by the distances


@public("CoordinationNumbers", version=1, in_recipes=True)
class CoordinationNumbers(LocalDescriptor):
    r"""Number of neighbours of an atom, of all elements and of each.

    Parameters
    ----------
    definition : {"covalent", "cutoff", "solid_angle"}
        What a neighbour is. ``"covalent"``: an atom within 1.15 times the sum of the covalent radii; beyond, it counts
        for less, as a cosine, and from 1.35 times on not at all; two metals do not count for each other where they are
        cations, as :class:`StructureStatistics` guesses charges. ``"cutoff"``: an atom closer than ``r_cut``.
        ``"solid_angle"``, for crystals: an atom whose Voronoi cell touches that of the centre, with the solid angle of
        the face over that of the largest face of the centre [1]_.
    r_cut : float, optional
        Cutoff in Å, with ``"cutoff"`` and only with it.
    cutoff_width : float, optional
        With ``"cutoff"``: a neighbour's weight goes to zero as a cosine between r_cut - cutoff_width and r_cut (in Å).
        Default: none, numbers are integers and have no slope.
    species : sequence of str or int, optional
        All species that may occur. Default: learnt in :meth:`fit`.
    periodic : "auto" or bool
        As for :class:`SOAP`.
    centers, pooling
        As for :class:`SOAP`; centres are atoms, but with ``"cutoff"``.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of the result; it is computed in double precision.
    n_jobs : int
        Number of threads for the search of neighbours; -1 means all cores.

    Notes
    -----
    Derivatives are analytical; with ``"solid_angle"`` there are none: cells change their faces suddenly.

    See Also
    --------
    NeighbourStatistics : the same of whole structures, with the lengths of bonds by pairs of elements

    References
    ----------
    .. [1] M. O'Keeffe, Acta Cryst. A 35 (1979) 772.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import CoordinationNumbers
    >>> CoordinationNumbers(species=["Na", "Cl"]).create(bulk("NaCl", "rocksalt", a=5.64))
    array([[6., 0., 6.],
           [6., 6., 0.]])
    """

    _adds_up = False

    def __init__(
        self,
        definition: str = "covalent",
        r_cut: float | None = None,
        cutoff_width: float | None = None,
        species: Any = None,
        periodic: bool | str = "auto",
        centers: Any = None,
        pooling: Any = None,
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        check_choice("definition", self.definition, _DEFINITIONS)
        if (self.r_cut is None) == (self.definition == "cutoff"):
            rule = "given" if self.r_cut is None else "None"
            raise ValueError(f"r_cut must be {rule} with definition={self.definition!r}, got {self.r_cut!r}")
        if self.r_cut is not None:
            check_length("r_cut", self.r_cut)
        if self.cutoff_width is not None:
            if self.r_cut is None:
                raise ValueError(f"cutoff_width must be None without r_cut, got {self.cutoff_width!r}")
            if check_real("cutoff_width", self.cutoff_width, above=0) > self.r_cut:
                raise ValueError(f"cutoff_width must be <= r_cut = {self.r_cut:g}, got {self.cutoff_width:g}")

    def _periodic(self) -> bool | None:
        return True if self.definition == "solid_angle" else super()._periodic()

    def _check_batch(self, batch: Batch) -> None:
        if self.definition == "solid_angle" and not batch.pbc.all():
            s = int(np.argmin(batch.pbc.all(axis=1)))
            raise StructureError(s, None, "must repeat along three vectors for definition='solid_angle'")
        heavy = batch.numbers > N_ELEMENTS
        if self.definition == "covalent" and heavy.any():
            s, atom = batch.locate(int(np.argmax(heavy)))
            symbol = chemical_symbols[batch.numbers[np.argmax(heavy)]]
            raise StructureError(s, atom, f"must be of an element up to lawrencium (103), got {symbol}")

    def _check_differentiable(self) -> None:
        if self.definition == "solid_angle":
            raise ValueError("definition must not be 'solid_angle' for derivatives: cells change their faces suddenly")

    def _n_features(self) -> int:
        return 1 + len(self._species())

    def _layout(self) -> Layout:
        keys = [(), *((symbol,) for symbol in symbols_of(self._species()))]
        axes = [Axis("coordination", [self.definition.replace("_", " ")])]
        return Layout(type(self).__name__, [Block(key, axes) for key in keys])

    # -----------------------------------------------------------------------------------------------------------------

    def _compute(self, call: Call, out: Array) -> None:
        found = np.zeros((len(call.centers.points), call.n_features))
        if self.definition == "solid_angle":
            row, kind, weights = self._faces(call)
        else:
            counted = self._counted(call)
            row = call.centers.offsets[counted.structures] + counted.centers
            kind = call.species[call.batch.offsets[counted.structures] + counted.atoms]
            weights = counted.weights
        size = found.size
        for columns in (0, 1 + kind):
            found += np.bincount(row * call.n_features + columns, weights, minlength=size).reshape(found.shape)
        out[:] = found

    def _pairs(self, call: Call) -> Sequence[PairBlock]:
        counted = self._counted(call)
        kind = call.species[call.batch.offsets[counted.structures] + counted.atoms]
        slopes = (counted.units * counted.slopes[:, None]).astype(call.dtype)
        blocks = []
        for index, species in enumerate(self._species()):
            own = kind == index
            blocks.append(
                PairBlock(
                    species,
                    np.array([0, 1 + index]),
                    np.repeat(slopes[own][:, :, None], 2, axis=2),
                    counted.structures[own],
                    counted.centers[own],
                    counted.atoms[own],
                    counted.shifts[own],
                    counted.vectors[own],
                )
            )
        return blocks

    def _center_atoms(self, call: Call) -> IndexArray:
        """Return the atoms of the centres within their structures, where all must be atoms."""
        atoms = call.centers.atoms
        if (atoms < 0).any():
            s, center = locate(call.centers.offsets, int(np.argmax(atoms < 0)))
            rule = f"centers must be atoms with definition={self.definition!r}, got a point as centre {center}"
            raise StructureError(s, None, rule)
        return atoms

    def _counted(self, call: Call) -> _Counted:
        batch, centers = call.batch, call.centers
        if self.definition == "cutoff":
            pairs = call.pairs(float(self.r_cut))
            width = 0.0 if self.cutoff_width is None else float(self.cutoff_width)
            weights, slopes = faded(pairs.distances, float(self.r_cut) - width, float(self.r_cut))
        else:
            own = np.repeat(batch.offsets[:-1], np.diff(centers.offsets)) + self._center_atoms(call)
            radii = RADII[batch.numbers]
            pairs = call.pairs(2 * NONE * float(radii.max()))
            first = own[centers.offsets[pairs.structures] + pairs.first]
            second = batch.offsets[pairs.structures] + pairs.second
            sums, ions = radii[first] + radii[second], metal_ions(batch.numbers, charges_of(batch))
            weights, slopes = faded(pairs.distances, WHOLE * sums, NONE * sums)
            weights = np.where(ions[first] & ions[second], 0.0, weights)
        atoms = centers.atoms[centers.offsets[pairs.structures] + pairs.first]
        # The atom of a centre is no neighbour of it, wherever it is.
        itself = (atoms == pairs.second) & ~pairs.shifts.any(axis=1) | (pairs.distances < _COINCIDENT)
        kept = np.flatnonzero(~itself & (weights > 0))
        vectors = pairs.vectors[kept]
        return _Counted(
            pairs.structures[kept], pairs.first[kept], pairs.second[kept], pairs.shifts[kept], vectors,
            vectors / pairs.distances[kept, None], weights[kept], slopes[kept],
        )  # fmt: skip

    def _faces(self, call: Call) -> tuple[IndexArray, IndexArray, FloatArray]:
        """Return the centre, the element of the neighbour, and the weight of each face."""
        centers, atoms = call.centers, self._center_atoms(call)
        rows, kinds, weights = [], [], []
        for s in range(len(call)):
            own = slice(int(centers.offsets[s]), int(centers.offsets[s + 1]))
            if own.start == own.stop:
                continue
            one = call.batch[s : s + 1]
            with counted_from(s):
                faces = voronoi_faces(one)
            largest = np.zeros(len(one.numbers))
            np.maximum.at(largest, faces.first, faces.angles)
            order = np.argsort(faces.first, kind="stable")
            starts = np.searchsorted(faces.first[order], np.arange(len(one.numbers) + 1))
            of_atoms = call.species[call.batch.offsets[s] : call.batch.offsets[s + 1]]
            for row, atom in enumerate(atoms[own].tolist(), start=own.start):
                seen = order[starts[atom] : starts[atom + 1]]
                rows.append(np.full(len(seen), row))
                kinds.append(of_atoms[faces.second[seen]].astype(np.int64))
                weights.append(faces.angles[seen] / largest[atom])
        if not rows:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
        return np.concatenate(rows), np.concatenate(kinds), np.concatenate(weights)
