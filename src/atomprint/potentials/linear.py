"""Potentials that are linear in the features of any descriptor."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Self

import numpy as np

from atomprint.descriptors import (
    ACE,
    Descriptor,
    ValleOganov,
)
from atomprint.descriptors.mixing import MixesSpecies
from atomprint.potentials.ace import ClusterExpansion, check_rows_of_atoms
from atomprint.potentials.base import Potential
from atomprint.potentials.fit import References
from atomprint.potentials.fitting.solver import Solver
from atomprint.potentials.terms.compiled import check_species_known
from atomprint.potentials.terms.term import VOIGT, Evaluated, State, Term, Training, row_offsets
from atomprint.ragged import chunks, split
from atomprint.structures import Batch
from atomprint.util.registry import public
from atomprint.util.types import FloatArray

__all__ = ["LinearPotential"]

_BYTES = 2**24  # of features at once
_SUMS_OVER_ATOMS: dict[str, tuple[Any, ...]] = {
    "sparse": (False,),
    "centers": (None,),
    "pooling": (None, "sum"),
    "average": ("off",),
    "normalization": ("none",),
}
_LEARNT = ("species_", "periodic_")


@public("LinearPotential", version=1)
class LinearPotential(Potential):
    """A potential whose energy is linear in the features of a descriptor.

    Descriptors with a row for each centre, such as SOAP and ACSF, are summed over atoms with weights for each species
    of the atom; of others, such as MBTR, the energy is linear in the one row that a structure has, which must grow with
    the number of atoms: averages and other normalizations are refused. An ``ACE`` makes the same potential as
    ``LinearACE(ace=...)``.

    Parameters
    ----------
    descriptor : Descriptor
        Of this package. What it learns of the structures, ``species`` and ``periodic``, a copy of it learns in ``fit``.
    repulsion, references, solver, n_jobs
        As for :class:`~atomprint.potentials.Potential`.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from ase.calculators.lj import LennardJones
    >>> from atomprint.descriptors import SOAP
    >>> from atomprint.potentials import LinearPotential
    >>> structures = []
    >>> for k in range(12):
    ...     atoms = bulk("Ar", cubic=True)
    ...     atoms.rattle(0.1, seed=k)
    ...     atoms.calc = LennardJones(sigma=3.4, epsilon=0.01, rc=8)
    ...     _ = atoms.get_forces(), atoms.get_stress()
    ...     structures.append(atoms)
    >>> potential = LinearPotential(SOAP(r_cut=5.0, n_max=3, l_max=2, periodic=True)).fit(structures)
    >>> potential.predict(structures[0]).forces.shape
    (4, 3)
    """

    def __init__(
        self,
        descriptor: Descriptor,
        *,
        repulsion: bool = True,
        references: References = None,
        solver: Solver | None = None,
        n_jobs: int = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        if not isinstance(self.descriptor, Descriptor):
            raise TypeError(f"descriptor must be a Descriptor of atomprint, got {type(self.descriptor).__name__}")
        if not self.descriptor._adds_up:
            raise ValueError(
                "descriptor must be a sum over all atoms, as energies are, such as of ACE, SOAP, ACSF or MBTR, got "
                f"{type(self.descriptor).__name__}"
            )
        if isinstance(self.descriptor, ACE):
            check_rows_of_atoms("descriptor: an ACE", self.descriptor)
        for name, allowed in _SUMS_OVER_ATOMS.items():
            value = getattr(self.descriptor, name, allowed[0])
            if not any(value is one or (isinstance(value, str) and value == one) for one in allowed):
                listed = " or ".join(f"{name}={one!r}" for one in allowed)
                raise ValueError(f"descriptor must have {listed}, as energies are sums over all atoms, got {value!r}")
        if isinstance(self.descriptor, ValleOganov):
            raise ValueError("descriptor must grow with the number of atoms, which ValleOganov does not: use MBTR")

    def _terms(self) -> list[Term]:
        if isinstance(self.descriptor, ACE):  # which is to be bounded, whoever takes it
            return [ClusterExpansion("medium", None, self.descriptor)]
        return [DescriptorTerm(self.descriptor)]


class DescriptorTerm:
    """An energy that is linear in the features of a descriptor; a :class:`~atomprint.potentials.terms.term.Term`.

    Parameters
    ----------
    descriptor : Descriptor
        Of this package.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor

    def prepare(self, training: Training) -> PreparedDescriptor:
        """Return the term for these structures."""
        descriptor = deepcopy(self.descriptor)
        if isinstance(descriptor, MixesSpecies):
            descriptor.settle_embedding(training.species)
        descriptor.fit(training.structures)
        descriptor._check_differentiable()
        return PreparedDescriptor(descriptor, training.species)


@public("PreparedDescriptor", version=1)
class PreparedDescriptor:
    """Such a term whose functions are settled; a :class:`~atomprint.potentials.terms.term.PreparedTerm`.

    Parameters
    ----------
    descriptor : Descriptor
        Fitted.
    species : tuple of int
        Those with weights of their own, if the descriptor has a row for each centre.
    """

    prior_factor: FloatArray | None = None

    def __init__(self, descriptor: Descriptor, species: tuple[int, ...]) -> None:
        self.descriptor, self.species = descriptor, species
        self._by_atom = descriptor._has_rows_of_centers()
        self._n = descriptor.get_number_of_features()
        self.n_functions = self._n * (len(species) if self._by_atom else 1)
        self.degrees = np.zeros(self.n_functions)
        self.cutoff = descriptor._reach()
        self._kinds = np.full(119, -1)
        self._kinds[list(species)] = np.arange(len(species))

    def rows(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write rows as :meth:`PreparedTerm.rows` says."""
        check_species_known(batch, self.species)
        for s, (start, stop) in enumerate(zip(*_bounds(batch), strict=True)):
            self._rows(batch[s : s + 1], out[start:stop], n_jobs)

    def _rows(self, one: Batch, out: FloatArray, n_jobs: int) -> None:
        self.sums(one, out[:1], n_jobs)
        out[1:] = 0
        if not self._by_atom:
            by_x, by_e = self.descriptor.derivatives(
                one, wrt=("positions", "strain"), return_descriptor=False, n_jobs=n_jobs
            )
            out[1:-6] = -np.asarray(by_x[0]).reshape(-1, self._n)
            for row, (a, b) in enumerate(VOIGT):
                out[row - 6] = 0.5 * (by_e[0, a, b] + by_e[0, b, a])
            return
        kinds = self._kinds[one.numbers]
        found = self.descriptor.jacobian(one, n_jobs=n_jobs)
        by_atom = out[1:-6].reshape(-1, 3, out.shape[1]) if out.flags.c_contiguous else None
        forces = np.zeros((len(one.numbers), 3, out.shape[1])) if by_atom is None else by_atom
        for block in found.blocks:
            values, vectors = block.values, block.vectors
            for kind in range(len(self.species)):
                own = np.flatnonzero(kinds[block.centers] == kind)
                if len(own) == 0 or len(block.features) == 0:
                    continue
                columns = kind * self._n + block.features
                some = values[own]
                _subtract(forces, block.atoms[own], columns, some)
                _subtract(forces, block.centers[own], columns, -some)
                by_strain = np.einsum("paf,pb->abf", some, vectors[own])
                for row, (a, b) in enumerate(VOIGT):
                    out[row - 6, columns] += 0.5 * (by_strain[a, b] + by_strain[b, a])
        if by_atom is None:
            out[1:-6] = forces.reshape(-1, out.shape[1])

    def sums(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write sums as :meth:`PreparedTerm.sums` says."""
        check_species_known(batch, self.species)
        if not self._by_atom:
            out[:] = self.descriptor.create(batch, n_jobs=n_jobs)
            return
        for start, stop in self._runs(batch):
            part = batch[start:stop]
            for s, features in enumerate(self.descriptor.create(part, n_jobs=n_jobs)):
                kinds = self._kinds[part.numbers[part.offsets[s] : part.offsets[s + 1]]]
                for kind in range(len(self.species)):
                    out[start + s, kind * self._n : (kind + 1) * self._n] = features[kinds == kind].sum(axis=0)

    def atoms(self, batch: Batch, out: FloatArray, n_jobs: int = 1) -> None:
        """Write the features of each atom; those of a whole structure are shared out evenly."""
        check_species_known(batch, self.species)
        if not self._by_atom:
            features = np.asarray(self.descriptor.create(batch, n_jobs=n_jobs)) / batch.n_atoms[:, None]
            out[:] = np.repeat(features, batch.n_atoms, axis=0)
            return
        out[:] = 0
        kinds = self._kinds[batch.numbers]
        for start, stop in self._runs(batch):
            part, first = batch[start:stop], int(batch.offsets[start])
            features = np.concatenate(self.descriptor.create(part, n_jobs=n_jobs))
            for kind in range(len(self.species)):
                own = np.flatnonzero(kinds[first : first + len(features)] == kind)
                out[first + own, kind * self._n : (kind + 1) * self._n] = features[own]

    def predictor(self, coefficients: FloatArray) -> DescriptorPredictor:
        """Return the energy that has these coefficients."""
        return DescriptorPredictor(self, coefficients)

    def _runs(self, batch: Batch) -> Any:
        offsets = batch.offsets if self._by_atom else np.arange(len(batch) + 1)
        return chunks(offsets, max(1, _BYTES // (8 * self._n)))

    def state(self) -> State:
        """Return the descriptor, and what it has learnt."""
        learnt = {key: getattr(self.descriptor, key, None) for key in _LEARNT}
        return {"descriptor": self.descriptor, "learnt": learnt, "species": list(self.species)}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the term with this state."""
        descriptor = state["descriptor"]
        if not isinstance(descriptor, Descriptor):
            raise ValueError(f"descriptor must be one, got {type(descriptor).__name__}")
        for key in _LEARNT:
            if (value := state["learnt"][key]) is not None:
                setattr(descriptor, key, tuple(value) if isinstance(value, list) else value)
        return cls(descriptor, tuple(int(z) for z in state["species"]))


def _bounds(batch: Batch) -> tuple[Any, Any]:
    offsets = row_offsets(batch)
    return offsets[:-1], offsets[1:]


def _subtract(out: FloatArray, atoms: Any, columns: Any, values: FloatArray) -> None:
    """Subtract values from the columns of atoms, which may occur more than once."""
    order = np.argsort(atoms, kind="stable")
    found, first = np.unique(atoms[order], return_index=True)
    out[np.ix_(found, np.arange(3), columns)] -= np.add.reduceat(values[order], first, axis=0)


class DescriptorPredictor:
    """Such an energy with its coefficients; a :class:`~atomprint.potentials.terms.term.Predictor`."""

    def __init__(self, term: PreparedDescriptor, coefficients: FloatArray) -> None:
        self._term = term
        self._weights = coefficients.reshape(-1, term._n)

    def _cotangents(self, batch: Batch) -> Any:
        """Return the weight of each feature, as the descriptor's rows."""
        term = self._term
        if not term._by_atom:
            return np.repeat(self._weights, len(batch), axis=0)
        return [self._weights[term._kinds[numbers]] for numbers in split(batch.numbers, batch.offsets)]

    def evaluate(self, batch: Batch, n_jobs: int = 1) -> Evaluated:
        """Return energies of atoms and their derivatives."""
        check_species_known(batch, self._term.species)
        energies, gradient = np.zeros(len(batch.numbers)), np.zeros((len(batch.numbers), 3))
        strain = np.zeros((len(batch), 3, 3))
        for start, stop in self._term._runs(batch):
            part, atoms = batch[start:stop], slice(int(batch.offsets[start]), int(batch.offsets[stop]))
            weights = self._cotangents(part)
            found = self._term.descriptor.vjp(part, weights, return_descriptor=True, n_jobs=n_jobs)
            self._take(part, weights, found, energies[atoms], gradient[atoms], strain[start:stop])
        return energies, gradient, strain

    def prepare(self, batch: Batch, n_jobs: int = 1) -> _Moving:
        """Return the same for these atoms elsewhere."""
        return _Moving(self, batch, n_jobs)

    def _take(
        self, batch: Batch, weights: Any, found: Any, energies: FloatArray, gradient: FloatArray, strain: FloatArray
    ) -> None:
        if self._term._by_atom:
            energies[:] = np.concatenate(
                [np.einsum("ij,ij->i", x, w) for x, w in zip(found.descriptor, weights, strict=True)]
            )
        else:  # shared out evenly
            energies[:] = np.repeat(np.einsum("ij,ij->i", found.descriptor, weights) / batch.n_atoms, batch.n_atoms)
        gradient[:] = np.concatenate([np.asarray(own).reshape(-1, 3) for own in found.positions])
        strain[:] = 0.5 * (found.strain + np.swapaxes(found.strain, 1, 2))


class _Moving:
    def __init__(self, predictor: DescriptorPredictor, batch: Batch, n_jobs: int) -> None:
        check_species_known(batch, predictor._term.species)
        self._batch = batch
        self._predictor, self._weights = predictor, predictor._cotangents(batch)
        self._evaluator = predictor._term.descriptor.prepare(batch, n_jobs=n_jobs)

    def evaluate(self, positions: FloatArray, cells: FloatArray) -> Evaluated:
        batch = self._batch
        found = self._evaluator.vjp(positions, self._weights, cells, return_descriptor=True)
        energies, gradient = np.empty(len(positions)), np.empty((len(positions), 3))
        strain = np.empty((len(batch), 3, 3))
        self._predictor._take(batch, self._weights, found, energies, gradient, strain)
        return energies, gradient, strain
