"""Potentials that are linear in the invariants of the atomic cluster expansion."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any, Self

import numpy as np
from ase.data import chemical_symbols

from atomprint import _core
from atomprint.descriptors import ACE
from atomprint.descriptors.ace import MOST_FUNCTIONS
from atomprint.potentials.base import Potential
from atomprint.potentials.fit import References
from atomprint.potentials.fitting.solver import Solver
from atomprint.potentials.terms.compiled import CompiledPredictor, check_species_known
from atomprint.potentials.terms.cutoff import typical_cutoff
from atomprint.potentials.terms.term import State, Term, Training
from atomprint.structures import Batch
from atomprint.util.registry import public
from atomprint.util.types import FloatArray
from atomprint.util.validation import check_choice, check_integer, check_length

__all__ = ["LinearACE"]

SIZES = {"small": 400, "medium": 1500, "large": 3000}
"""About how many functions there are in all, shared out among the species, each of which has a sixth at least."""

OF_MOLECULES = {"small": 1200, "medium": 3600, "large": 6000}
"""The same for molecules, whose structures are small and whose energies need angles and chemistry to be told apart; but
no more than nine for each atom of the training set, or what other data have."""

_MOST_SHARES = 6
_FUNCTIONS = {"n_max": 10, "l_max": 4}
# By cross-validation on ethanol and on a mixture of ten molecules, with as many functions.
_FUNCTIONS_OF_MOLECULES = {"n_max": 10, "l_max": 5, "weight_l": 0.6, "penalty": 2.0}

_ROOM = 1.05  # of the largest density around an atom in the data, to its limit
_NEIGHBOURS = 30  # within the cutoff, on average

_PLAIN = {"pooling": None, "centers": None, "sparse": False}


@public("LinearACE", version=1)
class LinearACE(Potential):
    """A potential that is linear in the invariants of the atomic cluster expansion, up to five-body terms.

    Each species has weights of its own. It is fitted in seconds, and takes a few µs for an atom.

    Functions grow with up to the fourth power of how many neighbours an atom has, and data say nothing about more than
    in any of them. So, with ``repulsion``, all densities A of an atom are scaled by one smooth factor where the sum of
    R_1(r) over its neighbours is above 1.05 times the largest in the data, such that it is at most 1.2 times that.

    Parameters
    ----------
    size : {"small", "medium", "large"} or int
        About how many functions there are: 400, 1500 or 3000 in all, or 1200, 3600 or 6000 where no structure repeats
        (molecules), shared out among the species (up to six); or this number for each species. More take longer.
    r_cut : float, optional
        Cutoff in Å. Default: such that about 30 neighbours are within it, from 3.5 to 6.5 Å; 4.5 Å for molecules, 7 Å
        for groups of molecules or of atoms without bonds.
    ace : ACE, optional
        The functions, in place of ``size`` and ``r_cut``: without pooling, for all atoms. What it says of species and
        of ``inner`` is not used: species are those of the training structures, and below their distances it is switched
        off.
    dtype : {"float64", "float32"}
        Precision of predictions; fits are in double precision. With "float32" they take little more than half the time,
        energies of atoms differ by about 1e-5 of the largest, and forces by 1e-5 eV/Å.
    repulsion, references, solver, n_jobs
        As for :class:`~atomprint.potentials.Potential`.

    References
    ----------
    R. Drautz, Phys. Rev. B 99, 014104 (2019); Y. Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021); W. C. Witt et
    al., J. Chem. Phys. 159, 164101 (2023).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from atomprint.potentials import LinearACE
    >>> crystals = []
    >>> for k in range(12):
    ...     atoms = bulk("Cu", cubic=True, a=3.5 + 0.02 * k)
    ...     atoms.rattle(0.05, seed=k)
    ...     atoms.calc = EMT()
    ...     atoms.info["energy"] = atoms.get_potential_energy()
    ...     atoms.arrays["forces"], atoms.info["stress"] = atoms.get_forces(), atoms.get_stress()
    ...     crystals.append(atoms)
    >>> potential = LinearACE(size=60).fit(crystals[::2])
    >>> found = potential.predict(crystals[1])
    >>> bool(abs(found.energies - crystals[1].info["energy"]) < 0.01)
    True
    """

    def __init__(
        self,
        size: str | int = "medium",
        *,
        r_cut: float | None = None,
        ace: ACE | None = None,
        dtype: str = "float64",
        repulsion: bool = True,
        references: References = None,
        solver: Solver | None = None,
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        if isinstance(self.size, str):
            check_choice("size", self.size, tuple(SIZES))
        else:
            check_integer("size", self.size, 1, MOST_FUNCTIONS)
        check_choice("dtype", self.dtype, ("float64", "float32"))
        if self.r_cut is not None:
            check_length("r_cut", self.r_cut)
        if self.ace is None:
            return
        if not isinstance(self.ace, ACE):
            raise TypeError(f"ace must be an ACE or None, got {type(self.ace).__name__}")
        if self.r_cut is not None:
            raise ValueError(f"r_cut and ace cannot be combined: ace has a cutoff of its own, got r_cut={self.r_cut!r}")
        check_rows_of_atoms("ace", self.ace)

    def _terms(self) -> list[Term]:
        return [ClusterExpansion(self.size, self.r_cut, self.ace, self.dtype)]


def check_rows_of_atoms(what: str, ace: ACE) -> None:
    """Raise if an ACE has not a row for each atom, as energies are made of."""
    for name, needed in _PLAIN.items():
        if (value := getattr(ace, name)) != needed:
            raise ValueError(f"{what} must have a row for each atom: {name} must be {needed!r}, got {value!r}")


class ClusterExpansion:
    """A part of the energy: a linear cluster expansion; a :class:`~atomprint.potentials.terms.term.Term`.

    Parameters
    ----------
    size, r_cut, ace, dtype
        As for :class:`LinearACE`.
    """

    def __init__(self, size: str | int, r_cut: float | None, ace: ACE | None, dtype: str = "float64") -> None:
        self.size, self.r_cut, self.ace, self.dtype = size, r_cut, ace, dtype

    def prepare(self, training: Training) -> PreparedExpansion:
        """Choose the functions."""
        species = training.species
        if self.ace is not None:
            settled = deepcopy(self.ace).set_params(species=list(species))
            settled.settle_embedding(species)
            given = {**settled.get_params(deep=False), "dtype": "float64", "periodic": "auto"}
        else:
            batch = training.structures
            molecular = not batch.pbc.any()
            r_cut = typical_cutoff(batch, _NEIGHBOURS) if self.r_cut is None else float(self.r_cut)
            given = {"r_cut": r_cut, **(_FUNCTIONS_OF_MOLECULES if molecular else _FUNCTIONS)}
            if isinstance(self.size, str):
                total = SIZES[self.size]
                if molecular:
                    total = max(total, min(OF_MOLECULES[self.size], 9 * len(batch.numbers)))
                given["n_functions"] = max(1, round(total / min(len(species), _MOST_SHARES)))
            else:
                given["n_functions"] = int(self.size)
        r_cut = given["r_cut"]
        # Where distances of the training data are large, the functions have to be there for some of them.
        inner = {
            f"{chemical_symbols[a]}-{chemical_symbols[b]}": (
                start * min(1.0, 0.8 * r_cut / stop),
                min(stop, 0.8 * r_cut),
            )
            for (a, b), (start, stop) in training.inner.items()
            if a <= b
        }
        ace = ACE(**{**given, "species": list(species), "inner": inner or None})
        return PreparedExpansion(ace, self.dtype, _limits(ace, training) if training.inner else ())


def _limits(ace: ACE, training: Training) -> tuple[float, ...]:
    """Return a little more than the largest density around an atom of each species in the training data."""
    batch = training.structures
    densities = np.empty(len(batch.numbers))
    _core.AceRows(ace._core_basis()).densities(batch.core(), densities, training.n_jobs)
    own = (densities[batch.numbers == z].max(initial=0.0) for z in training.species)
    return tuple(_ROOM * largest if largest > 0 else np.inf for largest in map(float, own))


@public("PreparedExpansion", version=2)
class PreparedExpansion:
    """A linear cluster expansion whose functions are settled; a :class:`~atomprint.potentials.terms.term.PreparedTerm`.

    Parameters
    ----------
    ace : ACE
        The functions, with species.
    dtype : str
        Precision of predictions.
    limits : sequence of float
        Of the density around atoms of each species, as the compiled core has it: beyond, functions stop growing. None
        for no limits.
    """

    prior_factor: FloatArray | None = None

    def __init__(self, ace: ACE, dtype: str = "float64", limits: Sequence[float] = ()) -> None:
        self.ace, self.dtype, self.limits = ace, dtype, tuple(limits)
        self.species: tuple[int, ...] = ace._species()
        basis = ace.basis()
        self.degrees = np.tile(basis.degree, len(self.species))
        self.n_functions = len(self.degrees)
        self.cutoff = float(ace.r_cut)

    @cached_property
    def _rows(self) -> Any:
        return _core.AceRows(self.ace._core_basis(), self.limits)

    def rows(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write what the functions contribute to energies, forces and strain derivatives."""
        check_species_known(batch, self.species)
        self._rows.rows(batch.core(), out, n_jobs)

    def sums(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write the sum of each function over the atoms of each structure."""
        check_species_known(batch, self.species)
        self._rows.sums(batch.core(), out, n_jobs)

    def atoms(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write the functions of each atom."""
        check_species_known(batch, self.species)
        self._rows.atoms(batch.core(), out, n_jobs)

    def predictor(self, coefficients: FloatArray) -> CompiledPredictor:
        """Return the part of the energy that has these coefficients."""
        kind = _core.AcePotential64 if self.dtype == "float64" else _core.AcePotential32
        weights = np.ascontiguousarray(coefficients, dtype=np.float64).reshape(len(self.species), -1)
        return CompiledPredictor(kind(self.ace._core_basis(), weights, self.limits), self.species)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_rows"}

    def state(self) -> State:
        """Return the functions."""
        # Channels are principal directions: another LAPACK makes others in the last digits.
        channels = self.ace._channels()[0]
        return {"ace": self.ace, "channels": channels, "dtype": self.dtype, "limits": np.array(self.limits)}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the term with this state."""
        if not isinstance(state["ace"], ACE) or state["dtype"] not in ("float64", "float32"):
            raise ValueError(f"ace must be an ACE, got {type(state['ace']).__name__}")
        ace = state["ace"]._with_channels(state["channels"])
        return cls(ace, state["dtype"], [float(limit) for limit in state["limits"]])
