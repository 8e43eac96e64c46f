"""The form of data: what a sensible recipe depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict

from atomprint.datasets import Dataset
from atomprint.learn.task.problem import Problem
from atomprint.structures import Batch, as_batch
from atomprint.util.text import counted

_EXTENSIVE = 0.9  # share of the variance that numbers of atoms must explain
_MAX_ROWS = 5000  # more are not needed to tell
_GEOMETRIES = 10  # structures of one composition, on average, from which on these are geometries of few compounds
_AT_FLOOR = 0.2  # share of the targets
_FEWEST_AT_FLOOR = 10  # targets: one of five, which always is the smallest, is no sign
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Form:
    """What data are like.

    Parameters
    ----------
    inputs : {"compositions", "bonds", "crystals", "molecules", "mixed"}
        What describes a sample: crystals repeat in some direction, molecules in none; some of both are mixed. Of
        molecules without geometry there are bonds.
    n_samples, n_structures : int
        Number of samples, and of the structures (or compositions) that they are or belong to.
    elements : tuple of str
        Elements that occur.
    level : {"structure", "atom"}
        What has the target.
    kind : {"regression", "classification"}
        Kind of the problem.
    n_classes : int
        Number of classes; 0 for numbers.
    atoms : (int, float, int)
        Least, mean and largest number of atoms of a structure; zeros without structures.
    extensive : bool
        Whether the target grows with the number of atoms.
    conformers : bool
        Whether the structures are many geometries of few molecules, or of few compounds.
    at_floor : bool
        Whether many targets are exactly the smallest one, such as gaps of metals.
    """

    inputs: str
    n_samples: int
    n_structures: int
    elements: tuple[str, ...]
    level: str
    kind: str
    n_classes: int
    atoms: tuple[int, float, int]
    extensive: bool
    conformers: bool = False
    at_floor: bool = False

    @property
    def n_atoms(self) -> float:
        """Number of atoms of all structures together."""
        return self.n_structures * self.atoms[1]

    def sentence(self) -> str:
        """Return the form in words."""
        words = {"mixed": "structures, of crystals and of molecules,", "bonds": "molecules, known by their bonds,"}
        what = words.get(self.inputs, self.inputs)
        elements = counted(len(self.elements), "element")
        atoms = ""
        if self.inputs not in ("compositions", "bonds"):
            least, mean, most = self.atoms
            each = f"{least}" if least == most else f"{least} to {most}"
            atoms = f" with {each} atom{'' if most == 1 else 's'} each, {round(self.n_atoms):,} in all" if mean else ""
        compounds = "molecules" if self.inputs == "molecules" else "compounds"
        few = f", many geometries of few {compounds}" if self.conformers else ""
        target = "numbers" if self.kind == "regression" else f"one of {self.n_classes} classes"
        if self.at_floor:
            target += ", many of which are exactly the smallest one"
        if self.level == "atom":
            target += f", for {self.n_samples:,} atoms"
        return f"The data are {self.n_structures:,} {what} of {elements}{atoms}{few}; to be predicted: {target}."

    @classmethod
    def of(cls, dataset: Dataset, target: str, parts: Sequence[Indices] | None = None, seed: int = 0) -> Form:
        """Look at data.

        Parameters
        ----------
        dataset : Dataset
            The data set.
        target : str
            Which of its targets.
        parts : sequence of ndarray of int, optional
            Sets of samples whose targets may be looked at, each by itself: the training parts of a split. A target is
            extensive, or often the smallest one, if it is in each of them. Default: all samples at once.
        seed : int
            Seed of what is drawn.

        Raises
        ------
        ValueError
            If there is no such target, or it is not known for any sample.
        """
        problem = Problem.of(dataset, target)
        needed = np.unique(problem.structures)
        used = dataset if len(needed) == len(dataset) else dataset.take(needed)
        inputs, atoms = "bonds" if used.kind == "molecules" else "compositions", (0, 0.0, 0)
        if used.structures is not None:
            repeats = periodic_directions(used).any(axis=1)
            inputs = "crystals" if repeats.all() else "mixed" if repeats.any() else "molecules"
            atoms = (int(used.n_atoms.min()), float(used.n_atoms.mean()), int(used.n_atoms.max()))
        extensive = conformers = at_floor = False
        if inputs in ("molecules", "crystals") and problem.atoms is None:
            counts = _counts(used)
            # Cells of one crystal may be of any size.
            same = counts if inputs == "molecules" else (counts / counts.sum(axis=1, keepdims=True)).round(6)
            conformers = len(used) >= _GEOMETRIES * len(np.unique(same, axis=0))
        if problem.kind == "regression":
            seen = [problem.y[part] for part in parts or [np.arange(len(problem))]]
            at_floor = all(np.count_nonzero(y == y.min()) >= max(_FEWEST_AT_FLOOR, _AT_FLOOR * len(y)) for y in seen)
            if problem.atoms is None and atoms[0] < atoms[2]:
                counts = _counts(used)
                extensive = all(
                    is_extensive(counts[part], problem.y[part], seed) for part in parts or [np.arange(len(problem))]
                )
        return cls(
            inputs=inputs,
            n_samples=len(problem),
            n_structures=len(used),
            elements=used.elements,
            level=problem.target.level,
            kind=problem.kind,
            n_classes=len(problem.target.classes),
            atoms=atoms,
            extensive=extensive,
            conformers=conformers,
            at_floor=at_floor,
        )


def is_extensive(counts: npt.NDArray[np.float64], y: npt.NDArray[np.float64], seed: int = 0) -> bool:
    """Return whether a target grows with the number of atoms.

    It does if a linear model on the number of atoms of each element predicts it, in cross-validation, with a
    coefficient of determination above 0.9, and better than one on their shares: what these explain belongs to the
    material.

    Parameters
    ----------
    counts : ndarray of float64, shape (n_samples, n_elements)
        Number of atoms of each element.
    y : ndarray of float64, shape (n_samples,)
        The target.
    seed : int
        Seed of the folds, and of the choice of samples if there are very many.
    """
    rng = np.random.default_rng(seed)
    if len(y) > _MAX_ROWS:
        rows = rng.choice(len(y), _MAX_ROWS, replace=False)
        counts, y = counts[rows], y[rows]
    sizes = counts.sum(axis=1, keepdims=True)
    if len(y) < 10 or np.ptp(sizes) == 0 or np.ptp(y) == 0:
        return False
    folds = KFold(5, shuffle=True, random_state=seed)
    # One figure over all folds: within a fold all structures may be of one size.
    by_counts, by_shares = (
        r2_score(y, cross_val_predict(LinearRegression(), table, y, cv=folds)) for table in (counts, counts / sizes)
    )
    return bool(by_counts > max(_EXTENSIVE, by_shares))


def periodic_directions(dataset: Dataset) -> npt.NDArray[np.bool_]:
    """Return along which lattice vectors each structure of a data set repeats, shape (n_structures, 3)."""
    structures = dataset.structures
    return structures.pbc if isinstance(structures, Batch) else as_batch(structures, periodic=None).pbc


def _counts(dataset: Dataset) -> npt.NDArray[np.float64]:
    """Return the number of atoms of each element in each structure, shape (n_structures, n_elements)."""
    column = {symbol: place for place, symbol in enumerate(dataset.elements)}
    counts = np.zeros((len(dataset), len(column)))
    for row in range(len(dataset)):
        for symbol, amount in dataset.amounts(row).items():
            counts[row, column[symbol]] = amount
    return counts
