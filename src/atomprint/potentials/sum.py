"""Sums of potentials."""

from __future__ import annotations

from collections.abc import Sequence

from atomprint.potentials.base import Potential
from atomprint.potentials.fit import References
from atomprint.potentials.fitting.solver import Solver
from atomprint.potentials.terms.term import Term
from atomprint.util.registry import public


@public("SumPotential", version=1)
class SumPotential(Potential):
    """A potential whose energy is the sum of those of others, all of whose coefficients are fitted together.

    Parameters
    ----------
    potentials : sequence of Potential
        Whose terms are added up; what they have of the parameters below is not looked at.
    repulsion, references, solver, n_jobs
        As for :class:`Potential`.
    """

    def __init__(
        self,
        potentials: Sequence[Potential],
        *,
        repulsion: bool = True,
        references: References = None,
        solver: Solver | None = None,
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        if not isinstance(self.potentials, Sequence) or not self.potentials:
            raise ValueError(f"potentials must be a sequence of at least one, got {self.potentials!r}")
        for potential in self.potentials:
            if not isinstance(potential, Potential):
                raise TypeError(f"potentials must be potentials, got {type(potential).__name__}")

    def _terms(self) -> list[Term]:
        return [term for potential in self.potentials for term in potential._terms()]
