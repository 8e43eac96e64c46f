"""Errors of the recipes of docs/accuracy.md against the number of training samples, as a table and a plot.

    python benchmarks/accuracy/learning_curves.py RECIPE=DATA [RECIPE=DATA ...] --output docs/images/learning-curves

RECIPE is a file with one model, DATA a copy of its data. Curves are kept in OUTPUT.json as soon as they are known: a
run that was stopped goes on where it was, and further recipes are added to those that are there.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

from atomprint.learn import learning_curve
from atomprint.learn.splits.split import SplitSettings
from atomprint.report.plots import style
from atomprint.workflow import Recipe
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.runs.describe import compute_features

FRACTIONS = (0.05, 0.1, 0.25, 0.5, 1.0)
N_FOLDS = 2


def compute(path: Path, data: str, n_jobs: int) -> dict[str, Any]:
    """Return the learning curve of a recipe, on the first folds."""
    official = path.stem.startswith("matbench")
    split = SplitSettings("official" if official else "random", test_size=0)
    plan = Plan.of(replace(Recipe.read(path, [f"data.path={json.dumps(data)}"]), split=split, n_jobs=n_jobs))
    recipe, problem = plan.recipe, plan.problem
    (given,), (section,) = plan.features, recipe.models.values()
    model = section.build(problem.kind, pairwise=False, search=replace(recipe.search, seed=recipe.seed), n_jobs=n_jobs)
    features, _ = compute_features(given, problem)
    curve = learning_curve(model, features, problem, plan.split, fractions=FRACTIONS, max_folds=N_FOLDS)
    return {"title": recipe.title, "unit": problem.target.unit, **curve.to_dict()}


def plot(curves: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw the curves, one panel each, with logarithmic axes: power laws are straight lines."""
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    with style.figure(3.0 * columns, 2.6 * rows) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, curve in zip(axes, curves.values(), strict=False):
            sizes = [point["size"] for point in curve["points"]]
            errors = [point["test"]["mean"] for point in curve["points"]]
            ax.loglog(sizes, errors, marker="o", ms=4)
            ax.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45)
            ax.set_yticks(errors, [f"{error:.3g}" for error in errors])
            ax.minorticks_off()
            ax.set_title(textwrap.fill(curve["title"], 34), fontsize=8)
            ax.set_xlabel("training samples")
            ax.set_ylabel(style.with_unit("MAE", curve["unit"]))
            ax.grid(alpha=0.4)
        for ax in axes[len(curves) :]:
            ax.remove()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Compute what is missing, print the table and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE=DATA")
    parser.add_argument("--output", type=Path, default=Path("learning-curves"), help="without the ending")
    parser.add_argument("--jobs", type=int, default=1, help="threads")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    kept = arguments.output.with_suffix(".json")
    curves = json.loads(kept.read_text()) if kept.exists() else {}
    for pair in arguments.recipes:
        recipe, _, data = pair.partition("=")
        if Path(recipe).stem not in curves:
            curves[Path(recipe).stem] = compute(Path(recipe), data, arguments.jobs)
            kept.write_text(json.dumps(curves, indent=1) + "\n")
    for name, curve in curves.items():
        points = "  ".join(f"{point['size']:,}: {point['test']['mean']:.3g}" for point in curve["points"])
        print(f"{name} ({curve['unit']}): {points}")
    plot(curves, arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
