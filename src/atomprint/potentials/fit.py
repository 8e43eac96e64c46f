"""One fit: from labelled structures and terms to a model, with all that is chosen, closed, calibrated and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from atomprint import _core
from atomprint.potentials.fitted.model import Model
from atomprint.potentials.fitted.prediction import CrossValidation
from atomprint.potentials.fitting.factors import (
    ENERGY,
    FORCES,
    KINDS,
    Factors,
    Targets,
    check_memory,
    memory_needed,
    reduce_rows,
)
from atomprint.potentials.fitting.learning_curve import growing_fits
from atomprint.potentials.fitting.left_out import leave_out
from atomprint.potentials.fitting.prior import Prior
from atomprint.potentials.fitting.shares import shared_rows
from atomprint.potentials.fitting.solver import Solver, left_out_fits, scales_of, solve, solve_kinds
from atomprint.potentials.fitting.uncertainty import Judged, calibrated, draws
from atomprint.potentials.fitting.weights import Weights, checked_weights
from atomprint.potentials.labels.consistency import Found, inconsistencies
from atomprint.potentials.labels.labelled import LabelledStructures
from atomprint.potentials.labels.references import find_references
from atomprint.potentials.labels.shears import other_order
from atomprint.potentials.labels.units import other_units
from atomprint.potentials.short_range.closing import close_holes, memory_of_closing
from atomprint.potentials.short_range.level import Level
from atomprint.potentials.short_range.pseudo import PseudoData
from atomprint.potentials.short_range.repulsion import Repulsion
from atomprint.potentials.short_range.scan import scan_holes
from atomprint.potentials.terms.sums import Constants, Offsets, Sum, evaluate_all, totals
from atomprint.potentials.terms.term import PreparedTerm, Term, Training, voigt
from atomprint.ragged import pick
from atomprint.structures import Batch
from atomprint.util.environment import versions
from atomprint.util.memory import size_of
from atomprint.util.parameters import CheckedParameters
from atomprint.util.progress import Progress, silent
from atomprint.util.registry import path_of, version_of
from atomprint.util.types import FloatArray, Indices, PathOrStr

References: TypeAlias = Mapping[str | int, float] | str | None
"""Energies of single atoms in eV by element, ``"fitted"``, or None; :func:`~atomprint.potentials.find_references`."""

_COMPARED = 300  # structures by which the units of labels are compared
_DRAWS = 4  # of fits to some kinds of labels, for what these know of the others
_WEAK = 0.03
_COMPUTING = ("atomprint", "numpy", "scipy", "system")  # makes the rows and reduces them
_FEW_STRESSES = "no structure has a stress: elastic constants and pressures of this potential are not to be relied upon"


@dataclass(frozen=True)
class Fit:
    """What a fit found.

    Parameters
    ----------
    model : Model
        What was fitted.
    cross_validation : CrossValidation or None
        Predictions by fits without the structures; None where there is one fold.
    warnings : list of str
        What there is to warn of.
    """

    model: Model
    cross_validation: CrossValidation | None
    warnings: list[str]


def fit_terms(
    terms: Sequence[Term],
    labels: LabelledStructures,
    solver: Solver,
    *,
    references: References = None,
    repulsion: bool = True,
    weights: Weights = None,
    learning_curve: bool = False,
    checkpoint: PathOrStr | None = None,
    n_jobs: int = 1,
    progress: Progress = silent,
) -> Fit:
    """Fit the sum of some terms; parameters are those of :class:`~atomprint.potentials.Potential` and its ``fit``."""
    told, notes = [*labels.warnings, *other_units(labels)], [*labels.notes]
    weighed = checked_weights(weights, labels)
    labels = _with_weight(labels, weighed)
    # All that is drawn, folds, sparse points and samples, then is the same, however the structures were shuffled.
    order = labels.by_content
    weighed, labels = weighed[order], labels.pick(order)
    batch = labels.structures
    if not labels.labelled.any():
        raise ValueError("structures must have energies, forces or stresses: none is known and has a weight")
    alone = find_references(labels, references)
    # Of how atoms behave in structures without labels, such as those with too large forces, nothing is known.
    informed = batch.pick(np.flatnonzero(labels.labelled))
    known = Repulsion.fit(informed, species=labels.species, n_jobs=n_jobs)
    core = known if repulsion else None
    if unknown := sorted({*known.species} - {*informed.numbers.tolist()}):
        names = ", ".join(chemical_symbols[z] for z in unknown)
        told.append(f"no structure with {names} has a label that is used: what is predicted of it is arbitrary")
        informed = batch
    training = Training(informed, known.species, core.inner if core else {}, solver.random_state, n_jobs)
    prepared: list[PreparedTerm] = [term.prepare(training) for term in terms]
    if alone.fitted:  # those that are known stay as they are
        prepared.append(Constants(alone.fitted))
    source = Sum(prepared)
    offsets = Offsets(alone.energies)
    targets = _targets(labels, [offsets, *([core] if core else [])], weighed, n_jobs)
    folds = solver.folds(labels.config_types, labels.duplicate_of)
    counts = [int(np.isfinite(array).sum()) for array in (targets.energies, targets.forces, targets.stresses)]
    n_folds = int(folds.max()) + 1
    closing = memory_of_closing(source.n_functions) if core else 0
    needed = memory_needed(source.n_functions, n_folds, counts, int(7 + 3 * batch.n_atoms.max()), closing)
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
    level, periodic = Level.of(labels), bool(batch.pbc.any())
    if level is not None:
        known_energies = evaluate_all([*([core] if core else []), offsets], informed, n_jobs)[0]
        known_energies -= Offsets(level.energies).of(informed)
        factors.hold(
            "shares",
            shared_rows(source, informed, known_energies, random_state=solver.random_state, n_jobs=n_jobs),
        )
    prior = Prior(source.degrees, scales_of(factors, source.columns), source.priors)
    hyper = solver.choose(factors, prior, progress)
    if core:
        progress("holes", 0, None)
        pseudo = PseudoData(core, offsets, level, informed, n_jobs)
        notes += close_holes(source, factors, prior, hyper, pseudo, seed=solver.random_state, n_jobs=n_jobs)
    progress("uncertainty", 0, None)
    left_out = left_out_fits(factors, prior, hyper) if n_folds > 1 else []
    solution = solve(factors, prior, hyper)
    each = leave_out(
        source,
        batch,
        targets,
        labels.duplicate_of,
        folds,
        solution,
        hyper,
        random_state=solver.random_state,
        n_jobs=n_jobs,
    )
    uncertainty, judged = calibrated(solution, hyper, factors.samples[ENERGY], each)
    growing = growing_fits(factors, prior, hyper) if learning_curve and len(left_out) > 1 else []
    factors.forget()
    summary = _summary(labels, alone.kind, alone.note, source.n_functions)
    model = Model(source, solution.coefficients, alone.energies, core, known, hyper, uncertainty, summary)
    cross_validation = None
    if left_out:
        cross_validation = _cross_validated(model, labels, folds, left_out, judged, n_jobs)
        summary["cross_validation"] = _errors(labels, cross_validation)
    if growing:
        summary["learning_curve"] = _learning_curve(model, labels, folds, growing, n_jobs)
    summary["coverage"] = dict(zip(KINDS, (c.coverage for c in uncertainty.calibrations), strict=True))
    summary["judged"] = {kind: own.n_structures for kind, own in zip(KINDS, judged, strict=True) if len(own.errors)}
    summary["memory_needed"] = needed
    if core:
        scan = scan_holes(model.parts(), core, level, periodic=periodic, n_jobs=n_jobs)
        summary["holes"] = {"n_crystals": scan.n_crystals, "holes": list(scan.holes), "falling": list(scan.falling)}
        if scan.warning:
            told.append(scan.warning)
    if counts[2] == 0 and batch.pbc.any():
        told.append(_FEW_STRESSES)
    if cross_validation is not None:
        told += _inconsistencies(model, labels, cross_validation, factors, prior, n_jobs)
    summary["notes"], summary["warnings"] = notes, told
    return Fit(model, None if cross_validation is None else _in_order(cross_validation, batch, order), told)


def _learning_curve(
    model: Model, labels: LabelledStructures, folds: npt.NDArray[np.int64], growing: list[FloatArray], n_jobs: int
) -> dict[str, Any]:
    """Return the errors for the structures of the first fold, and how many structures each fit has."""
    own = labels.pick(np.flatnonzero(folds == 0))
    batch, errors = own.structures, list[dict[str, Any]]()
    for coefficients in growing:
        found = totals(batch, evaluate_all(model.parts(coefficients), batch, n_jobs))
        errors.append(_errors(own, CrossValidation(folds[folds == 0], *found)))
    sizes = np.cumsum(np.bincount(folds))[1 : len(growing) + 1] - np.bincount(folds)[0]
    return {"n_structures": sizes.tolist(), "errors": errors}


def _inconsistencies(
    model: Model, labels: LabelledStructures, left_out: CrossValidation, factors: Factors, prior: Prior, n_jobs: int
) -> list[str]:
    """Return which labels contradict others, by some of the structures."""
    n = len(labels)
    chosen = np.unique(np.linspace(0, n - 1, min(n, _COMPARED)).astype(np.int64))
    some = labels.pick(chosen)
    batch = some.structures
    atoms, _ = pick(labels.structures.offsets, chosen)
    # Where labels contradict each other, a strong prior was the best choice for all of them, but is not for some.
    hyper = model.hyperparameters
    hyper = replace(hyper, regularisation=min(hyper.regularisation, _WEAK))
    size = float(np.sqrt(np.nanmean(labels.forces**2))) if factors.counts[FORCES] else 1.0

    def found(kinds: tuple[int, ...]) -> list[Found]:
        part, own = solve_kinds(factors, prior, hyper, kinds), slice(factors.n_columns)
        drawn = [part.coefficients, *(part.coefficients + size * draws(part.triangle[own, own], _DRAWS))]
        return [Found(*totals(batch, evaluate_all(model.parts(x), batch, n_jobs))) for x in drawn]

    without_all = Found(left_out.energies[chosen], left_out.forces[atoms], left_out.stresses[chosen])
    by_forces = found((FORCES,)) if factors.counts[FORCES] else []
    without_stresses = found((ENERGY, FORCES)) if factors.counts.all() else []
    best = (without_stresses or by_forces or [without_all])[0]  # that knows nothing of stresses, if there is one
    if order := other_order(some, best.stresses):
        return [order]
    return inconsistencies(some, without_all, by_forces, without_stresses)


def _cross_validated(
    model: Model,
    labels: LabelledStructures,
    folds: npt.NDArray[np.int64],
    left_out: list[FloatArray],
    judged: tuple[Judged, ...],
    n_jobs: int,
) -> CrossValidation:
    batch = labels.structures
    energies, forces = np.empty(len(batch)), np.empty((len(batch.numbers), 3))
    stresses = np.empty((len(batch), 3, 3))
    of_atom = np.repeat(folds, batch.n_atoms)
    for fold, coefficients in enumerate(left_out):
        own = np.flatnonzero(folds == fold)
        part = batch.pick(own)
        found = totals(part, evaluate_all(model.parts(coefficients), part, n_jobs))
        energies[own], forces[of_atom == fold], stresses[own] = found
    return CrossValidation(folds, energies, forces, stresses, dict(zip(KINDS, judged, strict=True)))


def _in_order(found: CrossValidation, batch: Batch, order: Indices) -> CrossValidation:
    """Return predictions for structures that were put in an order, in the one that they had before."""
    back = np.argsort(order)
    atoms, _ = pick(batch.offsets, back)
    return replace(
        found,
        folds=found.folds[back],
        energies=found.energies[back],
        forces=found.forces[atoms],
        stresses=found.stresses[back],
    )


def _with_weight(labels: LabelledStructures, weights: FloatArray) -> LabelledStructures:
    """Return labels without those of weight zero, which nothing is to be learnt from: neither levels nor references."""
    none = weights == 0
    return replace(
        labels,
        energies=np.where(none[:, 0], np.nan, labels.energies),
        forces=np.where(np.repeat(none[:, 1], labels.structures.n_atoms)[:, None], np.nan, labels.forces),
        stresses=np.where(none[:, 2, None, None], np.nan, labels.stresses),
    )


def _targets(labels: LabelledStructures, fixed: list[Any], weights: FloatArray, n_jobs: int) -> Targets:
    """Return what is to be fitted: the labels without what is fixed."""
    batch = labels.structures
    energies, forces, stresses = totals(batch, evaluate_all(fixed, batch, n_jobs))
    volumes = np.abs(np.linalg.det(batch.cells))
    return Targets(
        labels.energies - energies,
        labels.forces - forces,
        voigt(labels.stresses - stresses),
        weights,
        np.where(volumes > 0, volumes, 1.0),
    )


def _errors(labels: LabelledStructures, found: CrossValidation) -> dict[str, Any]:
    """Return mean absolute and rms errors of energies per atom, forces and stresses."""
    n_atoms = labels.structures.n_atoms
    errors = {
        "energies": (found.energies - labels.energies) / n_atoms,
        "forces": found.forces - labels.forces,
        "stresses": voigt(found.stresses - labels.stresses),
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
    """Return a checksum of all that the rows of a fit follow from, also of what computes them."""
    with open(_core.__file__, "rb") as compiled:
        found = hashlib.file_digest(compiled, "sha256")
    found.update(json.dumps([random_state, *(versions().get(name) for name in _COMPUTING)]).encode())

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
            add({path_of(type(value)): value.get_params(deep=False), "version": version_of(type(value))})
        else:
            found.update(json.dumps(value, default=str).encode())

    add([[path_of(type(term)), version_of(type(term)), term.state()] for term in source.terms])
    add([*batch.arrays(), *vars(targets).values(), folds])
    return found.hexdigest()
