"""The search for holes of a fitted potential: among dense crystals that no fit was given, and along dimers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols
from ase.formula import Formula

from atomprint.potentials.short_range import dense
from atomprint.potentials.short_range.level import Level
from atomprint.potentials.short_range.repulsion import Repulsion
from atomprint.potentials.terms.sums import Offsets, evaluate_all
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

_SHARES = (0.55, 1.15)
_SEED = 20201129  # of what is scanned: the same for all potentials
_DIMER = (0.35, 0.88)


@dataclass(frozen=True)
class HoleScan:
    """What was found where a potential has no data.

    Parameters
    ----------
    n_crystals : int
        How many dense crystals were looked at.
    holes : sequence of str
        Of each that is below the lowest energy of the data, one sentence.
    falling : sequence of str
        Of each dimer whose energy does not rise all the way as its atoms come nearer, one sentence.
    """

    n_crystals: int
    holes: Sequence[str]
    falling: Sequence[str]

    @property
    def warning(self) -> str | None:
        """What there is to warn of; None if nothing."""
        said = []
        if self.holes:
            said.append(
                f"{len(self.holes)} of {self.n_crystals} crystals that are denser than the data lie below all of them "
                f"in energy, such as {self.holes[0]}"
            )
        if self.falling:
            said.append(f"dimers do not repel each other all the way: {'; '.join(self.falling)}")
        if not said:
            return None
        return f"the potential has holes: {'; '.join(said)}. Do not let atoms come that near, or add such data"


def scan_holes(
    parts: Sequence[Any],
    core: Repulsion,
    level: Level | None,
    *,
    count: int = 200,
    periodic: bool = True,
    n_jobs: int = 1,
) -> HoleScan:
    """Look for holes among crystals that no fit was given, and along the dimers of all pairs of elements.

    Parameters
    ----------
    parts : sequence of Predictor
        What the energy is the sum of.
    core : Repulsion
        Which says how near atoms are in the data.
    level : Level or None
        How high the energies of the data are; None leaves out the crystals.
    count : int
        How many crystals: hexagonal ones, tin, wurtzite, nickel arsenide and A15, strained, with atoms moved, at 0.55
        to 1.15 of the shortest distances of the data.
    periodic : bool
        Whether they repeat, for data that do.
    n_jobs : int
        Number of threads.

    Returns
    -------
    HoleScan
    """
    holes: list[tuple[float, str]] = []
    if level is not None:
        batch = dense.other_crystals(core.species, core.near, count, _SHARES, _SEED, periodic)
        energies = evaluate_all(parts, batch, n_jobs)[0] - Offsets(level.energies).of(batch)
        above = np.add.reduceat(energies, batch.offsets[:-1]) / batch.n_atoms - level.lowest
        holes = [(float(above[s]), _told(batch, s, above[s])) for s in np.flatnonzero(~(above >= 0)).tolist()]
    falling = []
    for first, second in combinations_with_replacement(core.species, 2):
        r = core.near[first, second] * np.linspace(*_DIMER, 51)
        energies = dimer_energies(parts, first, second, r, periodic=periodic, n_jobs=n_jobs)
        rising = np.diff(energies) < 0  # outwards it falls
        if not rising.all():
            at = r[np.argmin(rising)]
            falling.append(f"{chemical_symbols[first]}-{chemical_symbols[second]} attract each other at {at:.2f} Å")
    return HoleScan(count if level else 0, tuple(told for _, told in sorted(holes)), tuple(falling))


def dimer_energies(
    parts: Sequence[Any],
    first: int,
    second: int,
    distances: npt.ArrayLike,
    *,
    periodic: bool = True,
    n_jobs: int = 1,
) -> FloatArray:
    """Return the energies in eV of two atoms alone, given by atomic numbers, at some distances in Å.

    Where ``periodic``, they are in a cell of 40 Å, as some descriptors need one.
    """
    batch = dense.dimers([(first, second)], [np.asarray(distances, dtype=np.float64)], periodic=periodic)
    found: FloatArray = evaluate_all(parts, batch, n_jobs)[0].reshape(-1, 2).sum(axis=1)
    return found


def _told(batch: Batch, structure: int, above: float) -> str:
    atoms = batch[structure]
    formula = Formula.from_list(atoms.symbols).format("metal")
    room = f"with {atoms.get_volume() / len(atoms):.3g} Å^3 an atom" if atoms.pbc.any() else f"of {len(atoms)} atoms"
    return f"{formula} {room} ({above:.3g} eV an atom)"
