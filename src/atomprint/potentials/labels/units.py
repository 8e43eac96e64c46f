"""Whether energies and forces that belong together are in another unit than eV and Å."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.ragged import totals
from atomprint.util.types import FloatArray

_EV = {"Ha": 27.211386, "Ry": 13.605693, "kcal/mol": 0.0433641, "kJ/mol": 0.0103643}
_ALIKE = 0.03  # energies of whole atoms are known that well
_STRONG = 10.0  # eV/Å: molecules at 2000 K have a third of it, and in kcal/mol/Å at 300 K twice


def other_units(labels: LabelledStructures) -> list[str]:
    """Return in sentences what looks as if it were in another unit: all of the energies, or all of the forces.

    Energies of all electrons are those of the atoms but for a percent. What remains, of atoms without energies of their
    own, may be in any unit, but forces tell where structures are molecules.

    Parameters
    ----------
    labels : LabelledStructures
        Structures with labels.
    """
    batch, told = labels.structures, list[str]()
    known = np.isfinite(labels.energies)
    if known.any() and (batch.numbers > 1).any():
        atoms = totals(_of_all_electrons(batch.numbers), batch.offsets)[known]
        ratios = labels.energies[known] / atoms
        for unit, size in _EV.items():
            if (np.abs(ratios * size / _EV["Ha"] - 1) < _ALIKE).all():
                told.append(f"energies look like those of all electrons in {unit}, and eV are expected: times {size:g}")
    if not batch.pbc.any() and (size := _typical(labels)) > _STRONG:
        told.append(
            f"forces are {size:.3g} on average (rms), which is much for molecules in eV/Å: those in kcal/mol/Å, as of "
            f"MD17, have to be multiplied by {_EV['kcal/mol']:g}, and energies with them"
        )
    return told


def _of_all_electrons(numbers: np.ndarray[tuple[int, ...], np.dtype[np.integer]]) -> FloatArray:
    """Return energies of atoms with all their electrons in Ha, by Thomas, Fermi, Scott and Schwinger, to 1 %."""
    z = numbers.astype(np.float64)
    energies: FloatArray = np.where(z == 1, -0.5, -0.768745 * z ** (7 / 3) + 0.5 * z**2 - 0.269900 * z ** (5 / 3))
    return energies


def _typical(labels: LabelledStructures) -> float:
    """Return the median over structures of the rms component of a force; 0 where no force is known."""
    offsets = labels.structures.offsets
    rms = [
        np.sqrt((own[np.isfinite(own)] ** 2).mean())
        for own in (labels.forces[a:b] for a, b in pairwise(offsets))
        if np.isfinite(own).any()
    ]
    return float(np.median(rms)) if rms else 0.0
