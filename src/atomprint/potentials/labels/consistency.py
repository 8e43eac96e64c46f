"""Whether energies, forces and stresses belong together: units and signs, told by fits to all and to some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from atomprint.potentials.labels.compositions import element_counts
from atomprint.potentials.labels.labelled import PLURAL, LabelledStructures
from atomprint.ragged import totals
from atomprint.util.types import FloatArray

_ENOUGH = 6  # structures
_FINE, _POOR = 0.7, 0.5  # shares of the variance of left-out labels that are explained
_GOOD = 0.95  # such a share where forces say another scale of energies, which many functions follow in part
_KIND = {name: kind for kind, name in PLURAL.items()}
_CLEAR = 0.85  # correlation between what is labelled and what forces say, from which on a scale means something
_CLEARER = 0.97  # so much for scales that a poor fit may have as well
_MODEST = (0.38, 2.6)
_SURE, _DOUBT = 0.6, 2.5  # the correlation is above the first, but for chance of so many standard deviations
_SAME = (0.65, 1.6)  # scales that errors of the fit explain
_NEARLY = (0.9, 1.1)  # scales of labels that were fitted to
_KNOWN = 0.7  # of the spread of what a fit says: by so much others may differ from it
_FOLLOWING = 0.85  # of the labels

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


class Found(NamedTuple):
    """What a fit says of labelled structures.

    Parameters
    ----------
    energies : ndarray of shape (n,)
        In eV.
    forces : ndarray of shape (n_atoms, 3)
        In eV/Å.
    stresses : ndarray of shape (n, 3, 3)
        In eV/Å^3.
    """

    energies: FloatArray
    forces: FloatArray
    stresses: FloatArray


def inconsistencies(
    labels: LabelledStructures, left_out: Found, by_forces: Sequence[Found] = (), without_stresses: Sequence[Found] = ()
) -> list[str]:
    """Return in sentences which labels have another unit or sign than the others.

    Labels that a fit to all of them predicts well belong together. Where it does not, or only so so while the fit to
    forces alone says another scale of energies, their scale is looked at: beside
    what a fit to the forces alone says, and beside what the fit to all of them says. Stresses are looked at in any
    case, as a fit of many functions follows wrong ones, too: beside what energies and forces say, where these say it.

    Parameters
    ----------
    labels : LabelledStructures
        What is labelled.
    left_out : Found
        What fits to all kinds of labels say of structures that were left out.
    by_forces : sequence of Found
        What a fit to the forces alone says, of energies but for a constant for each element, and then other fits that
        forces hardly tell from it; empty without forces.
    without_stresses : sequence of Found
        The same of fits to energies and forces; empty where energies, forces or stresses are missing.

    Returns
    -------
    list of str
        Empty where labels agree, and where there are too few to tell.
    """
    said: list[str] = []
    if len(labels) < _ENOUGH:
        return []
    kinds = {
        "energies": (*_per_atom(labels, left_out.energies), _ENERGIES),
        "forces": (*_known(left_out.forces, labels.forces), _FORCES),
        "stresses": (*_known(left_out.stresses, labels.stresses), _STRESSES),
    }
    kinds = {what: values for what, values in kinds.items() if len(values[1]) >= _ENOUGH}
    alone = _scale_of_energies(labels, by_forces)
    if not _is_odd(alone) and _is_odd(of_stress := _scale_of_stresses(labels, without_stresses)):
        return [_sentence("stresses", of_stress, _STRESSES, labels)]
    shares = {what: _explained(expected, labelled) for what, (expected, labelled, _) in kinds.items()}
    if not shares or min(shares.values()) > (_GOOD if _is_odd(alone) else _FINE):
        return []
    # Values of one structure go together: these are as many as structures. A poor fit has any scale.
    by_all = {what: _scale(*values[:2], len(labels), _CLEARER) for what, values in kinds.items()}
    common = by_all.get("energies", 0.0)
    if "stresses" in kinds and _is_odd(common) and 0.7 < by_all.get("forces", 0.0) / common < 1.4:
        # Energies and forces belong together, and stresses draw the fit away from both.
        return [_sentence("stresses", 1 / common, _STRESSES, labels)]
    for what, (_, _, units) in kinds.items():
        scales = [alone] if what == "energies" else []
        odd = [scale for scale in [*scales, by_all[what]] if _is_odd(scale)]
        if odd and not (said and what == "forces"):  # which energies have said already
            said.append(_sentence(what, odd[0], units, labels))
    worst = min(shares, key=lambda what: shares[what])
    if not said and shares[worst] < _POOR:
        said.append(_contradiction(worst, shares[worst], labels))
    return said


def _scale_of_energies(labels: LabelledStructures, found: Sequence[Found]) -> float:
    """Return how many times as large energies are as forces say; 0 where these do not say it."""
    if not found or not _follows(labels, found[0]):
        return 0.0
    expected, labelled = _per_atom(labels, found[0].energies)
    others = [_per_atom(labels, other.energies)[0] for other in found[1:]]
    return _scale(expected, labelled) if _is_known(expected, others) else 0.0


def _scale_of_stresses(labels: LabelledStructures, found: Sequence[Found]) -> float:
    """Return how many times as large stresses are as energies and forces say; 0 where these do not say it."""
    if not found or not _follows(labels, found[0]):
        return 0.0
    energies = _per_atom(labels, found[0].energies)
    if len(energies[0]) < _ENOUGH or not _NEARLY[0] < _scale(*energies) < _NEARLY[1]:
        return 0.0
    expected, labelled = _known(found[0].stresses, labels.stresses)
    others = [_known(other.stresses, labels.stresses)[0] for other in found[1:]]
    return _scale(expected, labelled, len(labels)) if _is_known(expected, others) else 0.0


def _follows(labels: LabelledStructures, found: Found) -> bool:
    """Return whether a fit follows the forces that it was made of: one that a prior holds back says all too small."""
    expected, labelled = _known(found.forces, labels.forces)
    size = float(np.dot(labelled, labelled))
    return size > 0 and float(np.dot(expected, labelled)) > _FOLLOWING * size


def _is_known(expected: FloatArray, others: Sequence[FloatArray]) -> bool:
    """Return whether values differ less between fits than among themselves.

    Forces of cells that hardly differ say nothing of pressures and volumes, and still a fit to them may follow these,
    with any factor and sign.
    """
    if not len(expected):
        return False
    return not others or float(np.sqrt(np.mean(np.square(np.array(others) - expected)))) < _KNOWN * expected.std()


def _is_odd(scale: float) -> bool:
    """Return whether a scale is known, and is none that errors of a fit explain."""
    return scale != 0.0 and not _SAME[0] <= scale <= _SAME[1]


def _known(expected: FloatArray, labelled: FloatArray) -> tuple[FloatArray, FloatArray]:
    both = np.isfinite(expected) & np.isfinite(labelled)
    return expected[both], labelled[both]


def _explained(expected: FloatArray, labelled: FloatArray) -> float:
    """Return the share of the variance that is explained; 1 where there is none.

    The largest 20 % of the errors do not count: of what is unlike all other data nothing is known when it is left out.
    """
    errors = np.abs(labelled - expected)
    kept = errors <= np.quantile(errors, 0.8)
    spread = float(np.sum((labelled[kept] - labelled[kept].mean()) ** 2))
    return 1 - float(np.sum(errors[kept] ** 2)) / spread if spread > 1e-18 else 1.0


def _contradiction(what: str, share: float, labels: LabelledStructures) -> str:
    others = " and ".join(
        f"{PLURAL[kind]} ({key!r})" for kind, key in labels.keys.items() if PLURAL.get(kind, what) != what
    )
    own = labels.keys.get(_KIND[what], what)
    return (
        f"{what.capitalize()} ({own!r}) of structures that were left out are predicted with errors that are "
        f"{np.sqrt(1 - share):.2g} times their own spread. There are too few data, or {what} do not belong to "
        f"{others or 'the structures'}: is it the same calculation, are they in eV, eV/Å and eV/Å^3?"
    )


def _per_atom(labels: LabelledStructures, energies: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return energies per atom from forces and from labels, without what compositions and kinds explain."""
    batch = labels.structures
    forced = totals(np.nan_to_num(labels.forces**2).sum(axis=1), batch.offsets) > 1e-6
    rows = np.flatnonzero(np.isfinite(labels.energies) & np.isfinite(energies) & forced)
    if len(rows) < _ENOUGH:
        return np.zeros(0), np.zeros(0)
    shares = element_counts(batch)[rows] / batch.n_atoms[rows, None]
    names, kind, size = np.unique(
        np.array([labels.config_types[s] for s in rows]), return_inverse=True, return_counts=True
    )
    kinds = (kind[:, None] == np.arange(len(names))) & (size >= 4)
    # Forces say nothing of how energies change with the cell.
    volumes = labels.volumes[rows] / batch.n_atoms[rows]
    by_volume = np.stack([volumes, volumes**2], axis=1) / max(volumes.max(), 1e-9)
    explained = np.hstack([shares[:, shares.any(axis=0)], kinds.astype(np.float64), by_volume])
    both = np.stack([energies[rows], labels.energies[rows]], axis=1) / batch.n_atoms[rows, None]
    found, _, rank, _ = np.linalg.lstsq(explained, both, rcond=1e-8)
    if len(rows) - rank < _ENOUGH:  # what is left of few energies is on a line in any case
        return np.zeros(0), np.zeros(0)
    rest = both - explained @ found
    return rest[:, 0], rest[:, 1]


def _scale(expected: FloatArray, labelled: FloatArray, n_structures: int | None = None, clear: float = _CLEAR) -> float:
    """Return how many times as large as expected labels are, with the sign; 0 if they are not related clearly.

    They count as so many as there are structures, where this is given. Clear is a correlation of so much.
    """
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
    scale = float(np.sign(correlation) * y.std() / x.std())
    is_modest = _is_odd(scale) and _MODEST[0] <= scale <= _MODEST[1]
    if abs(correlation) < (_CLEARER if is_modest else clear):
        return 0.0
    # Few points are on a line by chance (Fisher's transformation).
    count = len(x) if n_structures is None else min(len(x), n_structures)
    chance = _DOUBT / np.sqrt(count - 3) if count > 3 else np.inf
    return scale if np.arctanh(min(abs(correlation), 1 - 1e-12)) - chance > np.arctanh(_SURE) else 0.0


def _sentence(what: str, scale: float, units: dict[str, float], labels: LabelledStructures) -> str:
    of_other = "energies" if what == "forces" else "forces"
    own, other = (labels.keys.get(_KIND[name], name) for name in (what, of_other))
    both = f"{what.capitalize()} ({own!r}) and {of_other} ({other!r})"
    source = "energies and forces" if what == "stresses" else of_other
    if _SAME[0] <= -scale <= _SAME[1]:
        way = (
            "stress_convention turns the sign of stresses."
            if what == "stresses"
            else "are the forces the derivative of the energy, in place of its negative?"
        )
        return f"{both} have opposite signs ({what} are {scale:.2f} times what follows from the {source}): {way}"
    usual, usual_other = next(iter(units)), "eV" if what == "forces" else "eV/Å"
    pairs = [
        (abs(np.log(abs(scale) * size / factor)), name, of_other_name)
        for name, size in units.items()
        for of_other_name, factor in (_ENERGIES if what == "forces" else _FORCES).items()
        if (name, of_other_name) != (usual, usual_other) and (what != "stresses" or of_other_name == usual_other)
    ]
    near = sorted(pair for pair in pairs if pair[0] < 0.5)
    # One unusual unit is likelier than two.
    near = [pair for pair in near if usual in pair or usual_other in pair] or near
    likely = [f"{what} in {name} and {of_other} in {of_other_name}" for _, name, of_other_name in near[:2]]
    guess = f", as of {' or '.join(likely)}" if likely else ""
    turned = ", and of the opposite sign" if scale < 0 else ""
    return (
        f"{both} are not in consistent units: {what} are {abs(scale):.3g} times what follows from the {source}"
        f"{turned}{guess}. Labels must be in eV, eV/Å and eV/Å^3."
    )
