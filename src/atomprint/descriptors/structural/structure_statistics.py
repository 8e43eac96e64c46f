"""What anybody would want to know of a crystal: density, packing, bonds, electrostatics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from ase.data import atomic_masses, chemical_symbols
from ase.units import kg

from atomprint import _core
from atomprint.chemistry.elements import N_ELEMENTS, element_properties
from atomprint.chemistry.radii import ionic_radius, metallic_radius
from atomprint.descriptors.engine.call import Array, Call, Derivatives
from atomprint.descriptors.engine.crystals import OfCrystals
from atomprint.descriptors.engine.whole import by_pairs
from atomprint.descriptors.matrices import EwaldSumMatrix
from atomprint.descriptors.structural.bonds import NONE, RADII, WHOLE, charges_of, faded, metal_ions
from atomprint.layout import Axis, Block, Layout
from atomprint.neighbours import find_pairs
from atomprint.ragged import owners
from atomprint.structures import Batch, StructureError, counted_from
from atomprint.util.memory import available_memory, size_of
from atomprint.util.overlap import in_order
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_of_elements, check_real

IndexArray = npt.NDArray[np.int64]

# Names and groups, in the order of the features.
_FEATURES = {
    "density": "packing",
    "volume per atom": "packing",
    "packing fraction": "packing",
    "ionic packing fraction": "packing",
    "covalent radius mismatch": "radii",
    "metallic radius mismatch": "radii",
    "ionic radius ratio": "radii",
    "coordination mean": "coordination",
    "coordination std": "coordination",
    "coordination minimum": "coordination",
    "coordination maximum": "coordination",
    "bond length mean": "bonds",
    "bond length std": "bonds",
    "relative bond length mean": "bonds",
    "relative bond length std": "bonds",
    "relative bond length minimum": "bonds",
    "bonds between unlike elements": "bonds",
    "electronegativity difference mean": "bonds",
    "electronegativity difference std": "bonds",
    "bond anisotropy": "bonds",
    "mean absolute charge": "charges",
    "Ewald energy": "charges",
    "Ewald energy std": "charges",
}
_AT = {name: column for column, name in enumerate(_FEATURES)}
_EQUAL = 1e-10  # values that differ by less of their size are equal: the standard deviation has no derivative there
_ISOTROPIC = 1e-7
_COULOMB = 14.399645351950548  # e^2 / (4 pi epsilon_0) in eV Å
_TOGETHER, _ENTRIES = 64, 2**21  # structures of a part, and elements of their matrices of charges
_MATRICES, _MATRICES_OF_SLOPES = 5, 9  # at once
_DENSITY = 1e24 / kg * 1e3  # of u / Å^3 in g / cm^3


class _Part(NamedTuple):
    """Features of some structures, and their derivatives where these were asked for."""

    values: FloatArray
    positions: FloatArray  # (n_atoms, 3, n_features)
    strain: FloatArray  # (n_structures, 3, 3, n_features)


@public("StructureStatistics", version=1, in_recipes=True)
class StructureStatistics(OfCrystals):
    r"""Density, packing, coordination, bonds and electrostatics of a crystal: a few numbers that need no choices.

    Atoms i and j at the distance r are bonded with the weight w, which is 1 for :math:`x = r / (R_i + R_j) < 1.15` with
    the covalent radii R and goes to zero as a cosine until x = 1.35, unless both are cations of metals. Elements are
    given charges: the oxidation states that balance best and bring electrons to the electronegative ones, as
    :class:`OxidationStates` chooses them, with those of the cations scaled so that the crystal is neutral; all are zero
    where these would be of one sign.

    Parameters
    ----------
    charges : dict, optional
        Charges in e, by element, in place of those that are guessed. All elements must have one.
    accuracy : float
        Of the Ewald sums, see :class:`EwaldSumMatrix`.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float64", "float32"}
        Precision of the result; it is computed in double precision.
    n_jobs : int
        Number of threads; -1 means all cores.

    Notes
    -----
    The features are

    - *density* in g/cm^3, *volume per atom* in Å^3; *packing fraction*, the volume of spheres with the covalent radii
      over that of the cell, and *ionic packing fraction* with the radii of the ions (Shannon's for six neighbours;
      covalent where there are none);
    - *covalent* and *metallic radius mismatch*, :math:`\sqrt{\sum_i c_i (1 - R_i / \bar R)^2}` with the fractions c of
      the elements (metallic radii; covalent ones of what is no metal), *ionic radius ratio*, the mean radius of cations
      over that of anions, 0 without charges;
    - mean, standard deviation, minimum and maximum of the *coordination* :math:`\sum_j w_{ij}`;
    - mean and standard deviation, weighted with w, of the *bond length* r in Å, the *relative bond length* x (and its
      minimum), the *electronegativity difference* (Pauling) along bonds; the share of *bonds between unlike elements*;
      *bond anisotropy*, :math:`\sqrt{3/2} \, |\mathbf T - \mathbf 1 / 3|` with the mean :math:`\mathbf T` of
      :math:`\hat{\mathbf r} \hat{\mathbf r}^T`: 0 in cubic crystals, 1/2 if all bonds are in a plane, 1 along a line.
      Without bonds all these are 0;
    - *mean absolute charge* in e, *Ewald energy* in eV per atom, in a uniform background if the charges given are not
      neutral, and the standard deviation of its shares of the atoms.

    Neither the choice of the cell nor its repetition matters. The cell repeats along all three lattice vectors,
    whatever the ``pbc`` of a structure.

    Derivatives are analytical. Where several atoms have the extreme coordination, or bonds are equally short, they are
    those of the first; where all values are equal those of the standard deviation are 0: in crystals with equivalent
    atoms these are kinks.

    See Also
    --------
    NeighbourStatistics : coordination and bonds by pairs of elements
    SpaceGroup : symmetry and the shape of the primitive cell
    OxidationStates : more about charges, without coordinates

    Examples
    --------
    >>> from ase.build import bulk
    >>> from atomprint.descriptors import StructureStatistics
    >>> statistics = StructureStatistics()
    >>> features = dict(zip(statistics.get_feature_names_out(), statistics.create(bulk("NaCl", "rocksalt", a=5.64))))
    >>> for name in ("density", "coordination mean", "Ewald energy"):
    ...     print(name, features[f"StructureStatistics {name}"].round(3))
    density 2.164
    coordination mean 6.0
    Ewald energy -4.462
    """

    _adds_up = False

    def __init__(
        self,
        charges: Mapping[Any, float] | None = None,
        accuracy: float = 1e-8,
        sparse: bool = False,
        dtype: Any = "float64",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        if self.charges is not None:
            check_of_elements("charges", self.charges)
        if not check_real("accuracy", self.accuracy, above=0) < 1:
            raise ValueError(f"accuracy must be < 1, got {self.accuracy:g}")

    def _n_features(self) -> int:
        return len(_FEATURES)

    def _layout(self) -> Layout:
        axes = [Axis("statistics", tuple(_FEATURES), tuple(_FEATURES.values()))]
        return Layout(type(self).__name__, [Block((), axes)])

    def _check_batch(self, batch: Batch) -> None:
        heavy = batch.numbers > N_ELEMENTS
        given = None if self.charges is None else check_of_elements("charges", self.charges)
        if heavy.any():
            s, atom = batch.locate(int(np.argmax(heavy)))
            symbol = chemical_symbols[batch.numbers[np.argmax(heavy)]]
            raise StructureError(s, atom, f"must be of an element up to lawrencium (103), got {symbol}")
        for z in np.unique(batch.numbers).tolist():
            if given is not None and z not in given:
                s, atom = batch.locate(int(np.argmax(batch.numbers == z)))
                raise StructureError(
                    s, atom, f"charges must have one of each element, got none of {chemical_symbols[z]}"
                )

    # -----------------------------------------------------------------------------------------------------------------

    def _parts(self, call: Call) -> Iterator[tuple[int, int]]:
        """Yield runs of structures that are treated together."""
        squares, start = call.batch.n_atoms**2, 0
        while start < len(call):
            stop = start + 1
            while stop < len(call) and stop < start + _TOGETHER:
                if int(squares[start : stop + 1].max()) * (stop + 1 - start) > _ENTRIES:
                    break
                stop += 1
            yield start, stop
            start = stop

    def _compute(self, call: Call, out: Array) -> None:
        def compute(run: tuple[int, int]) -> None:
            with counted_from(run[0]):
                out[slice(*run)] = self._statistics(call[slice(*run)], False).values

        deque(in_order(compute, self._parts(call), call.n_threads), maxlen=0)

    def _jacobian(self, call: Call, out: Derivatives) -> None:
        selection, offsets = call.selection, call.batch.offsets
        for start, stop in self._parts(call):
            with counted_from(start):
                found = self._statistics(call[start:stop], True)
            if out.features is not None:
                out.features[start:stop] = found.values
            if out.positions is not None:
                atoms = np.arange(offsets[start], offsets[stop])
                slots = selection.slots[atoms]
                rows = np.repeat(selection.row_offsets[start:stop], np.diff(offsets[start : stop + 1])) + slots
                out.positions[rows[slots >= 0]] += found.positions[slots >= 0].astype(out.positions.dtype)
            if out.strain is not None:
                out.strain[start:stop] += found.strain.astype(out.strain.dtype)

    def _statistics(self, call: Call, with_slopes: bool) -> _Part:
        """Return the features of some structures, and unless they are not asked for their derivatives."""
        batch = call.batch
        n, owner = batch.n_atoms, owners(batch.offsets)
        (charges, ionic), radii = self._ions(batch), RADII[batch.numbers]
        volume = np.abs(np.linalg.det(batch.cells))
        values = np.zeros((len(call), len(_FEATURES)))
        found = _Part(
            values,
            np.zeros((len(batch.numbers) if with_slopes else 0, 3, len(_FEATURES))),
            np.zeros((len(call) if with_slopes else 0, 3, 3, len(_FEATURES))),
        )

        def total(of_atoms: npt.NDArray[Any]) -> FloatArray:
            return np.bincount(owner, of_atoms, minlength=len(call)).astype(np.float64)

        values[:, _AT["density"]] = total(atomic_masses[batch.numbers]) * _DENSITY / volume
        values[:, _AT["volume per atom"]] = volume / n
        values[:, _AT["packing fraction"]] = 4 / 3 * np.pi * total(radii**3) / volume
        values[:, _AT["ionic packing fraction"]] = 4 / 3 * np.pi * total(ionic**3) / volume
        for name, of_atoms in (("covalent", radii), ("metallic", _METALLIC[batch.numbers])):
            mean = total(of_atoms) / n
            values[:, _AT[f"{name} radius mismatch"]] = np.sqrt(total((1 - of_atoms / mean[owner]) ** 2) / n)
        cations, anions = charges > 0, charges < 0
        n_cations, n_anions = total(cations), total(anions)
        both = (n_cations > 0) & (n_anions > 0)
        sizes = total(ionic * cations) / np.maximum(n_cations, 1), total(ionic * anions) / np.maximum(n_anions, 1)
        values[both, _AT["ionic radius ratio"]] = (sizes[0] / np.where(both, sizes[1], 1))[both]
        values[:, _AT["mean absolute charge"]] = total(np.abs(charges)) / n
        if with_slopes:
            for name, power in (("density", -1), ("volume per atom", 1)):
                found.strain[:, range(3), range(3), _AT[name]] = power * values[:, _AT[name], None]
            for name in ("packing fraction", "ionic packing fraction"):
                found.strain[:, range(3), range(3), _AT[name]] = -values[:, _AT[name], None]
        self._add_bonds(call, owner, radii, charges, found, with_slopes)
        self._add_electrostatics(call, owner, charges, found, with_slopes)
        return found

    def _ions(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Return the charges and the ionic radii of all atoms."""
        charges = charges_of(batch, None if self.charges is None else check_of_elements("charges", self.charges))
        ions, place = np.unique(np.column_stack([batch.numbers, charges]), axis=0, return_inverse=True)
        return charges, np.array([ionic_radius(int(z), charge) for z, charge in ions.tolist()])[place]

    def _add_bonds(
        self, call: Call, owner: IndexArray, radii: FloatArray, charges: FloatArray, found: _Part, with_slopes: bool
    ) -> None:
        batch, values = call.batch, found.values
        n, n_atoms = batch.n_atoms, len(owner)
        pairs = find_pairs(batch, 2 * NONE * float(radii.max()), call.n_threads)
        first, second = (batch.offsets[pairs.structures] + atoms for atoms in (pairs.first, pairs.second))
        sums = radii[first] + radii[second]
        ions = metal_ions(batch.numbers, charges)
        kept = np.flatnonzero((pairs.distances < NONE * sums) & ~(ions[first] & ions[second]))
        first, second, sums, r = first[kept], second[kept], sums[kept], pairs.distances[kept]
        of, unit = pairs.structures[kept], pairs.vectors[kept] / r[:, None]
        x = r / sums
        w, dw = faded(r, WHOLE * sums, NONE * sums)
        slopes = np.zeros((len(kept), len(_FEATURES)) if with_slopes else (0, 0))

        coordination = np.bincount(first, w, minlength=n_atoms).astype(np.float64)
        mean = np.bincount(owner, coordination) / n
        deviation = coordination - mean[owner]
        std = np.sqrt(np.bincount(owner, deviation**2) / n)
        lowest, highest = (sign * np.minimum.reduceat(sign * coordination, batch.offsets[:-1]) for sign in (1, -1))
        values[:, _AT["coordination mean"]], values[:, _AT["coordination std"]] = mean, std
        values[:, _AT["coordination minimum"]], values[:, _AT["coordination maximum"]] = lowest, highest
        if with_slopes:
            slopes[:, _AT["coordination mean"]] = dw / n[of]
            uneven = std > _EQUAL * highest
            scale = np.where(uneven, 1 / (n * np.where(uneven, std, 1)), 0)
            slopes[:, _AT["coordination std"]] = deviation[first] * dw * scale[of]
            for name, extreme in (("minimum", lowest), ("maximum", highest)):
                atoms = _first_equal(coordination, extreme[owner], owner, len(call))
                slopes[:, _AT[f"coordination {name}"]] = np.where(first == atoms[of], dw, 0)

        weight = np.bincount(of, w, minlength=len(call))
        bonded = weight > 0
        weight = np.where(bonded, weight, 1)

        def add_mean(name: str, y: FloatArray, dy: FloatArray | float, with_std: bool) -> None:
            mean = np.bincount(of, w * y, minlength=len(call)) / weight
            values[:, _AT[f"{name} mean" if with_std else name]] = mean
            deviation = y - mean[of]
            if with_slopes:
                slopes[:, _AT[f"{name} mean" if with_std else name]] = (dw * deviation + w * dy) / weight[of]
            if not with_std:
                return
            variance = np.bincount(of, w * deviation**2, minlength=len(call)) / weight
            std = np.sqrt(variance)
            uneven = std > _EQUAL * np.abs(mean)
            values[:, _AT[f"{name} std"]] = std
            if with_slopes:
                scale = np.where(uneven, 0.5 / (np.where(uneven, std, 1) * weight), 0)
                change = dw * (deviation**2 - variance[of]) + 2 * w * deviation * dy
                slopes[:, _AT[f"{name} std"]] = change * scale[of]

        add_mean("bond length", r, 1.0, True)
        add_mean("relative bond length", x, 1 / sums, True)
        unlike = batch.numbers[first] != batch.numbers[second]
        add_mean("bonds between unlike elements", unlike.astype(np.float64), 0.0, False)
        chi = _ELECTRONEGATIVITY[batch.numbers]
        add_mean("electronegativity difference", np.abs(chi[first] - chi[second]), 0.0, True)
        shortest = np.full(len(call), np.inf)
        np.minimum.at(shortest, of, x)
        values[bonded, _AT["relative bond length minimum"]] = shortest[bonded]
        if with_slopes:
            bonds = _first_equal(x, shortest[of], of, len(call))
            own = np.arange(len(of)) == bonds[of]
            slopes[:, _AT["relative bond length minimum"]] = np.where(own, 1 / sums, 0)

        tensors = np.zeros((len(call), 3, 3))
        for a in range(3):
            for b in range(3):
                tensors[:, a, b] = np.bincount(of, w * unit[:, a] * unit[:, b], minlength=len(call)) / weight
        apart = np.where(bonded[:, None, None], tensors - np.eye(3) / 3, 0)
        anisotropy = np.sqrt(1.5 * np.einsum("sab,sab->s", apart, apart))
        anisotropy[anisotropy < _ISOTROPIC] = 0
        values[:, _AT["bond anisotropy"]] = anisotropy
        if not with_slopes:
            return
        by_vector = unit[:, :, None] * slopes[:, None, :]
        turned = np.einsum("pab,pb->pa", tensors[of], unit)
        along = np.einsum("pa,pa->p", turned, unit)
        change = unit * (dw * (along - np.einsum("sab,sab->s", tensors, tensors)[of]))[:, None]
        change += (2 * w / r)[:, None] * (turned - along[:, None] * unit)
        scale = np.where(anisotropy > 0, 1.5 / (np.where(anisotropy > 0, anisotropy, 1) * weight), 0)
        by_vector[:, :, _AT["bond anisotropy"]] = change * scale[of, None]
        positions, strain = by_pairs(by_vector, unit * r[:, None], first, second, of, n_atoms, len(call))
        found.positions[:] += positions
        found.strain[:] += strain

    def _add_electrostatics(
        self, call: Call, owner: IndexArray, charges: FloatArray, found: _Part, with_slopes: bool
    ) -> None:
        batch, values = call.batch, found.values
        n, offsets, size = batch.n_atoms, batch.offsets, int(batch.n_atoms.max())
        if not charges.any():
            return
        _check_room(n, with_slopes)
        rule, none = _core.MatrixKind.ewald, _core.Permutation.none
        ewald = EwaldSumMatrix(accuracy=float(self.accuracy))._ewald(batch, {}).astype(np.float64)
        matrices = np.empty((len(call), size * size))
        _core.matrix_features(rule, batch.core(), ewald, matrices, size, none, None, call.n_threads)
        # Those of nuclei become those of charges; an element off the diagonal is shared by two atoms.
        place = np.arange(len(owner)) - offsets[owner]
        scaled = np.zeros((len(call), size))
        scaled[owner, place] = charges / batch.numbers
        shares = 0.5 * (1 + np.eye(size)) * scaled[:, :, None] * scaled[:, None, :] * _COULOMB
        # In one order for all sizes of the matrix, so that a structure has the same numbers beside any others.
        products = (shares * matrices.reshape(shares.shape)).ravel()
        energies = np.bincount(np.repeat(np.arange(len(call) * size), size), products)[owner * size + place]
        mean = np.bincount(owner, energies) / n
        of_atoms = energies - mean[owner]
        std = np.sqrt(np.bincount(owner, of_atoms**2) / n)
        deviation = np.zeros((len(call), size))
        deviation[owner, place] = of_atoms
        values[:, _AT["Ewald energy"]], values[:, _AT["Ewald energy std"]] = mean, std
        if not with_slopes:
            return
        uneven = std > _EQUAL * np.abs(mean)
        scale = np.where(uneven, 1 / (n * np.where(uneven, std, 1)), 0)
        cotangents = np.stack([shares / n[:, None, None], shares * (deviation * scale[:, None])[:, :, None]])
        cotangents = np.ascontiguousarray(cotangents.reshape(2, len(call), -1))
        positions, strain = np.zeros((2, len(owner), 3)), np.zeros((2, len(call), 3, 3))
        arrays = cotangents, positions, strain, None
        _core.matrix_vjp(rule, batch.core(), ewald, *arrays, size, none, call.n_threads)
        for k, name in enumerate(("Ewald energy", "Ewald energy std")):
            found.positions[:, :, _AT[name]] += positions[k]
            found.strain[:, :, :, _AT[name]] += strain[k]


def _check_room(n_atoms: IndexArray, with_slopes: bool) -> None:
    """Raise an error where matrices of the charges of a structure do not fit into memory."""
    s, left = int(n_atoms.argmax()), available_memory()
    needed = (_MATRICES_OF_SLOPES if with_slopes else _MATRICES) * 8.0 * float(n_atoms[s]) ** 2
    if left is not None and needed > left:
        rule = f"needs {size_of(needed)} for the Ewald energy of {n_atoms[s]:,} atoms, and {size_of(left)} are left"
        raise StructureError(s, None, f"{rule}; charges of 0 leave it out")


def _first_equal(values: FloatArray, wanted: FloatArray, owner: IndexArray, n: int) -> IndexArray:
    """Return for each owner the first of its places where a value is the one that is wanted, or -1."""
    found, places = np.full(n, -1), np.flatnonzero(values == wanted)[::-1]
    found[owner[places]] = places
    return found


_METALLIC = np.array([0.0, *(metallic_radius(z) for z in range(1, N_ELEMENTS + 1))])
_ELECTRONEGATIVITY = np.array(
    [0.0, *element_properties(range(1, N_ELEMENTS + 1), ["electronegativity"])[:, 0].tolist()]
)
