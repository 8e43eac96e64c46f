"""Reference energies by element: what an atom has alone, to which the energies of structures are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from atomprint.potentials.labels.compositions import element_counts
from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.util.text import counted
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_real

_ALONE = 6.0
"""An atom whose images are at least so far away, in Å, is alone."""


@dataclass(frozen=True)
class ReferenceEnergies:
    """Energies of single atoms.

    Parameters
    ----------
    energies : dict of int to float
        By atomic number, in eV.
    kind : {"given", "isolated", "fitted", "none"}
        Whether they were given, found as isolated atoms in the data, fitted to the energies of the data (also if only
        some of them are), or are zero, as the data have no energies.
    note : str
        Which they are and why, in sentences.
    fitted : tuple of int
        Atomic numbers of those that were fitted to the energies of the data.
    """

    energies: dict[int, float]
    kind: str
    note: str
    fitted: tuple[int, ...] = ()

    def of(self, numbers: Any) -> FloatArray:
        """Return the energy of each of some atoms, given by their atomic numbers."""
        table = np.full(len(chemical_symbols), np.nan)
        table[list(self.energies)] = list(self.energies.values())
        found: FloatArray = table[np.asarray(numbers)]
        return found


def find_references(
    labels: LabelledStructures, given: Mapping[str | int, float] | str | None = None
) -> ReferenceEnergies:
    """Return reference energies for the elements of a data set.

    Parameters
    ----------
    labels : LabelledStructures
        The data set.
    given : mapping of str or int to float, {"fitted"} or None
        Energies in eV by symbol or atomic number. Elements that are not named go as with None: by isolated atoms in the
        data, structures of one atom without an image within 6 Å; elements without one by the least squares of the
        energies of all structures on how many atoms of each element they have. ``"fitted"``: these for all elements,
        though there are isolated atoms.

    Returns
    -------
    ReferenceEnergies
        Where the data leave several choices, as compositions that are all the same do, the energies are those nearest
        to each other: for a single composition the same for all elements.

    Raises
    ------
    ValueError
        If something given is no element or no finite number.
    """
    told = _given(given)
    species = [int(z) for z in np.unique(labels.structures.numbers)]
    known: dict[int, float] = {z: told[z] for z in species if z in told}
    said: list[str] = []
    if known:
        said.append(f"given for {_listed(known)}")
    if given != "fitted":
        alone = {z: energy for z, energy in _isolated(labels).items() if z not in known}
        if alone:
            said.append(f"of isolated atoms in the data for {_listed(alone)}")
        known |= alone
    kind = "given" if len(told) and set(known) <= set(told) else "isolated"
    missing = [z for z in species if z not in known]
    if missing:
        fitted, why = _fitted(labels, missing, known)
        kind = "fitted" if why else "none"
        names = ", ".join(chemical_symbols[z] for z in fitted)
        said.append(f"fitted to the energies for {names}, {why}" if why else "zero: the data have no energies")
        known |= fitted
    note = f"Reference energies of the elements: {'; '.join(said)}."
    if kind == "none":
        note += " Predicted energies have an arbitrary zero: only their differences count."
    elif kind == "fitted":
        note += (
            " Predicted energies are right in total, but not relative to isolated atoms: energies of cohesion are not."
        )
    return ReferenceEnergies({z: known[z] for z in species}, kind, note, tuple(missing) if kind == "fitted" else ())


def _given(given: Mapping[str | int, float] | str | None) -> dict[int, float]:
    if given is None or given == "fitted":
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"references must be energies by element, 'fitted' or None, got {given!r}")
    found = {}
    for name, energy in given.items():
        z = atomic_numbers.get(name, 0) if isinstance(name, str) else name
        if isinstance(z, bool) or not isinstance(z, int | np.integer) or not 1 <= z < len(chemical_symbols):
            raise ValueError(f"references must be given by symbol or atomic number, got {name!r}")
        found[int(z)] = check_real(f"references[{name!r}]", energy)
    return found


def _isolated(labels: LabelledStructures) -> dict[int, float]:
    """Return the lowest energy of an atom alone, by atomic number, of those that there are."""
    batch = labels.structures
    found: dict[int, float] = {}
    for s in np.flatnonzero((batch.n_atoms == 1) & np.isfinite(labels.energies)):
        if _nearest_image(batch.cells[s], batch.pbc[s]) < _ALONE:
            continue
        z, energy = int(batch.numbers[batch.offsets[s]]), float(labels.energies[s])
        found[z] = min(energy, found.get(z, np.inf))
    return found


def _nearest_image(cell: FloatArray, pbc: Any) -> float:
    """Return how far an atom is from the nearest of its own images, in Å."""
    vectors = cell[np.asarray(pbc, dtype=bool)]
    if not len(vectors):
        return np.inf
    steps = np.array(np.meshgrid(*[np.arange(-2, 3)] * len(vectors))).reshape(len(vectors), -1).T
    lengths = np.linalg.norm(steps[np.any(steps != 0, axis=1)] @ vectors, axis=1)
    return float(lengths.min())


def _fitted(labels: LabelledStructures, species: list[int], known: Mapping[int, float]) -> tuple[dict[int, float], str]:
    """Return energies by least squares, and why; zeros and nothing where there are no energies."""
    batch = labels.structures
    rows = np.flatnonzero(np.isfinite(labels.energies))
    if not len(rows):
        return dict.fromkeys(species, 0.0), ""
    counts, energies = element_counts(batch)[rows], labels.energies[rows]
    for z, energy in known.items():
        energies = energies - counts[:, z] * energy
    # Per atom, that large structures do not decide alone; the median in place of the mean of the first guess stands
    # structures that are torn apart.
    own = counts[:, species]
    n_own = own.sum(axis=1)
    use = n_own > 0
    own, energies, n_all = own[use], energies[use], counts[use].sum(axis=1)
    mean = float(np.median(energies / n_own[use])) if use.any() else 0.0
    own, rest = own / n_all[:, None], (energies - own.sum(axis=1) * mean) / n_all
    # Small singular values are of compositions that hardly differ: along these the elements stay alike.
    shift, _, rank, _ = np.linalg.lstsq(own, rest, rcond=1e-3)
    found = {z: mean + float(change) for z, change in zip(species, shift, strict=True)}
    why = "as the data have no isolated atom of " + ("it" if len(species) == 1 else "them")
    if rank < len(species):
        why += (
            f" ({counted(len(species), 'element')}, but compositions tell only {rank} apart: "
            "how their sum is shared among them is arbitrary)"
        )
    return found, why


def _listed(energies: Mapping[int, float]) -> str:
    return ", ".join(f"{chemical_symbols[z]} ({energy:.4g} eV)" for z, energy in energies.items())
