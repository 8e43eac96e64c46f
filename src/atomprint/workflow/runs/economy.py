"""What fits into the minutes that a run may take: costs from small timed pieces, and what is left out for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.optimize import nnls
from sklearn.base import BaseEstimator

from atomprint.learn.estimators.ensemble_base import Ensemble
from atomprint.learn.evaluation.curve import draw_samples
from atomprint.learn.evaluation.evaluate import FitError, fit_estimator
from atomprint.learn.evaluation.nested_choice import ENOUGH, N_INNER
from atomprint.learn.models.make import DEFAULT_MEMBERS
from atomprint.learn.splits.split import SplitSettings
from atomprint.learn.study.run import takes_kernel
from atomprint.learn.study.study import needs_choice
from atomprint.learn.task.features import Features
from atomprint.learn.task.problem import Problem
from atomprint.util.budget import Budget, Clock
from atomprint.util.estimators import unwrap
from atomprint.util.extras import installed
from atomprint.util.progress import Progress
from atomprint.workflow.recipes.models import ON_KERNEL
from atomprint.workflow.recipes.plan import Plan
from atomprint.workflow.recipes.recipe import Recipe
from atomprint.workflow.runs.describe import describe

_FIRST = 8  # structures that are described first, to know what more of them cost
_SIZES = (50, 100, 200, 400, 800, 1600)  # samples of the fits that are timed
_FOR_TRIALS = 0.05  # share of the time that may go to timing features, and as much to timing models
_FOR_MODELS = 0.75  # share of what is left that models may be planned to take: costs are guessed
_FIGURES = 30  # what report and files take, in figures as the report has some fifteen of
_POWERS, _USUAL = (1.0, 1.5, 2.0, 2.5, 3.0), 1.5  # how fits grow with the samples
_FEWEST = 50  # samples that are never gone below
_FOLDS = 3


class Curve(NamedTuple):
    """Seconds that something takes: always some, and more by a power of the number of samples."""

    always: float
    factor: float
    power: float

    def __call__(self, n: float) -> float:
        """Return the seconds for n samples."""
        return self.always + self.factor * n**self.power

    @classmethod
    def through(cls, points: Sequence[tuple[int, float]]) -> Self:
        """Return what describes timed sizes best: relative errors are least, and neither part is negative."""
        if len(points) == 1:
            ((n, once),) = points
            return cls(0.0, once / n**_USUAL, _USUAL)
        found = []
        for power in _POWERS if len(points) > 2 else (_USUAL,):
            seconds = np.array([seconds for _, seconds in points])
            table = np.array([[1.0, n**power] for n, _ in points]) / seconds[:, None]
            (always, factor), error = nnls(table, np.ones(len(points)))
            found.append((error, cls(float(always), float(factor), power)))
        return min(found)[1]


@dataclass(frozen=True)
class Costs:
    """What pieces of a run take.

    Parameters
    ----------
    features : mapping of str to Curve
        Features of all structures, by their keys.
    fits : mapping of (str, str) to Curve
        One fit, by the keys of features and model; for an ensemble that of a member, under ``"MODEL: MEMBER"``.
    """

    features: Mapping[str, Curve]
    fits: Mapping[tuple[str, str], Curve]

    def of(self, plan: Plan, n: int | None = None) -> float:
        """Return the seconds that a plan is expected to take from its features on, with n of its samples."""
        share = 1.0 if n is None else n / len(plan.problem)
        structures = share * len(np.unique(plan.problem.structures))
        total = sum(self.features[given.key](structures) for given in plan.features)
        sizes = [share * len(fit) for _, fit, _ in plan.split.parts()]
        pairs = list(_pairs(plan))
        most = plan.recipe.evaluation.n_choose
        seconds = 0.0
        for features, name in pairs:
            seconds += sum(self.of_fit(features, name, plan.models[name], size) for size in sizes)
            for size in (min(size, most) for size in sizes) if needs_choice(plan.split, len(pairs)) else ():
                n_inner = min(N_INNER, math.ceil(ENOUGH * N_INNER / size))
                seconds += n_inner * self.of_fit(features, name, plan.models[name], (1 - 1 / N_INNER) * size)
        total += seconds / max(1, min(plan.n_jobs, len(sizes)))
        return total + max(self.of_fit(f, name, plan.models[name], share * len(plan.problem)) for f, name in pairs)

    def of_fit(self, features: str, name: str, model: BaseEstimator, n: float) -> float:
        """Return the seconds that one fit of a model to n samples is expected to take."""
        _, inner = unwrap(model)
        if not isinstance(inner, Ensemble):
            return self.fits[features, name](n)
        total = 0.0
        for member, _ in inner.members:
            curve = self.fits[features, f"{name}: {member}"]
            total += curve(n)
            if inner.needs_folds:
                share = 1 - inner.holdout if inner.n_folds == 1 else 1 - 1 / inner.n_folds
                total += inner.n_folds * curve(share * n)
        return total


def economise(plan: Plan, budget: Budget, progress: Progress) -> tuple[Plan, list[str]]:
    """Return a plan that is expected to fit into a budget, and what was left out for that, in sentences.

    What is given up, in this order, as far as it is needed: searches (first most of what is tried, then all), inner
    folds of ensembles (a part held out in their place), folds beyond three, features beyond the cheapest, the dearest
    models, the dearest members of ensembles, and samples. Learning curve and importance go before all of these: they
    come last, and are made if there is time, see :func:`~atomprint.learn.run_study`.
    """
    costs = measure(plan, budget, progress)
    room = _FOR_MODELS * (budget.left - budget.at_the_end)
    said: list[str] = []
    before = costs.of(plan)
    for economy in (
        _smaller_search,
        _no_search,
        _held_out,
        _fewer_folds,
        _cheapest_features,
        _fewer_models,
        _fewer_members,
    ):
        while costs.of(plan) > room and (found := economy(plan, costs)) is not None:
            recipe, sentence = found
            plan = Plan.on(recipe, plan.problem.dataset, plan.reasons)
            said.append(sentence)
    if costs.of(plan) > room:
        plan, sentence = _fewer_samples(plan, costs, room)
        said.append(sentence)
    if said:
        said.insert(
            0,
            f"To end within {budget.minutes:g} min, things were left out: all of it was expected to take about "
            f"{_minutes(before)} min.",
        )
    return plan, said


def measure(plan: Plan, budget: Budget, progress: Progress) -> Costs:
    """Return what features and models of a plan take, from small pieces that are timed."""
    problem, clock = plan.problem, budget.clock
    budget.at_the_end = max(budget.at_the_end, _FIGURES * _seconds_of_a_figure(clock))
    structures = np.unique(problem.structures)
    order = structures[np.random.default_rng(plan.recipe.seed).permutation(len(structures))]
    progress("Finding out what fits into the time", 0, None)
    allowed = _FOR_TRIALS * max(budget.left, 0.0)
    n, seconds = min(_FIRST, len(order)), 0.0
    while True:  # twice as many, as long as that is a small part of the time
        small = Plan.on(_undivided(plan.recipe), problem.dataset.take(np.sort(order[:n])))
        start = clock()
        small, tables, _ = describe(small)
        last = clock() - start
        seconds += last
        if n == len(order) or n >= _SIZES[-1] or seconds + 2 * last > allowed:
            break
        n = min(2 * n, len(order))
    total = sum(table.seconds for table in tables) or 1.0
    features = {}
    for table in tables:  # a kernel compares each structure with all
        power = 2.0 if table.pairwise else 1.0
        features[table.key] = Curve(0.0, last * table.seconds / total / n**power, power)
    tasks = list(_tasks(small, tables))
    each = allowed / max(1, len(tasks))
    fits = {key: _timed(model, table, small, budget, each) for key, model, table in tasks}
    return Costs(features, fits)


def _seconds_of_a_figure(clock: Clock) -> float:
    """Return what drawing one figure takes, on this machine beside all else that it does; 0 without matplotlib."""
    if not installed("matplotlib"):
        return 0.0
    from atomprint.report.plots.style import figure, svg

    times = [clock()]
    for _ in range(3):  # the first one takes imports, too
        with figure(4.0, 3.0) as drawn:
            axes = drawn.subplots(1, 2)
            for place in axes:
                place.plot(range(10), label="line")
                place.set(xlabel="across", ylabel="up")
                place.legend()
        svg(drawn)
        times.append(clock())
    return float(np.diff(times)[1:].mean())


def _undivided(recipe: Recipe) -> Recipe:
    return replace(recipe, split=SplitSettings(test_size=0, n_folds=2))


def _pairs(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the keys of features and models that are tried together."""
    for given in plan.features:
        for name, model in plan.models.items():
            if takes_kernel(model) == given.pairwise:
                yield given.key, name


def _tasks(plan: Plan, tables: Sequence[Features]) -> Iterator[tuple[tuple[str, str], BaseEstimator, Features]]:
    """Yield what is to be timed: models, of ensembles each member, with the features that they are given."""
    by_key = {table.key: table for table in tables}
    for features, name in _pairs(plan):
        _, inner = unwrap(plan.models[name])
        if isinstance(inner, Ensemble):
            for member, model in inner.members:
                yield (features, f"{name}: {member}"), model, by_key[features]
        else:
            yield (features, name), plan.models[name], by_key[features]


def _timed(model: BaseEstimator, table: Features, plan: Plan, budget: Budget, allowed: float) -> Curve:
    """Time fits of a model to ever more samples, as long as that is a small part of the time."""
    problem: Problem = plan.problem
    found: list[tuple[int, float]] = []
    spent, everything = 0.0, np.arange(len(problem))

    def timed(size: int) -> float:
        rows = draw_samples(problem, everything, size, plan.recipe.seed)
        start = budget.clock()
        fit_estimator(model, table, problem, plan.split, rows, f"features {table.key!r}, a timed fit")
        return max(budget.clock() - start, 1e-6)

    for size in (*(size for size in _SIZES if size < len(problem)), len(problem)):
        try:
            seconds = timed(size)
            spent += seconds
            if not found and seconds > allowed / 4:  # without what is done once, such as imports
                again = timed(size)
                spent, seconds = spent + again, min(seconds, again)
        except FitError:  # of too few samples, perhaps
            continue
        found.append((size, seconds))
        if spent + 4 * seconds > allowed:
            break
    return Curve.through(found) if found else Curve(0.0, 0.0, _USUAL)


# What can be given up ---------------------------------------------------------------------------------------------

Economy = Callable[[Plan, Costs], "tuple[Recipe, str] | None"]


def _smaller_search(plan: Plan, _: Costs) -> tuple[Recipe, str] | None:
    search = plan.recipe.search
    if search.method in ("none", "grid") or search.n_iter <= 5:
        return None
    return replace(plan.recipe, search=replace(search, n_iter=5)), (
        f"Search: 5 combinations of hyperparameters are tried instead of {search.n_iter}."
    )


def _no_search(plan: Plan, _: Costs) -> tuple[Recipe, str] | None:
    search = plan.recipe.search
    if search.method == "none":
        return None
    models = {key: replace(model, space=None) for key, model in plan.recipe.models.items()}
    return replace(plan.recipe, search=replace(search, method="none"), models=models), (
        "Search: there is none, hyperparameters are as they are by default."
    )


def _held_out(plan: Plan, _: Costs) -> tuple[Recipe, str] | None:
    for key, section in plan.recipe.models.items():
        if section.type == "ensemble" and section.parameters.get("n_folds", 5) != 1:
            return _with_model(plan, key, n_folds=1, holdout=0.2), (
                f"{section.name}: how much each member counts is learnt from one part held out, not from inner folds."
            )
    return None


def _fewer_folds(plan: Plan, _: Costs) -> tuple[Recipe, str] | None:
    split = plan.recipe.split
    if split.method == "official" or split.n_folds <= _FOLDS or split.group_by == "element":
        return None
    return replace(plan.recipe, split=replace(split, n_folds=_FOLDS)), (
        f"Cross-validation: {_FOLDS} folds instead of {split.n_folds}."
    )


def _cheapest_features(plan: Plan, costs: Costs) -> tuple[Recipe, str] | None:
    if len(plan.features) < 2:
        return None
    pairs = list(_pairs(plan))
    seconds = {
        given.key: costs.features[given.key](len(plan.problem.dataset))
        + sum(costs.of_fit(f, m, plan.models[m], len(plan.problem)) for f, m in pairs if f == given.key)
        for given in plan.features
    }
    left = min(seconds, key=lambda key: seconds[key])
    needed = {left, *getattr(plan.recipe.features[left], "join", ())}
    gone = [given.title for given in plan.features if given.key != left]
    features = {key: section for key, section in plan.recipe.features.items() if key in needed}
    return replace(plan.recipe, features=features), f"Features: without {', '.join(gone)}."


def _fewer_models(plan: Plan, costs: Costs) -> tuple[Recipe, str] | None:
    for dearest in sorted(plan.recipe.models, key=lambda key: -_cost_of(plan, costs, key)):
        left = {features for features, name in _pairs(plan) if name.removesuffix(ON_KERNEL) != dearest}
        if len(left) == len(plan.features):  # all of them still have a model
            models = {key: section for key, section in plan.recipe.models.items() if key != dearest}
            return replace(plan.recipe, models=models), f"Models: without {plan.recipe.models[dearest].name}."
    return None


def _fewer_members(plan: Plan, costs: Costs) -> tuple[Recipe, str] | None:
    for key, section in plan.recipe.models.items():
        if section.type != "ensemble":
            continue
        given = list(section.parameters.get("members", DEFAULT_MEMBERS[plan.problem.kind]))
        names = [member for member, _ in unwrap(plan.models[key])[1].members]
        if len(names) < 2:
            continue
        dearest = max(range(len(names)), key=lambda k: _of_member(costs, f"{key}: {names[k]}", len(plan.problem)))
        left = [member for k, member in enumerate(given) if k != dearest]
        return _with_model(plan, key, members=left), f"{section.name}: without the member {names[dearest]}."
    return None


def _fewer_samples(plan: Plan, costs: Costs, room: float) -> tuple[Plan, str]:
    """Return a plan for the samples that there is time for; official folds stay what they are."""
    whole, n = len(plan.problem.dataset), len(plan.problem)
    fewest = min(n, _FEWEST)
    if plan.recipe.split.method == "official" or n <= fewest:
        about = _minutes(costs.of(plan))
        return plan, f"There is nothing more to leave out: what is left is expected to take about {about} min."
    sizes = np.unique(np.geomspace(fewest, n, 60).astype(np.intp))
    fitting = [int(size) for size in sizes if costs.of(plan, int(size)) <= room] or [fewest]
    rows = max(2, round(whole * fitting[-1] / n))
    recipe = replace(plan.recipe, data=replace(plan.recipe.data, sample=rows))
    # Read again, as this recipe draws them.
    smaller = Plan.on(recipe, recipe.data.load(recipe.seed), plan.reasons)
    return smaller, f"Data: only {rows:,} of {whole:,} rows, drawn at random, have a part in anything."


def _with_model(plan: Plan, key: str, **parameters: Any) -> Recipe:
    section = plan.recipe.models[key]
    changed = replace(section, parameters={**section.parameters, **parameters})
    return replace(plan.recipe, models={**plan.recipe.models, key: changed})


def _cost_of(plan: Plan, costs: Costs, key: str) -> float:
    own = [(f, m) for f, m in _pairs(plan) if m.removesuffix(ON_KERNEL) == key]
    return sum(costs.of_fit(f, m, plan.models[m], len(plan.problem)) for f, m in own)


def _of_member(costs: Costs, name: str, n: int) -> float:
    return max((curve(n) for (_, own), curve in costs.fits.items() if own == name), default=0.0)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}" if seconds < 600 else f"{seconds / 60:,.0f}"
