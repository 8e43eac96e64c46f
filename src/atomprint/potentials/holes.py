"""Holes of a potential: arrangements denser than any in the data that it takes to be better than all of these.

A fit of functions of many atoms goes astray where no data hold it, and a relaxation or molecular dynamics may fall in.
A repulsion of pairs alone does not prevent that: between the shortest distances of the data and those where the
functions of the fit are switched off, these are large and many. So pseudo-structures are put among the data
(:meth:`~atomprint.potentials.Repulsion.pseudo_structures`); more of them where the fit still has holes
(:func:`closing_rows`); and then other crystals and the dimers are looked at (:func:`scan_holes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols
from ase.formula import Formula

from atomprint.potentials import dense
from atomprint.potentials.factors import merged
from atomprint.potentials.labels import LabelledStructures
from atomprint.potentials.references import find_references
from atomprint.potentials.repulsion import PseudoStructures, Repulsion
from atomprint.potentials.solver import Solution
from atomprint.potentials.sums import Offsets, Sum, evaluate_all
from atomprint.structures import Batch
from atomprint.util.types import FloatArray

_SHARES = (0.55, 1.15)
_SEED = 20201129  # of what is scanned: the same for all potentials
_ROUNDS = 10
_LEAST = 0.001  # of the sigma of a pseudo-structure, for one that is a hole time and again
_POOL_BYTES = 1 << 27
_BONDS = 5.0  # eV: so much dimers and trimers may be bound, besides half of their repulsion
_DIMER = (0.35, 0.88)


@dataclass(frozen=True)
class Level:
    """How high the energies of a data set are.

    Parameters
    ----------
    energies : dict of int to float
        Of an atom of each element in the data, by atomic number, in eV: the least squares over all structures.
    lowest : float
        Lowest energy of a structure above the sum of these, in eV for an atom.
    """

    energies: dict[int, float]
    lowest: float

    @classmethod
    def of(cls, labels: LabelledStructures) -> Level | None:
        """Return that of some labels; None where no structure has an energy."""
        there = np.isfinite(labels.energies)
        if not there.any():
            return None
        found = find_references(labels, "fitted").energies
        batch = labels.structures
        own = np.add.reduceat(Offsets(found).of(batch), batch.offsets[:-1])
        return cls(found, float(((labels.energies - own) / batch.n_atoms)[there].min()))


@dataclass(frozen=True)
class Pool:
    """Pseudo-structures, with what else there is of their energies.

    Parameters
    ----------
    rows : PseudoStructures
        As they are fitted: what the fitted terms should make of them.
    fixed : ndarray, shape (n_structures,)
        Energies of the core and of single atoms, in eV.
    limits : ndarray, shape (n_structures,)
        Below these total energies in eV they are holes.
    inner, outer : ndarray of int64, shape (n,)
        Dimers that are holes too where they are not above others, which are a little longer.
    """

    rows: PseudoStructures
    fixed: FloatArray
    limits: FloatArray
    inner: npt.NDArray[np.int64]
    outer: npt.NDArray[np.int64]

    @classmethod
    def of(cls, pseudo: PseudoStructures, core: Repulsion, offsets: Offsets, level: Level | None, n_jobs: int) -> Pool:
        """Return pseudo-structures as they are fitted: crystals above those of the data, clusters above atoms."""
        batch = pseudo.structures
        starts, crystal = batch.offsets[:-1], np.arange(len(batch)) < pseudo.n_crystals
        alone = np.add.reduceat(offsets.of(batch), starts)
        typical = alone if level is None else np.add.reduceat(Offsets(level.energies).of(batch), starts)
        fixed = alone + np.add.reduceat(core.evaluate(batch, n_jobs)[0], starts)
        wanted = pseudo.energies + np.where(crystal, typical, alone)
        # The denser they are the farther above all data they should be, as others are not quite like them.
        above = 0.1 * pseudo.energies
        limits = typical + (-np.inf if level is None else level.lowest) * batch.n_atoms + above
        limits[~crystal] = (alone + 0.5 * pseudo.energies - _BONDS)[~crystal]
        return cls(replace(pseudo, energies=wanted - fixed), fixed, limits, *_dimers(batch, crystal, core))


def _dimers(
    batch: Batch, crystal: npt.NDArray[np.bool_], core: Repulsion
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return indices of dimers that are to repel each other, and of the next longer ones."""
    inner: list[int] = []
    outer: list[int] = []
    own = np.flatnonzero((batch.n_atoms == 2) & ~crystal)
    start = batch.offsets[own]
    lengths = np.linalg.norm(batch.positions[start + 1] - batch.positions[start], axis=1)
    for first, second in combinations_with_replacement(core.species, 2):
        of_pair = np.flatnonzero((batch.numbers[start] == first) & (batch.numbers[start + 1] == second))
        of_pair = of_pair[np.argsort(lengths[of_pair], kind="stable")]
        near = of_pair[lengths[of_pair] < 0.9 * core.near[first, second]]
        inner += own[near].tolist()
        outer += own[of_pair[1 : len(near) + 1]].tolist()
    return np.array(inner, dtype=np.int64), np.array(outer, dtype=np.int64)


def pool_sizes(n_functions: int, n_species: int) -> tuple[int, int]:
    """Return how many crystals are fitted to in any case, and among how many more holes are looked for."""
    n_pairs = n_species * (n_species + 1) // 2
    most = max(200, _POOL_BYTES // (8 * (n_functions + 1)))
    always = int(np.clip(n_functions // 4, 60, 200))
    return min(always * (1 + n_pairs) // 2, most), min(int(np.clip(2 * n_functions, 150, 2500)) * n_pairs, most)


def closing_rows(
    source: Sum,
    solution: Solution,
    errors: Callable[[FloatArray], FloatArray],
    allowed: FloatArray,
    always: Pool,
    more: Pool,
    n_jobs: int = 1,
) -> FloatArray:
    """Return rows of pseudo-structures, divided by their sigmas, with which a fit has no holes, or fewer.

    Those that are holes after a fit with the others get a third of their sigma, and so on until there are none. Where
    all of this would cost the data more than is allowed, sigmas stay larger.

    Parameters
    ----------
    source : Sum
        The terms.
    solution : Solution
        The fit to the data.
    errors : callable
        Of coefficients: the errors of each kind of label, nan where there are none.
    allowed : ndarray
        How large these may get.
    always : Pool
        What is fitted to in any case.
    more : Pool
        Among which holes are looked for.
    n_jobs : int
        Number of threads.

    Returns
    -------
    ndarray, shape (n_rows, n_functions + 1)
        With the target last.
    """
    from scipy.linalg import solve_triangular

    n, first, pools = source.n_functions, len(always.limits), (always, more)
    rows = np.empty((first + len(more.limits), n + 1))
    source.sums(always.rows.structures, rows[:first, :n], n_jobs)
    source.sums(more.rows.structures, rows[first:, :n], n_jobs)
    rows[:, n] = np.concatenate([pool.rows.energies for pool in pools])
    fixed, limits = (np.concatenate([getattr(pool, name) for pool in pools]) for name in ("fixed", "limits"))
    least = _LEAST * np.concatenate([pool.rows.sigmas for pool in pools])
    of_data = np.triu(solution.triangle)

    def holes_of(energies: FloatArray) -> npt.NDArray[np.bool_]:
        found = energies < limits
        start = 0
        for pool in pools:
            own = energies[start : start + len(pool.limits)]
            falling = pool.inner[own[pool.inner] <= own[pool.outer]]
            found[start + falling] = True
            start += len(own)
        return found

    def fitted(sigmas: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_], bool]:
        """Return rows with finite sigmas, which structures are holes of a fit to them too, and whether it is dear."""
        used = np.isfinite(sigmas)
        scaled = rows[used] / sigmas[used, None]
        whole = merged(np.array(of_data, order="F"), np.array(scaled, order="F"), 0)
        x = solve_triangular(whole[:n, :n], whole[:n, n])
        return scaled, holes_of(rows[:, :n] @ x + fixed), bool((errors(x) > allowed).any())

    sigmas = np.where(np.arange(len(rows)) < first, least / _LEAST, np.inf)
    for _ in range(_ROUNDS):
        scaled, holes, dear = fitted(sigmas)
        if not dear:
            break
        sigmas *= 3
    else:
        return scaled[:0]
    for _ in range(_ROUNDS):
        again = np.where(np.isfinite(sigmas), np.maximum(sigmas / 3, least), least / _LEAST)
        changed = np.where(holes, again, sigmas)
        if np.array_equal(changed, sigmas):
            break
        trial, holes, dear = fitted(changed)
        if dear:
            break
        sigmas, scaled = changed, trial
    return scaled


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
    r = np.asarray(distances, dtype=np.float64)
    n = len(r)
    positions = np.zeros((n, 2, 3))
    positions[:, 1, 0] = r
    batch = Batch(
        np.tile(np.array([first, second], dtype=np.int32), n),
        positions.reshape(-1, 3),
        np.arange(0, 2 * n + 1, 2),
        np.tile(40.0 * periodic * np.eye(3), (n, 1, 1)),
        np.full((n, 3), periodic),
    )
    found: FloatArray = evaluate_all(parts, batch, n_jobs)[0].reshape(n, 2).sum(axis=1)
    return found


def _told(batch: Batch, structure: int, above: float) -> str:
    atoms = batch[structure]
    formula = Formula.from_list(atoms.symbols).format("metal")
    room = f"with {atoms.get_volume() / len(atoms):.3g} Å^3 an atom" if atoms.pbc.any() else f"of {len(atoms)} atoms"
    return f"{formula} {room} ({above:.3g} eV an atom)"
