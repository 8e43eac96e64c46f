"""atomprint's potentials in a process of their own (``worker.py``): fits, what uncertainties see, holes, and steps."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write
from potential_data import GPA, Run, errors, silicon, steps_of
from potential_lattices import dense_crystals

from atomprint import potentials
from atomprint.potentials import LabelledStructures, load_potential, read_labels, relax

_WITHIN = 1.6448536269514722  # standard deviations: 90 % of a normal distribution
_MOLTEN = -4.8  # eV an atom: of the data of silicon, those above are of the melt


def split(source: str, test: str | None, folder: str, name: str) -> dict[str, Any]:
    """Write structures to train and to test on as others can read them.

    Without a file to test on, half of the structures are trained on, at most 1000, and as many others tested on.
    """
    labels = read_labels(source)
    if test is None:
        order = np.random.default_rng(0).permutation(len(labels))
        n = min(1000, len(labels) // 2)
        parts = {"train": labels.pick(np.sort(order[:n])), "test": labels.pick(np.sort(order[n : 2 * n]))}
    else:
        parts = {"train": labels, "test": read_labels(test)}
    written = {}
    for part, own in parts.items():
        structures = []
        for s, atoms in enumerate(own.structures):
            atoms.info["REF_energy"] = float(own.energies[s])
            atoms.arrays["REF_forces"] = own.forces[own.structures.offsets[s] : own.structures.offsets[s + 1]]
            if own.volumes[s] and np.isfinite(own.stresses[s]).all():
                atoms.info["REF_stress"] = own.stresses[s]
            structures.append(atoms)
        written[part] = str(Path(folder, f"{name}_{part}.extxyz"))
        write(written[part], structures, format="extxyz")
    return written


def _errors(labels: LabelledStructures, found: Any) -> dict[str, float]:
    """Return the errors of predictions."""
    offsets = labels.structures.offsets
    known = {
        "energy": labels.energies.tolist(),
        "forces": [labels.forces[a:b] for a, b in pairwise(offsets)],
        "stress": list(labels.stresses) if np.isfinite(labels.stresses).all() else [None],
    }
    return errors(known, found.energies, found.forces, found.stresses)


def fit(case: dict[str, Any], train: str, test: str, folder: str) -> dict[str, Any]:
    """Fit with what is default, but for what the case says; the model is kept in the folder."""
    from worker import current_memory, peak_memory, reset_peak

    labels = read_labels(train)
    if case["every"] > 1:
        labels = labels.pick(np.arange(0, len(labels), case["every"]))
    potential = getattr(potentials, case["model"])(**case["options"])
    before = current_memory()
    was_reset = reset_peak()
    start = time.process_time()
    potential.fit(labels)
    seconds = time.process_time() - start
    peak = peak_memory()
    potential.save(Path(folder, f"{case['name']}.npz"))
    known = read_labels(test)
    summary = potential.model_.summary
    left_out = summary.get("cross_validation", {})
    scales = {"energies": 1e3, "forces": 1.0, "stresses": GPA}
    return {
        "test": _errors(known, potential.predict(known)),
        "cross-validation": {name: scale * left_out[name]["mae"] for name, scale in scales.items() if name in left_out},
        "functions": len(potential.model_.coefficients),
        "structures": len(labels),
        "seconds": seconds,
        "peak": peak if was_reset else None,
        "before": before,
        "estimate": summary.get("memory_needed"),
        "warnings": list(summary.get("warnings", ())),
    }


def doubt(case: dict[str, Any], train: str, test: str) -> dict[str, Any]:
    """Leave out every fourth structure and all of a kind; compare errors with expected ones, and look for strangers."""
    from sklearn.metrics import roc_auc_score

    labels, tested = read_labels(train), read_labels(test)
    kinds = [_kinds(labels, case["without"]), _kinds(tested, case["without"])]
    place = np.arange(len(labels))
    kept = labels.pick(place[~kinds[0] & (place % 4 != 3)][:: case["every"]])
    start = time.process_time()
    potential = potentials.LinearACE(**case["options"]).fit(kept)
    seconds = time.process_time() - start
    alike = [labels.pick(place[~kinds[0] & (place % 4 == 3)]), tested.pick(np.flatnonzero(~kinds[1]))]
    found = [potential.predict(own, uncertainty=True) for own in alike]
    result = {"seconds": seconds, "structures": len(kept), "alike": sum(map(len, alike))}
    result["coverage"] = _coverage(alike, found)
    if case["without"]:
        strangers = labels.pick(np.flatnonzero(kinds[0]))
        other = potential.predict(strangers, uncertainty=True)
        grades = np.concatenate([*(own.grades for own in found), other.grades])
        is_other = np.repeat([0, 1], [result["alike"], len(strangers)])
        result |= {"strangers": len(strangers), "auc": float(roc_auc_score(is_other, grades))}
        result["beyond"] = float(np.mean(other.grades > 1))  # are told to be beyond the data
        result["alike beyond"] = float(np.mean(grades[: result["alike"]] > 1))
        per_atom = 1e3 * np.abs(other.energies - strangers.energies) / strangers.structures.n_atoms
        far = np.concatenate([np.zeros(result["alike"], bool), per_atom > 1])
        if far.any():  # strangers that are predicted well need not be told
            chosen = far | (is_other == 0)
            result["auc of errors above 1 meV"] = float(roc_auc_score(far[chosen], grades[chosen]))
    return result


def _kinds(labels: LabelledStructures, without: str) -> np.ndarray:
    """Return which structures are of the type that is left out."""
    if without == "melts":
        molten: np.ndarray = labels.energies / labels.structures.n_atoms > _MOLTEN
        return molten
    return np.array([bool(without) and kind == without for kind in labels.config_types])


def _coverage(labels: list[LabelledStructures], found: list[Any]) -> dict[str, float]:
    """Return the shares of errors that are within what 90 % should be."""
    apart: dict[str, list[np.ndarray]] = {"energies": [], "forces": [], "stresses": []}
    for known, own in zip(labels, found, strict=True):
        for name, got, std, truth in (
            ("energies", own.energies, own.energies_std, known.energies),
            ("forces", np.concatenate(own.forces), np.concatenate(own.forces_std), known.forces),
            ("stresses", own.stresses, own.stresses_std, known.stresses),
        ):
            apart[name].append((np.abs(got - truth) / std).ravel())
    shares = {}
    for name, ratios in apart.items():
        known_ones = np.concatenate(ratios)
        known_ones = known_ones[np.isfinite(known_ones)]
        if len(known_ones):
            shares[name] = float(np.mean(known_ones <= _WITHIN))
    return shares


def holes(model: str, crystal: tuple[str, str, float], folder: str, count: int = 400) -> dict[str, Any]:
    """Count dense crystals of other lattices that lie below the ground state."""
    potential = load_potential(Path(folder, f"{model}.npz"))
    formula, kind, a = crystal
    ground = relax(potential, bulk(formula, kind, a=a), fmax=1e-4).atoms
    lowest = ground.get_potential_energy() / len(ground)
    dense = dense_crystals(ground, count)
    found = potential.predict([atoms for _, atoms in dense])
    above = found.energies / [len(atoms) for _, atoms in dense] - lowest
    below = np.flatnonzero(~(above >= 0))
    return {
        "count": count,
        "below": len(below),
        "lowest": float(above.min()),
        "of": sorted({dense[k][0] for k in below}),
        "fit warns": [text for text in potential.model_.summary.get("warnings", ()) if "hole" in text],
    }


def step(model: str, n_cells: int, folder: str, way: str) -> tuple[Run, int]:
    """Return a step with the calculator, or (``way="prepared"``) of atoms whose neighbours are kept."""
    potential = load_potential(Path(folder, f"{model}.npz"))
    if way == "calculator":
        return steps_of(potential.calculator(), n_cells)
    atoms, positions = silicon(n_cells)
    if way == "one atom":  # of which nothing but the call itself takes time
        atoms = Atoms("Si", positions=[[0, 0, 0]])
        positions = positions[:, :1] * 0.0 + np.linspace(0, 0.01, len(positions))[:, None, None]
    kept, cells = potential.prepare([atoms]), atoms.cell.array[None]
    at = 0

    def run() -> None:
        nonlocal at
        at += 1
        kept.evaluate(positions[at % len(positions)], cells)

    return run, len(atoms)
