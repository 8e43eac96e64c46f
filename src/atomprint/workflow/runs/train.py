"""One training run: from a recipe to a report and a saved model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, perf_counter
from types import MappingProxyType

import numpy as np
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from atomprint.learn.evaluation.evaluate import allowed_threads, fit_estimator
from atomprint.learn.evaluation.quantile import groups_of
from atomprint.learn.study.run import run_study
from atomprint.learn.study.study import Study
from atomprint.learn.task.features import Features
from atomprint.learn.task.metrics import METRICS
from atomprint.report import Report, versions
from atomprint.report.methods import methods
from atomprint.util.budget import Budget, Clock
from atomprint.util.files import WholeFolder, write_atomically
from atomprint.util.memory import peak_memory
from atomprint.util.notebook import card
from atomprint.util.plain import plain
from atomprint.util.progress import Progress, Steps, silent
from atomprint.util.store import NOTHING_KEPT, Store
from atomprint.util.text import with_unit
from atomprint.util.types import PathOrStr
from atomprint.util.validation import check_n_jobs
from atomprint.workflow.recipes.features import named_classes
from atomprint.workflow.recipes.models import ON_KERNEL
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.recipes.recipe import Recipe
from atomprint.workflow.runs.describe import describe
from atomprint.workflow.runs.economy import economise
from atomprint.workflow.saved.container import MODEL_FILE
from atomprint.workflow.saved.model import TrainedModel
from atomprint.workflow.saved.pipeline import assemble

FILES = (
    "results.json",
    "predictions.csv",
    "model-card.md",
    "report.html",
    MODEL_FILE,
    "recipe.toml",
    "run.json",
    "matbench-results.json",
)
"""Names of all files of a run. The first is in every one, and tells it from other folders."""

_RESCALED = "All crystals were rescaled to {:g} Å^3 per atom: rescale new ones before they are predicted."
_SMALL = 2000  # samples; threads gain nothing in the matrices of fewer


@dataclass(frozen=True, eq=False)
class Run:
    """What a training run gives.

    Parameters
    ----------
    recipe : Recipe
        The recipe as it was carried out: with what was left to the data filled in.
    study : Study
        All results.
    model : TrainedModel
        The best model, fitted to all samples, the test part included.
    report : Report
        The report.
    timings : mapping of str to float
        Seconds that each step took.
    reasons : tuple of str
        Why what was left to the data is as it is, in sentences.
    peak_memory : float or None
        The most memory that the process had at once, in GB (10⁹ bytes); None where that is not known.
    """

    recipe: Recipe
    study: Study
    model: TrainedModel
    report: Report
    timings: Mapping[str, float]
    reasons: tuple[str, ...] = ()
    peak_memory: float | None = None

    def _repr_html_(self) -> str:
        study, name = self.study, self.study.metric
        spec = METRICS[study.kind][name]
        title = with_unit(spec.title, study.target.unit if spec.in_unit else "")
        rows = []
        for row in study.rows:
            test = row.evaluation.test
            folds = str(row.evaluation.cross_validation[name]) if study.baseline.folds else "–"
            figures = folds, "–" if test is None else str(test.metrics[name])
            rows.append((*study.titles_of(row.features, row.model), row.role, *figures))
        lines = [("data", study.dataset.title), ("split", study.split.description)]
        headers = ("features", "model", "role", f"{title}, folds", f"{title}, test part")
        return card(study.title, [*lines, ("caveats", " ".join(study.caveats()))], headers, rows)

    def write(
        self,
        folder: PathOrStr | WholeFolder | None = None,
        *,
        force: bool = False,
        more: Mapping[str, Callable[[Path], object]] = MappingProxyType({}),
    ) -> dict[str, Path]:
        """Write everything to a folder, which is put in place as a whole.

        Parameters
        ----------
        folder : path or WholeFolder, optional
            Default: the ``output`` of the recipe.
        force : bool
            Whether to replace an old run. Files in its folder that are not those of a run stay.
        more : mapping of str to callable
            Further files, by name; each callable is given the path to write to.

        Returns
        -------
        dict of str to Path
            ``report.html``, ``results.json``, ``predictions.csv``, ``model.atomprint``, ``recipe.toml``, ``run.json`` …

        Raises
        ------
        FileExistsError
            If there is something in the folder, and not ``force``.
        """
        if not isinstance(folder, WholeFolder):
            folder = WholeFolder(self.recipe.output if folder is None else folder, force=force, own=FILES)
        names: list[str] = []
        with folder:
            place = folder.write(lambda new: names.extend(self._write(new, more)))
        return {name: place / name for name in names}

    def _write(self, folder: Path, more: Mapping[str, Callable[[Path], object]]) -> list[str]:
        files = self.report.write(folder)
        files[MODEL_FILE] = folder / MODEL_FILE
        tables = self.recipe.to_dict()
        models = [{"type": key, **table} for key, table in tables["models"].items()]
        self.model.save(files[MODEL_FILE], trusted=named_classes([tables["features"], models]))
        record = {
            "seed": self.recipe.seed,
            "reasons": list(self.reasons),
            "left_out": list(self.study.left_out),
            "versions": versions(),
            "seconds": {name: round(seconds, 3) for name, seconds in self.timings.items()},
            "peak_memory_gb": self.peak_memory,
            "rows": [row.to_dict() for row in self.study.rows],
            "methods": methods(self.study, tables, versions()),
            "failures": plain(self.study.dataset.failures),
        }
        for name, text in (
            ("recipe.toml", self.recipe.to_toml(self.reasons)),
            ("run.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n"),
        ):
            files[name] = folder / name
            write_atomically(files[name], text)
        for name, write in more.items():
            write(folder / name)
        return [*files, *more]


def train(recipe: Recipe, progress: Progress = silent, keep: Path | None = None, *, clock: Clock = monotonic) -> Run:
    """Carry out a recipe.

    Parameters
    ----------
    recipe : Recipe
        What to do. Features and models that it does not have are chosen by the form of the data.
    progress : Progress
        Called as each step begins.
    keep : Path, optional
        A folder for the results of fits: what is there by the same content, of a run that was stopped, is taken.
    clock : callable
        Returns the time in seconds, by which ``recipe.minutes`` are counted.

    Returns
    -------
    Run
        Nothing is written yet: call its ``write``.

    Raises
    ------
    ValueError, TypeError
        If the recipe does not fit the data; the message names the entry.
    ImportError
        If something needs a package that is not installed; the message says how to install it.
    """
    start, seconds = perf_counter(), dict[str, float]()

    def lap(name: str) -> None:
        seconds[name] = perf_counter() - start - sum(seconds.values())

    progress("Reading data", 0, None)
    budget = Budget(recipe.minutes, clock)
    plan = Plan.of(replace(recipe, minutes=None))
    lap("data")
    left_out: list[str] = []
    if budget.limited:
        plan, left_out = economise(plan, budget, progress)
        lap("finding out what there is time for")
    plan, features, transformers = describe(plan, progress)
    lap("features")
    tell = Steps(progress, plan.n_steps + 1)
    study = carry_out(plan, features, tell.part(), Store(keep, versions()), budget, left_out)
    plan = replace(plan, recipe=_carried_out(plan.recipe, study))
    lap("models")
    trial, name = study.best()
    tell(f"{plan.titles[name]} on all {len(plan.problem)} samples")
    transformer = transformers[features.index(trial.features)]
    model = _final_model(plan.recipe, study, plan.models[name], transformer)
    lap("final model")
    progress("Done", tell.total, tell.total)
    peak = peak_memory()
    report = _report(plan, study, seconds, peak)
    return Run(plan.recipe, study, model, report, seconds, plan.reasons, peak)


def _carried_out(recipe: Recipe, study: Study) -> Recipe:
    """Return a recipe without what there was no time for, so that it gives the same results again."""
    if not study.left_out:
        return recipe
    tested = {name for trial in study.trials for name in trial.evaluations}
    models = {key: section for key, section in recipe.models.items() if {key, key + ON_KERNEL} & tested}
    importance = any(trial.importance is not None for trial in study.trials)
    evaluation = replace(
        recipe.evaluation,
        learning_curve=study.learning_curve is not None,
        n_repeats=recipe.evaluation.n_repeats if importance else 0,
    )
    return replace(recipe, models=models, evaluation=evaluation)


def carry_out(
    plan: Plan,
    features: Sequence[Features],
    progress: Progress = silent,
    store: Store = NOTHING_KEPT,
    budget: Budget | None = None,
    left_out: Sequence[str] = (),
) -> Study:
    """Test the models of a plan on features; budget and what was left out as for :func:`run_study`."""
    evaluation = plan.recipe.evaluation
    shared = plan.n_jobs > 1 and len(plan.split.parts()) > 1
    with _threads(len(plan.problem), plan.n_jobs, 1 if shared else plan.n_jobs):
        return run_study(
            plan.problem,
            features,
            plan.models,
            plan.split,
            question=plan.recipe.question,
            titles=plan.titles,
            **evaluation.options(),
            n_jobs=plan.n_jobs if shared else 1,
            progress=progress,
            store=store,
            budget=budget,
            left_out=left_out,
        )


def _threads(n_samples: int, n_jobs: int, of_each_fit: int) -> threadpool_limits:
    """Limit the threads of OpenMP, of which fits at once have a share each, and of linear algebra.

    The latter wait for each other in small matrices and beside fits.
    """
    wanted = {"openmp": n_jobs, "blas": 1 if n_samples < _SMALL else of_each_fit}
    return threadpool_limits({user_api: allowed_threads(user_api, n) for user_api, n in wanted.items()})


def _final_model(recipe: Recipe, study: Study, estimator: BaseEstimator, transformer: BaseEstimator) -> TrainedModel:
    """Fit the best model to all samples and put it behind its descriptor."""
    problem, (trial, name) = study.problem, study.best()
    everything = np.arange(len(problem))
    fitted = trial.evaluations[name].estimator
    if fitted is None or not np.array_equal(study.split.train, everything):
        label, n_jobs = f"{name}, all samples", check_n_jobs(recipe.n_jobs)
        with _threads(len(problem), n_jobs, n_jobs):
            fitted = fit_estimator(estimator, trial.features, problem, study.split, everything, label, n_jobs)
    found = study.chosen
    metrics = {"cross_validation": {k: v.to_dict() for k, v in found.cross_validation.items()}} if found.folds else {}
    if found.test is not None:
        metrics["test"] = found.test.metrics.to_dict()
    volume = recipe.data.volume_per_atom
    return TrainedModel.of(
        assemble(transformer, fitted, problem.target.level),
        problem,
        table=None if trial.features.pairwise else trial.features.values,
        uncertainty=study.uncertainty,
        held_out=trial.evaluations[name].out_of_fold() if trial.evaluations[name].folds else None,
        groups=groups_of(problem, study.split),
        metrics=metrics,
        metric=study.metric,
        recipe=recipe.to_toml(),
        seed=recipe.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=[*study.caveats(), *([] if volume is None else [_RESCALED.format(volume)])],
    )


def _report(plan: Plan, study: Study, seconds: Mapping[str, float], peak: float | None) -> Report:
    return Report(
        title=plan.recipe.title or study.problem.title,
        lead="Made by atomprint train.",
        studies=[study],
        settings={
            "command": "atomprint train",
            "seed": plan.recipe.seed,
            "threads": plan.n_jobs,
            **{f"seconds for {name}": round(spent, 1) for name, spent in seconds.items()},
            "peak memory (GB)": "not known" if peak is None else round(peak, 2),
        },
        recipe=plan.recipe.to_toml(),
        reasons=plan.reasons,
        saved_model=f"The saved model was fitted anew to all {len(study.problem):,} samples"
        + (", those of the test part included." if len(study.split.test) else "."),
    )
