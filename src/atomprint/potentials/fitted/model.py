"""All of a fitted potential that predictions need."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from ase.data import chemical_symbols

from atomprint.potentials.fitted.files import Classes, tagged, untagged
from atomprint.potentials.fitting.prior import Hyperparameters
from atomprint.potentials.fitting.uncertainty import Uncertainty
from atomprint.potentials.short_range.repulsion import Repulsion
from atomprint.potentials.terms.sums import Constants, Offsets, Sum
from atomprint.potentials.terms.term import State
from atomprint.util.text import counted
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_real


@dataclass(frozen=True)
class Model:
    """All of a fitted potential that predictions need.

    Attributes
    ----------
    terms : Sum
        Whose coefficients were fitted.
    coefficients : ndarray, shape (n_functions,)
        Of all functions.
    references : dict of int to float
        Energies of single atoms by atomic number in eV, to which the terms add.
    core : Repulsion or None
        What takes over at short distances.
    known : Repulsion
        Which distances the training data have.
    hyperparameters : Hyperparameters
        With which it was fitted.
    uncertainty : Uncertainty
        Expected errors.
    summary : dict
        Of the training data and of the fit, in plain numbers and words.
    """

    terms: Sum
    coefficients: FloatArray
    references: dict[int, float]
    core: Repulsion | None
    known: Repulsion
    hyperparameters: Hyperparameters
    uncertainty: Uncertainty
    summary: dict[str, Any]

    def __repr__(self) -> str:
        elements = ", ".join(chemical_symbols[z] for z in self.species)
        return f"Model({counted(self.terms.n_functions, 'function')} of {elements}, cutoff {self.cutoff:.3g} Å)"

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers that it knows, ascending."""
        return tuple(sorted(self.references))

    @property
    def reference_energies(self) -> dict[int, float]:
        """Energies of elements in eV, to which functions of neighbours add: references, as they end up fitted."""
        found = dict(self.references)
        for term, own in zip(self.terms.terms, self.terms.columns, strict=True):
            if isinstance(term, Constants):
                for z, energy in zip(term.species, self.coefficients[own].tolist(), strict=True):
                    found[z] += energy
        return found

    @property
    def cutoff(self) -> float:
        """Beyond this distance in Å no atom has a say in the energy of another."""
        of_core = 0.0 if self.core is None else self.core.r_cut
        return max([of_core, *(term.cutoff for term in self.terms.terms)])

    def parts(self, coefficients: FloatArray | None = None) -> list[Any]:
        """Return what adds up to the energy: each has ``evaluate``, and ``prepare`` where it keeps something."""
        fitted = self._fitted_parts if coefficients is None else self.terms.predictors(coefficients)
        return [*fitted, *self._fixed_parts]

    @cached_property
    def _fitted_parts(self) -> list[Any]:
        return self.terms.predictors(self.coefficients)

    @cached_property
    def _fixed_parts(self) -> list[Any]:
        return [*([] if self.core is None else [self.core.table()]), Offsets(self.references)]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_fitted_parts", "_fixed_parts")}

    def state(self) -> State:
        """Return what :meth:`from_state` takes."""
        return {
            "terms": [tagged(term) for term in self.terms.terms],
            "coefficients": self.coefficients,
            "references": {chemical_symbols[z]: energy for z, energy in self.references.items()},
            "core": None if self.core is None else self.core.state(),
            "known": self.known.state(),
            "hyperparameters": asdict(self.hyperparameters),
            "uncertainty": self.uncertainty.state(),
            "summary": {name: value for name, value in self.summary.items() if name != "checksum"},  # of a file
        }

    @classmethod
    def from_state(cls, state: State, classes: Classes) -> Self:
        """Return the model with this state, made of classes that its file may name."""
        hyper = Hyperparameters(**{name: check_real(name, value) for name, value in state["hyperparameters"].items()})
        terms = Sum([untagged(term, classes) for term in state["terms"]])
        coefficients, known = state["coefficients"], Repulsion.from_state(state["known"])
        references = {chemical_symbols.index(symbol): float(energy) for symbol, energy in state["references"].items()}
        if coefficients.shape != (terms.n_functions,) or not np.isfinite(coefficients).all():
            raise ValueError(f"{terms.n_functions} functions need as many finite coefficients")
        if {*references} != {*known.species} or not np.isfinite([*references.values()]).all():
            raise ValueError("references must be finite energies of all elements")
        if not isinstance(state["summary"], dict):
            raise ValueError("summary must be by words")
        return cls(
            terms,
            coefficients,
            references,
            None if state["core"] is None else Repulsion.from_state(state["core"]),
            known,
            hyper,
            Uncertainty.from_state(state["uncertainty"], hyper, terms.n_functions),
            state["summary"],
        )
