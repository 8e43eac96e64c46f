"""How far `recipe = "auto"` is from the best recipe by hand, on parts of public data sets.

    python benchmarks/auto.py --data ../shared/data [--sets expt_gap perovskites ...] [--size 600] [--seed 0 1]

Of each data set as many samples as asked for are drawn to learn from, and others to be tested on. All learn from the
same samples, and what is chosen is chosen within them. Rivals of auto are single models of the features that it chooses
(kernel ridge, on each resolution where there are several, randomised trees, a residual network, boosting, trees in two
parts where many targets are 0), the mean of kernel ridge and the network, and recipes by hand that come with atomprint
or stand in `accuracy/` (the best of several).
The figure is the mean absolute error of the test samples, for classes 1 - balanced accuracy. The ratio is that of auto
to the best rival, which these very test samples have found: a perfect choice beforehand would be a little above 1 on
average. Seconds are CPU time of the fit of auto.
"""

from __future__ import annotations

import argparse
import lzma
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
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

MANY_ZEROS = 0.2  # share of training targets that are the smallest one, from which on "two_part" is a rival
MANY_FEATURES = 1000  # from which on trees look at a tenth of them at each split
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


def cells(*files: str) -> Reader:
    """Return a reader of energies per atom of cells of one element or compound, with displaced atoms and defects."""

    def reader(folder: Path) -> tuple[Dataset, str]:
        found: list[Any] = []
        for name in files:
            with lzma.open(folder / f"potentials/{name}.extxyz.xz", "rt") as file:
                # The whole text: frames are sought from the front, and going back would unpack all before anew.
                found += read(StringIO(file.read()), index=":", format="extxyz")
        values = np.array([energy_of(atoms) / len(atoms) for atoms in found])
        plain = [Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True) for atoms in found]
        target = Target(values, "eV/atom", "Energy", "")
        return Dataset(
            "cells", "cells", plain, tuple(map(str, range(len(found)))), {"energy": target}, "", ""
        ), "energy"

    return reader


def energy_of(atoms: Atoms) -> float:
    """Return the energy of a cell, whatever the file calls it."""
    return float(atoms.info["REF_energy"] if "REF_energy" in atoms.info else atoms.get_potential_energy())


def zuo(element: str) -> Reader:
    """Return a reader of cells of an element."""
    return cells(f"zuo2020_{element}_train", f"zuo2020_{element}_test")


# A reader, and the recipes by hand for such data.
OF_CELLS = (HERE / "accuracy/cells_energy.toml",)
E_FORM, GAP = (HERE / f"accuracy/crystals_{target}_structure.toml" for target in ("eform", "gap"))
SETS: Mapping[str, tuple[Reader, Sequence[Path]]] = {
    "expt_gap": (matbench("matbench_expt_gap", "matbench_expt_gap.json.gz"), [RECIPES / "matbench_expt_gap.toml"]),
    "mp_e_form": (
        matbench("matbench_mp_e_form", "mp_e_form.compositions.json.bz2"),
        [RECIPES / "matbench_mp_e_form.toml", HERE / "accuracy/crystals_eform_composition.toml"],
    ),
    "mp_is_metal": (
        matbench("matbench_mp_is_metal", "mp_is_metal.compositions.json.bz2"),
        [RECIPES / "matbench_mp_is_metal.toml"],
    ),
    "perovskites": (
        matbench("matbench_perovskites", "matbench_perovskites.json.gz"),
        [RECIPES / "matbench_perovskites.toml"],
    ),
    "biternary, energy": (crystals("mp_20_biternary_val.csv.gz", "formation_energy_per_atom"), [E_FORM]),
    "biternary, gap": (crystals("mp_20_biternary_val.csv.gz", "band_gap"), [GAP]),
    "biternary test, energy": (crystals("mp_20_biternary_test.csv.gz", "formation_energy_per_atom"), [E_FORM]),
    "biternary test, gap": (crystals("mp_20_biternary_test.csv.gz", "band_gap"), [GAP]),
    "mpts_52": (crystals("mpts_52_val.csv.gz", "formation_energy_per_atom"), [E_FORM]),
    "OQMD, energy": (oqmd("oqmd_fm.csv", "formation_energy"), [RECIPES / "matbench_perovskites.toml", E_FORM]),
    "OQMD, gap": (oqmd("oqmd_bg.csv", "band_gap"), [GAP]),
    "QM7": (qm7, [HERE / f"accuracy/qm7_{name}.toml" for name in ("soap", "mbtr")]),
    "QM7, per atom": (qm7_per_atom, []),
    "InP": (cells("inp2020_train", "inp2020_test"), [*OF_CELLS, HERE / "accuracy/cells_energy_spread.toml"]),
    **{element: (zuo(element), OF_CELLS) for element in ("Ni", "Cu", "Li", "Si")},
}

# Models ---------------------------------------------------------------------------------------------------------------


def planned(tables: Mapping[str, Any], dataset: Dataset, target: str, test_size: float) -> Plan:
    """Return the plan of a recipe for a data set, with the same split for all."""
    own = {name: tables[name] for name in ("features", "models") if name in tables}
    given: dict[str, Any] = {
        "data": {"path": "unused", "target": target},
        "split": {"test_size": test_size, "n_folds": 0},
        "n_jobs": 1,
    }
    return Plan.on(complete(Recipe.from_dict({**given, **own}), dataset)[0], dataset)


def predicted(model: Any, features: Features, problem: Problem, split: Split) -> np.ndarray:
    """Return what a model fitted to the training part predicts for the test part."""
    fitted = fit_estimator(model, features, problem, split, split.train)
    return predict(fitted, features, problem, split.train, split.test).values


def of_recipe(plan: Plan) -> tuple[Plan, Features, np.ndarray, float]:
    """Return the features of a recipe, what its model (the better one of several) predicts, and seconds of that."""
    plan, features, _ = describe(plan)
    begin, models = process_time(), dict(plan.models)
    if len(models) > 1:
        candidates = [Candidate(features[-1], name, model) for name, model in models.items()]
        _, best = choose(candidates, plan.problem, plan.split).best
        models = {best: models[best]}
    values = predicted(next(iter(models.values())), features[-1], plan.problem, plan.split)
    return plan, features[-1], values, process_time() - begin


def rivals(plan: Plan, features: Features, without: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield single models of the features of auto, with its settings where it has them, and what they predict."""
    problem, split, known = plan.problem, plan.split, {}
    for key, section in plan.recipe.models.items():
        entry = {"type": key, **section.parameters}
        for member in entry.get("members", [entry]):
            options = {"type": member} if isinstance(member, str) else dict(member)
            kind = options.pop("type")
            name = options.pop("name", kind)
            known[name] = {"name": kind, **options}
    kernels = [name for name in known if name.startswith("kernel_ridge")] or ["kernel_ridge"]
    finest = known.get(kernels[0], {}).get("blocks") if len(kernels) > 1 else None
    small = known.get("extra_trees", {}).get("blocks")
    if problem.kind == "classification":
        names = ["extra_trees", "hist_gradient_boosting", "resnet"]
    else:
        y = problem.y[split.train]
        two_part = ["two_part"] if (y == y.min()).mean() > MANY_ZEROS else []
        quick = features.values.shape[1] < MANY_FEATURES and not finest  # boosting takes long, and is no match for SOAP
        boosting = ["hist_gradient_boosting"] if quick else []
        names = [*kernels, "extra_trees", *boosting, "resnet", *two_part]
    found = {}
    for name in (name for name in names if name not in without):
        fallback = {"blocks": small or finest} if (small or finest) and name not in kernels else {}
        if name == "extra_trees" and features.values.shape[1] > MANY_FEATURES:
            fallback |= {"max_features": 0.1}
        model = make_model(**{"name": name, **known.get(name, fallback)}, kind=problem.kind, random_state=0)
        found[name] = predicted(model, features, problem, split)
        yield name, found[name]
    if problem.kind == "regression" and found.keys() >= {kernels[0], "resnet"}:
        yield "kernel ridge + network", (found[kernels[0]] + found["resnet"]) / 2


def figure(problem: Problem, truth: np.ndarray, values: np.ndarray) -> float:
    """Return the mean absolute error, or 1 - balanced accuracy."""
    if problem.kind == "classification":
        return float(1 - balanced_accuracy_score(truth, values))
    return float(np.abs(values - truth).mean())


@dataclass(frozen=True)
class Drawing:
    """What was predicted for the test samples of one drawing."""

    problem: Problem
    truth: np.ndarray
    values: Mapping[str, np.ndarray]
    seconds: float

    def figure(self, name: str, rows: np.ndarray | slice = slice(None)) -> float:
        """Return the figure of a model for some of the test samples."""
        return figure(self.problem, self.truth[rows], self.values[name][rows])


def draw(name: str, folder: Path, size: int, n_test: int, seed: int, without: Sequence[str] | None) -> Drawing:
    """Fit auto and its rivals, but for some, to samples drawn with a seed; without rivals if none are named."""
    reader, by_hand = SETS[name]
    dataset, target = reader(folder)
    size = min(size, 2 * len(dataset) // 3)
    dataset = dataset.take(np.random.default_rng(seed).permutation(len(dataset))[: size + n_test])
    test_size = 1 - size / len(dataset)
    plan, features, values, seconds = of_recipe(planned({}, dataset, target, test_size))
    found = {"auto": values}
    if without is not None:
        found |= dict(rivals(plan, features, without))
        for path in by_hand:
            other, _, values, _ = of_recipe(planned(tomllib.loads(path.read_text()), dataset, target, test_size))
            assert np.array_equal(other.split.test, plan.split.test)
            found[path.stem] = values
    return Drawing(plan.problem, plan.problem.y[plan.split.test], found, seconds)


def row(name: str, drawings: Sequence[Drawing]) -> str:
    """Return the row of a data set; the spread of the ratio is that of test samples drawn again from themselves."""
    means = {rival: np.mean([each.figure(rival) for each in drawings]) for rival in drawings[0].values}
    auto = means.pop("auto")
    shown = {
        column_of(rival): mean for rival, mean in sorted(means.items(), key=lambda x: -x[1])
    }  # the best of several
    cells = [name, f"{len(drawings)}", f"{auto:.4g}"]
    if means:
        best = min(means, key=means.__getitem__)
        cells += [f"{shown[rival]:.4g}" if rival in shown else "–" for rival in RIVALS]
        rng, ratios = np.random.default_rng(0), []
        for _ in range(400):
            again = [rng.integers(0, len(each.truth), len(each.truth)) for each in drawings]
            pairs = list(zip(drawings, again, strict=True))
            own, other = (sum(each.figure(key, rows) for each, rows in pairs) for key in ("auto", best))
            ratios.append(own / other)
        cells += [best.replace("_", " "), f"{auto / means[best]:.3f} ± {np.std(ratios):.3f}"]
    seconds = np.mean([each.seconds for each in drawings])
    return "| " + " | ".join([*cells, f"{seconds:.0f}"]) + " |"


def column_of(rival: str) -> str:
    """Return the head of the column of a rival: kernel ridge on each resolution shares one, and so do recipes."""
    return rival if rival in RIVALS else "kernel_ridge" if rival.startswith("kernel_ridge") else "recipe"


RIVALS = (
    "kernel_ridge",
    "extra_trees",
    "resnet",
    "hist_gradient_boosting",
    "two_part",
    "kernel ridge + network",
    "recipe",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, a row when it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), metavar="SET")
    parser.add_argument("--size", type=int, default=600, help="how many samples to learn from")
    parser.add_argument("--test", type=int, default=1000, help="how many others to be tested on, at most")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="seeds of their drawing, whose mean is shown")
    parser.add_argument("--only-auto", action="store_true", help="without the rivals")
    parser.add_argument(
        "--without", nargs="+", default=[], metavar="MODEL", help="models that are not among the rivals"
    )
    options = parser.parse_args(arguments)
    heads = ["data", "drawings", "auto"]
    heads += [*([] if options.only_auto else [*RIVALS, "best rival", "ratio"]), "seconds"]
    print("| " + " | ".join(head.replace("_", " ") for head in heads) + " |")
    print("|---|" + "---:|" * (len(heads) - 1))
    for name in options.sets:
        without = None if options.only_auto else options.without
        drawn = [draw(name, options.data, options.size, options.test, seed, without) for seed in options.seed]
        print(row(name, drawn), flush=True)


if __name__ == "__main__":
    main()
