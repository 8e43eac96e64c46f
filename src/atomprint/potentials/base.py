"""Fitted potentials: what all of them share, whatever their energy is made of."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from ase.data import chemical_symbols

from atomprint.potentials.fit import References, fit_terms
from atomprint.potentials.fitted.files import write_state
from atomprint.potentials.fitted.in_short import in_short
from atomprint.potentials.fitted.model import Model
from atomprint.potentials.fitted.prediction import CrossValidation, Prediction, expected_errors
from atomprint.potentials.fitting.solver import Solver
from atomprint.potentials.fitting.weights import Weights
from atomprint.potentials.labels.keys import Key
from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.potentials.labels.reading import read_labels
from atomprint.potentials.simulation.calculator import PotentialCalculator
from atomprint.potentials.terms.sums import Kept, evaluate_all, totals
from atomprint.potentials.terms.term import Term
from atomprint.ragged import split
from atomprint.structures import Batch, Structures, as_batch
from atomprint.util.notebook import card
from atomprint.util.parameters import CheckedParameters
from atomprint.util.progress import Progress, silent
from atomprint.util.types import FloatArray, PathOrStr
from atomprint.util.validation import check_bool, check_integer, check_n_jobs


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
    cross_validation_: CrossValidation | None
    labels_: LabelledStructures

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
            found = fit_terms(
                self._terms(),
                labels,
                solver,
                references=self.references,
                repulsion=self.repulsion,
                weights=weights,
                learning_curve=learning_curve,
                checkpoint=checkpoint,
                n_jobs=check_n_jobs(self.n_jobs),
                progress=progress,
            )
        self.model_, self.cross_validation_, self.labels_ = found.model, found.cross_validation, labels
        for sentence in found.warnings:
            warnings.warn(sentence, stacklevel=2)
        return self

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
        energies, forces, stresses = totals(batch, (atom_energies, gradient, strain))
        found: dict[str, Any] = {
            "energies": energies,
            "forces": list(split(forces, batch.offsets)),
            "stresses": stresses,
            "atom_energies": list(split(atom_energies, batch.offsets)),
        }
        if uncertainty:
            found |= expected_errors(model, batch, n_jobs)
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
        energies, forces, _ = totals(batch, evaluate_all(self._fitted().parts(), batch, check_n_jobs(self.n_jobs)))
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

    def _repr_html_(self) -> str:
        if not self.__sklearn_is_fitted__():
            return card(repr(self))
        return card(f"Potential of {', '.join(chemical_symbols[z] for z in self.model_.species)}", self.in_short())

    def in_short(self) -> Iterator[tuple[str, str]]:
        """Yield what a person wants to know of a fitted potential, in ten lines: what each is about, and a text."""
        return in_short(type(self).__name__, self._fitted())

    def _repr_mimebundle_(self, **given: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

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
