"""What test samples have in common with training samples: formulas and whole structures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from atomprint.chemistry.smiles import smiles_of
from atomprint.learn.splits.same import find_same
from atomprint.learn.splits.split import Split
from atomprint.learn.task.problem import Problem
from atomprint.similarity.duplicates import TOLERANCE
from atomprint.util.types import Indices, JsonObject
from atomprint.util.validation import check_real

# Pairs that are named for each part.
_N_EXAMPLES = 5


def _none() -> Indices:
    return np.empty(0, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class LeakagePart:
    """What the test part, or the predicted samples of one fold, have in common with the samples fitted.

    Parameters
    ----------
    name : str
        "test", or the name of the fold.
    n_train, n_test : int
        Samples fitted, and samples predicted.
    n_formula : int
        Samples predicted whose reduced formula is that of a sample fitted.
    n_structure : int or None
        Samples predicted whose structure is that of a sample fitted; None if structures are not known.
    examples : tuple of (str, str)
        Names of some structures predicted, each with one fitted that is the same or, if there are none, has the same
        formula.
    is_test : bool
        Whether this is the test part, and not a fold.
    of_formula, of_structure : ndarray of int
        The samples predicted that are counted in ``n_formula`` and in ``n_structure``.
    """

    name: str
    n_train: int
    n_test: int
    n_formula: int
    n_structure: int | None
    examples: tuple[tuple[str, str], ...] = ()
    is_test: bool = False
    of_formula: Indices = field(default_factory=_none, compare=False, repr=False)
    of_structure: Indices = field(default_factory=_none, compare=False, repr=False)

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {
            "name": self.name,
            "n_train": self.n_train,
            "n_test": self.n_test,
            "n_formula": self.n_formula,
            "n_structure": self.n_structure,
            "examples": [list(pair) for pair in self.examples],
        }


@dataclass(frozen=True, slots=True)
class Leakage:
    """What the parts of a split have in common.

    Parameters
    ----------
    parts : sequence of LeakagePart
        The folds and, last, the test part if there is one.
    tolerance : float
        How far interatomic distances of the same structure may differ, in Å.
    kind : {"structures", "molecules", "compositions"}
        What is compared. Molecules are the same if their bonds and stereo are.
    """

    parts: Sequence[LeakagePart]
    tolerance: float = TOLERANCE
    kind: str = "structures"

    def __bool__(self) -> bool:
        return any(part.n_formula or part.n_structure for part in self.parts)

    def sentences(self) -> list[str]:
        """Return what was found in words; what it does to errors is measured elsewhere, where there are predictions."""
        said = []
        same = f"its structure, with interatomic distances within {self.tolerance:g} Å"
        if self.kind == "molecules":
            same = "its bonds: they are the same molecule"
        folds = [part for part in self.parts if not part.is_test]
        for part in self.parts:
            if part.is_test:
                said.append(_sentence("test samples", "a training sample", [part], same))
        if folds:
            ways = f"predicted samples of {len(folds)} folds" if len(folds) > 1 else "predicted samples of the fold"
            said.append(_sentence(ways, "a sample that the model was fitted to", folds, same))
        if any(part.n_structure is None for part in self.parts):
            said.append("Structures are not known: only formulas were compared.")
        if any(part.n_structure for part in self.parts):
            said.append(
                "A model has seen the answer for a structure that it was fitted to: figures for such samples say how "
                "well it remembers, not how well it predicts."
            )
        return said

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {
            "tolerance": self.tolerance,
            "parts": [part.to_dict() for part in self.parts],
            "sentences": self.sentences(),
        }


def find_leakage(problem: Problem, split: Split, *, tolerance: float = TOLERANCE) -> Leakage:
    """Count what test samples have in common with training samples, in the test part and in every fold.

    Parameters
    ----------
    problem : Problem
        The samples.
    split : Split
        Of these.
    tolerance : float
        Two structures with the same reduced formula are the same if for each species the sorted distances from its
        atoms to their nearest neighbours (64, shared among species by their amounts) all agree within this, in Å. They
        may be rotated, mirrored and moved, have their atoms in another order, and cells of another shape or size.

    Returns
    -------
    Leakage

    Notes
    -----
    That formulas are the same is exact. That structures are the same is a judgement: mirror images count as the same,
    and stackings that differ only beyond the neighbours compared are not told apart.
    """
    tolerance = check_real("tolerance", tolerance, above=0)
    dataset = problem.dataset
    formulas = np.unique(dataset.formulas, return_inverse=True)[1]
    parts = split.parts()
    twins: Callable[[Indices], Indices] | None = None
    if dataset.kind == "molecules":
        bonds = np.unique(np.array([smiles_of(item) for item in dataset.items]), return_inverse=True)[1]
        twins = partial(_alike, bonds)
    elif dataset.structures is not None:
        used = [part for _, fit, predict in parts for part in (fit, predict)]
        rows = np.unique(problem.structures[np.concatenate(used)]) if used else np.empty(0, dtype=np.intp)
        twins = partial(_paired, find_same(dataset, rows, tolerance), len(dataset))
    return Leakage(tuple(_compare(problem, split, formulas, twins, *part) for part in parts), tolerance, dataset.kind)


def _alike(labels: Indices, fitted: Indices) -> Indices:
    """Return for each structure the first of those fitted that has its label, or -1."""
    by_label = np.full(len(labels), -1, dtype=np.intp)
    by_label[labels[fitted[::-1]]] = fitted[::-1]
    return by_label[labels]


def _paired(same: Indices, n: int, fitted: Indices) -> Indices:
    """Return for each of n structures one of those fitted that is paired with it, or -1."""
    twins = np.full(n, -1, dtype=np.intp)
    twins[fitted] = fitted  # another atom of the same structure
    trained = twins >= 0
    for one, other in (same.T, same.T[::-1]):
        known = trained[other] & ~trained[one]
        twins[one[known]] = other[known]
    return twins


def _compare(
    problem: Problem,
    split: Split,
    formulas: Indices,
    twins: Callable[[Indices], Indices] | None,
    name: str,
    fit: Indices,
    predict: Indices,
) -> LeakagePart:
    fitted, predicted = problem.structures[fit], problem.structures[predict]
    partner = _alike(formulas, fitted)[predicted]
    of_formula, of_structure = predict[partner >= 0], _none()
    n_structure: int | None = None
    if twins is not None:
        found = twins(fitted)[predicted]
        of_structure = predict[found >= 0]
        n_structure = len(of_structure)
        if n_structure:
            partner = found
    ids = problem.dataset.ids
    pairs = dict.fromkeys(
        (ids[one], ids[other]) for one, other in zip(predicted.tolist(), partner.tolist(), strict=True) if other >= 0
    )
    return LeakagePart(
        name,
        len(fit),
        len(predict),
        len(of_formula),
        n_structure,
        tuple(pairs)[:_N_EXAMPLES],
        is_test=predict is split.test,
        of_formula=of_formula,
        of_structure=of_structure,
    )


def _sentence(samples: str, of: str, parts: Sequence[LeakagePart], same: str) -> str:
    """Return the counts of one or several parts together."""
    n = sum(part.n_test for part in parts)
    n_formula = sum(part.n_formula for part in parts)
    structures = [part.n_structure for part in parts if part.n_structure is not None]
    if not n_formula and not sum(structures):
        what = "formula or the structure" if structures else "formula"
        return f"None of {n} {samples} has the {what} of {of}."
    said = f"{n_formula} of {n} {samples} ({_percent(n_formula, n)}) have the reduced formula of {of}"
    if structures:
        n_structure = sum(structures)
        said += f", and {n_structure} ({_percent(n_structure, n)}) " if n_structure else ", but none "
        said += same
    return f"{said}."


def _percent(part: int, whole: int) -> str:
    """Return a share that is 0 % or 100 % only if it is none or all."""
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "less than 0.1 %"
    if 99.9 < share < 100:
        return "more than 99.9 %"
    return f"{share:.1f} %"
