"""Fitted potentials: what all of them share, whatever their energy is made of."""

from __future__ import annotations

import hashlib
import json
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint.potentials.calculator import PotentialCalculator
from atomprint.potentials.checks import Found, inconsistencies
from atomprint.potentials.factors import (
    FORCES,
    KINDS,
    Targets,
    check_memory,
    memory_needed,
    reduce_rows,
)
from atomprint.potentials.files import tagged, untagged, write_state
from atomprint.potentials.holes import Level, Pool, closing_rows, pool_sizes, scan_holes
from atomprint.potentials.labels import LabelledStructures
from atomprint.potentials.learning import growing_fits
from atomprint.potentials.reading import Key, read_labels
from atomprint.potentials.references import find_references
from atomprint.potentials.repulsion import Repulsion
from atomprint.potentials.solver import (
    Hyperparameters,
    Prior,
    Solver,
    errors_of,
    held_out_errors,
    scales_of,
    solve,
    solve_kind,
)
from atomprint.potentials.sums import Constants, Kept, Offsets, Sum, evaluate_all
from atomprint.potentials.terms import VOIGT, Evaluated, PreparedTerm, State, Term, Training, row_offsets
from atomprint.potentials.uncertainty import Uncertainty, calibrated
from atomprint.ragged import chunks, pick, split
from atomprint.structures import Batch, Structures, as_batch
from atomprint.util.memory import size_of
from atomprint.util.parameters import CheckedParameters
from atomprint.util.progress import Progress, silent
from atomprint.util.registry import public
from atomprint.util.types import FloatArray, PathOrStr
from atomprint.util.validation import check_bool, check_integer, check_n_jobs, check_real

References: TypeAlias = Mapping[str | int, float] | str | None
"""Energies of single atoms in eV by element, ``"fitted"``, or None; :func:`~atomprint.potentials.find_references`."""

Weights: TypeAlias = Mapping[str, float | Sequence[float]] | npt.ArrayLike | None
"""By which the sigmas of structures are divided: by type of configuration, or an array with one number (or three, for
energy, forces and stress) for each structure."""

_ROWS = 2048  # at once, for uncertainties
_COST = 0.2  # of squared errors of structures that were left out: so much those of the data may grow by closing holes
_COMPARED = 300  # structures by which the units of labels are compared
_FEW_STRESSES = "no structure has a stress: elastic constants and pressures of this potential are not to be relied upon"


@dataclass(frozen=True)
class Prediction:
    """What a potential says of structures; of a single one without the axis of structures.

    Attributes
    ----------
    energies : ndarray, shape (n_structures,)
        In eV.
    forces : list of ndarray, each of shape (n_atoms, 3)
        In eV/Å.
    stresses : ndarray, shape (n_structures, 3, 3)
        dE/dstrain / volume in eV/Å^3, positive in tension; nan where there is no cell.
    atom_energies : list of ndarray, each of shape (n_atoms,)
        What each atom contributes to the energy, in eV.
    energies_std, forces_std, stresses_std : as those, or None
        Expected errors, where they were asked for.
    grades : ndarray, shape (n_structures,), or None
        How far structures are beyond the training data: less is known of the energy per atom of those above 1 than of
        that of any training structure.
    """

    energies: Any
    forces: Any
    stresses: Any
    atom_energies: Any
    energies_std: Any = None
    forces_std: Any = None
    stresses_std: Any = None
    grades: Any = None


@dataclass(frozen=True)
class CrossValidation:
    """What potentials say of structures that they were not fitted to: each was left out with its fold.

    Attributes
    ----------
    folds : ndarray of int64, shape (n_structures,)
        The fold of each structure.
    energies : ndarray, shape (n_structures,)
        In eV.
    forces : ndarray, shape (n_atoms, 3)
        In eV/Å.
    stresses : ndarray, shape (n_structures, 3, 3)
        In eV/Å^3.
    """

    folds: npt.NDArray[np.int64]
    energies: FloatArray
    forces: FloatArray
    stresses: FloatArray


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
        own = self.coefficients if coefficients is None else coefficients
        core = [] if self.core is None else [self.core.table()]
        return [*self.terms.predictors(own), *core, Offsets(self.references)]

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
    def from_state(cls, state: State) -> Self:
        """Return the model with this state."""
        hyper = Hyperparameters(**{name: check_real(name, value) for name, value in state["hyperparameters"].items()})
        terms = Sum([untagged(term) for term in state["terms"]])
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


class Potential(CheckedParameters):
    """Base of potentials that are fitted to energies, forces and stresses.

    A subclass has the parameters below besides its own, and gives :meth:`_terms`.

    Parameters
    ----------
    repulsion : bool
        Whether a repulsive core takes over at distances below those of the training data.
    references : mapping of str or int to float, "fitted" or None
        Energies of single atoms in eV, by symbol or atomic number; see
        :func:`~atomprint.potentials.find_references`.
    solver : Solver, optional
        How coefficients are found. Default: ``Solver()``, which chooses by cross-validation.
    n_jobs : int
        Number of threads; -1 means all cores.

    Attributes
    ----------
    model_ : Model
        What was fitted.
    cross_validation_ : CrossValidation or None
        Predictions for the training structures by fits without them; not in files.
    labels_ : LabelledStructures
        What was fitted to; not in files.
    """

    repulsion: bool
    references: References
    solver: Solver | None
    n_jobs: int
    model_: Model

    def _validate(self) -> None:
        check_bool("repulsion", self.repulsion)
        if self.solver is not None and not isinstance(self.solver, Solver):
            raise TypeError(f"solver must be a Solver or None, got {type(self.solver).__name__}")
        check_n_jobs(self.n_jobs)

    @abstractmethod
    def _terms(self) -> Sequence[Term]:
        """Return what the energy is the sum of, besides the core and the energies of single atoms."""

    def fit(
        self,
        structures: Any,
        y: Any = None,
        *,
        energy_key: Key = None,
        forces_key: Key = None,
        stress_key: Key = None,
        stress_convention: str | None = None,
        config_key: str | None = None,
        weights: Weights = None,
        learning_curve: bool = False,
        checkpoint: PathOrStr | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Fit to structures with energies, forces or stresses, to those that there are.

        Parameters
        ----------
        structures : path, structures or LabelledStructures
            As for :func:`~atomprint.potentials.read_labels`.
        y : ignored
        energy_key, forces_key, stress_key, stress_convention, config_key
            As for :func:`~atomprint.potentials.read_labels`.
        weights : mapping or array, optional
            By which the sigmas of structures are divided: one number, or three for energy, forces and stress, for types
            of configurations (1 for those that are not named), or for each structure. Zero leaves labels out.
        learning_curve : bool
            Whether to find how errors fall with the number of structures, for ``model_.summary["learning_curve"]``:
            those of the first fold, of fits to ever more of the others. It takes about as long as a few trials of the
            choice of sigmas.
        checkpoint : path, optional
            A file to which the work is written now and then; a fit that was killed goes on from there when it is called
            again with the same data and parameters, to the same result. It is removed at the end.
        progress : Progress
            Told what is done.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If the structures, labels, keys or weights are not usable; the message names them.
        NotEnoughMemoryError
            If the fit needs more memory than is left, which is known before it begins.
        """
        self._validate()
        solver = Solver() if self.solver is None else self.solver
        if checkpoint is not None and (Path(checkpoint).is_dir() or not Path(checkpoint).absolute().parent.is_dir()):
            raise ValueError(f"checkpoint must be a file in a folder that is there, got {str(checkpoint)!r}")
        labels = read_labels(
            structures,
            energy_key=energy_key,
            forces_key=forces_key,
            stress_key=stress_key,
            stress_convention=stress_convention,
            config_key=config_key,
        )
        import scipy.linalg  # noqa: F401  # whose library is found by what follows
        from threadpoolctl import threadpool_limits

        # Threads of linear algebra wait for each other in a loop, which takes longer than all else on a busy machine.
        with threadpool_limits(check_n_jobs(self.n_jobs), user_api="blas"):
            told = self._fit(labels, solver, weights, learning_curve, checkpoint, progress)
        for sentence in told:
            warnings.warn(sentence, stacklevel=2)
        return self

    def _fit(
        self,
        labels: LabelledStructures,
        solver: Solver,
        weights: Weights,
        learning_curve: bool,
        checkpoint: PathOrStr | None,
        progress: Progress,
    ) -> list[str]:
        """Do what :meth:`fit` says, and return what there is to warn of."""
        told = list(labels.warnings)
        n_jobs, batch = check_n_jobs(self.n_jobs), labels.structures
        weighed = _weights(weights, labels)
        references = find_references(labels, self.references)
        # Of how atoms behave in structures without labels, such as those with too large forces, nothing is known.
        known = Repulsion.fit(batch.pick(np.flatnonzero(labels.labelled)), species=labels.species, n_jobs=n_jobs)
        core = known if self.repulsion else None
        training = Training(batch, known.species, core.inner if core else {}, solver.random_state, n_jobs)
        terms: list[PreparedTerm] = [term.prepare(training) for term in self._terms()]
        if references.fitted:  # those that are known stay as they are
            terms.append(Constants(references.fitted))
        source = Sum(terms)
        offsets = Offsets(references.energies)
        targets = _targets(labels, [offsets, *([core] if core else [])], weighed, n_jobs)
        folds = solver.folds(labels.config_types, labels.duplicate_of)
        counts = [int(np.isfinite(array).sum()) for array in (targets.energies, targets.forces, targets.stresses)]
        if not any(counts):
            raise ValueError("structures must have energies, forces or stresses: none is known and has a weight")
        n_folds = int(folds.max()) + 1
        needed = memory_needed(source.n_functions, n_folds, counts, int(7 + 3 * batch.n_atoms.max()))
        progress(f"memory: at most {size_of(needed)} for {source.n_functions} functions", 0, None)
        check_memory(needed, source.n_functions, n_folds)
        factors = reduce_rows(
            source,
            batch,
            targets,
            folds,
            random_state=solver.random_state,
            n_jobs=n_jobs,
            progress=progress,
            checkpoint=checkpoint,
            fingerprint="" if checkpoint is None else _fingerprint(source, batch, targets, folds, solver.random_state),
        )
        prior = Prior(source.degrees, scales_of(factors, source.columns), source.priors)
        hyper = solver.choose(factors, prior, progress)
        level, periodic = Level.of(labels), bool(batch.pbc.any())
        if core:
            progress("holes", 0, None)
            always, more = (
                Pool.of(core.pseudo_structures(count, seed, periodic=periodic), core, offsets, level, n_jobs)
                for seed, count in enumerate(pool_sizes(source.n_functions, len(core.species)), solver.random_state)
            )

            def errors(x: FloatArray) -> FloatArray:
                return errors_of(factors, [x] * n_folds)

            solution = solve(factors, prior, hyper)
            typical = held_out_errors(factors, prior, hyper) if n_folds > 1 else errors(solution.coefficients)
            allowed = np.sqrt(errors(solution.coefficients) ** 2 + _COST * typical**2)
            rows = closing_rows(source, solution, errors, allowed, always, more, n_jobs)
            factors.hold(rows)
            # Nor may structures that were left out get worse, of which a fit to few data knows less.
            while n_folds > 1 and rows.size and np.abs(rows).max() > 1e-9:
                if not (held_out_errors(factors, prior, hyper) ** 2 > (1 + 1.5 * _COST) * typical**2).any():
                    break
                rows /= 3
                factors.hold(rows)
        progress("uncertainty", 0, None)
        solution, uncertainty, left_out = calibrated(factors, prior, hyper)
        growing = growing_fits(factors, prior, hyper) if learning_curve and len(left_out) > 1 else []
        factors.forget()
        summary = _summary(labels, references.kind, references.note, source.n_functions)
        self.model_ = Model(
            source, solution.coefficients, references.energies, core, known, hyper, uncertainty, summary
        )
        self.labels_, self.cross_validation_ = labels, None
        if left_out:
            self.cross_validation_ = self._cross_validated(labels, folds, left_out, n_jobs)
            summary["cross_validation"] = _errors(labels, self.cross_validation_)
        if growing:
            summary["learning_curve"] = self._learning_curve(labels, folds, growing, n_jobs)
        summary["coverage"] = dict(zip(KINDS, (c.coverage for c in uncertainty.calibrations), strict=True))
        summary["memory_needed"] = needed
        if core:
            scan = scan_holes(self.model_.parts(), core, level, periodic=periodic, n_jobs=n_jobs)
            summary["holes"] = {"n_crystals": scan.n_crystals, "holes": list(scan.holes), "falling": list(scan.falling)}
            if scan.warning:
                told.append(scan.warning)
        if counts[2] == 0 and batch.pbc.any():
            told.append(_FEW_STRESSES)
        if self.cross_validation_ is not None:
            by_forces = solve_kind(factors, prior, hyper, FORCES).coefficients if counts[1] else None
            told += self._inconsistencies(labels, by_forces, n_jobs)
        summary["notes"], summary["warnings"] = list(labels.notes), told
        return told

    def _learning_curve(
        self, labels: LabelledStructures, folds: npt.NDArray[np.int64], growing: list[FloatArray], n_jobs: int
    ) -> dict[str, Any]:
        """Return the errors for the structures of the first fold, and how many structures each fit has."""
        own = labels.pick(np.flatnonzero(folds == 0))
        batch, errors = own.structures, list[dict[str, Any]]()
        for coefficients in growing:
            found = _totals(batch, evaluate_all(self.model_.parts(coefficients), batch, n_jobs))
            errors.append(_errors(own, CrossValidation(folds[folds == 0], *found)))
        sizes = np.cumsum(np.bincount(folds))[1 : len(growing) + 1] - np.bincount(folds)[0]
        return {"n_structures": sizes.tolist(), "errors": errors}

    def _inconsistencies(self, labels: LabelledStructures, by_forces: FloatArray | None, n_jobs: int) -> list[str]:
        """Return which labels contradict others, by some of the structures."""
        n, left_out = len(labels), self.cross_validation_
        if left_out is None:
            return []
        chosen = np.unique(np.linspace(0, n - 1, min(n, _COMPARED)).astype(np.int64))
        some = labels.pick(chosen)
        batch = some.structures
        atoms, _ = pick(labels.structures.offsets, chosen)
        found = None
        if by_forces is not None:
            found = Found(*_totals(batch, evaluate_all(self.model_.parts(by_forces), batch, n_jobs)))
        return inconsistencies(
            some, Found(left_out.energies[chosen], left_out.forces[atoms], left_out.stresses[chosen]), found
        )

    def _cross_validated(
        self, labels: LabelledStructures, folds: npt.NDArray[np.int64], left_out: list[FloatArray], n_jobs: int
    ) -> CrossValidation:
        batch, model = labels.structures, self.model_
        energies, forces = np.empty(len(batch)), np.empty((len(batch.numbers), 3))
        stresses = np.empty((len(batch), 3, 3))
        of_atom = np.repeat(folds, batch.n_atoms)
        for fold, coefficients in enumerate(left_out):
            own = np.flatnonzero(folds == fold)
            part = batch.pick(own)
            found = _totals(part, evaluate_all(model.parts(coefficients), part, n_jobs))
            energies[own], forces[of_atom == fold], stresses[own] = found
        return CrossValidation(folds, energies, forces, stresses)

    def predict(self, structures: Structures, *, uncertainty: bool = False, n_jobs: int | None = None) -> Prediction:
        """Predict energies, forces and stresses.

        Parameters
        ----------
        structures : structure or sequence of structures
            Of the species of the training data.
        uncertainty : bool
            Whether to return expected errors, which takes longer.
        n_jobs : int, optional
            Number of threads. Default: that of the constructor.

        Returns
        -------
        Prediction

        Warns
        -----
        UserWarning
            Where atoms are nearer to each other than in the training data.

        Raises
        ------
        ValueError, TypeError
            If a structure is not usable, or has a species that the training data do not have.
        """
        model, n_jobs = self._fitted(), check_n_jobs(self.n_jobs if n_jobs is None else n_jobs)
        check_bool("uncertainty", uncertainty)
        batch, single = self._read(structures)
        model.known.warn_closer(batch, n_jobs)
        atom_energies, gradient, strain = evaluate_all(model.parts(), batch, n_jobs)
        energies, forces, stresses = _totals(batch, (atom_energies, gradient, strain))
        found: dict[str, Any] = {
            "energies": energies,
            "forces": list(split(forces, batch.offsets)),
            "stresses": stresses,
            "atom_energies": list(split(atom_energies, batch.offsets)),
        }
        if uncertainty:
            found |= _expected_errors(model, batch, n_jobs)
        if single:
            found = {name: value[0] for name, value in found.items()}
        return Prediction(**found)

    def grades(self, structures: Structures) -> tuple[FloatArray, FloatArray]:
        """Return the expected errors of energies in eV and the grades of extrapolation alone, which is much faster.

        Parameters
        ----------
        structures : structure or sequence of structures
            As for :meth:`predict`.

        Returns
        -------
        errors, grades : ndarray, shape (n_structures,)
            See :class:`Prediction`.
        """
        model, (batch, _) = self._fitted(), self._read(structures)
        sums = np.empty((len(batch), model.terms.n_functions))
        model.terms.sums(batch, sums, check_n_jobs(self.n_jobs))
        return model.uncertainty.of_energies(sums, batch.n_atoms.astype(np.float64))

    def prepare(self, structures: Structures, n_jobs: int | None = None) -> Kept:
        """Make the potential ready for atoms that move: its result has ``evaluate(positions, cells)``.

        Parameters
        ----------
        structures : structure or sequence of structures
            Of which species and the directions that repeat stay as they are.
        n_jobs : int, optional
            Number of threads.
        """
        model, (batch, _) = self._fitted(), self._read(structures)
        return Kept(model.parts(), batch, check_n_jobs(self.n_jobs if n_jobs is None else n_jobs))

    def committee(self, n_members: int = 8, random_state: int = 0) -> list[Self]:
        """Return potentials that the labels hardly tell from this one: their spread says what is not known.

        Parameters
        ----------
        n_members : int
            How many.
        random_state : int
            Seed of the draws.
        """
        model = self._fitted()
        check_integer("n_members", n_members, 1)
        drawn = model.uncertainty.committee(model.coefficients, n_members, random_state)
        members = []
        for coefficients in drawn:
            member = copy(self)
            member.model_ = replace(model, coefficients=coefficients)
            members.append(member)
        return members

    def calculator(self, uncertainty: bool = False, n_jobs: int | None = None) -> PotentialCalculator:
        """Return a calculator of ASE; see :class:`~atomprint.potentials.PotentialCalculator`.

        Parameters
        ----------
        uncertainty : bool
            Whether its results have the expected error of the energy, too.
        n_jobs : int, optional
            Number of threads. Default: that of the constructor.
        """
        return PotentialCalculator(self, uncertainty, n_jobs)

    def score(self, structures: Any, y: Any = None, *, energy_key: Key = None, forces_key: Key = None) -> float:
        """Return the coefficient of determination of forces, or of energies per atom where no forces are known.

        Parameters
        ----------
        structures : path, structures or LabelledStructures
            As for :func:`~atomprint.potentials.read_labels`. Stresses are not looked at.
        y : ignored
        energy_key, forces_key
            As for :func:`~atomprint.potentials.read_labels`.
        """
        labels = read_labels(structures, energy_key=energy_key, forces_key=forces_key, stress_key="")
        batch = labels.structures
        energies, forces, _ = _totals(batch, evaluate_all(self._fitted().parts(), batch, check_n_jobs(self.n_jobs)))
        known = np.isfinite(labels.forces)
        if known.any():
            truth, found = labels.forces[known], forces[known]
        else:
            known = np.isfinite(labels.energies)
            truth, found = (array[known] / batch.n_atoms[known] for array in (labels.energies, energies))
        return float(1 - np.sum((truth - found) ** 2) / np.sum((truth - truth.mean()) ** 2))

    def save(self, path: PathOrStr) -> None:
        """Write the fitted potential to one file, without pickle; :func:`load_potential` reads it.

        Raises
        ------
        TypeError
            If a parameter is something that no file can hold, such as a function.
        OSError
            If the file cannot be written.
        """
        model = self._fitted()
        write_state(path, {"potential": self, "model": model.state()})

    def _fitted(self) -> Model:
        model = getattr(self, "model_", None)
        if model is None:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"{type(self).__name__}: call fit first, or load_potential")
        return cast(Model, model)

    def _read(self, structures: Structures) -> tuple[Batch, bool]:
        """Return structures as a sequence, and whether there was a single one."""
        if isinstance(structures, LabelledStructures):
            return structures.structures, False
        batch = as_batch(structures, periodic=None)
        return batch[:], batch.single

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")


def _totals(batch: Batch, found: Evaluated) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return energies, forces and stresses of what atoms and strain make."""
    volumes = np.abs(np.linalg.det(batch.cells))
    with np.errstate(divide="ignore", invalid="ignore"):
        stresses = np.where((volumes > 0)[:, None, None], found[2] / volumes[:, None, None], np.nan)
    return np.add.reduceat(found[0], batch.offsets[:-1]), -found[1], stresses


def _voigt(matrices: FloatArray) -> FloatArray:
    return np.stack([0.5 * (matrices[:, a, b] + matrices[:, b, a]) for a, b in VOIGT], axis=1)


def _targets(labels: LabelledStructures, fixed: list[Any], weights: FloatArray, n_jobs: int) -> Targets:
    """Return what is to be fitted: the labels without what is fixed, nan where they count nothing."""
    batch = labels.structures
    energies, forces, stresses = _totals(batch, evaluate_all(fixed, batch, n_jobs))
    volumes = np.abs(np.linalg.det(batch.cells))
    targets = [labels.energies - energies, labels.forces - forces, _voigt(labels.stresses - stresses)]
    for kind, array in enumerate(targets):
        none = weights[:, kind] == 0
        array[np.repeat(none, batch.n_atoms) if kind == 1 else none] = np.nan
    return Targets(targets[0], targets[1], targets[2], weights, np.where(volumes > 0, volumes, 1.0))


def _weights(given: Weights, labels: LabelledStructures) -> FloatArray:
    """Return three weights for each structure, checked."""
    n = len(labels)
    found = np.ones((n, 3))
    if given is None:
        return found
    if isinstance(given, Mapping):
        known = sorted(set(labels.config_types))
        for name, weight in given.items():
            if name not in known:
                raise ValueError(f"weights: there is no type of configuration {name!r}, only {', '.join(known)}")
            own = np.asarray(weight, dtype=np.float64)
            if own.shape not in ((), (3,)):
                raise ValueError(f"weights: one number or three must be given for {name!r}, got {weight!r}")
            found[[kind == name for kind in labels.config_types]] = own
    else:
        array = np.asarray(given, dtype=np.float64)
        if array.shape not in ((n,), (n, 3)):
            raise ValueError(f"weights must have shape ({n},) or ({n}, 3), got {array.shape}")
        found[:] = array[:, None] if array.ndim == 1 else array
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError(f"weights must be finite and >= 0, got {found[~(np.isfinite(found) & (found >= 0))][0]}")
    return found


def _expected_errors(model: Model, batch: Batch, n_jobs: int) -> dict[str, Any]:
    """Return what an uncertainty says of structures, by the names of :class:`Prediction`."""
    n, width = len(batch), model.terms.n_functions
    forces = np.empty((len(batch.numbers), 3))
    energies, grades, stresses = np.empty(n), np.empty(n), np.full((n, 3, 3), np.nan)
    volumes = np.abs(np.linalg.det(batch.cells))
    for start, stop in chunks(row_offsets(batch), _ROWS):
        part = batch[start:stop]
        offsets = row_offsets(part)
        rows = np.empty((int(offsets[-1]), width))
        model.terms.rows(part, rows, n_jobs)
        sums = rows[offsets[:-1]]
        energies[start:stop], grades[start:stop] = model.uncertainty.of_energies(sums, part.n_atoms.astype(np.float64))
        of_structure = np.repeat(np.arange(stop - start), np.diff(offsets))
        place = np.arange(len(rows)) - offsets[of_structure]
        of_stress = place >= (np.diff(offsets) - 6)[of_structure]
        own = slice(int(batch.offsets[start]), int(batch.offsets[stop]))
        forces[own] = model.uncertainty.of_forces(rows[(place > 0) & ~of_stress]).reshape(-1, 3)
        for k in np.flatnonzero(volumes[start:stop] > 0):
            six = rows[offsets[k + 1] - 6 : offsets[k + 1]] / volumes[start + k]
            for (a, b), error in zip(VOIGT, model.uncertainty.of_stresses(six), strict=True):
                stresses[start + k, a, b] = stresses[start + k, b, a] = error
    return {
        "energies_std": energies,
        "forces_std": list(split(forces, batch.offsets)),
        "stresses_std": stresses,
        "grades": grades,
    }


def _errors(labels: LabelledStructures, found: CrossValidation) -> dict[str, Any]:
    """Return mean absolute and rms errors of energies per atom, forces and stresses."""
    n_atoms = labels.structures.n_atoms
    errors = {
        "energies": (found.energies - labels.energies) / n_atoms,
        "forces": found.forces - labels.forces,
        "stresses": _voigt(found.stresses - labels.stresses),
    }
    told = {}
    for name, array in errors.items():
        if len(known := array[np.isfinite(array)]):
            told[name] = {"mae": float(np.abs(known).mean()), "rmse": float(np.sqrt((known**2).mean()))}
    return told


def _summary(labels: LabelledStructures, kind: str, note: str, n_functions: int) -> dict[str, Any]:
    """Return what a file says of the training data and of the fit."""
    batch = labels.structures
    types, counts = np.unique(np.array(labels.config_types), return_counts=True)
    per_atom = labels.energies / batch.n_atoms
    known = per_atom[np.isfinite(per_atom)]
    return {
        "units": {"length": "Å", "energy": "eV", "forces": "eV/Å", "stress": "eV/Å^3, positive in tension"},
        "n_structures": len(batch),
        "n_atoms": len(batch.numbers),
        "elements": labels.species,
        "labels": labels.counts,
        "keys": dict(labels.keys),
        "config_types": dict(zip(types.tolist(), counts.tolist(), strict=True)),
        "energy_per_atom": [float(known.min()), float(known.max())] if len(known) else None,
        "references": {"kind": kind, "note": note},
        "n_functions": n_functions,
    }


def _fingerprint(source: Sum, batch: Batch, targets: Targets, folds: npt.NDArray[np.int64], random_state: int) -> str:
    """Return a checksum of all that the rows of a fit follow from."""
    found = hashlib.sha256(str(random_state).encode())

    def add(value: Any) -> None:
        if isinstance(value, np.ndarray):
            found.update(f"{value.dtype} {value.shape}".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, Mapping):
            for key in sorted(value):
                found.update(key.encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            found.update(b"[")
            for inner in value:
                add(inner)
        elif isinstance(value, CheckedParameters):
            add({type(value).__name__: value.get_params(deep=False)})
        else:
            found.update(json.dumps(value, default=str).encode())

    add([tagged(term) for term in source.terms])
    add([*batch.arrays(), *vars(targets).values(), folds])
    return found.hexdigest()


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
