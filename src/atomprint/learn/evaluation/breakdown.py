"""Errors by element, by chemistry and by size: where a model is good, and where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers, chemical_symbols

from atomprint.chemistry.contents import numbers_of
from atomprint.learn.task.problem import Problem
from atomprint.util.types import Array, Indices, JsonObject, Mask

# A mean of fewer samples says little.
_FEW = 10
# Sizes are binned if there are more different ones than this.
_MANY_SIZES = 8

# The first class of which a composition has an element decides. Roughly the order of electronegativity, as in
# nomenclature: the less electronegative ones have given electrons to those before.
_ANIONS: Mapping[str, tuple[str, ...]] = {
    "oxide": ("O",),
    "halide": ("F", "Cl", "Br", "I"),
    "nitride": ("N",),
    "chalcogenide": ("S", "Se", "Te"),
    "carbide": ("C",),
    "hydride": ("H",),
    "pnictide": ("P", "As", "Sb"),
    "boride": ("B",),
    "silicide or germanide": ("Si", "Ge"),
}


@dataclass(frozen=True, slots=True)
class BreakdownRow:
    """Errors of some of the samples.

    Parameters
    ----------
    label : str
        Which samples.
    n : int
        How many.
    error : float
        Mean absolute error in the unit of the target, or the share of wrong classes.
    bias : float or None
        Mean of prediction less truth: positive if predictions are too high. None for classes.
    """

    label: str
    n: int
    error: float
    bias: float | None

    @property
    def few(self) -> bool:
        """Whether there are so few samples that the figures say little: fewer than 10."""
        return self.n < _FEW

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {"label": self.label, "n": self.n, "error": self.error, "bias": self.bias, "few": self.few}


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Errors of the same predictions, grouped in several ways.

    Parameters
    ----------
    tables : mapping of str to sequence of BreakdownRow
        By "element" (a sample counts for each element that it has, so that counts add up to more than all samples; for
        a target of atoms, the element of the atom), in the order of the periodic table; by "chemistry"
        (see :func:`chemistry`), the most frequent first; by "number of elements"; by "number of atoms" of the structure
        as it is given, if structures are known, in bins with about the same number of samples if there are many sizes.
    """

    tables: Mapping[str, Sequence[BreakdownRow]]

    def to_dict(self) -> JsonObject:
        """Return plain numbers and words, for JSON."""
        return {name: [row.to_dict() for row in rows] for name, rows in self.tables.items()}


def break_down(problem: Problem, indices: npt.ArrayLike, y_pred: npt.ArrayLike) -> Breakdown:
    """Group the errors of predictions by element, chemistry and size.

    Parameters
    ----------
    problem : Problem
        The samples and the truth.
    indices : array-like of int, shape (n_predicted,)
        The samples that were predicted; one that was predicted several times counts as often.
    y_pred : array-like of float, shape (n_predicted,)
        The predictions: numbers, or indices of classes.

    Returns
    -------
    Breakdown

    Raises
    ------
    ValueError
        If there are no predictions, shapes differ, or a prediction is not finite.
    """
    samples, guess = np.asarray(indices, dtype=np.intp), np.asarray(y_pred, dtype=np.float64)
    if samples.ndim != 1 or len(samples) == 0:
        raise ValueError(f"indices must have shape (n_predicted,) with at least one sample, got {samples.shape}")
    if guess.shape != samples.shape:
        raise ValueError(f"y_pred must have one value for each of {len(samples)} indices, got shape {guess.shape}")
    if not np.isfinite(guess).all():
        raise ValueError(f"y_pred must be finite, got {guess[~np.isfinite(guess)][0]}")
    signed = guess - problem.y[samples]
    rows = problem.structures[samples]
    contains = problem.dataset.contains[rows]
    regression = problem.kind == "regression"

    def row(label: str, chosen: Array) -> BreakdownRow:
        own = signed[chosen]
        error = np.abs(own).mean() if regression else np.mean(own != 0)
        return BreakdownRow(label, len(own), float(error), float(own.mean()) if regression else None)

    own_elements = contains if problem.atoms is None else elements_of_atoms(problem, samples)
    tables = {
        "element": [
            row(chemical_symbols[z], own_elements[:, z]) for z in np.flatnonzero(own_elements.any(axis=0)).tolist()
        ]
    }
    kinds = chemistry(contains)
    names, counts = np.unique(kinds, return_counts=True)
    tables["chemistry"] = [row(str(names[k]), kinds == names[k]) for k in np.argsort(-counts, kind="stable")]
    n_elements = contains.sum(axis=1)
    tables["number of elements"] = [row(str(n), n_elements == n) for n in np.unique(n_elements)]
    if problem.dataset.structures is not None:
        sizes = problem.dataset.n_atoms[rows]
        tables["number of atoms"] = [row(label, chosen) for label, chosen in size_bins(sizes)]
    return Breakdown(tables)


def chemistry(contains: Mask) -> npt.NDArray[np.str_]:
    """Return the kind of compound of compositions.

    Parameters
    ----------
    contains : ndarray of bool, shape (n, 119)
        Whether each composition has the element with each atomic number.

    Returns
    -------
    ndarray of str, shape (n,)
        One of "element"; "organic" (with carbon and hydrogen); "oxyhalide" (with oxygen and a halogen); then by the
        first of these that there is: "oxide", "halide", "nitride", "chalcogenide" (S, Se, Te), "carbide", "hydride",
        "pnictide" (P, As, Sb), "boride", "silicide or germanide"; "intermetallic" if there is none. Thus a carbonate,
        a sulfate and water are oxides.
    """

    def has(*symbols: str) -> Mask:
        return np.asarray(contains[:, [atomic_numbers[symbol] for symbol in symbols]].any(axis=1))

    anions = {name: has(*symbols) for name, symbols in _ANIONS.items()}
    kinds = {
        "element": contains.sum(axis=1) == 1,
        "organic": has("C") & has("H"),
        "oxyhalide": anions["oxide"] & anions["halide"],
        **anions,
    }
    return np.asarray(np.select(list(kinds.values()), list(kinds), default="intermetallic"), dtype=np.str_)


def elements_of_atoms(problem: Problem, samples: Indices) -> Mask:
    """Return for each sample, which is an atom, a row with its element."""
    assert problem.atoms is not None
    structures, atoms = problem.structures[samples], problem.atoms[samples]
    found = np.zeros((len(samples), len(chemical_symbols)), dtype=bool)
    order = np.argsort(structures, kind="stable")
    present, starts = np.unique(structures[order], return_index=True)
    for structure, own in zip(present.tolist(), np.split(order, starts[1:]), strict=True):
        found[own, numbers_of(problem.dataset.structures[structure])[atoms[own]]] = True
    return found


def size_bins(sizes: Indices) -> Iterable[tuple[str, Mask]]:
    """Yield labels and members of bins: single sizes if they are few, else ranges with about as many members."""
    different = np.unique(sizes)
    if len(different) <= _MANY_SIZES:
        upper = different
    else:
        quantiles = np.linspace(0, 1, _MANY_SIZES + 1)[1:]
        upper = np.unique(np.quantile(sizes, quantiles, method="inverted_cdf"))
    lower = np.concatenate([[0], upper[:-1]])
    for low, high in zip(lower, upper, strict=True):
        members = (sizes > low) & (sizes <= high)
        first = int(sizes[members].min())
        yield (str(first) if first == sizes[members].max() else f"{first} to {int(high)}"), members
