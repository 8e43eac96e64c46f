"""What a potential says of structures beside what is known of them: errors, of all and by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from ase.data import chemical_symbols
from ase.units import GPa

from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.potentials.terms.term import voigt
from atomprint.ragged import totals
from atomprint.util.types import FloatArray, Indices, Mask


class Quantity(NamedTuple):
    """What is compared: its name, its unit on pages and how many of them one of ours has."""

    name: str
    title: str
    unit: str
    factor: float


QUANTITIES = (
    Quantity("energy", "energy", "meV/atom", 1000.0),
    Quantity("forces", "force", "eV/Å", 1.0),
    Quantity("stress", "stress", "GPa", 1 / GPa),
)


class Figures(NamedTuple):
    """Errors of a number of values, in the unit of their quantity.

    Parameters
    ----------
    n : int
        How many values; of forces and stresses each component counts.
    mae, rmse, largest : float
        Mean absolute, root mean square and largest absolute error.
    """

    n: int
    mae: float
    rmse: float
    largest: float

    @classmethod
    def of(cls, errors: FloatArray) -> Figures:
        """Return the figures of errors."""
        size = np.abs(errors)
        return cls(len(size), float(size.mean()), float(np.sqrt(np.mean(size**2))), float(size.max()))


class Values(NamedTuple):
    """Known values of a quantity and what is predicted of them, flat, in the unit of the quantity.

    Parameters
    ----------
    known, predicted : ndarray of shape (n,)
        The values; energies are those of an atom.
    structures : ndarray of int, shape (n,)
        Which structure each belongs to.
    atoms : ndarray of int, shape (n,)
        For forces, which atom of all; else -1.
    std : ndarray of shape (n,)
        Expected errors; nan where there is none.
    """

    known: FloatArray
    predicted: FloatArray
    structures: Indices
    atoms: Indices
    std: FloatArray

    @property
    def errors(self) -> FloatArray:
        """Predicted minus known."""
        return self.predicted - self.known

    def where(self, chosen: Mask) -> Values:
        """Return some of the values."""
        return Values(
            self.known[chosen],
            self.predicted[chosen],
            self.structures[chosen],
            self.atoms[chosen],
            self.std[chosen],
        )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predictions for structures whose labels are known.

    Parameters
    ----------
    title : str
        Which structures these are: ``"test set"``, ``"cross-validation"``.
    labels : LabelledStructures
        What is known of them.
    energies : ndarray of shape (n,)
        Predicted, in eV.
    forces : ndarray of shape (n_atoms, 3)
        In eV/Å.
    stresses : ndarray of shape (n, 3, 3)
        In eV/Å^3.
    energies_std, forces_std : ndarray or None
        Expected errors in the same shapes; nan where they were not asked for.
    references : mapping of int to float, optional
        Energies of single atoms in eV, which plots of energies leave out.
    """

    title: str
    labels: LabelledStructures
    energies: FloatArray
    forces: FloatArray
    stresses: FloatArray
    energies_std: FloatArray | None = None
    forces_std: FloatArray | None = None
    references: Mapping[int, float] | None = None

    @cached_property
    def values(self) -> dict[str, Values]:
        """Values of each quantity that is known of at least one structure, by its name."""
        batch, labels = self.labels.structures, self.labels
        n, n_atoms = len(batch), len(batch.numbers)
        table = np.zeros(len(chemical_symbols))
        for z, energy in (self.references or {}).items():
            table[z] = energy
        alone = totals(table[batch.numbers], batch.offsets)
        of_atom = np.repeat(np.arange(n), batch.n_atoms)
        nothing = np.full(n, -1)
        stds = (self.energies_std, self.forces_std)
        energies_std, forces_std = (
            np.full(shape, np.nan) if std is None else std
            for std, shape in zip(stds, ((n,), (n_atoms, 3)), strict=True)
        )
        found = {
            "energy": Values(
                (labels.energies - alone) / batch.n_atoms,
                (self.energies - alone) / batch.n_atoms,
                np.arange(n),
                nothing,
                energies_std / batch.n_atoms,
            ),
            "forces": Values(
                labels.forces.ravel(),
                self.forces.ravel(),
                np.repeat(of_atom, 3),
                np.repeat(np.arange(n_atoms), 3),
                forces_std.ravel(),
            ),
            "stress": Values(
                voigt(labels.stresses).ravel(),
                voigt(self.stresses).ravel(),
                np.repeat(np.arange(n), 6),
                np.repeat(nothing, 6),
                np.full(6 * n, np.nan),
            ),
        }
        said = {}
        for quantity in QUANTITIES:
            values = found[quantity.name]
            values = values.where(np.isfinite(values.known) & np.isfinite(values.predicted))
            if len(values.known):
                known, predicted, structures, atoms, std = values
                scaled = (array * quantity.factor for array in (known, predicted, std))
                known, predicted, std = scaled
                said[quantity.name] = Values(known, predicted, structures, atoms, std)
        return said

    @cached_property
    def kinds(self) -> list[str]:
        """Types of configurations, the most frequent first; of none, where this is not said."""
        names, counts = np.unique(np.array(self.labels.config_types), return_counts=True)
        if len(names) < 2:
            return []
        return [str(names[k]) for k in np.argsort(-counts, kind="stable")]

    @property
    def species(self) -> list[str]:
        """Elements by their symbols."""
        return self.labels.species

    def figures(self) -> dict[str, Figures]:
        """Return the errors of all values, by quantity."""
        return {name: Figures.of(values.errors) for name, values in self.values.items()}

    def by_kind(self) -> dict[str, dict[str, Figures]]:
        """Return the errors of each type of configuration, by quantity."""
        types = np.array(self.labels.config_types)

        def of(kind: str) -> Callable[[Values], Mask]:
            return lambda values: types[values.structures] == kind

        return self._by({kind: of(kind) for kind in self.kinds})

    def by_element(self) -> dict[str, dict[str, Figures]]:
        """Return the errors of forces on each element."""
        numbers = self.labels.structures.numbers

        def of(z: int) -> Callable[[Values], Mask]:
            return lambda values: (values.atoms >= 0) & (numbers[values.atoms] == z)

        found = self._by({symbol: of(chemical_symbols.index(symbol)) for symbol in self.species})
        return {symbol: {name: f for name, f in own.items() if name == "forces"} for symbol, own in found.items()}

    def _by(self, choices: Mapping[str, Callable[[Values], Mask]]) -> dict[str, dict[str, Figures]]:
        found: dict[str, dict[str, Figures]] = {}
        for label, choose in choices.items():
            found[label] = {
                name: Figures.of(part.errors)
                for name, values in self.values.items()
                if len((part := values.where(choose(values))).known)
            }
        return found

    def worst(self, n: int = 5) -> list[tuple[int, str, float]]:
        """Return the structures that are predicted worst: index, quantity, error in the unit of the quantity.

        They are ranked by how many times the root mean square error of all structures their own is.
        """
        ranked: list[tuple[float, int, str, float]] = []
        for name, values in self.values.items():
            squares = np.zeros(len(self.labels))
            counts = np.zeros(len(self.labels))
            np.add.at(squares, values.structures, values.errors**2)
            np.add.at(counts, values.structures, 1)
            with np.errstate(invalid="ignore"):
                own = np.sqrt(squares / counts)
            whole = np.sqrt(np.mean(values.errors**2)) or 1.0
            for s in np.argsort(-np.nan_to_num(own))[:n]:
                ranked.append((float(own[s] / whole), int(s), name, float(own[s])))
        best: dict[int, tuple[float, int, str, float]] = {}
        for entry in sorted(ranked, reverse=True):
            best.setdefault(entry[1], entry)
        return [(s, name, error) for _, s, name, error in list(best.values())[:n]]

    def to_dict(self) -> dict[str, Any]:
        """Return all figures in plain types, for JSON, with their units."""

        def plain(figures: Mapping[str, Figures]) -> dict[str, Any]:
            return {name: found._asdict() for name, found in figures.items()}

        return {
            "title": self.title,
            "n_structures": len(self.labels),
            "n_atoms": len(self.labels.structures.numbers),
            "units": {quantity.name: quantity.unit for quantity in QUANTITIES},
            "errors": plain(self.figures()),
            "by_config_type": {kind: plain(found) for kind, found in self.by_kind().items()},
            "by_element": {symbol: plain(found) for symbol, found in self.by_element().items()},
            "worst": [
                {"structure": self.labels.places[s], "quantity": name, "rmse": error} for s, name, error in self.worst()
            ],
        }


def compare(potential: Any, labels: LabelledStructures, title: str, *, most_rows: int = 3000) -> Comparison:
    """Predict structures whose labels are known.

    Parameters
    ----------
    potential : Potential
        Fitted.
    labels : LabelledStructures
        The structures, of species that the potential knows.
    title : str
        See :class:`Comparison`.
    most_rows : int
        Of about how many components of forces expected errors are asked for, as they take long: those of structures
        spread over all. 0 for none.

    Raises
    ------
    ValueError
        If a structure cannot be predicted.
    """
    batch = labels.structures
    found = potential.predict(batch)
    energies_std, forces_std = None, None
    if most_rows > 0:
        energies_std, _ = potential.grades(batch)
        forces_std = np.full((len(batch.numbers), 3), np.nan)
        order = np.random.default_rng(0).permutation(len(batch))
        total = np.cumsum(3 * batch.n_atoms[order])
        chosen = np.sort(order[: max(1, int(np.searchsorted(total, most_rows)))])
        stds = potential.predict(batch.pick(chosen), uncertainty=True).forces_std
        for s, std in zip(chosen, stds, strict=True):
            forces_std[batch.offsets[s] : batch.offsets[s + 1]] = std
    return Comparison(
        title,
        labels,
        np.asarray(found.energies),
        np.concatenate(list(found.forces)),
        np.asarray(found.stresses),
        energies_std,
        forces_std,
        potential.model_.references,
    )
