"""Energies of pairs of atoms and of cells under pressure, in which holes and steps of a potential are seen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from atomprint.potentials.labels.compositions import by_formula
from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.potentials.short_range.scan import dimer_energies
from atomprint.structures import Batch, as_batch
from atomprint.util.types import FloatArray

_FARTHEST = 12.0  # Å


@dataclass(frozen=True, eq=False)
class DimerCurve:
    """The energy of two atoms alone.

    Parameters
    ----------
    pair : (str, str)
        Their elements.
    distances : ndarray of shape (n,)
        In Å.
    energies : ndarray of shape (n,)
        In eV, relative to the two atoms apart.
    shortest : float or None
        Shortest distance of such a pair in the training data, in Å; None where there is none within the cutoff.
    """

    pair: tuple[str, str]
    distances: FloatArray
    energies: FloatArray
    shortest: float | None


@dataclass(frozen=True, eq=False)
class VolumeCurve:
    """The energy of a structure whose cell is made larger and smaller alike.

    Parameters
    ----------
    title : str
        Which structure it is.
    volumes : ndarray of shape (n,)
        In Å^3 for an atom.
    energies : ndarray of shape (n,)
        In eV for an atom.
    known : (float, float)
        Volume and labelled energy of the structure itself; the energy is nan where there is none.
    """

    title: str
    volumes: FloatArray
    energies: FloatArray
    known: tuple[float, float]


def dimer_curves(
    potential: Any,
    shortest: dict[tuple[str, str], float],
    nearest: float = 0.3,
    n: int = 240,
    *,
    periodic: bool = True,
) -> list[DimerCurve]:
    """Return the energy of two atoms of each pair of elements against their distance.

    Parameters
    ----------
    potential : Potential
        Fitted.
    shortest : dict
        Shortest distances in the training data in Å, by the symbols of two elements in the order of their numbers.
    nearest : float
        Where curves begin, in Å.
    n : int
        How many distances there are up to the cutoff.
    periodic : bool
        Whether the potential is of structures that repeat: some descriptors need a cell then, and others can have none.
    """
    symbols = [chemical_symbols[z] for z in potential.model_.species]
    # Descriptors of whole structures have no cutoff.
    distances = np.linspace(nearest, min(potential.model_.cutoff, _FARTHEST) + 0.3, n)
    found = []
    parts = potential.model_.parts()
    numbers = {symbol: chemical_symbols.index(symbol) for symbol in symbols}
    for pair in combinations_with_replacement(symbols, 2):
        first, second = (numbers[symbol] for symbol in pair)
        energies = dimer_energies(parts, first, second, distances, periodic=periodic)
        found.append(DimerCurve(pair, distances, energies - energies[-1], shortest.get(pair)))
    return found


def volume_curves(potential: Any, labels: LabelledStructures, most: int = 3, n: int = 61) -> list[VolumeCurve]:
    """Return energies against the volume, for the structure of lowest energy of each composition that repeats.

    Parameters
    ----------
    potential : Potential
        Fitted.
    labels : LabelledStructures
        Structures to choose from; those with the most common compositions are taken, and of these the one with the
        lowest predicted energy per atom.
    most : int
        How many curves there are at most.
    n : int
        How many volumes each has, from 0.35 to 1.5 of the structure's own.
    """
    batch = labels.structures
    crystals = np.flatnonzero(batch.pbc.all(axis=1) & (labels.volumes > 1e-6))
    if not len(crystals):
        return []
    energies = np.full(len(batch), np.inf)
    energies[crystals] = _energies(potential, batch.pick(crystals)) / batch.n_atoms[crystals]
    groups = by_formula(batch, crystals)
    found = []
    for formula, own_ones in sorted(groups.items(), key=lambda group: -len(group[1]))[:most]:
        lowest = own_ones[int(np.argmin(energies[own_ones]))]
        own, size = batch[lowest], float(labels.volumes[lowest] / batch.n_atoms[lowest])
        ratios = np.linspace(0.35, 1.5, n)
        scaled = []
        for ratio in ratios:
            atoms = own.copy()
            atoms.set_cell(atoms.cell * ratio ** (1 / 3), scale_atoms=True)
            scaled.append(atoms)
        title = "".join(f"{chemical_symbols[z]}{count if count > 1 else ''}" for z, count in formula)
        kind = labels.config_types[lowest]
        found.append(
            VolumeCurve(
                f"{title}, {kind}" if kind else title,
                ratios * size,
                _energies(potential, as_batch(scaled)) / len(own),
                (size, float(labels.energies[lowest] / len(own))),
            )
        )
    return found


def _energies(potential: Any, batch: Batch) -> FloatArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that atoms are close, which is what these curves are for
        found: FloatArray = np.asarray(potential.predict(batch).energies)
    return found
