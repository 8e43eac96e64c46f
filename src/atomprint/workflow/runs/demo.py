"""The main job on real data: descriptors, models, honest tests and a report, without network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from atomprint.report import Report, versions
from atomprint.util.files import WholeFolder
from atomprint.util.progress import Progress, Steps, silent
from atomprint.util.store import Store
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.recipes.recipe import Recipe
from atomprint.workflow.runs.describe import describe
from atomprint.workflow.runs.train import FILES, carry_out

_VOLUME = (
    "data.target=volume",
    "data.volume_per_atom=20.0",
    "question=Can the volume be told from the element and the type of structure? The crystals come at the very volume "
    "that is asked for, so all are first rescaled to 20 Å³ per atom; otherwise the answer would be in the question. "
    "Each element occurs once, so that models must carry over from other elements: the first set of features has only "
    "tabulated properties of the element, and no structure.",
)
STUDIES = (("demo_enthalpy", ()), ("demo_crystals", _VOLUME), ("demo_crystals", ()))
"""Recipes that come with atomprint, and entries that are replaced, one for each study."""

_QUICK = (
    "data.sample=40",
    "split.n_folds=3",
    "models.random_forest.n_estimators=20",
    "evaluation.n_repeats=3",
    "evaluation.learning_curve=false",
)
_COARSE = ("n_max=2", "l_max=1")


def run_demo(
    output: str | os.PathLike[str],
    *,
    n_jobs: int = -1,
    seed: int = 0,
    quick: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> tuple[Report, dict[str, Path]]:
    """Train and test models of molecules and crystals, and write a report.

    Parameters
    ----------
    output : path
        Folder for ``report.html``, ``results.json``, ``predictions.csv`` and ``model-card.md``.
    n_jobs : int
        Number of threads; -1 means all cores. Results do not depend on it.
    seed : int
        Seed of everything that is random.
    quick : bool
        Whether to use few structures and small models: for trying out, not for judging.
    force : bool
        Whether to replace the files of an old demo.
    progress : Progress
        Called as each step begins.

    Returns
    -------
    report : Report
        All results.
    files : dict of str to Path
        The files written, by name.
    """
    with WholeFolder(output, force=force, own=FILES) as folder:  # if this fails, it does so before the work
        return _run(folder, n_jobs, seed, quick, progress)


def _run(
    folder: WholeFolder, n_jobs: int, seed: int, quick: bool, progress: Progress
) -> tuple[Report, dict[str, Path]]:
    start, store = perf_counter(), Store(folder.kept, versions())
    settings = (f"n_jobs={n_jobs}", f"seed={seed}", *(_QUICK if quick else ()))
    plans = [Plan.of(_recipe(name, (*settings, *changes), quick)) for name, changes in STUDIES]
    step = Steps(progress, 1 + sum(len(plan.features) + plan.n_steps for plan in plans))
    studies = []
    for plan in plans:
        tell = step.part(f"{plan.problem.title}: ")
        plan, features, _ = describe(plan, tell)
        studies.append(carry_out(plan, features, tell, store))
    step("Report: plots and tables")
    report = Report(
        title="From structures to tested models",
        lead=(
            "Descriptors of real molecules and crystals, models trained on them and tested on structures that they "
            "have not seen, and what the models rely on."
            + (
                " Made with --quick: part of the data and small models, to try things out, not to judge."
                if quick
                else ""
            )
        ),
        studies=studies,
        settings={
            "command": f"atomprint demo --seed {seed}" + (" --quick" if quick else ""),
            "seed": seed,
            "threads": plans[0].n_jobs,
            "seconds": round(perf_counter() - start, 1),
        },
    )
    place = folder.write(report.write)
    progress("Done", step.total, step.total)
    return report, {name: place / name for name in FILES if (place / name).exists()}


def _recipe(name: str, changes: Sequence[str], quick: bool) -> Recipe:
    recipe = Recipe.shipped(name, changes)
    soaps = [key for key in recipe.features if key.startswith("soap")]
    return recipe.replaced(f"features.{key}.{entry}" for key in soaps for entry in (_COARSE if quick else ()))
