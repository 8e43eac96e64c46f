"""What distributions, patterns and statistics of crystals are worth in ``recipe = "auto"``, on small data.

    python benchmarks/accuracy/auto_structural.py --data ../shared/data [--computed computed.extxyz] [--size 240]

The automatic recipe is taken as it is, and with two more members of its ensemble: randomised trees that see
``StructureStatistics`` and ``SpaceGroup`` beside what its own trees see, and trees that also see the pattern of X-rays
and the distributions of distances and angles. Weights of members are found within each training part, where members
that do not help get none: this is the nested choice. Both are tested on the same folds. ``computed.extxyz`` is made by
``computed_labels.py``; the moduli of the elements are those of ASE's collection ``dcdft`` (WIEN2k).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from ase import Atoms
from ase.collections import dcdft
from ase.io import read

from atomprint.datasets import Dataset, Target, read_dataset
from atomprint.learn import Split
from atomprint.learn.evaluation.evaluate import fit_estimator, predict
from atomprint.workflow import Recipe, auto_recipe
from atomprint.workflow.recipes.completion import complete
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.runs.describe import describe

N_FOLDS = 4
STATISTICS: Mapping[str, Mapping[str, Any]] = {
    "statistics": {"type": "StructureStatistics"},
    "symmetry": {"type": "SpaceGroup"},
}
CURVES: Mapping[str, Mapping[str, Any]] = {
    "pattern": {"type": "PowderDiffraction", "two_theta": [10, 80], "n": 71, "fwhm": 2.0},
    "radial": {"type": "RadialDistribution", "r_cut": 7.0, "n": 35, "sigma": 0.2, "partial": False},
    "angles": {"type": "AngularDistribution", "r_cut": 4.0, "n": 18, "sigma": 8.0, "partial": False},
}


def table(file: str, target: str) -> Callable[[argparse.Namespace], Dataset]:
    """Return a reader of crystals of the Materials Project."""
    return lambda options: read_dataset(options.data / "mp" / file, structure="cif", targets=target)


def oqmd(options: argparse.Namespace) -> Dataset:
    """Return compounds ABX3 with their gaps."""
    folder = options.data / "oqmd_abx3"
    return read_dataset(folder / "OQMD_cif.tar.xz", table=folder / "oqmd_bg.csv", targets="band_gap")


def made(name: str, structures: list[Atoms], values: list[float], unit: str) -> Dataset:
    """Return a data set of structures in memory."""
    plain = [Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True) for atoms in structures]
    target = Target(np.array(values), unit, name, "")
    return Dataset(name, name, plain, tuple(map(str, range(len(plain)))), {"y": target}, "", "")


def elements(options: argparse.Namespace) -> Dataset:
    """Return crystals of the elements with the logarithm of their bulk moduli."""
    values = [np.log10(dcdft.data[name]["wien2k_B"]) for name in dcdft.names]
    return made("bulk moduli of elements", [dcdft[name] for name in dcdft.names], values, "log10(GPa)")


def computed(label: str, of: Callable[[float], float], unit: str) -> Callable[[argparse.Namespace], Dataset]:
    """Return a reader of what ``computed_labels.py`` has written."""

    def reader(options: argparse.Namespace) -> Dataset:
        found = read(options.computed, index=":")
        return made(label, found, [float(of(atoms.info[label])) for atoms in found], unit)

    return reader


SETS: Mapping[str, Callable[[argparse.Namespace], Dataset]] = {
    "bulk modulus of elements, log10 GPa": elements,
    "bulk modulus, log10 GPa": computed("bulk_modulus", np.log10, "log10(GPa)"),
    "shear modulus, log10 GPa": computed("shear_modulus", np.log10, "log10(GPa)"),
    "highest frequency, THz": computed("frequency", float, "THz"),
    "band gap, eV": table("mp_20_biternary_test.csv.gz", "band_gap"),
    "formation energy, eV/atom": table("mp_20_biternary_test.csv.gz", "formation_energy_per_atom"),
    "formation energy to 52 atoms, eV/atom": table("mpts_52_val.csv.gz", "formation_energy_per_atom"),
    "band gap of ABX3, eV": oqmd,
}


def errors(tables: Mapping[str, Any], dataset: Dataset, target: str, splits: list[Split]) -> list[np.ndarray]:
    """Return the absolute errors of the test part of each split."""
    given = {"data": {"path": "unused", "target": target}, "split": {"test_size": 0.5, "n_folds": 0}, "n_jobs": 1}
    plan = Plan.on(complete(Recipe.from_dict({**given, **tables}), dataset)[0], dataset)
    plan, features, _ = describe(plan)
    (model,) = plan.models.values()
    found = []
    for split in splits:
        fitted = fit_estimator(model, features[-1], plan.problem, split, split.train)
        values = predict(fitted, features[-1], plan.problem, split.train, split.test).values
        found.append(np.abs(values - plan.problem.y[split.test]))
    return found


def with_more(recipe: Any) -> dict[str, Any]:
    """Return the tables of an automatic recipe with two more members."""
    features = {key: dict(entry) for key, entry in recipe.features.items()} | {**STATISTICS, **CURVES}
    joined = features.pop("all")
    features["all"] = {**joined, "join": [*joined["join"], *STATISTICS, *CURVES]}
    ensemble = recipe.models["ensemble"]
    trees = next(member for member in ensemble["members"] if member["type"] == "extra_trees")
    more = [{**trees, "blocks": [*trees["blocks"], *new]} for new in (STATISTICS, {**STATISTICS, **CURVES})]
    return {"features": features, "models": {"ensemble": {**ensemble, "members": [*ensemble["members"], *more]}}}


def main() -> None:
    """Print the table, a row when it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--computed", type=Path, help="what computed_labels.py has written")
    parser.add_argument("--size", type=int, default=240, help="the most samples of a set")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), metavar="SET")
    options = parser.parse_args()
    print("| MAE of | samples | auto | with them | ratio | difference | seconds |\n|---|---:|---:|---:|---:|---:|---:|")
    for name, reader in SETS.items():
        if (options.sets and name not in options.sets) or (options.computed is None and "modulus," in name):
            continue
        dataset, begin = reader(options), process_time()
        target = next(iter(dataset.targets))
        known = np.flatnonzero(np.isfinite(np.asarray(dataset.targets[target].values, dtype=float)))
        rng = np.random.default_rng(0)
        dataset = dataset.take(rng.permutation(known)[: options.size])
        folds = np.array_split(rng.permutation(len(dataset)), N_FOLDS)
        splits = [
            Split(np.sort(np.concatenate(folds[:k] + folds[k + 1 :])), np.sort(folds[k]), (), 0) for k in range(N_FOLDS)
        ]
        recipe = auto_recipe(dataset, target)
        plain = {"features": dict(recipe.features), "models": dict(recipe.models)}
        without, given = (
            np.concatenate(errors(tables, dataset, target, splits)) for tables in (plain, with_more(recipe))
        )
        gain, mean = given - without, without.mean()
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        figures = f"{mean:.4g} | {given.mean():.4g} | {given.mean() / mean:.3f} | {gain.mean():+.2g} ± {error:.1g}"
        print(f"| {name} | {len(dataset)} | {figures} | {process_time() - begin:.0f} |", flush=True)


if __name__ == "__main__":
    main()
