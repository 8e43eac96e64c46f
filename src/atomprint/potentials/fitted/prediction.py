"""What potentials say of structures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.potentials.fitted.model import Model
from atomprint.potentials.fitting.uncertainty import Judged
from atomprint.potentials.terms.term import VOIGT, row_offsets
from atomprint.ragged import chunks, split
from atomprint.structures import Batch
from atomprint.util.notebook import MOST_ROWS, card
from atomprint.util.text import counted, shown
from atomprint.util.types import FloatArray

_ROWS = 2048  # at once, for uncertainties


@dataclass(frozen=True)
class Prediction:
    """What a potential says of structures; of a single one without the axis of structures.

    Attributes
    ----------
    energies : ndarray, shape (n_structures,)
        In eV.
    forces : list of ndarray, each of shape (n_atoms, 3)
        In eV/Å.
    stresses : ndarray, shape (n_structures, 3, 3)
        dE/dstrain / volume in eV/Å^3, positive in tension; nan where there is no cell.
    atom_energies : list of ndarray, each of shape (n_atoms,)
        What each atom contributes to the energy, in eV.
    energies_std, forces_std, stresses_std : as those, or None
        Expected errors, where they were asked for: 90 % of the errors are within 1.645 of them. That is how they are
        scaled; errors have longer tails than a normal distribution, so larger intervals hold less than they would of
        one. Those of components of forces are not zero where symmetry makes forces, and their errors, vanish.
    grades : ndarray, shape (n_structures,), or None
        How far structures are beyond the training data: less is known of the energy per atom of those above 1 than of
        that of any structure that was fitted, and of all but a few of them when they are left out.
    """

    energies: FloatArray | Any
    forces: FloatArray | Any
    stresses: FloatArray | Any
    atom_energies: FloatArray | Any
    energies_std: FloatArray | Any = None
    forces_std: FloatArray | Any = None
    stresses_std: FloatArray | Any = None
    grades: FloatArray | Any = None

    def __repr__(self) -> str:
        single = np.ndim(self.energies) == 0
        forces = [self.forces] if single else self.forces
        largest = max((float(np.linalg.norm(own, axis=1).max(initial=0.0)) for own in forces), default=0.0)
        if single:
            error = "" if self.energies_std is None else f" ± {float(self.energies_std):.2g}"
            said = [f"energy {float(self.energies):.6g}{error} eV", f"largest force {largest:.3g} eV/Å"]
        else:
            said = [counted(len(forces), "structure"), f"largest force {largest:.3g} eV/Å"]
        if self.grades is not None:
            said.append(f"grade {float(np.max(self.grades, initial=0.0)):.2g}" + ("" if single else " at most"))
        return f"Prediction({', '.join(said)})"

    def _repr_html_(self) -> str:
        single = np.ndim(self.energies) == 0
        forces = [self.forces] if single else self.forces
        columns = {"energy (eV)": self.energies, "± (eV)": self.energies_std, "grade": self.grades}
        rows = []
        for k, own in enumerate(forces[:MOST_ROWS]):
            figures = [shown(float(np.ravel(values)[k])) for values in columns.values() if values is not None]
            largest = shown(float(np.linalg.norm(own, axis=1).max(initial=0.0)))
            rows.append((str(k), str(len(own)), largest, *figures))
        heads = [head for head, values in columns.items() if values is not None]
        headers = ("structure", "atoms", "largest force (eV/Å)", *heads)
        return card("Predictions of a potential", (), headers, rows, n_rows=len(forces))


@dataclass(frozen=True)
class CrossValidation:
    """What potentials say of structures that they were not fitted to: each was left out with its fold.

    Attributes
    ----------
    folds : ndarray of int64, shape (n_structures,)
        The fold of each structure.
    energies : ndarray, shape (n_structures,)
        In eV.
    forces : ndarray, shape (n_atoms, 3)
        In eV/Å.
    stresses : ndarray, shape (n_structures, 3, 3)
        In eV/Å^3.
    judged : mapping of str to Judged
        Errors of ``"energies"``, ``"forces"`` and ``"stresses"`` of structures that were left out one at a time, beside
        what was expected of them.
    """

    folds: npt.NDArray[np.int64]
    energies: FloatArray
    forces: FloatArray
    stresses: FloatArray
    judged: Mapping[str, Judged] = field(default_factory=dict)

    def __repr__(self) -> str:
        n = len(self.folds)
        return f"CrossValidation({counted(n, 'structure')} in {counted(len(np.unique(self.folds)), 'fold')})"


def expected_errors(model: Model, batch: Batch, n_jobs: int) -> dict[str, Any]:
    """Return what the uncertainty of a model says of structures, by the names of :class:`Prediction`."""
    n, width = len(batch), model.terms.n_functions
    forces = np.empty((len(batch.numbers), 3))
    energies, grades, stresses = np.empty(n), np.empty(n), np.full((n, 3, 3), np.nan)
    volumes = np.abs(np.linalg.det(batch.cells))
    for start, stop in chunks(row_offsets(batch), _ROWS):
        part = batch[start:stop]
        offsets = row_offsets(part)
        rows = np.empty((int(offsets[-1]), width))
        model.terms.rows(part, rows, n_jobs)
        sums = rows[offsets[:-1]]
        energies[start:stop], grades[start:stop] = model.uncertainty.of_energies(sums, part.n_atoms.astype(np.float64))
        of_structure = np.repeat(np.arange(stop - start), np.diff(offsets))
        place = np.arange(len(rows)) - offsets[of_structure]
        of_stress = place >= (np.diff(offsets) - 6)[of_structure]
        own = slice(int(batch.offsets[start]), int(batch.offsets[stop]))
        forces[own] = model.uncertainty.of_forces(rows[(place > 0) & ~of_stress]).reshape(-1, 3)
        for k in np.flatnonzero(volumes[start:stop] > 0):
            six = rows[offsets[k + 1] - 6 : offsets[k + 1]] / volumes[start + k]
            for (a, b), error in zip(VOIGT, model.uncertainty.of_stresses(six), strict=True):
                stresses[start + k, a, b] = stresses[start + k, b, a] = error
    return {
        "energies_std": energies,
        "forces_std": list(split(forces, batch.offsets)),
        "stresses_std": stresses,
        "grades": grades,
    }
