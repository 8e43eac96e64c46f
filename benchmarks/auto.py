"""How far `recipe = "auto"` is from the best recipe by hand, on parts of public data sets.

    python benchmarks/auto.py --data ../shared/data [--sets expt_gap perovskites ...] [--size 800] [--seed 0]

Of each data set as many samples as asked for are drawn to learn from, and as many others, at most, to be tested on.
Rivals of auto are single models of the features that it chooses (kernel ridge, randomised trees, a residual network,
boosting), the mean of kernel ridge and the network, and the recipe by hand that comes with atomprint or stands in
`accuracy/`. The figure is the mean absolute error of the test samples, for classes 1 - balanced accuracy. The ratio is
that of auto to the best rival, which these very test samples have found: a perfect choice beforehand would be a little
above 1 on average. Seconds are CPU time of the fit of auto.
"""

from __future__ import annotations

import argparse
import lzma
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from sklearn.metrics import balanced_accuracy_score

from atomprint.datasets import Dataset, Target, load, read_dataset
from atomprint.learn import Features, Problem, Split, make_model
from atomprint.learn.evaluation.evaluate import fit_estimator, predict
from atomprint.learn.evaluation.nested_choice import Candidate, choose
from atomprint.workflow import Recipe
from atomprint.workflow.recipes.completion import complete
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.runs.describe import describe

HERE = Path(__file__).parent
RECIPES = HERE.parent / "src/atomprint/workflow/recipes"

# Data -----------------------------------------------------------------------------------------------------------------

Reader = Callable[[Path], tuple[Dataset, str]]


def matbench(name: str, file: str) -> Reader:
    """Return a reader of a task of Matbench."""

    def reader(folder: Path) -> tuple[Dataset, str]:
        dataset = load(name, path=folder / "matbench" / file)
        return dataset, next(iter(dataset.targets))

    return reader


def crystals(file: str, target: str) -> Reader:
    """Return a reader of crystals of the Materials Project."""
    return lambda folder: (read_dataset(folder / "mp" / file, structure="cif", targets=target), target)


def oqmd(file: str, target: str) -> Reader:
    """Return a reader of compounds ABX3, without the few energies that no such crystal can have."""

    def reader(folder: Path) -> tuple[Dataset, str]:
        own = folder / "oqmd_abx3"
        dataset = read_dataset(own / "OQMD_cif.tar.xz", table=own / file, targets=target)
        if target == "formation_energy":
            dataset = dataset.take(np.flatnonzero(dataset.targets[target].values < 5))
        return dataset, target

    return reader


def qm7(folder: Path) -> tuple[Dataset, str]:
    """Return atomisation energies of molecules."""
    return read_dataset(folder / "qm7/qm7_xyz.tar.xz", table=folder / "qm7/hof_qm7.txt", targets="1"), "1"


def qm7_per_atom(folder: Path) -> tuple[Dataset, str]:
    """Return the same divided by the number of atoms, which is no sum over them any more."""
    dataset, target = qm7(folder)
    values = dataset.targets[target].values / dataset.n_atoms
    return replace(dataset, targets={target: Target(values, "kcal/mol", "Energy per atom", "")}), target


def indium_phosphide(folder: Path) -> tuple[Dataset, str]:
    """Return energies per atom of cells of InP, with displaced atoms and defects."""
    found: list[Any] = []
    for part in ("train", "test"):
        with lzma.open(folder / f"potentials/inp2020_{part}.extxyz.xz", "rt") as file:
            found += read(file, index=":", format="extxyz")
    values = np.array([atoms.info["REF_energy"] / len(atoms) for atoms in found])
    plain = [Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True) for atoms in found]
    target = Target(values, "eV/atom", "Energy", "")
    return Dataset("InP", "InP", plain, tuple(map(str, range(len(found)))), {"energy": target}, "", ""), "energy"


# A reader, and the recipe by hand for such data.
SETS: Mapping[str, tuple[Reader, Path | None]] = {
    "expt_gap": (matbench("matbench_expt_gap", "matbench_expt_gap.json.gz"), RECIPES / "matbench_expt_gap.toml"),
    "mp_e_form": (
        matbench("matbench_mp_e_form", "mp_e_form.compositions.json.bz2"),
        RECIPES / "matbench_mp_e_form.toml",
    ),
    "mp_is_metal": (
        matbench("matbench_mp_is_metal", "mp_is_metal.compositions.json.bz2"),
        RECIPES / "matbench_mp_is_metal.toml",
    ),
    "perovskites": (
        matbench("matbench_perovskites", "matbench_perovskites.json.gz"),
        RECIPES / "matbench_perovskites.toml",
    ),
    "biternary, energy": (
        crystals("mp_20_biternary_val.csv.gz", "formation_energy_per_atom"),
        HERE / "accuracy/crystals_eform_structure.toml",
    ),
    "biternary, gap": (
        crystals("mp_20_biternary_val.csv.gz", "band_gap"),
        HERE / "accuracy/crystals_gap_structure.toml",
    ),
    "mpts_52": (
        crystals("mpts_52_val.csv.gz", "formation_energy_per_atom"),
        None,
    ),
    "OQMD, energy": (oqmd("oqmd_fm.csv", "formation_energy"), None),
    "OQMD, gap": (oqmd("oqmd_bg.csv", "band_gap"), None),
    "InP": (indium_phosphide, None),
    "QM7": (qm7, HERE / "accuracy/qm7_soap.toml"),
    "QM7, per atom": (qm7_per_atom, None),
}

# Models ---------------------------------------------------------------------------------------------------------------


def planned(tables: Mapping[str, Any], dataset: Dataset, target: str) -> Plan:
    """Return the plan of a recipe, whose data and split are of no account, for a data set."""
    own = {name: tables[name] for name in ("features", "models") if name in tables}
    given = {"data": {"path": "unused", "target": target}, "split": {"test_size": 0.5, "n_folds": 0}, "n_jobs": 1}
    return Plan.on(complete(Recipe.from_dict({**given, **own}), dataset)[0], dataset)


def predicted(model: Any, features: Features, problem: Problem, split: Split) -> np.ndarray:
    """Return what a model fitted to the training part predicts for the test part."""
    fitted = fit_estimator(model, features, problem, split, split.train)
    return predict(fitted, features, problem, split.train, split.test).values


def of_recipe(plan: Plan, split: Split) -> tuple[Plan, Features, np.ndarray, float]:
    """Return the features of a recipe, what its model (the better one of several) predicts, and seconds of that."""
    plan, features, _ = describe(plan)
    begin, models = process_time(), dict(plan.models)
    if len(models) > 1:
        candidates = [Candidate(features[-1], name, model) for name, model in models.items()]
        _, best = choose(candidates, plan.problem, split).best
        models = {best: models[best]}
    values = predicted(next(iter(models.values())), features[-1], plan.problem, split)
    return plan, features[-1], values, process_time() - begin


def rivals(plan: Plan, features: Features, split: Split) -> Iterator[tuple[str, np.ndarray]]:
    """Yield single models of the features of auto, with its settings where it has them, and what they predict."""
    problem, known = plan.problem, {}
    for key, section in plan.recipe.models.items():
        entry = {"type": key, **section.parameters}
        for member in entry.get("members", [entry]):
            options = {"type": member} if isinstance(member, str) else dict(member)
            known[options.pop("type")] = options
    small = known.get("extra_trees", {}).get("blocks")
    if problem.kind == "classification":
        names = ["extra_trees", "hist_gradient_boosting", "resnet"]
    else:
        names = ["kernel_ridge", "extra_trees", "resnet"]
    found = {}
    for name in names:
        fallback = {"blocks": small} if small and name != "kernel_ridge" else {}
        model = make_model(name, problem.kind, random_state=0, **known.get(name, fallback))
        found[name] = predicted(model, features, problem, split)
        yield name, found[name]
    if problem.kind == "regression":
        yield "kernel ridge + network", (found["kernel_ridge"] + found["resnet"]) / 2


def figure(problem: Problem, split: Split, values: np.ndarray) -> float:
    """Return the mean absolute error, or 1 - balanced accuracy."""
    truth = problem.y[split.test]
    if problem.kind == "classification":
        return float(1 - balanced_accuracy_score(truth, values))
    return float(np.abs(values - truth).mean())


def row(name: str, folder: Path, size: int, seed: int, only_auto: bool) -> str:
    """Return the row of a data set."""
    reader, by_hand = SETS[name]
    dataset, target = reader(folder)
    dataset = dataset.take(np.random.default_rng(seed).permutation(len(dataset))[: 2 * size])
    split = Split(np.arange(size), np.arange(size, len(dataset)), (), seed)
    plan, features, values, seconds = of_recipe(planned({}, dataset, target), split)
    problem, auto = plan.problem, figure(plan.problem, split, values)
    cells = [name, f"{auto:.4g}"]
    if not only_auto:
        others = {rival: figure(problem, split, values) for rival, values in rivals(plan, features, split)}
        if by_hand is not None:
            _, _, values, _ = of_recipe(planned(tomllib.loads(by_hand.read_text()), dataset, target), split)
            others["recipe"] = figure(problem, split, values)
        best = min(others, key=others.__getitem__)
        cells += [f"{others[rival]:.4g}" if rival in others else "–" for rival in RIVALS]
        cells += [best.replace("_", " "), f"{auto / others[best]:.2f}"]
    return "| " + " | ".join([*cells, f"{seconds:.0f}"]) + " |"


RIVALS = ("kernel_ridge", "extra_trees", "resnet", "hist_gradient_boosting", "kernel ridge + network", "recipe")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, a row when it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), metavar="SET")
    parser.add_argument("--size", type=int, default=800, help="how many samples to learn from")
    parser.add_argument("--seed", type=int, default=0, help="seed of their drawing")
    parser.add_argument("--only-auto", action="store_true", help="without the rivals")
    options = parser.parse_args(arguments)
    heads = ["data", "auto", *([] if options.only_auto else [*RIVALS, "best rival", "ratio"]), "seconds"]
    print("| " + " | ".join(head.replace("_", " ") for head in heads) + " |")
    print("|---|" + "---:|" * (len(heads) - 1))
    for name in options.sets:
        print(row(name, options.data, options.size, options.seed, options.only_auto), flush=True)


if __name__ == "__main__":
    main()
