"""Plots of how good models are: all of them beside the baseline, predictions against the truth, learning curves."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from atomprint.learn.task.metrics import METRICS, format_number
from atomprint.report.plots import style
from atomprint.util.text import with_unit
from atomprint.util.types import FloatArray, Indices, Targets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from atomprint.datasets import Target
    from atomprint.learn.evaluation.curve import LearningCurve
    from atomprint.learn.evaluation.evaluate import Evaluation, Fold
    from atomprint.learn.study.study import Study

_COLUMNS = 4  # panels side by side


def comparison(study: Study) -> Figure:
    """Plot the first figure of merit of each model on each set of features, with its spread over folds."""
    name = study.metric
    spec = METRICS[study.problem.kind][name]
    trials = study.trials
    models = [model for model in study.models if model != "dummy"]
    looks = style.looks(models)
    step = 0.8 / max(len(models), 2)
    n_rows = sum(len(trial.evaluations) for trial in trials)
    with style.figure(5.4, 0.19 * n_rows + 0.3 * len(trials) + 1.0 + 0.17 * (len(models) // 3)) as figure:
        ax = figure.subplots()
        reference = _reference(ax, study.baseline, name)
        seen = [*reference]
        for k, model in enumerate(models):
            rows = [(i, trial.evaluations[model]) for i, trial in enumerate(trials) if model in trial.evaluations]
            places = np.array([i for i, _ in rows]) + step * (k - (len(models) - 1) / 2)
            spreads = [evaluation.cross_validation[name] for _, evaluation in rows]
            means = np.array([style.number(s.mean) for s in spreads])
            stds = np.nan_to_num([style.number(s.std) for s in spreads])
            tests = np.array([style.number(e.test.metrics[name]) if e.test else np.nan for _, e in rows])
            ax.errorbar(
                means, places, xerr=stds, fmt=looks[model].marker, ms=5, lw=1.2, capsize=2.5, mew=0.6,
                color=looks[model].colour, label=style.shorten(study.models[model]),
            )  # fmt: skip
            ax.plot(tests, places, "|", ms=10, mew=1.8, color=looks[model].colour)
            seen += [*means, *(means - stds), *(means + stds), *tests]
        if any(e.test for trial in trials for e in trial.evaluations.values()):
            ax.plot([], [], "|", ms=10, mew=1.8, color=style.INK, label="on the test part")
        ax.set_yticks(range(len(trials)), [style.shorten(trial.features.title) for trial in trials])
        ax.set_ylim(len(trials) - 0.5, -0.5)
        for place in np.arange(len(trials) - 1) + 0.5:
            ax.axhline(place, color=style.GRID, lw=0.7)
        _limits(ax, np.array(seen), spec.larger_is_better, reference)
        folds = ", mean ± spread over folds" if study.split.folds else ""
        label = with_unit(_words(study.problem.kind, name), study.problem.target.unit * spec.in_unit)
        ax.set_xlabel(label + folds)
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def parity(
    y: npt.ArrayLike,
    evaluations: Mapping[str, Evaluation] | npt.ArrayLike,
    target: Target | None = None,
    *,
    unit: str = "",
    titles: Mapping[str, str] | None = None,
    looks: Mapping[str, style.Look] | None = None,
) -> Figure:
    """Plot predicted against true values, one panel for each model.

    Open marks are predictions of the cross-validation, each from the fold in which the sample was held out; filled
    marks are the test part. Many points are shown as a density: of the test part, or of the folds if there is none.
    Predictions far outside the range of the truth, and true values far from all others, are drawn as triangles at the
    edge, and counted. Axes are logarithmic where one of the models has learnt logarithms.

    Parameters
    ----------
    y : array of float, shape (n_samples,)
        The true values.
    evaluations : mapping of str to Evaluation, or array of float of shape (n_samples,)
        Models and their predictions; or the predictions of one for all samples.
    target : Target, optional
        For the unit.
    unit : str
        The unit, where there is no target.
    titles, looks : mapping, optional
        Titles, colours and marks of the models.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no value, numbers of values differ, or one is not finite.

    Examples
    --------
    >>> from atomprint.report.plots import parity
    >>> parity([1.0, 2.0, 3.0], [1.1, 1.8, 3.3], unit="eV").savefig("parity.png")  # doctest: +SKIP
    """
    y, titles, unit = np.asarray(y, dtype=np.float64), titles or {}, unit if target is None else target.unit
    if isinstance(evaluations, Mapping):
        parts = {name: _parts(evaluation) for name, evaluation in evaluations.items()}
        logs = any(evaluation.of_logs for evaluation in evaluations.values()) and bool((y > 0).all())
    else:
        logs = False
        parts = {"": {"": (np.arange(len(y)), _checked(y, evaluations))}}
    names = list(parts)
    looks = looks or style.looks(names)
    guesses = np.concatenate([guess for name in names for _, guess in parts[name].values()])
    indices = np.concatenate([index for name in names for index, _ in parts[name].values()])
    limits = style.robust_limits(y[indices], guesses, logs)
    columns = min(len(names), _COLUMNS)
    rows = -(-len(names) // columns)
    with style.figure(max(2.1 * columns + 0.35, 2.9), 2.5 * rows + 0.2) as figure:
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for ax, name in zip(axes, names, strict=False):
            ax.set(xlim=limits, ylim=limits, box_aspect=1)
            for axis in (ax.xaxis, ax.yaxis):
                style.scale(axis, logs)
            ax.plot(limits, limits, color=style.FAINT, lw=0.8, zorder=1)
            title = textwrap.fill(titles.get(name, name), 20, max_lines=2, placeholder="…")
            ax.set_title(title, color=looks[name].colour)
            ax.set_xlabel(with_unit("true", unit))
            _parity_panel(ax, y, parts[name], looks[name])
        for ax in axes[len(names) :]:
            ax.remove()
        for ax in axes[max(0, len(names) - columns) : len(names)]:
            ax.tick_params(labelbottom=True)  # where the panel below has been removed
        for ax in axes[: len(names) : columns]:
            ax.set_ylabel(with_unit("predicted", unit))
    return figure


def _checked(y: FloatArray, y_pred: npt.ArrayLike) -> FloatArray:
    """Return predictions as an array, or raise unless each true value has one."""
    guess = np.asarray(y_pred, dtype=np.float64)
    if y.ndim != 1 or guess.shape != y.shape or not len(y):
        raise ValueError(f"y and y_pred must have one value for each sample, got shapes {y.shape} and {guess.shape}")
    for name, values in (("y", y), ("y_pred", guess)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
    return guess


def residuals(y: FloatArray, evaluation: Evaluation, target: Target, colour: str) -> Figure:
    """Plot how errors (predicted minus true; of a model of logarithms, predicted by true) are distributed."""
    errors = _Errors.of(y, evaluation)
    with style.figure(3.5, 2.6) as figure:
        ax = figure.subplots()
        n_bins = 2 * (style.n_bins(len(errors.error)) // 2) + 1
        ax.hist(errors.shown(errors.error), bins=errors.bins(n_bins).tolist(), color=colour, alpha=0.8)
        style.scale(ax.xaxis, errors.logs)
        ax.axvline(errors.none, color=style.FAINT, lw=0.8)
        middle = float(np.median(errors.error))
        like = None if errors.logs else errors.reach  # a ratio of 1.3 is none of 1, however far others reach
        words = f"median {format_number(middle, like=like)}".replace("-", "−")
        ax.axvline(middle, color=style.INK, lw=1, ls=(0, (4, 2)), label=words)
        n_beyond = int(np.count_nonzero(errors.shown(errors.error) != errors.error))
        ends = f"\n{n_beyond:,} beyond the ends are in the outer bars" if n_beyond else ""
        ax.set_xlabel(errors.label(target) + ends)
        ax.set_ylabel("number of predictions")
        parts = errors.parts
        ax.set_title("errors, folds and test together" if len(parts) > 1 else f"errors, {next(iter(parts))}")
        ax.legend(loc="upper right", borderaxespad=0.1)
        ax.yaxis.set_major_locator(style.locator(4, integer=True))
        ax.margins(y=0.2)
    return figure


def errors_by_prediction(y: FloatArray, evaluation: Evaluation, target: Target, colour: str) -> Figure:
    """Plot errors (predicted minus true; of a model of logarithms, predicted by true) against the prediction."""
    errors = _Errors.of(y, evaluation)
    with style.figure(3.5, 2.6) as figure:
        ax = figure.subplots()
        ax.set(xlim=style.robust_limits(errors.truth, errors.guess, errors.logs), ylim=errors.ends(1.04))
        for axis in (ax.xaxis, ax.yaxis):
            style.scale(axis, errors.logs)
        ax.axhline(errors.none, color=style.FAINT, lw=0.8, zorder=1)
        if len(errors.guess) > style.MANY:
            style.density(ax, errors.guess, errors.error)
        else:
            for name, (true, predicted) in errors.parts.items():
                shown = errors.shown(errors.between(true, predicted))
                _points(ax, predicted, shown, style.Look(colour, "o"), name)
            if len(errors.parts) > 1:
                ax.legend(loc="upper left", borderaxespad=0.1)
        ax.set_xlabel(with_unit("predicted", target.unit))
        ax.set_ylabel(errors.label(target))
        ax.set_title("errors against predictions")
    return figure


@dataclass(frozen=True)
class _Errors:
    """Errors of predictions of samples that were held out: differences, or of a model of logarithms ratios."""

    parts: Mapping[str, tuple[FloatArray, FloatArray]]  # true values and predictions
    logs: bool

    @classmethod
    def of(cls, y: FloatArray, evaluation: Evaluation) -> Self:
        parts = {name: (y[index], guess) for name, (index, guess) in _parts(evaluation).items()}
        positive = all((values > 0).all() for pair in parts.values() for values in pair)
        return cls(parts, evaluation.of_logs and positive)

    def between(self, truth: FloatArray, guess: FloatArray) -> FloatArray:
        return guess / truth if self.logs else guess - truth

    @cached_property
    def truth(self) -> FloatArray:
        return np.concatenate([truth for truth, _ in self.parts.values()])

    @cached_property
    def guess(self) -> FloatArray:
        return np.concatenate([guess for _, guess in self.parts.values()])

    @cached_property
    def error(self) -> FloatArray:
        return self.between(self.truth, self.guess)

    @cached_property
    def reach(self) -> float:
        """How far a plot goes: to the largest error, unless few are far beyond the others; of ratios a factor."""
        if self.logs:
            return float(np.exp(_reach(np.log(self.error))))
        return _reach(self.error)

    @property
    def none(self) -> float:
        """The error of an exact prediction."""
        return 1.0 if self.logs else 0.0

    def ends(self, share: float = 1.0) -> tuple[float, float]:
        reach = self.reach**share if self.logs else share * self.reach
        return (1 / reach, reach) if self.logs else (-reach, reach)

    def shown(self, error: FloatArray) -> FloatArray:
        return error.clip(*self.ends())

    def bins(self, n: int) -> FloatArray:
        return np.geomspace(*self.ends(), n + 1) if self.logs else np.linspace(*self.ends(), n + 1)

    def label(self, target: Target) -> str:
        return "predicted / true" if self.logs else with_unit("predicted − true", target.unit)


def _reach(error: FloatArray) -> float:
    """Return how far a plot of errors goes: to the largest, unless few are far beyond the others."""
    size = np.abs(error)
    return 1.05 * min(float(size.max()), 3 * float(np.percentile(size, 90))) or 1.0


def learning_curve(curve: LearningCurve, kind: str, unit: str, colour: str, baseline: float | None = None) -> Figure:
    """Plot a figure of merit against the number of samples that a model was fitted to."""
    spec = METRICS[kind][curve.metric]
    sizes = np.asarray(curve.sizes)
    with style.figure(4.4, 2.9) as figure:
        ax = figure.subplots()
        ax.set_xscale("log")
        shown = []
        for spreads, label, line, fill in (
            (curve.test, "held out", "-", colour),
            (curve.train, "fitted to", (0, (3, 2)), "none"),
        ):
            means = np.array([style.number(s.mean) for s in spreads])
            stds = np.nan_to_num([style.number(s.std) for s in spreads])
            ax.fill_between(sizes, means - stds, means + stds, color=colour, alpha=0.15, lw=0)
            ax.plot(sizes, means, ls=line, marker="o", ms=4.5, color=colour, mfc=fill if fill != "none" else "white",
                    label=f"samples {label}")  # fmt: skip
            shown += [*means, *(means + stds)]
        if baseline is not None:
            ax.axhline(baseline, color=style.FAINT, lw=1, ls=(0, (1, 2)), label="baseline")
            shown.append(baseline)
        ax.set_xticks(sizes, [f"{n:,}" for n in sizes], minor=False)
        ax.minorticks_off()
        if spec.larger_is_better:
            ax.set_ylim(top=min(ax.get_ylim()[1], 1.02))
        else:
            ax.set_ylim(0, 1.08 * np.nanmax(shown))
        ax.grid(axis="y")
        ax.yaxis.set_major_locator(style.locator())
        ax.set_xlabel("number of training samples")
        ax.set_ylabel(with_unit(spec.title, unit * spec.in_unit))
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def _parity_panel(ax: Axes, y: FloatArray, parts: Mapping[str, tuple[Indices, FloatArray]], look: style.Look) -> None:
    n_points = sum(len(guess) for _, guess in parts.values())
    if n_points > style.MANY:
        shown = "test" if "test" in parts else next(iter(parts))
        parts = {shown: parts[shown]}
    low, high = ax.get_ylim()
    n_outside = 0
    for name, (index, guess) in parts.items():
        wild = (y[index] < low) | (y[index] > high)  # far from all other true values
        inside = (guess >= low) & (guess <= high) & ~wild
        n_outside += int(np.count_nonzero(~inside))
        if n_points > style.MANY:
            style.density(ax, y[index][inside], guess[inside])
            ax.plot([], [], "h", ms=6, color=style.colours()(0.6), label=f"{name}, {len(guess):,}".removeprefix(", "))
        else:
            _points(ax, y[index][inside], guess[inside], look, name)
        bottom, top = style.place(ax.yaxis, 0.015), style.place(ax.yaxis, 0.985)
        for outside, place, mark in ((guess > high, top, "^"), (guess < low, bottom, "v")):
            outside &= ~wild
            ax.plot(y[index][outside], np.full(np.count_nonzero(outside), place), mark, ms=4.5, color=look.colour)
        for outside, place, mark in ((y[index] > high, top, ">"), (y[index] < low, bottom, "<")):
            beside = guess[outside].clip(bottom, top)
            ax.plot(np.full(len(beside), place), beside, mark, ms=4.5, color=look.colour)
    if any(parts):  # predictions without a name need no key
        ax.legend(loc="upper left", handletextpad=0.2, borderaxespad=0.1)
    if n_outside:
        ax.text(0.98, 0.03, f"{n_outside:,} outside", transform=ax.transAxes, ha="right", fontsize=8, color=style.FAINT)


def _points(ax: Axes, x: Any, y: Targets, look: style.Look, part: str) -> None:
    few = len(x) <= 400
    filled = part == "test"
    ax.scatter(
        x, y, s=16 if few else 8, marker=look.marker, facecolor=look.colour if filled else "none",
        edgecolor="white" if filled else look.colour, lw=(0.5 if few else 0.3) if filled else 0.8,
        alpha=1.0 if filled else 0.7, label=part, zorder=3 if filled else 2, rasterized=not few,
    )  # fmt: skip


def _parts(evaluation: Evaluation) -> dict[str, tuple[Indices, FloatArray]]:
    """Return indices and predictions of the cross-validation and of the test part, of those that there are."""
    folds: tuple[Fold, ...] = evaluation.folds
    parts = {}
    if folds:
        guesses = np.concatenate([fold.y_pred for fold in folds])
        parts["cross-validation"] = (np.concatenate([fold.indices for fold in folds]), guesses)
    if evaluation.test is not None:
        parts["test"] = (evaluation.test.indices, evaluation.test.y_pred)
    return parts


def _reference(ax: Axes, baseline: Evaluation, name: str) -> list[float]:
    """Draw the baseline as a line across, and return where it is."""
    value = style.number(baseline.cross_validation[name].mean) if baseline.folds else np.nan
    if np.isnan(value) and baseline.test is not None:
        value = style.number(baseline.test.metrics[name])
    if np.isnan(value):
        return []
    ax.axvline(value, color=style.FAINT, lw=1, ls=(0, (4, 3)))
    ax.annotate(
        "baseline", (value, 1), xycoords=("data", "axes fraction"), xytext=(0, 2), textcoords="offset points",
        ha="center", va="bottom", fontsize=8, color=style.FAINT,
    )  # fmt: skip
    return [value]


def _limits(ax: Axes, seen: FloatArray, larger_is_better: bool, reference: list[float]) -> None:
    """Show errors from 0 on, and scores up to 1; one model gone wild must not squeeze the others."""
    seen = seen[np.isfinite(seen)]
    if not len(seen):
        return
    if larger_is_better:
        low = max(float(seen.min()), -1.0)
        ax.set_xlim(low - 0.05 * (1 - low), 1.0 + 0.02 * (1 - low))
    else:
        ax.set_xlim(0, 1.06 * min(float(seen.max()), max([4 * float(np.median(seen)), *reference])))


def _words(kind: str, name: str) -> str:
    spec = METRICS[kind][name]
    return spec.title if spec.larger_is_better else spec.description.partition(",")[0]
