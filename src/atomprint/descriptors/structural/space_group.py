"""Symmetry of a crystal, and the shape of its primitive cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from atomprint.chemistry.symmetry import quiet_spglib, spglib_cell, symmetry_dataset
from atomprint.descriptors.engine.call import Array, Call
from atomprint.descriptors.engine.crystals import OfCrystals
from atomprint.layout import Axis, Block, Layout
from atomprint.structures import Batch, StructureError, counted_from
from atomprint.util.extras import require
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_real

_SYSTEMS = {"triclinic": 2, "monoclinic": 15, "orthorhombic": 74, "tetragonal": 142, "trigonal": 167, "hexagonal": 194,
            "cubic": 230}  # fmt: skip
_FEATURES = {
    "number": "space group",
    **dict.fromkeys(_SYSTEMS, "crystal system"),
    "point group operations": "point group",
    "centrosymmetric": "point group",
    "distinct sites": "sites",
    "atoms in primitive cell": "sites",
    "b/a": "cell shape",
    "c/a": "cell shape",
    "alpha": "cell shape",
    "beta": "cell shape",
    "gamma": "cell shape",
}


@public("SpaceGroup", version=1, in_recipes=True)
class SpaceGroup(OfCrystals):
    """Space group of a crystal, and the shape of its primitive cell, by spglib.

    The features are the number of the space group (1 to 230); for each of the seven crystal systems whether it is the
    crystal's; the number of operations of the point group, and whether inversion is one of them; the numbers of
    symmetrically distinct sites and of atoms in the primitive cell; and of the reduced primitive cell (Niggli), with
    the lengths a <= b <= c, the ratios b/a and c/a and the angles in degrees.

    Needs spglib: ``pip install 'atomprint[pymatgen]'``.

    Parameters
    ----------
    symprec : float
        How far atoms may be from symmetric places, in Å.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of the result.
    n_jobs : int
        Present as for all descriptors. spglib uses one thread.

    Notes
    -----
    Symmetry comes and goes suddenly: there are no derivatives. Neither the choice of the cell nor its repetition
    matters, and the cell repeats along all three lattice vectors, whatever the ``pbc`` of a structure.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import SpaceGroup
    >>> SpaceGroup().create(bulk("NaCl", "rocksalt", a=5.64))[:9]  # doctest: +SKIP
    array([225.,   0.,   0.,   0.,   0.,   0.,   0.,   1.,  48.])
    """

    _adds_up = False

    def __init__(
        self, symprec: float = 0.01, sparse: bool = False, dtype: Any = "float64", n_jobs: int | None = 1
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        check_real("symprec", self.symprec, above=0)

    def _n_features(self) -> int:
        return len(_FEATURES)

    def _layout(self) -> Layout:
        return Layout(type(self).__name__, [Block((), [Axis("symmetry", tuple(_FEATURES), tuple(_FEATURES.values()))])])

    def _check_differentiable(self) -> None:
        raise ValueError("derivatives: SpaceGroup has none, as symmetry comes and goes suddenly")

    def _compute(self, call: Call, out: Array) -> None:
        spglib = require("spglib", "pymatgen", by="SpaceGroup")
        with quiet_spglib():
            for s in range(len(call)):
                with counted_from(s):
                    out[s] = self._of_one(spglib, call.batch[s : s + 1])

    def _of_one(self, spglib: Any, one: Batch) -> FloatArray:
        symprec = float(self.symprec)
        dataset = symmetry_dataset(spglib, spglib_cell(one), symprec)
        if dataset is None:
            rule = f"must have a space group within symprec = {symprec:g}, and spglib finds none"
            raise StructureError(0, None, rule)
        # Those of the group and not of the cell: in larger cells some operations are no longer those of the lattice.
        operations = spglib.get_symmetry_from_database(dataset.hall_number)["rotations"]
        rotations = np.unique(operations.reshape(-1, 9), axis=0)
        reduced = spglib.niggli_reduce(dataset.primitive_lattice)
        reduced = dataset.primitive_lattice if reduced is None else reduced
        lengths = np.linalg.norm(reduced, axis=1)
        order = np.argsort(lengths, kind="stable")
        lengths, unit = lengths[order], (reduced / lengths[:, None])[order]
        angles = np.degrees(np.arccos(np.clip([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]], -1, 1)))
        system = next(k for k, last in enumerate(_SYSTEMS.values()) if dataset.number <= last)
        values = [
            dataset.number,
            *np.eye(len(_SYSTEMS))[system],
            len(rotations),
            (rotations == -np.eye(3).ravel()).all(axis=1).any(),
            len(np.unique(dataset.crystallographic_orbits)),
            len(np.unique(dataset.mapping_to_primitive)),
            lengths[1] / lengths[0],
            lengths[2] / lengths[0],
            *angles,
        ]
        return np.array(values, dtype=np.float64)
