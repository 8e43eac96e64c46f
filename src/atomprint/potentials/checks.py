"""Whether energies, forces and stresses belong together: units and signs, told by a fit to the forces alone."""

from __future__ import annotations

import numpy as np

from atomprint.potentials.labels import LabelledStructures
from atomprint.util.types import FloatArray

_ENOUGH = 6  # structures
_CLEAR = 0.7  # correlation between what is labelled and what forces say, from which on a scale means something
_SAME = (0.65, 1.6)  # scales that errors of the fit explain

# In eV, eV/Å and eV/Å^3.
_ENERGIES = {"eV": 1.0, "Ha": 27.211386, "Ry": 13.605693, "kcal/mol": 0.0433641, "kJ/mol": 0.0103643, "meV": 0.001}
_FORCES = {
    "eV/Å": 1.0,
    "Ha/bohr": 51.422067,
    "Ry/bohr": 25.711034,
    "kcal/mol/Å": 0.0433641,
    "kJ/mol/Å": 0.0103643,
    "Ha/Å": 27.211386,
    "eV/bohr": 1.8897261,
    "meV/Å": 0.001,
}
_STRESSES = {"eV/Å^3": 1.0, "GPa": 0.00624151, "kbar": 0.000624151, "Ha/bohr^3": 183.6315, "Ry/bohr^3": 91.81576}


def inconsistencies(labels: LabelledStructures, energies: FloatArray, stresses: FloatArray) -> list[str]:
    """Return in sentences which labels have another unit or sign than the forces.

    Parameters
    ----------
    labels : LabelledStructures
        What is labelled.
    energies : ndarray of shape (n,)
        What a fit to the forces alone says of the same structures, in eV, but for a constant for each element.
    stresses : ndarray of shape (n, 3, 3)
        The same of stresses, in eV/Å^3.

    Returns
    -------
    list of str
        Empty where labels agree, and where there are too few, or forces explain too little, to tell.
    """
    said = []
    if found := _scale(*_per_atom(labels, energies)):
        said += _sentence("energies", labels.keys.get("energy", "energy"), found, _ENERGIES, labels)
    known = np.isfinite(labels.stresses) & np.isfinite(stresses)
    if known.any() and (found := _scale(stresses[known], labels.stresses[known])):
        said += _sentence("stresses", labels.keys.get("stress", "stress"), found, _STRESSES, labels)
    return said


def _per_atom(labels: LabelledStructures, energies: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return energies per atom from forces and from labels, without what compositions and kinds explain."""
    batch = labels.structures
    forced = np.add.reduceat(np.nan_to_num(labels.forces**2).sum(axis=1), batch.offsets[:-1]) > 1e-6
    rows = np.flatnonzero(np.isfinite(labels.energies) & np.isfinite(energies) & forced)
    if len(rows) < _ENOUGH:
        return np.zeros(0), np.zeros(0)
    counts = np.zeros((len(batch), 119))
    np.add.at(counts, (np.repeat(np.arange(len(batch)), batch.n_atoms), batch.numbers), 1)
    shares = counts[rows] / batch.n_atoms[rows, None]
    names, kind, size = np.unique(
        np.array([labels.config_types[s] for s in rows]), return_inverse=True, return_counts=True
    )
    kinds = (kind[:, None] == np.arange(len(names))) & (size >= 4)
    # Forces say nothing of how energies change with the cell.
    volumes = labels.volumes[rows] / batch.n_atoms[rows]
    by_volume = np.stack([volumes, volumes**2], axis=1) / max(volumes.max(), 1e-9)
    explained = np.hstack([shares[:, shares.any(axis=0)], kinds.astype(np.float64), by_volume])
    both = np.stack([energies[rows], labels.energies[rows]], axis=1) / batch.n_atoms[rows, None]
    rest = both - explained @ np.linalg.lstsq(explained, both, rcond=1e-8)[0]
    return rest[:, 0], rest[:, 1]


def _scale(expected: FloatArray, labelled: FloatArray) -> float:
    """Return how many times as large as expected labels are, with the sign; 0 if they are not related clearly."""
    if len(expected) < _ENOUGH or min(expected.std(), labelled.std()) < 1e-9:
        return 0.0
    # Medians of what is far from zero: a few wild structures do not decide.
    x, y = expected - np.median(expected), labelled - np.median(labelled)
    keep = np.abs(x) >= np.quantile(np.abs(x), 0.3)
    keep &= np.abs(x) <= np.quantile(np.abs(x), 0.98)
    keep &= np.abs(y) <= np.quantile(np.abs(y), 0.98)
    x, y = x[keep], y[keep]
    if len(x) < 4 or min(x.std(), y.std()) < 1e-9:
        return 0.0
    correlation = float(np.corrcoef(x, y)[0, 1])
    if abs(correlation) < _CLEAR:
        return 0.0
    return float(np.sign(correlation) * y.std() / x.std())


def _sentence(what: str, key: str, scale: float, units: dict[str, float], labels: LabelledStructures) -> list[str]:
    if _SAME[0] <= scale <= _SAME[1]:
        return []
    both = f"{what.capitalize()} ({key!r}) and forces ({labels.keys.get('forces', 'forces')!r})"
    if _SAME[0] <= -scale <= _SAME[1]:
        way = (
            "are the forces the derivative of the energy, in place of its negative?"
            if what == "energies"
            else "stress_convention turns the sign of stresses."
        )
        return [f"{both} have opposite signs ({what} are {scale:.2f} times what follows from the forces): {way}"]
    own = next(iter(units))
    pairs = [
        (abs(np.log(abs(scale) * size / force)), name, of_force)
        for name, size in units.items()
        for of_force, force in _FORCES.items()
        if (name, of_force) != (own, "eV/Å") and (what == "energies" or of_force == "eV/Å")
    ]
    near = sorted(pair for pair in pairs if pair[0] < 0.35)
    # One unusual unit is likelier than two.
    near = [pair for pair in near if own in pair or "eV/Å" in pair] or near
    guess = f", as if they were in {near[0][1]} and the forces in {near[0][2]}" if near else ""
    turned = ", and of the opposite sign" if scale < 0 else ""
    return [
        f"{both} are not in consistent units: {what} are {abs(scale):.3g} times what follows from the forces{turned}"
        f"{guess}. Labels must be in eV, eV/Å and eV/Å^3."
    ]
