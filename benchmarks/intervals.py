"""What intervals hold on average and in groups of samples, all equally wide and as wide as predictions are difficult.

    python benchmarks/intervals.py --data ../shared/data [--sets expt_gap perovskites ...] [--samples 2500]

Each data set (a part of it, drawn at random) is learnt by the automatic recipe, without networks and with 100 trees, in
five folds; intervals for 90 % of a fold are made from the other folds. The table has before / after: the share of true
values inside, the mean width (and by how much it falls where as many are inside), that share among the largest
predictions, among the samples farthest from the others, and of the worst element, crystal system and group of any kind
with 50 or more samples; and how many of these groups hold less than 80 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from atomprint.learn import Features, Problem, Split, conformal, evaluate
from atomprint.learn.evaluation.coverage import CoverageRow, GroupCoverage, coverage_by_group
from atomprint.learn.evaluation.evaluate import Evaluation
from atomprint.learn.evaluation.intervals import Uncertainty
from atomprint.workflow import Recipe
from atomprint.workflow.recipes.completion import complete
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.runs.describe import describe

SETS: dict[str, dict[str, Any]] = {
    "expt_gap": {"name": "matbench_expt_gap", "path": "matbench/matbench_expt_gap.json.gz"},
    "perovskites": {"name": "matbench_perovskites", "path": "matbench/matbench_perovskites.json.gz"},
    "biternary, gap": {
        "path": "mp/mp_20_biternary_val.csv.gz",
        "structure": "cif",
        "target": "band_gap",
        "unit": "eV",
    },
    "biternary, energy": {
        "path": "mp/mp_20_biternary_val.csv.gz",
        "structure": "cif",
        "target": "formation_energy_per_atom",
        "unit": "eV/atom",
    },
    "mpts_52": {
        "path": "mp/mpts_52_val.csv.gz",
        "structure": "cif",
        "target": "formation_energy_per_atom",
        "unit": "eV/atom",
    },
    "QM7": {"name": "qm7", "path": "qm7", "target": "atomization_energy"},
}


def plan_for(name: str, folder: Path, samples: int) -> Plan:
    """Return what the automatic recipe does with a part of a data set, without networks and with fewer trees."""
    data = {**SETS[name], "path": str(folder / SETS[name]["path"]), "sample": samples}
    recipe = Recipe.from_dict({"data": data, "split": {"test_size": 0, "n_folds": 5}, "n_jobs": 1})
    dataset = recipe.data.load(0)
    tables = complete(recipe, dataset)[0].to_dict()
    for model in tables["models"].values():
        if "members" in model:
            members = [one for one in model["members"] if one["type"] != "resnet"]
            members = [{**one, "n_estimators": 100} if one["type"] == "extra_trees" else one for one in members]
            model |= {"members": members, "n_folds": 1, "holdout": 0.2}
    return Plan.on(Recipe.from_dict(tables), dataset)


def evaluated(plan: Plan) -> tuple[Plan, Features, Evaluation]:
    """Return features, and predictions out of folds."""
    plan, features, _ = describe(plan)
    model = next(iter(plan.models.values()))
    return plan, features[-1], evaluate(model, features[-1], plan.problem, plan.split, refit=False)


def row(name: str, problem: Problem, split: Split, features: Features, evaluation: Evaluation) -> list[str]:
    """Return the cells of a data set, before / after."""
    after = conformal(evaluation, problem, split, 0.9, features)
    before = after if after.constant is None else replace(after.constant, distances=after.distances)
    found = [coverage_by_group(one, problem) for one in (before, after)]
    groups = [one for one in found if one is not None]
    error = np.abs(problem.y[after.indices] - evaluation.out_of_fold().y_pred)
    return [
        name,
        f"{len(problem):,}",
        f"{error.mean():.3g}",
        _pair(before.coverage.value, after.coverage.value),
        f"{before.mean_width.value:.3g} / {after.mean_width.value:.3g}",
        f"{100 * _narrower(before, after, problem):+.0f} %",
        _pair(*(one.tables["prediction"][-1].coverage for one in groups)),
        _pair(*(one.tables["distance"][-1].coverage if "distance" in one.tables else None for one in groups)),
        *(_pair(*(_worst(one, kind) for one in groups)) for kind in ("element", "crystal system", "")),
        f"{' / '.join(str(len(one.short())) for one in groups)} of {groups[-1].n_groups}",
    ]


def _narrower(before: Uncertainty, after: Uncertainty, problem: Problem) -> float:
    """Return by which share widths change where intervals of one width are scaled to hold as many true values."""
    assert before.upper is not None
    assert before.guess is not None
    error = np.abs(problem.y[before.indices] - before.guess)
    half = before.upper - before.guess
    scale = np.quantile(error / half, after.coverage.value or 0.9)
    least = -np.inf if problem.at_least is None else problem.at_least
    scaled = before.guess + scale * half - np.maximum(before.guess - scale * half, least)
    return float((after.mean_width.value or np.nan) / scaled.mean() - 1)


def _worst(found: GroupCoverage, kind: str) -> float | None:
    rows: Iterator[CoverageRow] = (one for name, own in found.tables.items() if kind in ("", name) for one in own)
    return min((one.coverage for one in rows), default=None)


def _pair(before: float | None, after: float | None) -> str:
    return " / ".join("–" if one is None else f"{one:.2f}" for one in (before, after))


HEADS = (
    "data, target",
    "samples",
    "MAE",
    "inside",
    "mean width",
    "width at the same share inside",
    "largest predictions",
    "farthest samples",
    "worst element",
    "worst crystal system",
    "worst group",
    "groups below 0.80",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, a row when it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), metavar="SET")
    parser.add_argument("--samples", type=int, default=2500, help="how many of each data set")
    options = parser.parse_args(arguments)
    print("| " + " | ".join(HEADS) + " |\n|---|" + "---:|" * (len(HEADS) - 1))
    for name in options.sets:
        plan, features, evaluation = evaluated(plan_for(name, options.data, options.samples))
        print("| " + " | ".join(row(name, plan.problem, plan.split, features, evaluation)) + " |", flush=True)


if __name__ == "__main__":
    main()
